"""Roots of kernels: ``G = G^{1/2} G^{1/2}^T`` over the entries of the impulse response.

Of lag weights it is ``diag(sqrt(rho))``, of which the diagonal is kept.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray


def check_kernel(kernel: Any) -> None:
    """Raises ``ValueError`` for what is neither lag weights nor a Gram matrix, at a glance."""
    if hasattr(kernel, "dense"):
        raise ValueError(f"kernel must be an array, got {type(kernel).__name__}; pass .dense()")
    if np.iscomplexobj(kernel):
        raise ValueError("kernel must be real, got complex numbers; pass its real part")


def lag_roots(
    lag_weights: Float[AnyArray, " T"], lags: int, xp: ModuleType = jnp
) -> Float[AnyArray, " T"]:
    """``sqrt(rho)`` of lag weights for data of that many lags, by ``jax.numpy`` or ``numpy``."""
    rho = xp.asarray(_checks.weight_per_lag("kernel", lag_weights))
    _checks.same("len(kernel)", len(rho), "sequence length of data", lags, "number of lags")
    return xp.sqrt(rho)


def gram_factor(
    gram: Float[AnyArray, "T n_y n_x T n_y n_x"],
    shape: tuple[int, int, int],
    xp: ModuleType = jnp,
) -> Float[AnyArray, "T n_y n_x P"]:
    """``G^{1/2}`` with ``G = G^{1/2} G^{1/2}^T``; eigenvalues below 0 by rounding count as 0.

    Computed by ``xp``, which is ``jax.numpy`` or ``numpy``.
    """
    if np.shape(gram) != shape + shape:
        raise ValueError(
            f"kernel must have shape (T,) = {shape[:1]} for lag weights, or (T, n_y, n_x, T, n_y, "
            f"n_x) = {shape + shape} for a Gram matrix, got {np.shape(gram)}"
        )
    _checks.finite("kernel", gram)
    size = math.prod(shape)
    matrix = xp.asarray(gram).reshape(size, size)
    kind = matrix.dtype if jnp.issubdtype(matrix.dtype, jnp.floating) else xp.result_type(float)
    matrix = matrix.astype(np.promote_types(kind, np.float32))
    eigenvalues, vectors = xp.linalg.eigh(matrix)
    if not _checks.is_traced(matrix):
        largest = float(xp.max(xp.abs(eigenvalues)))
        asymmetry = float(xp.max(xp.abs(matrix - matrix.T)))
        # Rounding leaves far less; a kernel estimated from samples is to be repaired knowingly.
        if asymmetry > 1e-3 * largest or eigenvalues[0] < -1e-3 * largest:
            raise ValueError(
                "kernel must be symmetric and positive semi-definite, got an asymmetry of "
                f"{asymmetry:.2g} and a smallest eigenvalue of {float(eigenvalues[0]):.2g} beside "
                f"a largest of {largest:.2g}; symmetrize it and set negative eigenvalues to 0"
            )
    # What rounding leaves of an eigenvalue of 0 would be far from 0 after taking its root.
    rounding = size * xp.finfo(matrix.dtype).eps * eigenvalues[-1]
    roots = xp.sqrt(xp.where(eigenvalues > rounding, eigenvalues, 0))
    return (vectors * roots[None, :]).reshape(*shape, size)
