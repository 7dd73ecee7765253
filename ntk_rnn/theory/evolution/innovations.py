"""One step of state evolution as a regression on the past and an innovation (eq. 70)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn.theory.evolution.singular_covariances import regression_coefficients


def innovation(
    gram: Float[Array, "g H d H d"], t: Array
) -> tuple[Float[Array, "g d H d"], Float[Array, "g d d"]]:
    """Regression of time ``t`` on the times before it, and the covariance of the residual.

    ``gram`` has the moments ``nu_l E[G_l(Q_t, U_t)^T G_l(Q_s, U_s)]``. They are not centred as
    those of (70c) are, so they describe ``R_tl`` of (70g) itself, including the part of its mean.
    """
    groups, horizon, dim = gram.shape[:3]
    past = jnp.repeat(jnp.arange(horizon) < t, dim)
    flat = gram.reshape(groups, horizon * dim, horizon * dim)
    earlier = jnp.where((past[:, None] & past[None, :])[None], flat, 0)
    row = jnp.where(past[None, None], gram[:, t].reshape(groups, dim, -1), 0)
    coefficients = jax.vmap(regression_coefficients)(row, earlier)  # eq. 70d
    explained = jnp.einsum("gia,gja->gij", coefficients, row, precision="highest")
    residual = gram[:, t, :, t] - (explained + explained.swapaxes(1, 2)) / 2  # eq. 70e
    return coefficients.reshape(groups, dim, horizon, dim), residual


def with_next_product(
    products: Float[Array, "g H d H d"],
    coefficients: Float[Array, "g d H d"],
    residual: Float[Array, "g d d"],
    t: Array,
) -> Float[Array, "g H d H d"]:
    """Covariance of the products with ``A_l`` up to that at time ``t`` (eq. 70f)."""
    row = jnp.einsum("gisj,gsjrk->girk", coefficients, products, precision="highest")
    own = jnp.einsum("girk,gjrk->gij", row, coefficients, precision="highest") + residual
    return with_row(products, row.at[:, :, t].set(own), t)


def with_row(
    matrix: Float[Array, "g H d H d"], row: Float[Array, "g d H d"], t: Array
) -> Float[Array, "g H d H d"]:
    """``matrix`` with row and column ``t`` set, and 0 beyond ``t``."""
    known = jnp.arange(matrix.shape[1]) <= t
    row = jnp.where(known[None, None, :, None], row, 0)
    return matrix.at[:, t].set(row).at[:, :, :, t].set(row.transpose(0, 2, 3, 1))
