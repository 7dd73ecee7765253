"""Roots of kernels, whose products with lagged inputs are the features of a kernel regression."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn._namespace import einsum
from ntk_rnn._types import AnyArray
from ntk_rnn.regression.symmetric import symmetric_root, with_derivative_of


def check_kernel(kernel: Any) -> None:
    """Raises ``ValueError`` for what cannot be a kernel, before any work."""
    if hasattr(kernel, "dense"):
        raise ValueError(f"kernel must be an array, got {type(kernel).__name__}; pass .dense()")
    _checks.numbers("kernel", kernel)


def kernel_root(
    kernel: Any, shape: tuple[int, int, int], xp: ModuleType
) -> Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x P"]:
    """``G^{1/2}``, for lag weights ``sqrt(rho)``, by ``xp``: ``jax.numpy`` or ``numpy``."""
    if np.ndim(kernel) != 1:
        return _gram_root(kernel, shape, xp)
    rho = xp.asarray(_checks.weight_per_lag("kernel", kernel))
    if len(rho) > shape[0]:
        raise ValueError(
            f"kernel must have at most as many lags as data have steps, {shape[0]}, got "
            f"{len(rho)}; pass kernel[:{shape[0]}]"
        )
    rho = xp.pad(rho, (0, shape[0] - len(rho)))  # lags beyond them weigh 0
    # A weight may underflow to 0, where the root has no derivative; such a lag never moves.
    return xp.where(rho > 0, xp.sqrt(xp.where(rho > 0, rho, 1)), 0)


def _gram_root(
    gram: Float[AnyArray, "T n_y n_x T n_y n_x"], shape: tuple[int, int, int], xp: ModuleType
) -> Float[AnyArray, "T n_y n_x P"]:
    """``G^{1/2}`` with ``G = G^{1/2} G^{1/2}^T``; eigenvalues below 0 by rounding count as 0."""
    if np.shape(gram) != shape + shape:
        raise ValueError(
            f"kernel must have shape (T,) = {shape[:1]} for lag weights, or (T, n_y, n_x, T, n_y, "
            f"n_x) = {shape + shape} for a Gram matrix, got {np.shape(gram)}"
        )
    _checks.finite("kernel", gram)
    size = math.prod(shape)
    matrix = xp.asarray(gram).reshape(size, size)
    is_float = jnp.issubdtype(matrix.dtype, jnp.floating)
    dtype = matrix.dtype if is_float else xp.result_type(float)
    matrix = matrix.astype(np.promote_types(dtype, np.float32))
    eigenvalues, vectors = xp.linalg.eigh(
        lax.stop_gradient(matrix) if _checks.is_traced(matrix) else matrix
    )
    if not _checks.is_traced(matrix):
        _checks.semidefinite_error(
            "kernel",
            asymmetry=float(xp.max(xp.abs(matrix - matrix.T))),
            smallest=float(eigenvalues[0]),
            largest=float(xp.max(xp.abs(eigenvalues))),
            remedy="symmetrize it and set negative eigenvalues to 0",
        )
    # What rounding leaves of an eigenvalue of 0 would be far from 0 after taking its root.
    rounding = size * xp.finfo(matrix.dtype).eps * eigenvalues[-1]
    roots = xp.sqrt(xp.where(eigenvalues > rounding, eigenvalues, 0))
    root = vectors * roots[None, :]
    if _checks.is_traced(gram):
        # G^{1/2} V = V diag(roots), of which G^{1/2} has a derivative where eigenvalues coincide.
        root = with_derivative_of(root, einsum("ij,jk->ik", symmetric_root(matrix), vectors))
    return root.reshape(*shape, size)
