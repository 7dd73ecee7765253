"""The two forms of state evolution, forward in time, from moments or from sample paths.

In both, ``gram[l, t, :, s, :] = nu_l E[G_l(Q_t, U_t)^T G_l(Q_s, U_s)]``, filled row by row.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn.theory.evolution.expectations import (
    AffineMaps,
    Rule,
    affine_moments,
    quadrature_moments,
)
from ntk_rnn.theory.evolution.recursion import RowMap, apply_maps
from ntk_rnn.theory.evolution.rows import GaussianRows, regression, rows_from, triangular_root

#: Covariance, its error, and for the innovations form coefficients ``(k, H, d, H, d)`` and
#: covariances ``(k, H, d, d)`` of innovations.
Evolved: TypeAlias = tuple[Array, Array, Any]


@partial(jax.jit, static_argnums=(0, 1))
def evolve_by_moments(
    maps: tuple[RowMap, ...],
    form: str,
    variances: Array,
    initial: GaussianRows,
    inputs: GaussianRows,
    expectation: AffineMaps | Rule,
) -> Evolved:
    """The recursion with expectations over pairs of times, exact or by two stacked rules."""
    horizon, dim = len(inputs.mean), initial.mean.size
    mean = jnp.zeros((horizon, dim), initial.mean.dtype).at[0].set(initial.mean)
    zero = jnp.zeros((len(maps), horizon, dim, horizon, dim), mean.dtype)

    def evolve(expectation: AffineMaps | Rule) -> tuple[Array, Any]:
        def step(state: tuple[Array, Array], t: Array) -> tuple[tuple[Array, Array], Any]:
            gram, products = state
            covariance = jnp.zeros_like(zero[0]).at[0, :, 0].set(initial.covariance)
            before = jnp.sum(products, axis=0)[:-1, :, :-1]
            states = GaussianRows(mean, covariance.at[1:, :, 1:].set(before))
            if isinstance(expectation, AffineMaps):
                row = affine_moments(expectation, states, inputs, t)
            else:
                row = quadrature_moments(maps, expectation, states, inputs, t)
            gram = _with_row(gram, row * variances[:, None, None, None], t)
            if form == "covariance":
                return (gram, gram), None
            innovation = _innovation(gram, t)
            return (gram, _extended(products, *innovation, t)), innovation

        (_, products), innovations = lax.scan(step, (zero, zero), jnp.arange(horizon))
        return jnp.sum(products, axis=0), _matrices_first(innovations)

    if isinstance(expectation, AffineMaps):
        covariance, innovations = evolve(expectation)
        return covariance, jnp.zeros_like(covariance), innovations
    covariances, innovations = lax.map(evolve, expectation)
    error = jnp.abs(covariances[0] - covariances[1])
    return covariances[0], lax.stop_gradient(error), jax.tree.map(lambda a: a[0], innovations)


@partial(jax.jit, static_argnums=(0, 1, 2))
def evolve_by_paths(
    maps: tuple[RowMap, ...],
    form: str,
    num: int,
    variances: Array,
    initial: GaussianRows,
    inputs: GaussianRows,
    keys: Array,
) -> Evolved:
    """The recursion with sample paths of the limit, drawn forward in time.

    Both forms draw a step as regression and innovation, the one for all matrices together, the
    other for each alone, from moments over the paths so far, which are a covariance exactly.
    """
    horizon, dim = len(inputs.mean), initial.mean.size
    groups = 1 if form == "covariance" else len(maps)

    def evolve(key: Array) -> tuple[Array, Any]:
        sizes = np.cumsum([dim, inputs.mean.size, horizon * groups * dim])
        noise = jax.random.normal(key, (num, sizes[-1]), initial.mean.dtype)
        of_state, of_inputs, of_steps = jnp.split(noise, sizes[:-1], axis=1)
        of_steps = of_steps.reshape(num, horizon, groups, dim).transpose(1, 2, 0, 3)
        q, u = rows_from(of_state, initial), rows_from(of_inputs, inputs)
        g = jnp.zeros((len(maps), num, horizon, dim), u.dtype)
        z = jnp.zeros((groups, num, horizon, dim), u.dtype)
        zero = jnp.zeros((groups, horizon, dim, horizon, dim), u.dtype)

        def step(state: tuple[Array, ...], t: Array) -> tuple[tuple[Array, ...], Any]:
            q, g, z, gram, products = state
            new = apply_maps(maps, q, u[:, t]) * jnp.sqrt(variances)[:, None, None]
            g = g.at[:, :, t].set(new)
            row = jnp.einsum("kni,knsj->kisj", new, g, precision="highest") / num
            if form == "covariance":
                row = jnp.sum(row, axis=0, keepdims=True)
            gram = _with_row(gram, row, t)
            innovation = _innovation(gram, t)
            products = _extended(products, *innovation, t)
            roots = jax.vmap(triangular_root)(innovation[1])
            z_new = jnp.einsum("gisj,gnsj->gni", innovation[0], z, precision="highest")
            z_new = z_new + jnp.einsum("gij,gnj->gni", roots, of_steps[t], precision="highest")
            z = z.at[:, :, t].set(z_new)
            return (jnp.sum(z_new, axis=0), g, z, gram, products), innovation

        state, innovations = lax.scan(step, (q, g, z, zero, zero), jnp.arange(horizon))
        return jnp.sum(state[-1], axis=0), _matrices_first(innovations)

    covariances, innovations = lax.map(evolve, keys)
    # A spread of 0 has no derivative, and would turn that of the covariance into NaN.
    spread = jnp.std(lax.stop_gradient(covariances), axis=0, ddof=1)
    mean = jax.tree.map(partial(jnp.mean, axis=0), (covariances, innovations))
    return mean[0], spread / len(keys) ** 0.5, mean[1] if form == "innovations" else None


def _matrices_first(innovations: Any) -> Any:
    return jax.tree.map(lambda a: a.swapaxes(0, 1), innovations)


def _innovation(
    gram: Float[Array, "g H d H d"], t: Array
) -> tuple[Float[Array, "g d H d"], Float[Array, "g d d"]]:
    """Regression of time ``t`` on the times before it, and the covariance of what is left."""
    groups, horizon, dim = gram.shape[:3]
    past = jnp.repeat(jnp.arange(horizon) < t, dim)
    flat = gram.reshape(groups, horizon * dim, horizon * dim)
    earlier = jnp.where((past[:, None] & past[None, :])[None], flat, 0)
    row = jnp.where(past[None, None], gram[:, t].reshape(groups, dim, -1), 0)
    coefficients = jax.vmap(regression)(row, earlier)
    explained = jnp.einsum("gia,gja->gij", coefficients, row, precision="highest")
    left = gram[:, t, :, t] - (explained + explained.swapaxes(1, 2)) / 2
    return coefficients.reshape(groups, dim, horizon, dim), left


def _extended(
    products: Float[Array, "g H d H d"],
    coefficients: Float[Array, "g d H d"],
    innovation: Float[Array, "g d d"],
    t: Array,
) -> Float[Array, "g H d H d"]:
    """Covariance of the products up to ``Z_{t+1}``, which is a regression and an innovation."""
    row = jnp.einsum("gisj,gsjrk->girk", coefficients, products, precision="highest")
    own = jnp.einsum("girk,gjrk->gij", row, coefficients, precision="highest") + innovation
    return _with_row(products, row.at[:, :, t].set(own), t)


def _with_row(
    matrix: Float[Array, "g H d H d"], row: Float[Array, "g d H d"], t: Array
) -> Float[Array, "g H d H d"]:
    """``matrix`` with row and column ``t`` set, to 0 beyond ``t``."""
    known = jnp.arange(matrix.shape[1]) <= t
    row = jnp.where(known[None, None, :, None], row, 0)
    return matrix.at[:, t].set(row).at[:, :, :, t].set(row.transpose(0, 2, 3, 1))
