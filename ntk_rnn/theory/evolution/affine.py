"""Affine maps: whether maps are affine, and their second moments, which are then exact."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.problem import GaussianRows, Laws, RowMap


class AffineMaps(NamedTuple):
    """Maps ``G_l(q, u) = offset_l + slope_l (q, u)``.

    Attributes:
      slope: shape ``(k, d, d + d_u)``.
      offset: shape ``(k, d)``.
    """

    slope: Float[Array, "k d both"]
    offset: Float[Array, "k d"]

    def moments(
        self, states: GaussianRows, inputs: GaussianRows, t: Array
    ) -> Float[Array, "k d H d"]:
        """``E[G_l(Q_t, U_t)^T G_l(Q_s, U_s)]`` at all ``s``, from means and covariances.

        States and inputs are laws over ``H`` times, independent of each other.
        """
        parts = jnp.split(self.slope, [states.mean.shape[1]], axis=2)
        mean = self.offset[:, None]
        moments = jnp.zeros((), self.offset.dtype)[None, None, None, None]
        for slope, law in zip(parts, (states, inputs), strict=True):
            mean = mean + jnp.einsum("kij,sj->ksi", slope, law.mean, precision="highest")
            covariance = jnp.asarray(law.covariance)[t]
            moments = moments + jnp.einsum(
                "kia,asb,kjb->kisj", slope, covariance, slope, precision="highest"
            )
        return moments + jnp.einsum("ki,ksj->kisj", mean[:, t], mean, precision="highest")


def affine_near_and_far(
    maps: tuple[RowMap, ...], laws: Laws
) -> tuple[AffineMaps, Bool[np.ndarray, " k"]]:
    """Slopes and offsets at 0, and whether each map is affine near 0 and far from it.

    Maps are tried at 64 points on both sides of 0, of lengths from 0.01 to 1e8, so that a map that
    saturates or bends at any such scale does not count as affine.
    """
    points = np.random.default_rng(0).standard_normal((32, laws.dim + laws.inputs.mean.shape[1]))
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    points = points * np.logspace(-2, 8, 32)[:, None]
    return _affine_at(maps, laws.dim, np.concatenate([points, -points]).astype(laws.dtype))


def affine_under_laws(
    maps: tuple[RowMap, ...], laws: Laws, evolved: Array
) -> Bool[np.ndarray, " k"]:
    """Whether maps are affine where ``(Q_t, U_t)`` live: at 64 points up to 6 deviations away.

    ``evolved`` is the covariance ``(H, d, H, d)`` of ``Q_1, ..., Q_H`` for affine maps. It is right
    up to the first time at which a map is not affine, so that time is found. Nothing can be tried
    where laws are traced; where only ``evolved`` is traced, the first time alone is tried.
    """
    initial, inputs = laws.initial, laws.inputs
    if any(_checks.is_traced(a) for a in (*initial, *inputs)):
        return np.ones(len(maps), bool)
    times = 1 if _checks.is_traced(evolved) else laws.horizon
    states = np.zeros((2, times, laws.dim))
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
    points = points.reshape(-1, mean.shape[1]).astype(laws.dtype)
    return _affine_at(maps, laws.dim, points)[1]


def _variances(covariance: Float[AnyArray, " ..."]) -> Float[np.ndarray, " ..."]:
    """The diagonal, of the shape of the mean."""
    shape = covariance.shape[: covariance.ndim // 2]
    size = int(np.prod(shape))
    return np.asarray(covariance, float).reshape(size, size).diagonal().reshape(shape)


def _affine_at(
    maps: tuple[RowMap, ...], dim: int, points: np.ndarray
) -> tuple[AffineMaps, Bool[np.ndarray, " k"]]:
    # Nothing here depends on traced values, and whether maps are affine decides what is traced.
    with jax.ensure_compile_time_eval():
        origin = jnp.zeros(points.shape[1], points.dtype)
        affine, holds = _expand(maps, dim, jnp.asarray(points), origin)
        return affine, np.asarray(holds)


@partial(jax.jit, static_argnums=(0, 1))
def _expand(
    maps: tuple[RowMap, ...],
    dim: int,
    points: Float[Array, "probes both"],
    origin: Float[Array, " both"],
) -> tuple[AffineMaps, Bool[Array, " k"]]:
    """Maps to first order around 0, and whether they are equal to that at all points."""
    dtype = points.dtype

    def expand(g: RowMap) -> tuple[Array, Array, Array]:
        def whole(x: Array) -> Array:
            return jnp.asarray(g(x[:dim], x[dim:])).astype(dtype)

        slope, offset = jax.jacfwd(whole)(origin), whole(origin)
        line = offset[None] + jnp.matmul(points, slope.T, precision="highest")
        size = jnp.abs(offset)[None] + jnp.matmul(jnp.abs(points), jnp.abs(slope).T)
        excess = jnp.abs(jax.vmap(whole)(points) - line)
        return slope, offset, jnp.all(excess <= 1000 * jnp.finfo(dtype).eps * size)

    slopes, offsets, holds = map(jnp.stack, zip(*map(expand, maps), strict=True))
    return AffineMaps(slopes, offsets), holds
