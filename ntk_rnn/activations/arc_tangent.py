"""The angle of a vector in the plane, in vectorized arithmetic.

XLA computes ``atan2`` an entry at a time on CPUs, and that would take most of the time of the
kernels of ReLU and erf. Here the angle is a polynomial of one ratio, whose coefficients interpolate
the arc tangent at Chebyshev points to the rounding of the type.
"""

from __future__ import annotations

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_EIGHTH = math.tan(math.pi / 8)


@jax.custom_jvp
def angle(y: Float[Array, "*shape"], x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``atan2(y, x)``, between ``-pi`` and ``pi``; 0 for ``y = x = 0``."""
    height, size = jnp.abs(y), jnp.abs(x)
    low, high = jnp.minimum(height, size), jnp.maximum(height, size)
    # Past half of the diagonal, the angle from the diagonal is smaller.
    far = low > _EIGHTH * high
    above = jnp.where(far, low - high, low)
    below = jnp.where(far, low + high, jnp.where(high > 0, high, 1))
    ratio = above / below
    square = ratio * ratio
    first, *others = _coefficients(np.dtype(ratio.dtype).name)
    series = jnp.full_like(square, first)
    for coefficient in others:
        series = series * square + coefficient
    small = ratio * series + jnp.where(far, math.pi / 4, 0)  # of low to high
    acute = jnp.where(height > size, math.pi / 2 - small, small)
    upper = jnp.where(x < 0, math.pi - acute, acute)
    return jnp.where(y < 0, -upper, upper)


@angle.defjvp
def _angle_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (y, x), (dy, dx) = primals, tangents
    square = x**2 + y**2
    return angle(y, x), (x * dy - y * dx) / jnp.where(square > 0, square, 1)


@cache
def _coefficients(dtype: str) -> tuple[float, ...]:
    """Of ``atan(t) / t`` in ``t^2 <= tan(pi / 8)^2``, the highest power first."""
    terms = 13 if dtype == "float64" else 7
    end = _EIGHTH**2

    def ratio(points: np.ndarray) -> np.ndarray:
        t = np.sqrt(end * (points + 1) / 2)
        return np.arctan(t) / t

    chebyshev = np.polynomial.chebyshev.Chebyshev.interpolate(ratio, terms - 1)
    shifted = np.polynomial.chebyshev.Chebyshev(chebyshev.coef, domain=[0, end])
    power = shifted.convert(kind=np.polynomial.Polynomial, domain=[-1, 1], window=[-1, 1])
    return tuple(float(c) for c in power.coef[::-1])
