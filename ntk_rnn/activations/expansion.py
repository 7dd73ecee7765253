"""Expectations over pairs of Gaussians for any smooth activation, by Hermite polynomials.

With the orthonormal Hermite polynomials ``H_m`` and a variable ``u = sqrt(a) z``, ``z`` of
``N(0, 1)``, let ``phi(u) = sum_m h_m(a) H_m(z)``. Mehler's formula then gives, for two variables of
correlation ``r``, ``V = sum_m h_m(a) h_m(b) r^m``, and the same of ``phi'`` gives ``D``. The
coefficients depend on one variable alone and are found by Gauss-Hermite quadrature once for it, so
a pair costs as many multiplications as there are terms.

Leaving out the terms from ``m = M`` on changes ``V`` by at most ``sum_{m >= M} h_m^2`` where both
variances are equal, and by the geometric mean of the two such sums elsewhere. Each is
``E[phi(u)^2]`` less the squares that are kept: this is the error that is estimated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn.activations.closed_forms import ROUNDING
from ntk_rnn.activations.functions import Function, derivative
from ntk_rnn.activations.moments import Dual, Moments, root

#: Numbers of terms that are tried one after the other.
TERMS = (32, 64, 128, 256, 512, 1024)


class Side(NamedTuple):
    """What pairs need of one variable.

    Attributes:
      deviation: ``sqrt(a)``, any shape.
      values: coefficients ``h_m`` of ``phi``, of that shape and ``(M,)``.
      slopes: likewise of ``phi'``.
    """

    deviation: Float[Array, "*shape"]
    values: Float[Array, "*shape M"]
    slopes: Float[Array, "*shape M"]


@dataclass(frozen=True)
class Expansion(Dual):
    """The expectations of a function by ``terms`` terms.

    Attributes:
      function: ``phi``, of arrays of any shape.
      terms: ``M``.
    """

    function: Function
    terms: int

    def side(self, variance: Float[Array, "*shape"]) -> Side:
        """The coefficients of one variable, and its standard deviation."""
        deviation = root(variance)
        values, slopes = self._at_nodes(deviation)
        return Side(deviation, self._coefficients(values), self._coefficients(slopes))

    def moments(self, first: Side, second: Side, covariance: Float[Array, "*#pairs"]) -> Moments:
        """``V`` and ``D`` of pairs, as this class has them."""
        size = first.deviation * second.deviation
        correlation = covariance / jnp.where(size > 0, size, 1)
        # Within rounding of it, variables coincide (see the closed forms).
        least = 1 - ROUNDING / 2 * jnp.finfo(correlation.dtype).eps
        beyond = jnp.where(jnp.abs(correlation) >= least, correlation - jnp.sign(correlation), 0)
        correlation = correlation - lax.stop_gradient(beyond)
        zero = jnp.zeros_like(correlation)

        def add(sums: tuple[Array, Array], terms: Any) -> tuple[tuple[Array, Array], None]:
            """Horner's rule, from the highest power down."""
            (value, slope), (h1, h2, d1, d2) = sums, terms
            return (value * correlation + h1 * h2, slope * correlation + d1 * d2), None

        coefficients = first.values, second.values, first.slopes, second.slopes
        falling = [jnp.moveaxis(part, -1, 0)[::-1] for part in coefficients]
        (value, slope), _ = lax.scan(add, (zero, zero), falling, unroll=8)
        return Moments(value, slope)

    def own(self, variance: Float[Array, "*shape"]) -> Moments:
        """Sums over all nodes, in which no term is left out."""
        values, slopes = self._at_nodes(root(variance))
        return Moments(jnp.sum(values**2, axis=-1), jnp.sum(slopes**2, axis=-1))

    def left_out(self, variance: Float[Array, "*shape"]) -> Moments:
        """The part of ``E[phi(u)^2]`` and ``E[phi'(u)^2]`` in the terms that are left out."""
        return Moments(*map(self._left_out, self._at_nodes(root(variance))))

    def _left_out(self, samples: Float[Array, "*shape nodes"]) -> Float[Array, "*shape"]:
        kept = self._coefficients(samples)
        rest = samples - jnp.matmul(kept, self._polynomials(samples.dtype).T, precision="highest")
        total = jnp.sum(samples**2, axis=-1)
        return jnp.sum(rest**2, axis=-1) / jnp.where(total > 0, total, 1)

    def _coefficients(self, samples: Float[Array, "*shape nodes"]) -> Float[Array, "*shape M"]:
        return jnp.matmul(samples, self._polynomials(samples.dtype), precision="highest")

    def _polynomials(self, dtype: Any) -> Float[Array, "nodes M"]:
        return jnp.asarray(_rule(self.terms)[2], dtype)

    def _at_nodes(self, deviation: Float[Array, "*shape"]) -> tuple[Array, Array]:
        """``phi`` and ``phi'`` at the nodes, times the roots of their weights."""
        nodes, halves, _ = (jnp.asarray(part, deviation.dtype) for part in _rule(self.terms))
        points = jnp.multiply.outer(deviation, nodes)
        halves = jnp.broadcast_to(halves, points.shape)
        return halves * self.function(points), halves * derivative(self.function, points)


@cache
def _rule(terms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes ``z_i``, roots of weights ``sqrt(w_i)``, and ``sqrt(w_i) H_m(z_i)`` for ``m < terms``.

    There are twice as many nodes as terms, so that what is left out shows in the samples. Times the
    roots of weights, polynomials of any degree are at most about 1, and columns are orthonormal.
    """
    from scipy.special import roots_hermitenorm  # takes as long to import as the library

    nodes, weights = roots_hermitenorm(2 * terms)
    halves = np.sqrt(weights / weights.sum())
    columns = [halves, halves * nodes]
    for m in range(1, terms - 1):
        columns.append((nodes * columns[m] - np.sqrt(m) * columns[m - 1]) / np.sqrt(m + 1))
    return nodes, halves, np.stack(columns, axis=1)
