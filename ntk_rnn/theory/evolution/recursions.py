"""State evolution forward in time, in either form, from exact moments or from sample paths.

Both fill ``gram[l, t, :, s, :] = nu_l E[G_l(Q_t, U_t)^T G_l(Q_s, U_s)]`` row by row. The covariance
form takes its sum over ``l`` as the covariance of ``Q_{t+1}`` and ``Q_{s+1}``; the innovations form
(eq. 70) builds that covariance from a regression and an innovation for each ``l``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from ntk_rnn.theory.evolution.affine import AffineMaps
from ntk_rnn.theory.evolution.innovations import innovation, with_next_product, with_row
from ntk_rnn.theory.evolution.problem import GaussianRows, Laws, RowMap, apply_maps, sample_rows
from ntk_rnn.theory.evolution.quadrature import Quadrature
from ntk_rnn.theory.evolution.singular_covariances import triangular_root

#: Covariance, its error, and for the innovations form coefficients ``(k, H, d, H, d)`` and
#: covariances ``(k, H, d, d)`` of innovations.
Evolved: TypeAlias = tuple[Array, Array, Any]


@partial(jax.jit, static_argnums=0)
def evolve_affine(form: str, laws: Laws, affine: AffineMaps) -> Evolved:
    """The recursion of affine maps, whose moments are exact."""
    covariance, innovations = _evolve(form, laws, affine.moments)
    return covariance, jnp.zeros_like(covariance), innovations


@partial(jax.jit, static_argnums=(0, 1))
def evolve_by_quadrature(
    maps: tuple[RowMap, ...], form: str, laws: Laws, quadratures: Quadrature
) -> Evolved:
    """The recursion by the first of two stacked quadratures; the second one gives the error."""

    def evolve(quadrature: Quadrature) -> tuple[Array, Any]:
        return _evolve(form, laws, partial(quadrature.moments, maps))

    covariances, innovations = lax.map(evolve, quadratures)
    error = jnp.abs(covariances[0] - covariances[1])
    return covariances[0], lax.stop_gradient(error), jax.tree.map(lambda a: a[0], innovations)


def _evolve(form: str, laws: Laws, moments: Callable[..., Array]) -> tuple[Array, Any]:
    """Covariance and innovations, where ``moments(states, inputs, t)`` are those of all maps."""
    horizon, dim, variances = laws.horizon, laws.dim, laws.variances
    mean = jnp.zeros((horizon, dim), laws.dtype).at[0].set(laws.initial.mean)
    zero = jnp.zeros((len(variances), horizon, dim, horizon, dim), laws.dtype)

    def step(state: tuple[Array, Array], t: Array) -> tuple[tuple[Array, Array], Any]:
        gram, products = state
        covariance = jnp.zeros_like(zero[0]).at[0, :, 0].set(laws.initial.covariance)
        before = jnp.sum(products, axis=0)[:-1, :, :-1]  # eq. 70h
        states = GaussianRows(mean, covariance.at[1:, :, 1:].set(before))
        row = moments(states, laws.inputs, t) * variances[:, None, None, None]
        gram = with_row(gram, row, t)
        if form == "covariance":
            return (gram, gram), None
        coefficients, residual = innovation(gram, t)
        products = with_next_product(products, coefficients, residual, t)
        return (gram, products), (coefficients, residual)

    (_, products), innovations = lax.scan(step, (zero, zero), jnp.arange(horizon))
    return jnp.sum(products, axis=0), _matrices_first(innovations)  # eq. 70h


@partial(jax.jit, static_argnums=(0, 1, 2))
def evolve_by_paths(
    maps: tuple[RowMap, ...], form: str, num: int, laws: Laws, keys: Array
) -> Evolved:
    """The recursion with sample paths of the limit, drawn forward in time.

    Both forms draw a step as a regression and an innovation, from moments over the paths so far,
    which form a covariance exactly. The covariance form does so for all matrices together, the
    innovations form for each alone.
    """
    horizon, dim = laws.horizon, laws.dim
    groups = 1 if form == "covariance" else len(maps)

    def evolve(key: Array) -> tuple[Array, Any]:
        sizes = np.cumsum([dim, laws.inputs.mean.size, horizon * groups * dim])
        noise = jax.random.normal(key, (num, sizes[-1]), laws.dtype)
        of_state, of_inputs, of_steps = jnp.split(noise, sizes[:-1], axis=1)
        of_steps = of_steps.reshape(num, horizon, groups, dim).transpose(1, 2, 0, 3)
        q, u = sample_rows(of_state, laws.initial), sample_rows(of_inputs, laws.inputs)
        g = jnp.zeros((len(maps), num, horizon, dim), laws.dtype)
        z = jnp.zeros((groups, num, horizon, dim), laws.dtype)
        zero = jnp.zeros((groups, horizon, dim, horizon, dim), laws.dtype)

        def step(state: tuple[Array, ...], t: Array) -> tuple[tuple[Array, ...], Any]:
            q, g, z, gram, products = state
            new = apply_maps(maps, q, u[:, t]) * jnp.sqrt(laws.variances)[:, None, None]  # eq. 70b
            g = g.at[:, :, t].set(new)
            row = jnp.einsum("kni,knsj->kisj", new, g, precision="highest") / num
            if form == "covariance":
                row = jnp.sum(row, axis=0, keepdims=True)
            gram = with_row(gram, row, t)
            coefficients, residual = innovation(gram, t)
            products = with_next_product(products, coefficients, residual, t)
            roots = jax.vmap(triangular_root)(residual)
            z_new = jnp.einsum("gisj,gnsj->gni", coefficients, z, precision="highest")
            z_new = z_new + jnp.einsum("gij,gnj->gni", roots, of_steps[t], precision="highest")
            z = z.at[:, :, t].set(z_new)  # eq. 70f
            q = jnp.sum(z_new, axis=0)  # eq. 70h
            return (q, g, z, gram, products), (coefficients, residual)

        state, innovations = lax.scan(step, (q, g, z, zero, zero), jnp.arange(horizon))
        return jnp.sum(state[-1], axis=0), _matrices_first(innovations)

    covariances, innovations = lax.map(evolve, keys)
    # A spread of 0 has no derivative, and would turn that of the covariance into NaN.
    spread = jnp.std(lax.stop_gradient(covariances), axis=0, ddof=1)
    mean = jax.tree.map(partial(jnp.mean, axis=0), (covariances, innovations))
    return mean[0], spread / len(keys) ** 0.5, mean[1] if form == "innovations" else None


def _matrices_first(innovations: Any) -> Any:
    return jax.tree.map(lambda a: a.swapaxes(0, 1), innovations)
