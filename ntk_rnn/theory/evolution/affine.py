"""Second moments of maps of Gaussian rows, which is all that state evolution (Lemma C.1) needs.

Once the law of states and inputs is Gaussian, ``E[G(Q_t, U_t)^T G(Q_s, U_s)]`` is an integral
over one pair of times: closed where ``G`` is affine, and otherwise a Gauss-Hermite sum.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.recursion import RowMap, apply_maps
from ntk_rnn.theory.evolution.rows import GaussianRows, triangular_root


class AffineMaps(NamedTuple):
    """``G_l(q, u) = offset_l + slope_l (q, u)``.

    Attributes:
      slope: shape ``(k, d, d + d_u)``.
      offset: shape ``(k, d)``.
      holds: whether each map is affine at the points it was tried at, shape ``(k,)``.
    """

    slope: Float[Array, "k d both"]
    offset: Float[Array, "k d"]
    holds: Bool[Array, " k"]


class Rule(NamedTuple):
    """Points and weights whose weighted sums are expectations over ``N(0, I)``.

    Attributes:
      points: shape ``(points, dim)``, ``dim`` those of two states and, where random, two inputs.
      weights: shape ``(points,)``.
    """

    points: Float[AnyArray, "*rules points dim"]
    weights: Float[AnyArray, "*rules points"]


def affine_maps(maps: tuple[RowMap, ...], dim: int, in_dim: int, dtype: np.dtype) -> AffineMaps:
    """Slopes and offsets of maps at 0, and whether they hold near and far.

    At 64 points on both sides of 0, of lengths from 0.01 to 1e8, so that a map that saturates or
    bends at any such scale is not affine.
    """
    points = np.random.default_rng(0).standard_normal((32, dim + in_dim))
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    points = points * np.logspace(-2, 8, 32)[:, None]
    return _affine_at(maps, dim, np.concatenate([points, -points]).astype(dtype))


def affine_under(
    maps: tuple[RowMap, ...], initial: GaussianRows, inputs: GaussianRows, evolved: Array
) -> Bool[AnyArray, " k"]:
    """Whether maps are affine where ``(Q_t, U_t)`` live: at 64 points up to 6 deviations away.

    ``evolved``, the covariance ``(H, d, H, d)`` of ``Q_1, ..., Q_H`` if they are, is right up to
    the first time at which they are not, so that time is found. Where laws are traced there is
    nothing to look at; where only ``evolved`` is, the first time is looked at alone.
    """
    if any(_checks.is_traced(a) for a in (*initial, *inputs)):
        return np.ones(len(maps), bool)
    times = 1 if _checks.is_traced(evolved) else len(inputs.mean)
    states = np.zeros((2, times, initial.mean.size))
    states[:, 0] = initial.mean, _variances(initial.covariance)
    if times > 1:
        states[1, 1:] = _variances(evolved)[:-1]
    driving = np.stack([np.asarray(inputs.mean), _variances(inputs.covariance)])[:, :times]
    mean, variance = np.concatenate([states, driving], axis=2)
    noise = np.random.default_rng(0).standard_normal((32, 1, mean.shape[1]))
    noise = noise / np.max(np.abs(noise), axis=2, keepdims=True)
    noise = noise * np.linspace(0.2, 6, 32)[:, None, None]
    # An evolution that overflows says nothing against a map.
    deviation = np.sqrt(np.where(np.isfinite(variance), np.maximum(variance, 0), 0))
    points = mean + np.concatenate([noise, -noise]) * deviation
    points = points.reshape(-1, mean.shape[1]).astype(initial.mean.dtype)
    return np.asarray(_affine_at(maps, initial.mean.size, points).holds)


def _variances(covariance: Float[AnyArray, " ..."]) -> Float[np.ndarray, " ..."]:
    """The diagonal, of the shape of the mean."""
    shape = covariance.shape[: covariance.ndim // 2]
    size = int(np.prod(shape))
    return np.asarray(covariance, float).reshape(size, size).diagonal().reshape(shape)


def _affine_at(maps: tuple[RowMap, ...], dim: int, points: np.ndarray) -> AffineMaps:
    # Nothing here depends on traced values, and whether maps are affine decides what is traced.
    with jax.ensure_compile_time_eval():
        return _affine_maps(
            maps, dim, jnp.asarray(points), jnp.zeros(points.shape[1], points.dtype)
        )


@partial(jax.jit, static_argnums=(0, 1))
def _affine_maps(
    maps: tuple[RowMap, ...],
    dim: int,
    points: Float[Array, "probes both"],
    origin: Float[Array, " both"],
) -> AffineMaps:
    dtype = points.dtype
    slopes, offsets, holds = [], [], []
    for g in maps:

        def whole(x: Array, g: RowMap = g) -> Array:
            return jnp.asarray(g(x[:dim], x[dim:])).astype(dtype)

        slope, offset = jax.jacfwd(whole)(origin), whole(origin)
        line = offset[None] + jnp.matmul(points, slope.T, precision="highest")
        size = jnp.abs(offset)[None] + jnp.matmul(jnp.abs(points), jnp.abs(slope).T)
        excess = jnp.abs(jax.vmap(whole)(points) - line)
        slopes.append(slope)
        offsets.append(offset)
        holds.append(jnp.all(excess <= 1000 * jnp.finfo(dtype).eps * size))
    return AffineMaps(jnp.stack(slopes), jnp.stack(offsets), jnp.stack(holds))


def affine_moments(
    affine: AffineMaps, states: GaussianRows, inputs: GaussianRows, t: Array
) -> Float[Array, "k d H d"]:
    """``E[G_l(Q_t, U_t)^T G_l(Q_s, U_s)]`` at all ``s`` for affine maps: of their mean and slope.

    States and inputs are laws over ``H`` times, independent of each other.
    """
    parts = jnp.split(affine.slope, [states.mean.shape[1]], axis=2)
    mean = affine.offset[:, None]
    moments = jnp.zeros((), affine.offset.dtype)[None, None, None, None]
    for slope, law in zip(parts, (states, inputs), strict=True):
        mean = mean + jnp.einsum("kij,sj->ksi", slope, law.mean, precision="highest")
        covariance = jnp.asarray(law.covariance)[t]
        moments = moments + jnp.einsum(
            "kia,asb,kjb->kisj", slope, covariance, slope, precision="highest"
        )
    return moments + jnp.einsum("ki,ksj->kisj", mean[:, t], mean, precision="highest")


def quadrature_moments(
    maps: tuple[RowMap, ...], rule: Rule, states: GaussianRows, inputs: GaussianRows, t: Array
) -> Float[Array, "k d H d"]:
    """``affine_moments`` for any maps, by a rule for the pairs ``(Q_t, Q_s, U_t, U_s)``."""
    points, weights = jnp.asarray(rule.points), jnp.asarray(rule.weights)
    dim = states.mean.shape[1]

    def pairs(law: GaussianRows, noise: Array, s: Array) -> tuple[Array, Array]:
        times = jnp.stack([t, s])
        mean = jnp.asarray(law.mean)[times].reshape(-1)
        covariance = jnp.asarray(law.covariance)[times][:, :, times]
        root = triangular_root(covariance.reshape(mean.size, mean.size))
        rows = jnp.matmul(noise, root[:, : noise.shape[1]].T, precision="highest")
        first, second = jnp.split(mean[None] + rows, 2, axis=1)
        return first, second

    def moments(s: Array) -> Array:
        q, u = pairs(states, points[:, : 2 * dim], s), pairs(inputs, points[:, 2 * dim :], s)
        first, second = (apply_maps(maps, a, b) for a, b in zip(q, u, strict=True))
        return jnp.einsum("p,kpi,kpj->kij", weights, first, second, precision="highest")

    return jax.vmap(moments)(jnp.arange(len(states.mean))).transpose(1, 2, 0, 3)


def gauss_hermite(order: int, dim: int) -> Rule:
    """Tensor Gauss-Hermite rules of ``order`` and ``order - 1``, stacked; exact to odd degrees.

    The second is filled up with a point of no weight, so that both run as one program.
    """
    # Takes as long to import as all else of this library together.
    from scipy.special import roots_hermitenorm

    # Not hermegauss of NumPy, whose weights are NaN from an order of 372 on.
    rules = [roots_hermitenorm(n) for n in (order, order - 1)]
    nodes, weights = (np.stack([rules[0][part], np.append(rules[1][part], 0.0)]) for part in (0, 1))
    weights = weights / np.sum(weights, axis=1, keepdims=True)
    grid = np.indices((order,) * dim).reshape(dim, -1).T
    return Rule(nodes[:, grid], np.prod(weights[:, grid], axis=2))
