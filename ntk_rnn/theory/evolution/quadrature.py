"""Gauss-Hermite sums for second moments of maps of any kind, over pairs of times."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.problem import GaussianRows, RowMap, apply_maps
from ntk_rnn.theory.evolution.singular_covariances import triangular_root

# The number of points of a quadrature by default, and the largest number.
_DEFAULT_POINTS, _MOST_POINTS = 2**18, 2**22


class Quadrature(NamedTuple):
    """Points and weights whose weighted sums are expectations over ``N(0, I)``.

    Two quadratures of one size may be stacked, along a first axis.

    Attributes:
      points: shape ``(points, dim)``, where ``dim`` counts the entries of two states and, if
        inputs are random, of two inputs.
      weights: shape ``(points,)``.
    """

    points: Float[AnyArray, "*stacked points dim"]
    weights: Float[AnyArray, "*stacked points"]

    def moments(
        self, maps: tuple[RowMap, ...], states: GaussianRows, inputs: GaussianRows, t: Array
    ) -> Float[Array, "k d H d"]:
        """``E[G_l(Q_t, U_t)^T G_l(Q_s, U_s)]`` at all ``s``, for pairs ``(Q_t, Q_s, U_t, U_s)``.

        States and inputs are laws over ``H`` times, independent of each other.
        """
        weights, dim = jnp.asarray(self.weights), states.mean.shape[1]
        of_states, of_inputs = jnp.split(jnp.asarray(self.points), [2 * dim], axis=1)

        def moments(s: Array) -> Array:
            q, u = _pairs(states, of_states, t, s), _pairs(inputs, of_inputs, t, s)
            first, second = (apply_maps(maps, a, b) for a, b in zip(q, u, strict=True))
            return jnp.einsum("p,kpi,kpj->kij", weights, first, second, precision="highest")

        return jax.vmap(moments)(jnp.arange(len(states.mean))).transpose(1, 2, 0, 3)


def _pairs(law: GaussianRows, noise: Array, t: Array, s: Array) -> tuple[Array, Array]:
    """Rows at times ``t`` and ``s``, from points of ``N(0, I)``, of which there may be too few.

    Inputs that are not random take no axes of the quadrature.
    """
    times = jnp.stack([t, s])
    mean = jnp.asarray(law.mean)[times].reshape(-1)
    covariance = jnp.asarray(law.covariance)[times][:, :, times]
    root = triangular_root(covariance.reshape(mean.size, mean.size))
    rows = jnp.matmul(noise, root[:, : noise.shape[1]].T, precision="highest")
    first, second = jnp.split(mean[None] + rows, 2, axis=1)
    return first, second


def two_quadratures(order: int | None, dim: int, dtype: Any) -> Quadrature:
    """Quadratures of ``order`` and ``order - 1`` points along each axis, checked and stacked."""
    if order is None:
        order = max(2, min(64, int(_DEFAULT_POINTS ** (1 / dim))))
    if order < 2 or order**dim > _MOST_POINTS:
        raise ValueError(
            f"order must be at least 2 and order^{dim} at most {_MOST_POINTS}, got {order}; take "
            'method="monte_carlo" for many dimensions'
        )
    return Quadrature(*(jnp.asarray(a, dtype) for a in gauss_hermite(order, dim)))


def gauss_hermite(order: int, dim: int) -> Quadrature:
    """Products of Gauss-Hermite rules of ``order`` and ``order - 1`` points, stacked.

    The second rule is filled up with a point of no weight, so that both run as one program.
    """
    # Importing this takes as long as importing all the rest of the library.
    from scipy.special import roots_hermitenorm

    # NumPy's hermegauss will not do: its weights are NaN from an order of 372 on.
    rules = [roots_hermitenorm(n) for n in (order, order - 1)]
    nodes, weights = (np.stack([rules[0][part], np.append(rules[1][part], 0.0)]) for part in (0, 1))
    weights = weights / np.sum(weights, axis=1, keepdims=True)
    grid = np.indices((order,) * dim).reshape(dim, -1).T
    return Quadrature(nodes[:, grid], np.prod(weights[:, grid], axis=2))
