"""The linear recurrent unit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn.layers.ring import FULL, check_ring, ring_moments, squared_radii
from ntk_rnn.layers.states import DiagonalLayer, from_polar, normal
from ntk_rnn.models import parameter


class LRU(DiagonalLayer):
    """Linear recurrent unit (Orvieto et al. 2023, eqs. 5 to 8), in the NTK parameterization.

    ``h_t = lambda h_{t-1} + gamma (B x_t)`` entry by entry, ``y_t = Re(C h_t) / sqrt(n)``, with
    ``lambda = exp(-exp(nu / sqrt(n)) + i exp(theta / sqrt(n)))`` and a positive
    ``gamma = exp(g / sqrt(n))``, which starts at ``sqrt(1 - |lambda|^2)``, so that states start
    with the size of their inputs. The ``lambda`` start uniformly over the area of the ring
    ``r_min <= |lambda| <= r_max``, with phases below ``max_phase``. Entries of ``B (n, n_x)`` and
    ``C (n_y, n)`` are complex. The term ``D x_t`` of the source, which is lag 0, is left out.

    ``nu``, ``theta`` and ``g`` are ``sqrt(n)`` times what the source has, as ``W / sqrt(n)`` is the
    matrix of a linear RNN (eq. 4): a step of gradient descent changes each ``lambda`` by an amount
    of order ``1 / n``, and the kernel has a limit, in which ``B`` and ``C`` alone are learned.
    Neither the layer nor its kernel is in the paper on linear RNNs.

    Attributes:
      width: number ``n`` of states.
      out_dim: number ``n_y`` of outputs.
      r_min: the inner radius, at least 0.
      r_max: the outer radius, at most 1.
      max_phase: largest phase at the start, the whole circle by default.
      nu_f: mean square of the absolute values of the entries of ``B`` at the start.
      nu_c: that of ``C``.

    Raises:
      ValueError: if a size, a phase, ``nu_f`` or ``nu_c`` is not positive, or the radii are not
        between 0 and 1 in this order.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> model = nr.LRU(width=200, out_dim=1, r_min=0.9, r_max=0.999)
      >>> x = jax.random.normal(jax.random.key(0), (3, 50, 2))
      >>> params = model.init(jax.random.key(1), x)
      >>> model.apply(params, x).shape
      (3, 50, 1)
      >>> rho = model.lag_weights(13)
      >>> [round(float(rho[j] / rho[0]), 2) for j in (3, 6, 12)]
      [0.67, 0.46, 0.24]
    """

    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = FULL
    nu_f: float = 1.0
    nu_c: float = 1.0

    def __post_init__(self) -> None:
        check_ring(self.r_min, self.r_max)
        if self.r_min == 1:
            raise ValueError(
                "r_min must be below 1 for an LRU, which scales inputs by sqrt(1 - |lambda|^2), "
                "got 1; e.g. 0.9"
            )
        _checks.positive(max_phase=self.max_phase)
        _checks.variance(nu_f=self.nu_f, nu_c=self.nu_c)
        super().__post_init__()

    def lag_weights(self, seq_len: int) -> Float[Array, " T"]:
        """``rho_j = (nu_f + nu_c) E[(1 - |lambda|^2) |lambda|^{2j}]``, the limit of the kernel.

        For the whole disk it is ``(nu_f + nu_c) / ((j + 1) (j + 2))``: memory falls as a power law.
        At width ``n`` what is learned through ``theta`` adds about ``2 pi^2 / 3 nu_f nu_c j^2 / n``
        times ``rho_j / (nu_f + nu_c)``.

        Returns:
          Shape ``(T,)``, in JAX's default floating type.

        Raises:
          ValueError: if ``max_phase`` is not the whole circle: then different lags stay correlated.
        """
        seq_len = _checks.integer("seq_len", seq_len)
        if self.max_phase != FULL:
            raise ValueError(
                "max_phase must be 2 pi for lag weights, because different lags stay correlated "
                f"otherwise, got {self.max_phase:g}; use layer_gram"
            )
        moments = ring_moments(seq_len + 1, self.r_min, self.r_max)
        return jnp.asarray((self.nu_f + self.nu_c) * (moments[:-1] - moments[1:]))

    def _declare(self, x: Array) -> dict[str, Array]:
        n, in_dim = self.width, x.shape[2]
        nu = parameter(self, "nu", self._start_of_nu, (n,), x)
        return {
            "nu": nu,
            "theta": parameter(self, "theta", self._start_of_theta, (n,), x),
            "g": parameter(self, "g", lambda *_: self._start_of_g(nu), (n,), x),
            "B": normal(self, "B", self.nu_f, (n, in_dim), x),
            "C": normal(self, "C", self.nu_c, (self.out_dim, n), x),
        }

    def _start_of_nu(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        squared = squared_radii(key, shape, dtype, self.r_min, self.r_max)
        return jnp.log(-jnp.log(squared) / 2) * self.width**0.5

    def _start_of_theta(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        least = float(jnp.finfo(dtype).eps) * self.max_phase  # a phase of 0 has no logarithm
        phases = jax.random.uniform(key, shape, dtype, least, self.max_phase)
        return jnp.log(phases) * self.width**0.5

    def _start_of_g(self, nu: Array) -> Array:
        # 1 - |lambda|^2 without cancellation where |lambda| is near 1.
        return jnp.log(-jnp.expm1(-2 * jnp.exp(nu * self.width**-0.5))) / 2 * self.width**0.5

    def _system(self, params: Any) -> tuple[Array, Array, Array]:
        scale = self.width**-0.5
        radii = jnp.exp(-jnp.exp(params["nu"] * scale))
        eigenvalues = from_polar(radii, jnp.exp(params["theta"] * scale))
        gamma = jnp.exp(params["g"] * scale).astype(eigenvalues.dtype)
        return eigenvalues, gamma[:, None] * params["B"], params["C"]
