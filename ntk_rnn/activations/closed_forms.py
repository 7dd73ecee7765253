"""Expectations over pairs of Gaussians in closed form.

``(u, v)`` have mean 0, variances ``a`` and ``b`` and covariance ``c``. Where ``a b - c^2`` is
within rounding of 0, or below it, the variables count as coinciding. A network beyond the edge of
chaos would take what rounding sets them apart by for a difference, and have it grow at each step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn.activations.arc_tangent import angle
from ntk_rnn.activations.moments import Dual, Moments

Pairs = Float[Array, "*#pairs"]

#: How far apart rounding sets what is equal, in units of the type's precision, at the most.
ROUNDING = 8


@dataclass(frozen=True)
class Identity(Dual):
    """``phi(u) = u``: ``V = c``, ``D = 1``."""

    def moments(self, first: Pairs, second: Pairs, covariance: Pairs) -> Moments:
        """``V`` and ``D`` of pairs, as this class has them."""
        return Moments(covariance, jnp.ones_like(covariance))


@dataclass(frozen=True)
class PiecewiseLinear(Dual):
    """``phi(u) = u`` for ``u > 0`` and ``s u`` elsewhere (Cho and Saul, 2009, for ReLU, ``s = 0``).

    With the angle ``theta`` between the variables, ``cos(theta) = c / sqrt(a b)``, ReLU has
    ``V_0 = (sqrt(a b - c^2) + (pi - theta) c) / (2 pi)`` and ``D_0 = (pi - theta) / (2 pi)``.
    Any slope ``s`` has ``V = s c + (1 - s)^2 V_0`` and ``D = s + (1 - s)^2 D_0``.

    Attributes:
      slope: ``s``, of the negative side: 0 for ReLU, -1 for the absolute value.
    """

    slope: float

    def moments(self, first: Pairs, second: Pairs, covariance: Pairs) -> Moments:
        """``V`` and ``D`` of pairs, as this class has them."""
        bend = (1 - self.slope) ** 2
        value = self.slope * covariance + bend * _relu_value(first, second, covariance)
        _, above = _sine_and_obtuse(first, second, covariance)
        return Moments(value, self.slope + bend / (2 * math.pi) * above)


def _sine_and_obtuse(a: Pairs, b: Pairs, c: Pairs) -> tuple[Array, Array]:
    """``sqrt(a b - c^2)`` and ``pi - theta``.

    Within rounding of ``theta = 0``, where ``theta`` has no derivative, it is 0 and its derivative
    counts as 0.
    """
    product = a * b
    excess = product - c**2
    # So that variances that are no numbers do not count as coinciding ones.
    apart = ~(excess <= ROUNDING * jnp.finfo(excess.dtype).eps * product)
    sine = jnp.where(apart, jnp.sqrt(jnp.where(apart, excess, 1)), 0)
    return sine, jnp.where(
        apart, angle(jnp.where(apart, sine, 1), -c), jnp.where(c > 0, math.pi, 0)
    )


@jax.custom_jvp
def _relu_value(a: Pairs, b: Pairs, c: Pairs) -> Array:
    """``V_0``, whose derivative is written out: its terms are infinite where their sum is not."""
    sine, above = _sine_and_obtuse(a, b, c)
    return (sine + above * c) / (2 * math.pi)


@_relu_value.defjvp
def _relu_value_jvp(
    primals: tuple[Pairs, Pairs, Pairs], tangents: tuple[Pairs, Pairs, Pairs]
) -> tuple[Array, Array]:
    (a, b, c), (da, db, dc) = primals, tangents
    sine, above = _sine_and_obtuse(a, b, c)
    # Where a variance is 0, the sine is as well.
    relative = da / jnp.where(a > 0, a, 1) + db / jnp.where(b > 0, b, 1)
    change = above * dc + sine * relative / 2  # dV_0/dc = D_0, dV_0/da = sine / (4 pi a)
    return (sine + above * c) / (2 * math.pi), change / (2 * math.pi)


def excess(a: Pairs, b: Pairs, c: Pairs) -> Array:
    """``a b - c^2``, 0 within rounding of it, with the derivative that it has without rounding."""
    product = a * b
    excess = product - c**2
    least = ROUNDING * jnp.finfo(excess.dtype).eps * product
    return excess - lax.stop_gradient(jnp.where(excess <= least, excess, 0))


@dataclass(frozen=True)
class ErrorFunction(Dual):
    """``phi(u) = erf(u)`` (Williams, 1996): ``V = (2 / pi) asin(2 c / sqrt((1 + 2a)(1 + 2b)))``.

    ``D = (4 / pi) / sqrt((1 + 2a)(1 + 2b) - 4 c^2)``.
    """

    def moments(self, first: Pairs, second: Pairs, covariance: Pairs) -> Moments:
        """``V`` and ``D`` of pairs, as this class has them."""
        a, b, c = first, second, covariance
        # (1 + 2a)(1 + 2b) - 4 c^2, without the difference of large numbers.
        size = jnp.sqrt(1 + 2 * (a + b) + 4 * excess(a, b, c))
        return Moments(2 / math.pi * angle(2 * c, size), 4 / math.pi / size)


@dataclass(frozen=True)
class Gelu(Dual):
    """``phi(u) = u Phi(u)``, ``Phi`` the distribution function of ``N(0, 1)``.

    With ``p = (1 + a)(1 + b)``, ``q = p - c^2`` and ``B = 1/4 + asin(c / sqrt(p)) / (2 pi)``,
    ``V = c B + (a b q + c^2) / (2 pi p sqrt(q))`` and
    ``D = B + c (3 + a + b + c^2 / q) / (2 pi p sqrt(q))`` (cf. Tsuchida et al., *Avoiding Kernel
    Fixed Points*, 2021).
    """

    def moments(self, first: Pairs, second: Pairs, covariance: Pairs) -> Moments:
        """``V`` and ``D`` of pairs, as this class has them."""
        a, b, c = first, second, covariance
        p = (1 + a) * (1 + b)
        q = 1 + a + b + excess(a, b, c)
        root = jnp.sqrt(q)
        both = 1 / 4 + angle(c, root) / (2 * math.pi)  # P(both are above N(0, 1))
        tangent = c / root
        # No product of more than two variances, which would overflow.
        return Moments(
            c * both + (a * b / p * root + c / p * tangent) / (2 * math.pi),
            both + tangent * ((3 + a + b + tangent**2) / p) / (2 * math.pi),
        )


@dataclass(frozen=True)
class Sine(Dual):
    """``phi(u) = sin(u)``: ``V = exp(-(a + b) / 2) sinh(c)``, ``D`` with ``cosh`` for ``sinh``."""

    def moments(self, first: Pairs, second: Pairs, covariance: Pairs) -> Moments:
        """``V`` and ``D`` of pairs, as this class has them."""
        odd, even = _hyperbolic((first + second) / 2, covariance)
        return Moments(odd, even)


@dataclass(frozen=True)
class Cosine(Dual):
    """``phi(u) = cos(u)``: ``V = exp(-(a + b) / 2) cosh(c)``, ``D`` with ``sinh`` for ``cosh``."""

    def moments(self, first: Pairs, second: Pairs, covariance: Pairs) -> Moments:
        """``V`` and ``D`` of pairs, as this class has them."""
        odd, even = _hyperbolic((first + second) / 2, covariance)
        return Moments(even, odd)


def _hyperbolic(mean: Pairs, c: Pairs) -> tuple[Array, Array]:
    """``exp(-m) sinh(c)`` and ``exp(-m) cosh(c)`` for ``m >= |c|``, where nothing overflows."""
    mean, c = jnp.broadcast_arrays(mean, c)
    size = jnp.where(c < 0, -c, c)
    below = size - mean
    least = ROUNDING / 2 * jnp.finfo(below.dtype).eps * mean
    larger = jnp.exp(below - lax.stop_gradient(jnp.where(below >= -least, below, 0))) / 2
    odd = larger * -jnp.expm1(-2 * size)
    return jnp.where(c < 0, -odd, odd), larger * (1 + jnp.exp(-2 * size))
