"""The hyperbolic tangent as a sum of error functions, whose expectations are in closed form.

The logistic distribution is a mixture of Gaussians (Andrews and Mallows, *Scale Mixtures of Normal
Distributions*, 1974), and few of them come very close to it (Monahan and Stefanski, *Normal Scale
Mixture Approximations to F*(z) and Computation of the Logistic-Normal Integral*, 1992). So
``tanh(u)`` is ``sum_k w_k erf(u / s_k)`` to an error that falls by a factor of 6 a term, for any
``u``, and its expectations are sums over pairs of terms. The expansion in Hermite polynomials takes
less for small variances, but the more terms the larger they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn.activations.arc_tangent import angle
from ntk_rnn.activations.closed_forms import excess
from ntk_rnn.activations.moments import Dual, Moments


@dataclass(frozen=True)
class Mixture(Dual):
    """``phi(u) = sum_k w_k erf(u / s_k)``.

    With ``p = (s_k^2 + 2a)(s_l^2 + 2b)``, the pair of terms ``k`` and ``l`` adds
    ``w_k w_l (2 / pi) asin(2 c / sqrt(p))`` to ``V`` and ``w_k w_l (4 / pi) / sqrt(p - 4 c^2)`` to
    ``D`` (Williams, 1996, for one term).

    Attributes:
      weights: ``w_k``.
      scales: ``s_k``.
      error: how far ``V`` and ``D`` are from those of the function that it stands for, relative to
        ``E[phi(u)^2]`` and ``E[phi'(u)^2]``, at any variances.
    """

    weights: tuple[float, ...]
    scales: tuple[float, ...]
    error: float

    def moments(
        self,
        first: Float[Array, "*#pairs"],
        second: Float[Array, "*#pairs"],
        covariance: Float[Array, "*#pairs"],
    ) -> Moments:
        """``V`` and ``D`` of pairs, as this class has them."""
        a, b, c = first, second, covariance
        zero = jnp.zeros(jnp.broadcast_shapes(a.shape, b.shape, c.shape), c.dtype)
        apart = 4 * excess(a, b, c)
        terms = list(zip(self.weights, [s**2 for s in self.scales], strict=True))

        def add(k: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
            """The pairs of one term of the first variable: all at once take long to compile."""
            own, square = weights[k], squares[k]
            value, slope = zero, zero
            for weight, other in terms:
                # p - 4 c^2, without the difference of large numbers.
                size = jnp.sqrt(square * other + 2 * (other * a + square * b) + apart)
                value += weight * angle(2 * c, size)
                slope += weight / size
            return sums[0] + own * value, sums[1] + own * slope

        weights, squares = (jnp.asarray(part, c.dtype) for part in zip(*terms, strict=True))
        value, slope = lax.fori_loop(0, len(terms), add, (zero, zero))
        return Moments(2 / math.pi * value, 4 / math.pi * slope)


#: ``tanh``, for each type. Weights and scales make the largest error of the function and of its
#: derivative small: they are fits by least squares (Levenberg and Marquardt) to both at 1300 points
#: from 0 to 16, each weighted anew by the errors of the one before, starting from one term less.
TANH = {
    "float32": Mixture(
        (
            0.00473558444467467, 0.0696167906717159, 0.240716185128401, 0.345800924881145,
            0.249526422494279, 0.0823809200483397, 0.00722308658477589,
        ),
        (
            0.52996102087716, 0.69028163887497, 0.892425002376841, 1.15943412717291,
            1.51706497243446, 1.9964618122841, 2.66260005507611,
        ),
        error=2e-7,
    ),
    "float64": Mixture(
        (
            0.000793938151713948, 0.0181684864000987, 0.098459196500449, 0.228491528300716,
            0.292640393557191, 0.229915920800377, 0.1068577856763, 0.0233448013350809,
            0.00132794639373635,
        ),
        (
            0.478975468392737, 0.602320757463323, 0.748913819194946, 0.931587149594475,
            1.16351034350762, 1.45977274343743, 1.83757920011187, 2.32260034933553,
            2.97840101829068,
        ),
        error=6e-9,
    ),
}  # fmt: skip
