"""Gaussian rows: their laws, roots of their covariances, and regressions among them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray


class GaussianRows(NamedTuple):
    """The Gaussian law of one row of a matrix whose rows are independent copies of it.

    Attributes:
      mean: shape ``(d,)``, or ``(H, d)`` for the joint law over ``H`` times.
      covariance: shape ``(d, d)``, or ``(H, d, H, d)``; 0 for rows that are not random.
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
    mean = _floating(f"{name}.mean", law.mean)
    covariance = _floating(f"{name}.covariance", law.covariance)
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


def _floating(name: str, value: Any) -> Array:
    array = jnp.asarray(value)
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
    """
    if not covariance.size:
        return covariance
    deviation = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 0))
    values, vectors = jnp.linalg.eigh(_correlation(covariance, deviation))
    # What rounding leaves of an eigenvalue of 0 would be far from 0 after taking its root.
    kept = jnp.where(values > len(covariance) * jnp.finfo(covariance.dtype).eps, values, 0)
    root = vectors * jnp.sqrt(kept)[None, :]
    return deviation[:, None] * jnp.linalg.qr(root.T, mode="r").T


def regression(row: Float[Array, "d D"], gram: Float[Array, "D D"]) -> Float[Array, "d D"]:
    """The smallest ``P`` with ``P gram = row``: coefficients on regressors that may be collinear.

    Directions of the correlation matrix below rounding count as having no variance.
    """
    deviation = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 0))
    values, vectors = jnp.linalg.eigh(_correlation(gram, deviation))
    kept = values > 10 * len(gram) * jnp.finfo(gram.dtype).eps
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    unit = _inverse(deviation)[None, :]
    along = jnp.matmul(row * unit, vectors, precision="highest") * inverse[None, :]
    return jnp.matmul(along, vectors.T, precision="highest") * unit


def _correlation(covariance: Float[Array, "d d"], deviation: Float[Array, " d"]) -> Array:
    unit = _inverse(deviation)
    return covariance * unit[:, None] * unit[None, :]


def _inverse(deviation: Float[Array, " d"]) -> Float[Array, " d"]:
    return jnp.where(deviation > 0, 1 / jnp.where(deviation > 0, deviation, 1), 0)
