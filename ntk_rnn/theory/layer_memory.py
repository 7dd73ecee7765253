"""What a causal linear layer remembers, and how soon it learns it, by its lag weights.

The kernel of such a layer is a Gram matrix ``G`` over the entries of its impulse response, and its
diagonal has a weight ``rho_j`` for each lag. Where ``A^T A`` and ``G`` are nearly diagonal, each
lag is learned by itself: what is left of it falls by a factor of ``1 - eta rho_j s_j`` a step, with
the energy ``s_j`` of the inputs that reach it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData, compress
from ntk_rnn.objective import Impulses, as_data_set
from ntk_rnn.regression.roots import check_kernel
from ntk_rnn.regression.solver import kernel_regression
from ntk_rnn.theory.lag_memory import LagMemory, remembered


def memory(
    kernel: Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x T n_y n_x"],
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N T n_y"]]
    | CompressedData
    | None = None,
    *,
    num_targets: int = 1,
    learning_rate: float | None = None,
    part: float = 0.5,
) -> LagMemory:
    """Which lags a causal linear layer learns, and how soon (eq. 20, Theorem 4.1).

    The weight ``rho_j`` of a lag is the mean over entries of the impulse response of
    ``G[j,p,q; j,p,q]``. What is left of a lag after ``l`` steps is ``(1 - eta rho_j s_j)^l``, so
    ``part`` of it is learned after ``log(1 - part) / log|1 - eta rho_j s_j|`` steps, about
    ``log(2) / (eta rho_j s_j)`` for one half. This takes each lag by itself: it is exact for lag
    weights and ``A^T A = diag(s)``, and ``LagMemory.off_diagonal`` says how far a Gram matrix is
    from it. ``kernel_regression`` has the whole path for any data and kernel.

    The effective memory is the number ``m`` of lags, counted from the present, with
    ``sum_{j < m} rho_j = 0.95 sum_j rho_j``, of the last one a part. Other than the participation
    ratio ``(sum rho)^2 / sum rho^2`` it says how far back a layer remembers, whichever lags weigh.

    Args:
      kernel: lag weights, shape ``(T,)``, as from ``lag_weights``; or a Gram matrix, shape
        ``(T, n_y, n_x, T, n_y, n_x)``, as from ``layer_gram``.
      data: inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or both compressed
        (``compress``), from which ``s_j`` and the largest stable learning rate are taken; for white
        inputs ``s_j`` is about ``N (T - j)``. ``None`` for white inputs so long that all lags have
        as much, ``A^T A = num_targets I``.
      num_targets: how many targets there are without ``data``, ``N`` times the length of the
        sequences. It matters for a given learning rate alone.
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
    num_targets = _checks.integer("num_targets", num_targets)
    part = _checks.fraction("part", part)
    gram, weight = _gram_and_weight(kernel)
    if data is None:
        energy = np.full(len(weight), float(num_targets))
        largest = _largest_eigenvalue(gram, weight, energy)
    else:
        compressed = _compressed(data)
        lags = compressed.shape[0]
        _checks.same("kernel.shape[0]", len(weight), "that of data", lags, "number of lags")
        energy = np.mean(np.sum(np.asarray(compressed.triangle, float) ** 2, axis=0), axis=1)
        largest = float(kernel_regression(kernel, compressed, on_host=True).eigenvalues[0])
    stable = 2 / largest if largest > 1e-300 else math.inf
    if stable == math.inf:
        raise ValueError(
            "kernel and data must leave something to learn, got none but weights or inputs of 0; "
            "rescale them"
        )
    rate = _learning_rate(learning_rate, stable)
    share = weight / np.max(weight)  # the sum of the largest numbers is too large for a float
    return LagMemory(
        weight, share / np.sum(share), _steps(rate * (weight * energy), part), energy,
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


def _compressed(data: Any) -> CompressedData:
    checked = as_data_set("data", data)
    return checked.compressed if isinstance(checked, Impulses) else compress(*data)


def _largest_eigenvalue(
    gram: Float[np.ndarray, "T n_y n_x T n_y n_x"] | None,
    weight: Float[np.ndarray, " T"],
    energy: Float[np.ndarray, " T"],
) -> float:
    """Of ``A G A^T`` for ``A^T A = diag(s)``."""
    if gram is None:
        return float(np.max(weight * energy))
    root = np.sqrt(energy)
    size = math.isqrt(gram.size)
    scaled = np.einsum("j,jpqkrs,k->jpqkrs", root, gram, root).reshape(size, size)
    return float(np.linalg.eigvalsh(scaled)[-1])


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
        return np.where(left < 0, np.maximum(np.log1p(-part) / left, 1), np.inf)


def _off_diagonal(gram: Float[np.ndarray, "T n_y n_x T n_y n_x"]) -> float:
    """``||G - diag(G)|| / ||G||``."""
    size = math.isqrt(gram.size)
    matrix = gram.reshape(size, size) / np.max(np.abs(gram))
    return float(np.linalg.norm(matrix - np.diag(np.diag(matrix))) / np.linalg.norm(matrix))
