"""What a causal linear layer remembers, and how soon it learns it.

The kernel of such a layer is a Gram matrix ``G`` over the entries of its impulse response, and its
diagonal has a weight ``rho_j`` for each lag. With lag weights, and where ``A^T A`` is nearly
diagonal, each lag is learned by itself: what is left of it falls by a factor of
``1 - eta rho_j s_j`` a step, with the energy ``s_j`` of the inputs that reach it. With a Gram
matrix, lags are learned along the eigenvectors of ``G^{1/2} A^T A G^{1/2}``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData, compress
from ntk_rnn.objective import Impulses, as_data_set
from ntk_rnn.regression.roots import check_kernel
from ntk_rnn.theory.lag_memory import LagMemory, remembered

# What takes more steps is never learned, and rounding has a part in it.
_LAST_STEP = 1e16


def memory(
    kernel: Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x T n_y n_x"],
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N T n_y"]]
    | CompressedData
    | None = None,
    *,
    num_targets: int | None = None,
    learning_rate: float | None = None,
    part: float = 0.5,
) -> LagMemory:
    """Which lags a causal linear layer learns, and how soon (eq. 20, Theorem 4.1).

    The weight ``rho_j`` of a lag is the mean over entries of the impulse response of
    ``G[j,p,q; j,p,q]``. With lag weights, ``(1 - eta rho_j s_j)^l`` is left of a lag after ``l``
    steps, so ``part`` of it is learned after ``log(1 - part) / log|1 - eta rho_j s_j|``, which is
    about ``log(2) / (eta rho_j s_j)`` for one half. This takes each lag by itself, which is
    exact for ``A^T A = diag(s)``. With a Gram matrix, steps are those of the tasks
    ``y_t = x_{t-j}`` from ``L^0 = 0`` (Appendix B.4), in the mean of inputs and outputs.
    ``kernel_regression`` has the whole path of any task.

    The effective memory is the number ``m`` of lags, counted from the present, with
    ``sum_{j < m} rho_j = 0.95 sum_j rho_j``, of the last one a part. Unlike the participation ratio
    ``(sum rho)^2 / sum rho^2``, which counts lags wherever they are, it says how far back a layer
    remembers. It is a part of all ``T`` lags that are given, so take many of them where the last
    ones still weigh much.

    Args:
      kernel: lag weights, shape ``(T,)``, as from ``lag_weights``; or a Gram matrix, shape
        ``(T, n_y, n_x, T, n_y, n_x)``, as from ``layer_gram``.
      data: inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or both compressed
        (``compress``), from which ``s_j`` and the largest stable learning rate are taken; for white
        inputs ``s_j`` is about ``N (T - j)``. ``None`` for white inputs so long that all lags have
        as much, ``A^T A = num_targets I``.
      num_targets: how many targets there are without ``data``, ``N`` times the length of the
        sequences; 1 if ``None``. It matters for a given learning rate alone.
      learning_rate: ``eta`` for the sum loss; if ``None``, half of the largest stable one, with
        which nothing overshoots. Long lags take half as many steps at the limit of stability.
      part: what part of a lag counts as learned, between 0 and 1.

    Returns:
      Weights, steps and what they come to, in float64, with a ``table`` and a ``plot``.

    Raises:
      ValueError: if a weight is negative or all of them are 0, an entry not finite, a Gram matrix
        not symmetric and positive semi-definite, if data have another shape than the kernel, or
        the learning rate is past stability.

    Example:
      >>> import ntk_rnn as nr
      >>> rho = nr.lag_weights(20, nu_w=0.3, nu_f=1.0, nu_c=1.0)
      >>> found = nr.memory(rho)
      >>> print(f"{found.lags:.2f} lags")
      3.84 lags
      >>> bool(found.steps[15] > 1e6)  # far lags are as good as never learned
      True
    """
    if num_targets is not None and data is not None:
        raise ValueError(
            "num_targets must be left out with data, which say it, got "
            f"{_checks.shown(num_targets)}"
        )
    num_targets = _checks.integer("num_targets", 1 if num_targets is None else num_targets)
    part = _checks.fraction("part", part)
    gram, weight = _gram_and_weight(kernel)
    triangle = None if data is None else _triangle(data, weight, gram)
    if triangle is None:
        energy = np.full(len(weight), float(num_targets))
    else:
        energy = np.mean(np.sum(triangle**2, axis=0), axis=1)
    modes = None if gram is None else _modes(gram, triangle, num_targets)
    if modes is not None:
        largest = float(np.max(modes.curvature))
    elif triangle is None:
        largest = float(np.max(weight * energy))
    else:
        scaled = triangle * np.sqrt(weight)[:, None]
        largest = float(np.linalg.norm(scaled.reshape(len(scaled), -1), 2) ** 2)
    stable = 2 / largest if largest > 1e-300 else math.inf
    if stable == math.inf:
        raise ValueError(
            "kernel and data must leave something to learn, got none but weights or inputs of 0; "
            "rescale them"
        )
    rate = _learning_rate(learning_rate, stable)
    if modes is None:
        steps = _steps(rate * (weight * energy), part)
    else:
        steps = _joint_steps(modes, rate, part)
    share = weight / np.max(weight)  # the sum of the largest numbers is too large for a float
    return LagMemory(
        weight, share / np.sum(share), steps, energy,
        lags=remembered(share), off_diagonal=0.0 if gram is None else _off_diagonal(gram),
        learning_rate=rate, max_learning_rate=stable, part=part,
    )  # fmt: skip


def _gram_and_weight(
    kernel: Any,
) -> tuple[Float[np.ndarray, "T n_y n_x T n_y n_x"] | None, Float[np.ndarray, " T"]]:
    """A Gram matrix, if that is what the kernel is, and the weight of each lag, checked."""
    check_kernel(kernel)
    if np.ndim(kernel) == 1:
        return None, np.asarray(_checks.weight_per_lag("kernel", kernel))
    shape = np.shape(kernel)
    if len(shape) != 6 or shape[:3] != shape[3:]:
        raise ValueError(
            "kernel must have shape (T,) for lag weights, or (T, n_y, n_x, T, n_y, n_x) for a Gram "
            f"matrix, got {shape}"
        )
    _checks.not_empty("kernel", shape)
    _checks.finite("kernel", kernel)
    gram = np.asarray(kernel, float)
    _checks.symmetric_semidefinite("kernel", gram)
    weight = np.mean(np.einsum("jpqjpq->jpq", gram), axis=(1, 2))
    return gram, np.maximum(weight, 0)  # below 0 by rounding


def _triangle(
    data: Any,
    weight: Float[np.ndarray, " T"],
    gram: Float[np.ndarray, "T n_y n_x T n_y n_x"] | None,
) -> Float[np.ndarray, "K T n_x"]:
    """The triangle of data that fit the kernel."""
    checked = as_data_set("data", data)
    data = checked.compressed if isinstance(checked, Impulses) else compress(*data)
    if gram is None:
        _checks.same(
            "kernel.shape[0]", len(weight), "that of data", data.shape[0], "number of lags"
        )
    elif gram.shape[:3] != data.shape:
        raise ValueError(
            f"kernel must have the shape {data.shape + data.shape} of data with (T, n_y, n_x) = "
            f"{data.shape}, got {gram.shape}; take the Gram matrix for as many lags"
        )
    return np.asarray(data.triangle, float)


class _Modes(NamedTuple):
    """The directions along which lags are learned together.

    Attributes:
      curvature: the eigenvalues of ``G^{1/2} A^T A G^{1/2}``.
      part: what part of each lag is learned along each direction.
    """

    curvature: Float[np.ndarray, " k"]
    part: Float[np.ndarray, "T k"]


def _modes(
    gram: Float[np.ndarray, "T n_y n_x T n_y n_x"],
    triangle: Float[np.ndarray, "K T n_x"] | None,
    num_targets: int,
) -> _Modes:
    """``L^l = G^{1/2} V (1 - (1 - eta Lambda)^l) / Lambda V^T G^{1/2} A^T A`` times a target."""
    (seq_len, out_dim, in_dim), size = gram.shape[:3], math.isqrt(gram.size)
    white = num_targets**0.5 * np.eye(seq_len * in_dim).reshape(-1, seq_len, in_dim)
    rows = white if triangle is None else triangle
    values, vectors = np.linalg.eigh(gram.reshape(size, size))
    root = (vectors * np.sqrt(np.maximum(values, 0))).reshape(seq_len, out_dim, in_dim, size)
    features = np.einsum("mjq,jpqk->mpk", rows, root, optimize=True)
    features = features.reshape(-1, size)
    _, sizes, right = np.linalg.svd(features, full_matrices=False)
    directions = root @ right.T
    pulled = np.einsum("mjq,mpk->jpqk", rows, (features @ right.T).reshape(-1, out_dim, len(sizes)))
    curvature = sizes**2
    reached = curvature > size * np.finfo(float).eps * curvature[0]
    pulled = np.divide(pulled, curvature, out=np.zeros_like(pulled), where=reached)
    return _Modes(curvature, np.mean(directions * pulled, axis=(1, 2)))


def _joint_steps(modes: _Modes, rate: float, part: float) -> Float[np.ndarray, " T"]:
    """The first step at which ``part`` of each lag is learned, geometrically between two."""
    step = np.unique(np.round(np.geomspace(1, _LAST_STEP, 3000)))
    factor = (1 - rate * modes.curvature)[:, None] ** step
    left = np.abs(1 - np.sum(modes.part, axis=1)[:, None] + modes.part @ factor)
    log_left = np.log(np.maximum(left, np.finfo(float).tiny))
    result = np.full(len(left), np.inf)
    for lag, row in enumerate(log_left):
        learned = np.flatnonzero(row <= math.log1p(-part))
        if learned.size and learned[0] == 0:
            result[lag] = 1
        elif learned.size:
            k = learned[0]  # a falling line from the step before
            result[lag] = np.interp(-math.log1p(-part), -row[k - 1 : k + 1], step[k - 1 : k + 1])
    return result


def _learning_rate(given: Any, stable: float) -> float:
    if given is None:
        return stable / 2
    _checks.positive(learning_rate=given)
    if float(given) >= stable:
        raise ValueError(
            f"learning_rate must be below 2 / lambda_max = {stable:.4g}, past which gradient "
            f"descent with this kernel and data diverges, got {float(given):g}"
        )
    return float(given)


def _steps(gained: Float[np.ndarray, " T"], part: float) -> Float[np.ndarray, " T"]:
    """Steps of ``1 - eta rho_j s_j`` until ``1 - part`` is left, at least 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(gained < 1, np.log1p(-gained), np.log(gained - 1))
        steps = np.where(left < 0, np.maximum(np.log1p(-part) / left, 1), np.inf)
    return np.where(steps <= _LAST_STEP, steps, np.inf)


def _off_diagonal(gram: Float[np.ndarray, "T n_y n_x T n_y n_x"]) -> float:
    """``||G - diag(G)|| / ||G||``."""
    size = math.isqrt(gram.size)
    matrix = gram.reshape(size, size) / np.max(np.abs(gram))
    return float(np.linalg.norm(matrix - np.diag(np.diag(matrix))) / np.linalg.norm(matrix))
