"""The directions of gradient descent from products with Toeplitz matrices alone.

Where the matrix of lagged inputs is too large to be factorized, it is applied by fast Fourier
transforms, in float64 on the host.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, svds

from ntk_rnn._types import AnyArray
from ntk_rnn.loss import Loss, loss_scale
from ntk_rnn.regression import eigenmodes as modes, host
from ntk_rnn.regression.dense import Decomposition
from ntk_rnn.regression.krylov import bidiagonalize

# Times of gradient flow, in units of 1 / lambda_max, at which the path is watched for change.
_WATCHED = np.append(10.0 ** np.arange(0, 17, 2), np.inf)


class LaggedInputs(LinearOperator):
    """``F = A diag(sqrt(rho))`` as a linear operator, with the matrix ``A`` of lagged inputs.

    Products are convolutions and correlations, in ``O(N T log T)``.

    Args:
      x: inputs, shape ``(N, T, n_x)``.
      roots: ``sqrt(rho)``, shape ``(T,)``.

    Attributes:
      products: how many vectors have been multiplied, by it or its transpose.
    """

    def __init__(self, x: Float[np.ndarray, "N T n_x"], roots: Float[np.ndarray, " T"]):
        self._sizes = num, seq_len, in_dim = x.shape
        super().__init__(np.dtype(np.float64), (num * seq_len, seq_len * in_dim))
        self.products = 0
        self._length = scipy.fft.next_fast_len(2 * seq_len - 1, real=True)
        self._inputs = self._transform(x.swapaxes(0, 1))  # (frequencies, N, n_x)
        self._roots = np.repeat(roots, in_dim)[:, None]

    def _transform(self, signal: Float[np.ndarray, "T b c"]) -> np.ndarray:
        return np.asarray(scipy.fft.rfft(signal, self._length, axis=0))

    def _restore(self, spectrum: np.ndarray) -> Float[np.ndarray, "T b c"]:
        return np.asarray(scipy.fft.irfft(spectrum, self._length, axis=0))[: self._sizes[1]]

    def _matmat(self, X: Float[np.ndarray, "P m"]) -> Float[np.ndarray, "R m"]:
        _, seq_len, in_dim = self._sizes
        self.products += X.shape[1]
        return self.convolve((self._roots * X).reshape(seq_len, in_dim, -1))

    def convolve(self, response: Float[np.ndarray, "T n_x m"]) -> Float[np.ndarray, "R m"]:
        """``A`` times impulse responses, without the weights."""
        outputs = self._restore(self._inputs @ self._transform(response))
        return outputs.swapaxes(0, 1).reshape(self.shape[0], -1)

    def _rmatmat(self, X: Float[np.ndarray, "R m"]) -> Float[np.ndarray, "P m"]:
        num, seq_len, _ = self._sizes
        self.products += X.shape[1]
        signal = self._transform(X.reshape(num, seq_len, -1).swapaxes(0, 1))
        response = self._restore(self._inputs.conj().swapaxes(1, 2) @ signal)
        return self._roots * response.reshape(self.shape[1], -1)

    def _rmatvec(self, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, " P"]:
        # SciPy makes it of _rmatmat by itself, but did not always.
        return self._rmatmat(x.reshape(-1, 1))[:, 0]


class MatrixFree(NamedTuple):
    """A decomposition from products, how many they were, and an estimate of its path's error."""

    parts: Decomposition
    products: int
    change: float


def decompose_matrix_free(
    roots: Float[AnyArray, " T"],
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N T n_y"]],
    initial: Float[AnyArray, "T n_y n_x"],
    loss: Loss,
    *,
    tolerance: float,
    max_rank: int,
) -> MatrixFree:
    """As many directions as the path needs, by Golub-Kahan bidiagonalization of ``F``.

    With ``F V = U B`` and the targets in the span of ``U``, the singular values of the small
    ``B`` stand for those of ``F``. With ``k`` directions ``k / n_y`` steps of gradient descent
    are exact; what comes later is approximated. The largest singular value is found apart.

    Args:
      roots: ``sqrt(rho)``, one a lag.
      data: inputs and targets.
      initial: ``L^0``.
      loss: whose directions and losses these are.
      tolerance: directions are added until the path differs by no more than this from that with
        half as many, at any watched time from ``1 / lambda_max`` to infinity, relative to the
        largest change of an entry of ``L``. That estimates the error, as a rule from above, but
        is no bound.
      max_rank: most directions; a warning tells if they are too few for the tolerance.

    Returns:
      The decomposition, the number of products, and that difference (0 if nothing is left to add).
    """
    roots, initial, x, y = map(host.float64, (roots, initial, *data))
    scale = loss_scale(loss, y.size) ** 0.5
    operator = LaggedInputs(x, scale * roots)
    max_rank = min(max_rank, *operator.shape)
    outputs = operator.convolve(initial.swapaxes(1, 2))
    goal = scale * (y.reshape(outputs.shape) - outputs)
    largest = _largest_singular_value(operator)
    # Products are right to some units of rounding, which must not pass for directions.
    floor = 10 * float(np.finfo(np.float64).eps) * largest
    step = 4 * goal.shape[1]

    s, targets = np.zeros(0), np.zeros((0, goal.shape[1]))
    directions = np.zeros((operator.shape[1], 0))
    irreducible, change, check = np.sum(goal**2) / 2, 0.0, step
    earlier: list[tuple[int, Any]] = [(0, 0.0)]
    for right, small, known, complete in bidiagonalize(operator, goal, floor, max_rank):
        rank = right.shape[1]
        last = complete or rank == max_rank
        if rank < check and not last:
            continue
        check = rank + max(step, rank // 5)
        p, s, qt = np.linalg.svd(small, full_matrices=False)
        directions, targets = np.repeat(roots, x.shape[2])[:, None] * (right @ qt.T), p.T @ known
        irreducible = np.sum((known - p @ targets) ** 2) / 2
        path = _path(s, directions, targets)
        # Over a longer stretch than from check to check, so that slow progress is seen as well.
        before = [p for r, p in earlier if r <= rank // 2]
        change = 0.0 if complete else _change(before[-1], path)
        earlier.append((rank, path))
        if change <= tolerance:
            break
    if change > tolerance:
        warnings.warn(
            f"the path with max_rank = {max_rank} directions differs by {change:.1g} from that "
            f"with half as many, more than tolerance = {tolerance:.1g}; raise max_rank",
            stacklevel=3,
        )
    if len(s) == 0 or largest > (1 + 1e-6) * s[0]:
        # No target lies along the steepest direction, but it limits the learning rate.
        s, targets = np.append(largest, s), np.pad(targets, ((1, 0), (0, 0)))
        directions = np.pad(directions, ((0, 0), (1, 0)))
    directions = directions.reshape(len(roots), 1, x.shape[2], len(s))
    parts = Decomposition(s, directions, targets, np.asarray(irreducible))
    return MatrixFree(parts, operator.products, change)


def _largest_singular_value(operator: LinearOperator) -> float:
    rows, columns = operator.shape
    start = np.random.default_rng(0).normal(size=min(rows, columns))
    product = operator.matvec(start) if columns <= rows else operator.rmatvec(start)
    if len(start) == 1 or not np.any(product):  # a vector, or 0: neither is for ARPACK
        return float(np.linalg.norm(product) / np.linalg.norm(start))
    found: Any = svds(operator, 1, v0=start, return_singular_vectors=False)
    return float(found[0])


def _path(s: np.ndarray, directions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """What has been added to the impulse response at the watched times."""
    reached = modes.reached(s, max(directions.shape))
    _, gained = modes.flow(s**2, reached, _WATCHED / s[0] ** 2)
    goals = np.where(reached, 1 / np.where(reached, s, 1), 0)[:, None] * targets
    return np.asarray(host.einsum("pk,lk,kb->lpb", directions, gained, goals))


def _change(before: Any, after: np.ndarray) -> float:
    return float(np.max(np.abs(after - before)) / np.max(np.abs(after)))
