"""Roots of covariances that may be singular, and regressions on variables that may be collinear.

Both have derivatives where the matrix is singular, which those of JAX do not: states that are
equal and inputs that are fixed are common in state evolution.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def triangular_root(covariance: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Lower triangular ``R`` with ``R R^T = C``, for a ``C`` that may be singular.

    It is triangular because a Gauss-Hermite sum is best where few of its axes cross a kink.
    Entries are taken in units of their own deviation, so that small ones are not lost beside large
    ones.

    Its derivative is that of a root of covariances of the same rank. The root has no derivative
    where a direction of no variance gains one, so such changes count as 0.
    """
    if not covariance.size:
        return covariance
    deviation = _deviation(covariance)
    return deviation[:, None] * _unit_root(_correlation(covariance, deviation))


@jax.custom_jvp
def _unit_root(correlation: Float[Array, "d d"]) -> Float[Array, "d d"]:
    values, vectors = jnp.linalg.eigh(correlation)
    # What rounding leaves of an eigenvalue of 0 would be far from 0 after taking its root.
    kept = jnp.where(values > len(correlation) * _eps(correlation), values, 0)
    root = vectors * jnp.sqrt(kept)[None, :]
    return jnp.linalg.qr(root.T, mode="r").T


@_unit_root.defjvp
def _unit_root_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """``dR = R lower(S) + (I - R R^+) dC R^{+T}``, ``S = R^+ dC R^{+T}``, its diagonal halved.

    Where ``R`` is invertible it is the derivative of a Cholesky factor. Eigenvectors and QR have no
    derivative where eigenvalues repeat or are 0, as they are for equal states and fixed inputs.
    """
    (correlation,), (change,) = primals, tangents
    root = _unit_root(correlation)
    inverse = jnp.linalg.pinv(root, (len(root) * _eps(root)) ** 0.5 / 2)
    across = jnp.matmul(change, inverse.T, precision="highest")
    within = jnp.matmul(inverse, across, precision="highest")
    lower = (jnp.tril(within) + jnp.tril(within, -1)) / 2
    return root, across + jnp.matmul(root, lower - within, precision="highest")


def regression_coefficients(
    row: Float[Array, "d D"], gram: Float[Array, "D D"]
) -> Float[Array, "d D"]:
    """The smallest ``P`` with ``P gram = row``: coefficients on regressors that may be collinear.

    Directions in which the correlation matrix is below rounding count as having no variance.
    """
    deviation = _deviation(gram)
    unit = _inverse(deviation)[None, :]
    inverse = _pseudo_inverse(_correlation(gram, deviation))
    return jnp.matmul(row * unit, inverse, precision="highest") * unit


@jax.custom_jvp
def _pseudo_inverse(correlation: Float[Array, "d d"]) -> Float[Array, "d d"]:
    values, vectors = jnp.linalg.eigh(correlation)
    kept = values > 10 * len(correlation) * _eps(correlation)
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    return jnp.matmul(vectors * inverse[None, :], vectors.T, precision="highest")


@_pseudo_inverse.defjvp
def _pseudo_inverse_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """``dC^+ = -C^+ dC C^+ + B + B^T``, ``B = C^+ C^+ dC (I - C^+ C)``, at a fixed rank."""
    (correlation,), (change,) = primals, tangents
    inverse = _pseudo_inverse(correlation)
    once = jnp.matmul(inverse, change, precision="highest")
    outside = jnp.eye(len(inverse), dtype=inverse.dtype) - jnp.matmul(
        inverse, correlation, precision="highest"
    )
    beyond = jnp.linalg.multi_dot([inverse, once, outside], precision="highest")
    return inverse, beyond + beyond.T - jnp.matmul(once, inverse, precision="highest")


def _correlation(covariance: Float[Array, "d d"], deviation: Float[Array, " d"]) -> Array:
    unit = _inverse(deviation)
    return covariance * unit[:, None] * unit[None, :]


def _deviation(covariance: Float[Array, "d d"]) -> Float[Array, " d"]:
    variance = jnp.diagonal(covariance)
    # The inner choice keeps the slope of the root at 0, which is infinite, out of derivatives.
    return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)


def _inverse(deviation: Float[Array, " d"]) -> Float[Array, " d"]:
    return jnp.where(deviation > 0, 1 / jnp.where(deviation > 0, deviation, 1), 0)


def _eps(array: Array) -> float:
    return float(jnp.finfo(array.dtype).eps)
