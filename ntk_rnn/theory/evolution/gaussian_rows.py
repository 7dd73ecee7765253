"""Gaussian rows: their laws, and samples of them."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.singular_covariances import triangular_root


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
    """``law`` as floating arrays, with a mean of rank ``ndim`` and a possible covariance.

    Raises:
      ValueError: if shapes do not fit, an entry is not finite, or the covariance is not symmetric
        and positive semi-definite.
    """
    if not isinstance(law, GaussianRows):
        raise ValueError(f"{name} must be GaussianRows(mean, covariance), got {type(law).__name__}")
    mean = _checks.real(f"{name}.mean", law.mean)
    covariance = _checks.real(f"{name}.covariance", law.covariance)
    if mean.ndim != ndim:
        wanted = "(d,)" if ndim == 1 else "(times, d)"
        raise ValueError(f"{name}.mean must have shape {wanted}, got shape {mean.shape}")
    if covariance.shape != mean.shape * 2:
        raise ValueError(
            f"{name}.covariance must have the shape of the mean twice, {mean.shape * 2}, got "
            f"{covariance.shape}"
        )
    _checks.symmetric_semidefinite(f"{name}.covariance", covariance)
    return GaussianRows(mean, covariance)


def sample_rows(noise: Float[Array, "rows size"], law: GaussianRows) -> Float[Array, "rows ..."]:
    """Rows of a law, one from each row of ``N(0, 1)`` noise, each of the shape of its mean."""
    size = law.mean.size
    root = triangular_root(jnp.asarray(law.covariance).reshape(size, size))
    rows = jnp.matmul(noise, root.T, precision="highest")
    return jnp.asarray(law.mean)[None] + rows.reshape(len(noise), *law.mean.shape)
