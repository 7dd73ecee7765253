"""Kernel regression from products with Toeplitz matrices alone.

Where the matrix of lagged inputs is too large to be factorized, it is applied by fast Fourier
transforms, in float64 on the host. Orthonormal bases of what it makes of the targets (Krylov
spaces) then stand for its singular directions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
import scipy.linalg
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, svds

from ntk_rnn._namespace import einsum
from ntk_rnn._types import AnyArray
from ntk_rnn.loss import Loss, loss_scale
from ntk_rnn.objective import Sequences
from ntk_rnn.regression.dense import Decomposition
from ntk_rnn.regression.eigenmodes import exceeds_rounding, flow

# Times of gradient flow, in units of 1 / lambda_max, at which the path is watched for change.
_WATCHED = np.append(10.0 ** np.arange(0, 17, 2), np.inf)


def decompose_matrix_free(
    root: Float[AnyArray, " T"],
    data: Sequences,
    initial: Float[AnyArray, "T n_y n_x"],
    loss: Loss,
    *,
    tolerance: float,
    max_rank: int,
) -> tuple[Decomposition, int, float]:
    """As many directions as the path needs, by Golub-Kahan bidiagonalization.

    With ``F = A diag(sqrt(rho))``, ``F V = U B`` and the targets in the span of ``U``, the
    singular values of the small ``B`` stand for those of ``F``. With ``k`` directions ``k / n_y``
    steps of gradient descent are exact; later ones are approximated. The largest singular value is
    found on its own.

    Args:
      root: ``sqrt(rho)``, one per lag.
      data: sequences, in float64 on the host, as all arguments are.
      initial: ``L^0``.
      loss: ``"sum"`` or ``"mean"``, to which directions and losses refer.
      tolerance: directions are added until the path differs by no more than this from the path
        with half as many, at any watched time from ``1 / lambda_max`` to infinity, relative to
        the largest change of an entry of ``L``. That estimates the error, usually from above, but
        it is no bound.
      max_rank: largest number of directions; a warning says if they are too few for the tolerance.

    Returns:
      The decomposition, the number of products, and that difference (0 if nothing is left to add).
    """
    root, initial, x, y = map(np.asarray, (root, initial, *data))
    scale = loss_scale(loss, y.size) ** 0.5
    operator = LaggedInputs(x, scale * root)
    max_rank = min(max_rank, *operator.shape)
    outputs = operator.convolve(initial.swapaxes(1, 2))
    goal = scale * (y.reshape(outputs.shape) - outputs)
    largest = _largest_singular_value(operator)
    # Products have errors of some units of rounding, which must not count as directions.
    floor = 10 * float(np.finfo(np.float64).eps) * largest
    step = 4 * goal.shape[1]

    s, targets = np.zeros(0), np.zeros((0, goal.shape[1]))
    directions = np.zeros((operator.shape[1], 0))
    irreducible, change, next_check = np.sum(goal**2) / 2, 0.0, step
    earlier: list[tuple[int, Any]] = [(0, 0.0)]  # numbers of directions, and their paths
    for right, small, known, complete in bidiagonalize(operator, goal, floor, max_rank):
        rank = right.shape[1]
        last = complete or rank == max_rank
        if rank < next_check and not last:
            continue
        next_check = rank + max(step, rank // 5)
        p, s, qt = np.linalg.svd(small, full_matrices=False)
        directions, targets = np.repeat(root, x.shape[2])[:, None] * (right @ qt.T), p.T @ known
        irreducible = np.sum((known - p @ targets) ** 2) / 2
        path = _path(s, directions, targets)
        # Compared with half as many, not with the last check, so that slow progress is seen too.
        before = [path for rank_before, path in earlier if rank_before <= rank // 2][-1]
        change = 0.0
        if not complete:
            change = float(np.max(np.abs(path - before)) / np.max(np.abs(path)))
        earlier.append((rank, path))
        if change <= tolerance:
            break
    if change > tolerance:
        warnings.warn(
            f"the path with max_rank = {max_rank} directions differs by {change:.1g} from that "
            f"with half as many, more than tolerance = {tolerance:.1g}; raise max_rank",
            stacklevel=3,
        )
    if len(s):
        s = np.where(exceeds_rounding(s, max(directions.shape)), s, 0)
    if len(s) == 0 or largest > (1 + 1e-6) * s[0]:
        # No target lies along the steepest direction, but it limits the learning rate.
        s, targets = np.append(largest, s), np.pad(targets, ((1, 0), (0, 0)))
        directions = np.pad(directions, ((0, 0), (1, 0)))
    directions = directions.reshape(len(root), 1, x.shape[2], len(s))
    decomposition = Decomposition(s, directions, targets, np.asarray(irreducible))
    return decomposition, operator.products, change


def _largest_singular_value(operator: LinearOperator) -> float:
    rows, columns = operator.shape
    start = np.random.default_rng(0).normal(size=min(rows, columns))
    product = operator.matvec(start) if columns <= rows else operator.rmatvec(start)
    if len(start) == 1 or not np.any(product):  # ARPACK fails for one column and for 0
        return float(np.linalg.norm(product) / np.linalg.norm(start))
    found: Any = svds(operator, 1, v0=start, return_singular_vectors=False)
    return float(found[0])


def _path(s: np.ndarray, directions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """What has been added to the impulse response at the watched times."""
    nonzero = exceeds_rounding(s, max(directions.shape))
    _, gained = flow(s**2, nonzero, _WATCHED / s[0] ** 2)
    goals = np.where(nonzero, 1 / np.where(nonzero, s, 1), 0)[:, None] * targets
    return np.asarray(einsum("pk,lk,kb->lpb", directions, gained, goals))


class LaggedInputs(LinearOperator):
    """``F = A diag(sqrt(rho))`` as a linear operator, with the matrix ``A`` of lagged inputs.

    Products are convolutions and correlations, in ``O(N T log T)``.

    Args:
      x: inputs, shape ``(N, T, n_x)``.
      root: ``sqrt(rho)``, shape ``(T,)``.

    Attributes:
      products: how many vectors have been multiplied, by it or its transpose.
    """

    def __init__(self, x: Float[np.ndarray, "N T n_x"], root: Float[np.ndarray, " T"]):
        self._sizes = num, seq_len, in_dim = x.shape
        super().__init__(np.dtype(np.float64), (num * seq_len, seq_len * in_dim))
        self.products = 0
        self._length = scipy.fft.next_fast_len(2 * seq_len - 1, real=True)
        self._inputs = self._transform(x.swapaxes(0, 1))  # (frequencies, N, n_x)
        self._root = np.repeat(root, in_dim)[:, None]

    def _transform(self, signal: Float[np.ndarray, "T b c"]) -> np.ndarray:
        return np.asarray(scipy.fft.rfft(signal, self._length, axis=0))

    def _restore(self, spectrum: np.ndarray) -> Float[np.ndarray, "T b c"]:
        return np.asarray(scipy.fft.irfft(spectrum, self._length, axis=0))[: self._sizes[1]]

    def _matmat(self, X: Float[np.ndarray, "P m"]) -> Float[np.ndarray, "R m"]:
        _, seq_len, in_dim = self._sizes
        self.products += X.shape[1]
        return self.convolve((self._root * X).reshape(seq_len, in_dim, -1))

    def convolve(self, response: Float[np.ndarray, "T n_x m"]) -> Float[np.ndarray, "R m"]:
        """``A`` times impulse responses, without the lag weights (eq. 5)."""
        outputs = self._restore(self._inputs @ self._transform(response))
        return outputs.swapaxes(0, 1).reshape(self.shape[0], -1)

    def _rmatmat(self, X: Float[np.ndarray, "R m"]) -> Float[np.ndarray, "P m"]:
        num, seq_len, _ = self._sizes
        self.products += X.shape[1]
        signal = self._transform(X.reshape(num, seq_len, -1).swapaxes(0, 1))
        response = self._restore(self._inputs.conj().swapaxes(1, 2) @ signal)
        return self._root * response.reshape(self.shape[1], -1)

    def _rmatvec(self, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, " P"]:
        # Older SciPy does not derive it from _rmatmat.
        return self._rmatmat(x.reshape(-1, 1))[:, 0]


class Bidiagonalization(NamedTuple):
    """``F V = U B`` with the targets in the span of ``U``.

    Attributes:
      right: ``V``, shape ``(columns, k)``.
      small: ``B``, shape ``(m, k)``.
      goal: the targets in the basis ``U``, shape ``(m, n_y)``.
      complete: whether the span of ``V`` holds ``F^T U`` as well: then nothing is left to add.
    """

    right: Float[np.ndarray, "columns k"]
    small: Float[np.ndarray, "m k"]
    goal: Float[np.ndarray, "m n_y"]
    complete: bool


def bidiagonalize(
    operator: LinearOperator, goal: Float[np.ndarray, "rows n_y"], floor: float, max_rank: int
) -> Iterator[Bidiagonalization]:
    """Block Golub-Kahan bidiagonalization of ``F`` from the targets, one block after the other.

    It yields nothing if ``F^T`` times the targets is 0.

    Every block is orthogonalized against all before, so ``B`` is full above the bands that it has
    in exact arithmetic, and no direction is found twice.

    Args:
      operator: ``F``.
      goal: targets, one column per output.
      floor: length up to which a new direction counts as rounding.
      max_rank: largest number of columns of ``V``.
    """
    width = goal.shape[1]
    left, right = (_Basis(size, max_rank + 2 * width) for size in operator.shape)
    small, known = (np.zeros((max_rank + 2 * width, n)) for n in (max_rank, width))
    block = left.extend(goal, 0.0)
    known[: left.size] = left.vectors.T @ goal
    complete = block.shape[1] == 0
    while not complete and right.size < max_rank:
        start = right.size
        new = right.extend(operator.rmatmat(block), floor)[:, : max_rank - start]
        right.size = start + new.shape[1]
        complete = new.shape[1] == 0
        if right.size == 0:
            return
        if not complete:
            images = operator.matmat(new)
            block = left.extend(images, floor)
            small[: left.size, start : right.size] = left.vectors.T @ images
            complete = block.shape[1] == 0 or right.size == min(operator.shape)
        b = small[: left.size, : right.size]
        yield Bidiagonalization(right.vectors, b, known[: left.size], complete)


class _Basis:
    """Orthonormal columns to which others are added, in memory that is used as they come."""

    def __init__(self, length: int, most: int):
        self._columns = np.empty((length, most), order="F")
        self.size = 0

    @property
    def vectors(self) -> Float[np.ndarray, "length size"]:
        return self._columns[:, : self.size]

    def extend(
        self, block: Float[np.ndarray, "length m"], floor: float
    ) -> Float[np.ndarray, "length new"]:
        """Adds what is new in a block, in columns longer than ``floor``, and returns it."""
        basis = self.vectors
        for _ in range(2):  # the second time removes what rounding has left
            block = block - basis @ (basis.T @ block)
        factors: Any = scipy.linalg.qr(block, mode="economic", pivoting=True)
        q, r, _ = factors
        q = q[:, np.abs(np.diagonal(r)) > floor]
        q, _ = np.linalg.qr(q - basis @ (basis.T @ q))
        self._columns[:, self.size : self.size + q.shape[1]] = q
        self.size += q.shape[1]
        return q
