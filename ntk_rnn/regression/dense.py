"""Kernel regression by factorizations: a root of the kernel, and a singular value decomposition.

Along the singular directions of a kernel on data, gradient descent is a recursion of one number.
"""

from __future__ import annotations

import math
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn._namespace import compiled, einsum, namespace
from ntk_rnn._types import AnyArray
from ntk_rnn.loss import Loss, loss_scale
from ntk_rnn.objective import DataSet
from ntk_rnn.regression.symmetric import (
    eigen_of_diagonal,
    symmetric_root,
    with_derivative_of,
)


class Decomposition(NamedTuple):
    """``A G^{1/2} = U S V^T`` and what is to be learned; ``KernelRegression`` has the rest.

    Attributes:
      singular_values: ``S``, falling, shape ``(k,)``.
      directions: ``G^{1/2} V``, shape ``(T, a, n_x, k)``.
      targets: ``U^T (y - A L^0)``, shape ``(k, b)``.
      irreducible: the loss that no impulse response removes, shape ``()``.
      curvature: ``U^T A G A^T U``, of value ``diag(S^2)``, shape ``(k, k)``, for derivatives;
        ``None`` where JAX traces nothing.
    """

    singular_values: Float[AnyArray, " k"]
    directions: Float[AnyArray, "T a n_x k"]
    targets: Float[AnyArray, "k b"]
    irreducible: Float[AnyArray, ""]
    curvature: Float[AnyArray, "k k"] | None = None


@partial(compiled, static_argnames=("loss", "differentiable"))
def decompose(
    root: Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x P"],
    data: DataSet,
    initial: Float[AnyArray, "T n_y n_x"],
    loss: Loss,
    differentiable: bool = False,
) -> Decomposition:
    """The directions by QR, then by singular values, on the host if ``root`` is a NumPy array.

    Singular vectors have no derivative where singular values coincide, and paths do not need it:
    they depend on the functions ``f(F F^T)`` of the features ``F = U S V^T`` alone. So ``U`` is a
    fixed basis here, and ``V S = F^T U`` and ``U^T F F^T U`` have the derivatives.

    Args:
      root: ``sqrt(rho)`` for lag weights, or ``G^{1/2}`` of a Gram matrix.
      data: what is trained on; sequences on the host if ``root`` is.
      initial: ``L^0``, on the host if ``root`` is.
      loss: ``"sum"`` or ``"mean"``, to which directions and losses refer.
      differentiable: whether to give what derivatives need.
    """
    xp, of_lags = namespace(root), root.ndim == 1
    triangle, residual, remaining, num_targets, rounded_to = data.triangular(initial)
    # The mean loss of the data is the sum loss of data scaled by the root of its factor.
    scale = loss_scale(loss, num_targets)
    triangle, goal = scale**0.5 * triangle, scale**0.5 * residual

    # R G^{1/2}, whose singular values are those of A G^{1/2}.
    if of_lags:
        features = (triangle * root[None, :, None]).reshape(len(triangle), -1)
    else:
        features = einsum("rtq,taqk->rak", triangle, root).reshape(goal.size, -1)
        goal = goal.reshape(-1, 1)
    curvature = None
    if differentiable:
        u, s, vt = jnp.linalg.svd(lax.stop_gradient(features), full_matrices=False)
        sizes = jnp.where(s > 0, s, 1)[:, None]
        images = with_derivative_of(s[:, None] * vt, einsum("rk,ra->ka", u, features))
        curvature = with_derivative_of(jnp.diag(s**2), einsum("ka,la->kl", images, images))
        vt = with_derivative_of(vt, images / sizes)
        eigenvalues = jnp.where(s > 0, eigen_of_diagonal(curvature)[0], 1)
        s = with_derivative_of(s, jnp.sqrt(eigenvalues))
    elif xp is np:
        u, s, vt = graded_svd(np.asarray(features), rounded_to or features.dtype)
    else:
        u, s, vt = jnp.linalg.svd(features, full_matrices=False)
    if of_lags:
        directions = vt.T.reshape(len(root), 1, -1, len(s)) * root[:, None, None, None]
    else:
        directions = einsum("taqe,ke->taqk", root, vt)
    targets = einsum("rk,rb->kb", u, goal)
    beyond = goal - einsum("rk,kb->rb", u, targets)
    irreducible = scale * remaining + xp.sum(beyond**2) / 2
    return Decomposition(s, directions, targets, xp.asarray(irreducible), curvature)


def graded_svd(
    matrix: Float[np.ndarray, "K P"], rounded_to: np.dtype
) -> tuple[Float[np.ndarray, "K r"], Float[np.ndarray, " r"], Float[np.ndarray, "r P"]]:
    """``U S V^T`` without the directions that only rounding has made, however small others are.

    Columns of long lags are smaller than others by orders of magnitude, and rounding is relative
    in each of them. So what is rounding is decided for columns of one length, and singular values
    far below the largest are found by one-sided Jacobi rotations, whose relative accuracy does not
    depend on the lengths of rows and columns (Drmac and Veselic, 2008).
    """
    norms = np.linalg.norm(matrix, axis=0)
    norms = np.where(norms > 0, norms, 1)
    u, s, vt = np.linalg.svd(matrix / norms, full_matrices=False)
    kept = s > np.finfo(rounded_to).eps * max(matrix.shape) * s[0]
    if not s[0] > 0:
        return u[:, :1], s[:1], vt[:1]
    basis, reduced = u[:, kept], (s[kept, None] * vt[kept]) * norms
    if s[kept][-1] >= 1e-3 * s[0] and norms.min() >= 1e-3 * norms.max():
        left, values, right = np.linalg.svd(reduced, full_matrices=False)
        return basis @ left, values, right
    import scipy.linalg

    lapack: Any = scipy.linalg.lapack

    # With pivoted rows, for both sides graded ("F"), both bases (0), and nothing set to 0 (0).
    values, right, left, scales, _, failed = lapack.dgejsv(
        reduced.T, joba=2, jobu=0, jobv=0, jobr=0, jobt=0, jobp=0
    )
    if failed:
        raise np.linalg.LinAlgError(f"singular values were not found, LAPACK says {failed}")
    return basis @ left, values * (scales[0] / scales[1]), right.T


def check_kernel(kernel: Any) -> None:
    """Raises ``ValueError`` for an object or numbers that can be no kernel, before any work."""
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
