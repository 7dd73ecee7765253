"""The diagonal RNN."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn.layers.ring import FULL, check_ring, ring_moments, squared_radii
from ntk_rnn.layers.states import DiagonalLayer, from_polar, normal
from ntk_rnn.models import parameter


class DiagonalRNN(DiagonalLayer):
    """Linear RNN with a diagonal matrix, complex or real: ``W`` holds its ``n`` entries.

    ``h_t = W h_{t-1} / sqrt(n) + F x_t`` entry by entry, ``y_t = Re(C h_t) / sqrt(n)``: eqs. 1 and
    4 with the matrix ``W = sqrt(n) diag(lambda)``, by which the paper realizes any impulse response
    (eq. 33). The ``lambda`` start uniformly over the area of the ring
    ``r_min <= |lambda| <= r_max`` of the complex plane (Orvieto et al. 2023). With ``real=True``
    all is real, and each ``lambda`` has a random sign.

    Attributes:
      width: number ``n`` of states.
      out_dim: number ``n_y`` of outputs.
      r_min: the inner radius, at least 0.
      r_max: the outer radius, at most 1.
      nu_f: mean square of the absolute values of the entries of ``F`` at the start.
      nu_c: that of ``C``.
      real: whether all is real.

    Raises:
      ValueError: if a size or ``nu_f`` or ``nu_c`` is not positive, or the radii are not between 0
        and 1 in this order.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> model = nr.DiagonalRNN(width=50, out_dim=1, r_min=0.5, r_max=0.9)
      >>> params = model.init(jax.random.key(0), jax.numpy.ones((3, 5, 2)))
      >>> {name: array.shape for name, array in sorted(params["params"].items())}
      {'C': (1, 50), 'F': (50, 2), 'W': (50,)}
      >>> nr.layer_gram(model, params, seq_len=5, in_dim=2).shape
      (5, 1, 2, 5, 1, 2)
    """

    r_min: float = 0.0
    r_max: float = 1.0
    nu_f: float = 1.0
    nu_c: float = 1.0
    real: bool = False

    def __post_init__(self) -> None:
        check_ring(self.r_min, self.r_max)
        _checks.variance(nu_f=self.nu_f, nu_c=self.nu_c)
        _checks.flag("real", self.real)
        super().__post_init__()

    def lag_weights(self, seq_len: int) -> Float[Array, " T"]:
        """``rho_j = (nu_f + nu_c) E|lambda|^{2j}``, the limit of the kernel as the width grows.

        Through ``W`` there is nothing in the limit, because each of its entries is one of ``n``,
        and different lags have no correlation, because phases are uniform.

        Returns:
          Shape ``(T,)``, in JAX's default floating type.

        Raises:
          ValueError: if ``real``: then all even lags stay correlated, and so do all odd ones.
        """
        seq_len = _checks.integer("seq_len", seq_len)
        if self.real:
            raise ValueError(
                "real must be False for lag weights, because different lags of a real diagonal RNN "
                "stay correlated, got True; use layer_gram"
            )
        return jnp.asarray((self.nu_f + self.nu_c) * ring_moments(seq_len, self.r_min, self.r_max))

    def _declare(self, x: Array) -> dict[str, Array]:
        n, in_dim = self.width, x.shape[2]
        return {
            "W": parameter(self, "W", self._start_of_w, (n,), x),
            "F": normal(self, "F", self.nu_f, (n, in_dim), x, self.real),
            "C": normal(self, "C", self.nu_c, (self.out_dim, n), x, self.real),
        }

    def _start_of_w(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        key, turn = jax.random.split(key)
        radii = jnp.sqrt(squared_radii(key, shape, dtype, self.r_min, self.r_max) * self.width)
        if self.real:
            return radii * jax.random.rademacher(turn, shape, dtype)
        phases = jax.random.uniform(turn, shape, dtype, 0, FULL)
        return from_polar(radii, phases)

    def _system(self, params: Any) -> tuple[Array, Array, Array]:
        return params["W"] * self.width**-0.5, params["F"], params["C"]
