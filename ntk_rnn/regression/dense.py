"""Kernel regression by factorizations: the singular value decomposition of a kernel on data.

Along the singular directions of a kernel on data, gradient descent is a recursion of one number.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from ntk_rnn._namespace import compiled, einsum, namespace
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.least_squares import NormalEquations
from ntk_rnn.loss import Loss, loss_scale
from ntk_rnn.objective import DataSet
from ntk_rnn.regression.eigenmodes import exceeds_rounding
from ntk_rnn.regression.symmetric import (
    eigen_of_diagonal,
    function_times,
    with_derivative_of,
)


class Start(NamedTuple):
    """The loss of ``L^0`` and its gradient, through which derivatives in the data go.

    Attributes:
      gradient: ``V^T G^{1/2} A^T (y - A L^0)``, of value ``S u``, shape ``(k, b)``.
      loss: the loss of ``L^0``, shape ``()``.
    """

    gradient: Float[AnyArray, "k b"]
    loss: Float[AnyArray, ""]


class Decomposition(NamedTuple):
    """``A G^{1/2} = U S V^T`` and what is to be learned; ``KernelRegression`` has the rest.

    Attributes:
      singular_values: ``S``, falling, shape ``(k,)``.
      directions: ``G^{1/2} V``, shape ``(T, a, n_x, k)``.
      targets: ``U^T (y - A L^0)``, shape ``(k, b)``.
      irreducible: the loss that no impulse response removes, shape ``()``.
      curvature: ``U^T A G A^T U``, of value ``diag(S^2)``, shape ``(k, k)``, for derivatives;
        ``None`` where JAX traces nothing.
      start: the same for derivatives in the data, where there are more of them than entries of
        ``L``; ``None`` elsewhere.
    """

    singular_values: Float[AnyArray, " k"]
    directions: Float[AnyArray, "T a n_x k"]
    targets: Float[AnyArray, "k b"]
    irreducible: Float[AnyArray, ""]
    curvature: Float[AnyArray, "k k"] | None = None
    start: Start | None = None


@partial(compiled, static_argnames=("loss", "differentiable", "in_data"))
def decompose(
    root: Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x P"],
    data: DataSet,
    initial: Float[AnyArray, "T n_y n_x"],
    loss: Loss,
    differentiable: bool = False,
    in_data: bool = False,
) -> Decomposition:
    """The directions by QR, then by singular values, on the host if ``root`` is a NumPy array.

    Args:
      root: ``sqrt(rho)`` for lag weights, or ``G^{1/2}`` of a Gram matrix.
      data: what is trained on; sequences on the host if ``root`` is.
      initial: ``L^0``, on the host if ``root`` is.
      loss: ``"sum"`` or ``"mean"``, to which directions and losses refer.
      differentiable: whether to give what derivatives need.
      in_data: whether to give what derivatives in the data need.
    """
    xp, of_lags = namespace(root), root.ndim == 1
    triangle, residual, remaining, num_targets, rounded_to, normal = data.triangular(initial)
    # The mean loss of the data is the sum loss of data scaled by the root of its factor.
    scale = loss_scale(loss, num_targets)
    triangle, goal = scale**0.5 * triangle, scale**0.5 * residual

    # R G^{1/2}, whose singular values are those of A G^{1/2}.
    if of_lags:
        features = (triangle * root[None, :, None]).reshape(len(triangle), -1)
    else:
        features = einsum("rtq,taqk->rak", triangle, root).reshape(goal.size, -1)
        goal = goal.reshape(-1, 1)
    if differentiable:
        left = NormalEquations(*(scale * each for each in normal)) if normal and in_data else None
        return _for_derivatives(root, features, goal, scale * remaining, left)
    if xp is np:
        u, s, vt = graded_svd(np.asarray(features), rounded_to or features.dtype)
    else:
        u, s, vt = jnp.linalg.svd(features, full_matrices=False)
    targets, irreducible = _targets(u, goal, scale * remaining)
    return Decomposition(s, _directions(root, vt), targets, irreducible)


def _for_derivatives(
    root: Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x P"],
    features: Float[AnyArray, "K P"],
    goal: Float[AnyArray, "K b"],
    remaining: Float[AnyArray, ""],
    normal: NormalEquations | None,
) -> Decomposition:
    """The decomposition with derivatives.

    Singular vectors have none where singular values coincide, and paths do not need them: they
    depend on functions ``f(F F^T)`` of the features ``F = U S V^T`` alone. So ``U`` is a fixed
    basis here, and ``V S = F^T U`` and ``U^T F F^T U`` have the derivatives. Where more data points
    than entries of ``L`` may change, ``U`` does not span what they change into. There ``V`` is the
    fixed basis, and ``V^T F^T F V`` and ``V^T F^T (y - A L^0)`` have the derivatives.

    Args:
      root: ``G^{1/2}``.
      features: ``F``, as a triangle.
      goal: the targets, beside this triangle.
      remaining: the loss outside its span.
      normal: what has the derivatives in the data; ``None`` if ``features`` and ``goal`` have them.
    """
    u, s, vt = jnp.linalg.svd(lax.stop_gradient(features), full_matrices=False)
    targets, irreducible = _targets(u, goal, remaining)
    directions = _directions(root, vt)
    reached = exceeds_rounding(s, max(*directions.shape, len(s)))
    kept = jnp.where(reached, s, 0)
    if normal is None:
        images = with_derivative_of(kept[:, None] * vt, einsum("rk,ra->ka", u, features))
        product = einsum("ka,la->kl", images, images)
        # What is not reached has no direction yet, but changes of the data may give it one.
        directions = _directions(root, images / jnp.where(reached, s, 1)[:, None])
    else:
        product = einsum("taqk,tqsp,sapl->kl", directions, normal.curvature, directions)
    curvature = with_derivative_of(jnp.diag(kept**2), product)
    eigenvalues = jnp.where(reached, eigen_of_diagonal(curvature)[0], 1)
    s = with_derivative_of(s, jnp.where(reached, jnp.sqrt(eigenvalues), s))
    if normal is None:
        return Decomposition(s, directions, targets, irreducible, curvature)
    known = normal.gradient.reshape(*normal.gradient.shape[:2], directions.shape[1], goal.shape[1])
    gradient = with_derivative_of(
        kept[:, None] * targets, einsum("taqk,tqab->kb", directions, known)
    )
    fitted = einsum("kb,kb->", gradient, function_times(_inverse, curvature, gradient, ())) / 2
    irreducible = with_derivative_of(irreducible, normal.loss - fitted)
    start = Start(gradient, normal.loss)
    return Decomposition(s, directions, targets, irreducible, curvature, start)


def _directions(root: Any, vt: Float[AnyArray, "k P"]) -> Float[AnyArray, "T a n_x k"]:
    """``G^{1/2} V``."""
    if root.ndim == 1:
        return vt.T.reshape(len(root), 1, -1, len(vt)) * root[:, None, None, None]
    return einsum("taqe,ke->taqk", root, vt)


def _targets(
    u: Float[AnyArray, "K k"], goal: Float[AnyArray, "K b"], remaining: Any
) -> tuple[Float[AnyArray, "k b"], Float[AnyArray, ""]]:
    """``U^T`` times the targets, and the loss outside its span."""
    targets = einsum("rk,rb->kb", u, goal)
    beyond = goal - einsum("rk,kb->rb", u, targets)
    return targets, namespace(u).asarray(remaining + (beyond**2).sum() / 2)


def _inverse(eigenvalues: Float[AnyArray, " k"], _: Any) -> Float[AnyArray, " k"]:
    """``1 / lambda``, and 0 for 0."""
    return jnp.where(eigenvalues > 0, 1 / jnp.where(eigenvalues > 0, eigenvalues, 1), 0)


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
