"""Gaussian rows: their laws, roots of their covariances, and regressions among them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray


class GaussianRows(NamedTuple):
    """The Gaussian law of one row of a matrix whose rows are independent copies of it (Lemma C.1).

    Attributes:
      mean: shape ``(d,)``, or ``(H, d)`` for the joint law over ``H`` times.
      covariance: shape ``(d, d)``, or ``(H, d, H, d)``; 0 for rows that are not random.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> initial = nr.GaussianRows(mean=np.zeros(2), covariance=np.eye(2))
      >>> fixed = nr.GaussianRows(mean=np.ones((3, 1)), covariance=np.zeros((3, 1, 3, 1)))
      >>> fixed.covariance.shape  # inputs at 3 times that are 1 and not random
      (3, 1, 3, 1)
    """

    mean: Float[AnyArray, " ..."]
    covariance: Float[AnyArray, " ..."]


def checked_rows(name: str, law: GaussianRows, ndim: int) -> GaussianRows:
    """``law`` as floating arrays, its mean of rank ``ndim`` and its covariance one that can be.

    Raises:
      ValueError: if shapes do not fit, an entry is not finite, or the covariance is not symmetric
        and positive semi-definite.
    """
    if not isinstance(law, GaussianRows):
        raise ValueError(f"{name} must be GaussianRows(mean, covariance), got {type(law).__name__}")
    mean = real_array(f"{name}.mean", law.mean)
    covariance = real_array(f"{name}.covariance", law.covariance)
    if mean.ndim != ndim:
        wanted = "(d,)" if ndim == 1 else "(times, d)"
        raise ValueError(f"{name}.mean must have shape {wanted}, got shape {mean.shape}")
    if covariance.shape != mean.shape * 2:
        raise ValueError(
            f"{name}.covariance must have the shape of the mean twice, {mean.shape * 2}, got "
            f"{covariance.shape}"
        )
    if mean.size and not _checks.is_traced(covariance):
        matrix = np.asarray(covariance, float).reshape(mean.size, mean.size)
        asymmetry = np.max(np.abs(matrix - matrix.T))
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
        largest = np.max(np.abs(values))
        allowed = 100 * mean.size * float(jnp.finfo(covariance.dtype).eps) * largest
        if asymmetry > allowed or values[0] < -allowed:
            raise ValueError(
                f"{name}.covariance must be symmetric and positive semi-definite, got an "
                f"asymmetry of {asymmetry:.2g} and a smallest eigenvalue of {values[0]:.2g} beside "
                f"a largest of {largest:.2g}; symmetrize it and set negative eigenvalues to 0"
            )
    return GaussianRows(mean, covariance)


def real_array(name: str, value: Any) -> Array:
    """``value`` as a floating array, finite where it is concrete.

    Raises:
      ValueError: if it holds other things than numbers, or complex or non-finite ones.
    """
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers, got {value!r}") from None
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{name} must be real, got dtype {array.dtype}; pass its real part")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    _checks.finite(name, array)
    return array


def rows_from(noise: Float[Array, "rows size"], law: GaussianRows) -> Float[Array, "rows ..."]:
    """Rows of a law, one from each row of ``N(0, 1)`` noise, of the shape of its mean."""
    size = law.mean.size
    root = triangular_root(jnp.asarray(law.covariance).reshape(size, size))
    rows = jnp.matmul(noise, root.T, precision="highest")
    return jnp.asarray(law.mean)[None] + rows.reshape(len(noise), *law.mean.shape)


def triangular_root(covariance: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Lower triangular ``R`` with ``R R^T = C``, for a ``C`` that may be singular.

    Triangular, because a Gauss-Hermite sum is best where few of its axes cross a kink. Entries
    are taken in units of their own deviation, so that small ones are not lost beside large ones.

    Its derivative is that of a root of covariances of the same rank: the root has none where a
    direction of no variance gains one, and such changes count as 0.
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

    That of a Cholesky factor where ``R`` is invertible; eigenvectors and QR have none where
    eigenvalues repeat or are 0, which those of equal states and of inputs that are fixed do.
    """
    (correlation,), (change,) = primals, tangents
    root = _unit_root(correlation)
    inverse = jnp.linalg.pinv(root, (len(root) * _eps(root)) ** 0.5 / 2)
    across = jnp.matmul(change, inverse.T, precision="highest")
    within = jnp.matmul(inverse, across, precision="highest")
    lower = (jnp.tril(within) + jnp.tril(within, -1)) / 2
    return root, across + jnp.matmul(root, lower - within, precision="highest")


def regression(row: Float[Array, "d D"], gram: Float[Array, "D D"]) -> Float[Array, "d D"]:
    """The smallest ``P`` with ``P gram = row``: coefficients on regressors that may be collinear.

    Directions of the correlation matrix below rounding count as having no variance.
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
