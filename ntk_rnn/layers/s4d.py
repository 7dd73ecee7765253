"""Diagonal state-space layers, S4D-Lin and S4D-Inv."""

from __future__ import annotations

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from ntk_rnn import _checks
from ntk_rnn.layers.states import DiagonalLayer, normal
from ntk_rnn.models import parameter


class S4D(DiagonalLayer):
    """Diagonal state-space layer (Gu, Gupta, Goel and Re 2022), in the NTK parameterization.

    Each of ``n / N`` features has ``N`` complex states of one step size ``delta``, for the state
    space ``h' = A h + B x`` with ``A = -exp(a) + i omega``, held between steps (zero-order hold):
    ``h_t = lambda h_{t-1} + (lambda - 1) / A B x_t`` with ``lambda = exp(delta A)``, and
    ``y_t = 2 Re(C h_t) / sqrt(n)``, as each state stands for a pair of conjugate ones. At the start
    all ``Re A`` are ``-1/2``, ``log delta`` is uniform between those of ``dt_min`` and ``dt_max``,
    and with ``k = 0, ..., N - 1``

    * S4D-Lin has ``Im A_k = pi k``;
    * S4D-Inv has ``Im A_k = (2N / pi) (2N / (2k + 1) - 1)``.

    ``B (n / N, N, n_x)`` and ``C (n_y, n / N, N)`` are complex and drawn from Gaussians; the source
    has one input a feature and ``B = 1``, and a further term ``D x_t``, which is lag 0. ``a``,
    ``omega`` and ``log delta`` are stored times ``sqrt(n)``, as ``W / sqrt(n)`` is the matrix of a
    linear RNN (eq. 4): the kernel then has a limit, in which ``B`` and ``C`` alone are learned.
    Different lags stay correlated in it, so it has no lag weights, and ``ntk_rnn.layer_gram`` says
    what is learned. Neither the layer nor its kernel is in the paper on linear RNNs.

    Attributes:
      width: number ``n`` of complex states of all features, a multiple of ``order``.
      out_dim: number ``n_y`` of outputs.
      variant: ``"lin"`` or ``"inv"``.
      order: ``N``, the number of complex states of a feature, half as many as the source counts.
      dt_min: the smallest step size at the start.
      dt_max: the largest one.
      nu_f: mean square of the absolute values of the entries of ``B`` at the start.
      nu_c: that of ``C``.

    Raises:
      ValueError: if a size, step size, ``nu_f`` or ``nu_c`` is not positive, the width no
        multiple of ``order``, ``dt_max`` less than ``dt_min``, or ``variant`` unknown.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> model = nr.S4D(width=64, out_dim=1, variant="inv")  # two features
      >>> x = jax.random.normal(jax.random.key(0), (3, 50, 2))
      >>> params = model.init(jax.random.key(1), x)
      >>> model.apply(params, x).shape
      (3, 50, 1)
      >>> nr.layer_gram(model, params, seq_len=5, in_dim=2).shape
      (5, 1, 2, 5, 1, 2)
    """

    variant: Literal["lin", "inv"] = "lin"
    order: int = 32
    dt_min: float = 0.001
    dt_max: float = 0.1
    nu_f: float = 1.0
    nu_c: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.one_of("variant", self.variant, "lin", "inv")
        _checks.integer("order", self.order)
        if self.width % self.order:
            raise ValueError(
                f"width must be a multiple of order, {self.order}, got {self.width}; take "
                f"{self.order * max(1, round(self.width / self.order))}"
            )
        _checks.variance(dt_min=self.dt_min, dt_max=self.dt_max, nu_f=self.nu_f, nu_c=self.nu_c)
        if not self.dt_min <= self.dt_max:
            raise ValueError(
                f"dt_max must be at least dt_min, {self.dt_min:g}, got {self.dt_max:g}"
            )

    def _declare(self, x: Array) -> dict[str, Array]:
        states, in_dim = (self.width // self.order, self.order), x.shape[2]
        pairs, k = 2 * self.order, np.arange(self.order)
        lin, inv = np.pi * k, pairs / np.pi * (pairs / (2 * k + 1) - 1)
        omega = lin if self.variant == "lin" else inv
        return {
            "log_delta": parameter(self, "log_delta", self._start_of_step, states[:1], x),
            "a": parameter(self, "a", self._starting_at(np.log(0.5)), states, x),
            "omega": parameter(self, "omega", self._starting_at(omega), states, x),
            "B": normal(self, "B", self.nu_f, (*states, in_dim), x),
            "C": normal(self, "C", self.nu_c, (self.out_dim, *states), x),
        }

    def _start_of_step(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        limits = math.log(self.dt_min), math.log(self.dt_max)
        return jax.random.uniform(key, shape, dtype, *limits) * self.width**0.5

    def _starting_at(self, values: Any) -> Any:
        scaled = values * self.width**0.5
        return lambda key, shape, dtype: jnp.broadcast_to(jnp.asarray(scaled, dtype), shape)

    def _system(self, params: Any) -> tuple[Array, Array, Array]:
        scale = self.width**-0.5
        exponent = lax.complex(-jnp.exp(params["a"] * scale), params["omega"] * scale)
        delta = jnp.exp(params["log_delta"] * scale)[:, None].astype(exponent.dtype)
        eigenvalues = jnp.exp(delta * exponent)
        b = 2 * ((eigenvalues - 1) / exponent)[:, :, None] * params["B"]
        c = params["C"]
        return eigenvalues.ravel(), b.reshape(-1, b.shape[2]), c.reshape(len(c), -1)
