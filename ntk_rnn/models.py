"""The models as Flax modules: recurrent networks, and the scaled convolution of the linear one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.activations.functions import Activation, Function, as_function
from ntk_rnn.impulse import response
from ntk_rnn.sequences import convolved

Evaluation = Literal["auto", "scan", "impulse"]

#: ``start(key, shape, dtype)``, the entries of a parameter at the start.
Initializer: TypeAlias = Callable[[Any, tuple[int, ...], Any], Array]


class LinearRNN(nn.Module):
    """Linear RNN in the NTK parameterization (eqs. 1 and 4).

    ``h_t = W h_{t-1} / sqrt(n) + F x_t``, ``y_t = C h_t / sqrt(n)``, ``h_{-1} = 0``, with entries
    of ``W (n, n)``, ``F (n, n_x)`` and ``C (n_y, n)`` drawn from ``N(0, nu_w)``, ``N(0, nu_f)``
    and ``N(0, nu_c)``. The spectral radius of ``W / sqrt(n)`` tends to ``sqrt(nu_w)``: the RNN is
    stable for ``nu_w < 1``.

    Two evaluations give the same outputs and gradients:

    * ``"scan"``, step by step: ``N T`` products with ``W``;
    * ``"impulse"``, through the impulse response (eq. 9): ``T min(n_x, n_y)`` products with ``W``
      and one causal convolution;
    * ``"auto"`` takes the one with fewer multiplications at the shapes at hand.

    Attributes:
      width: number ``n`` of hidden units.
      out_dim: number ``n_y`` of outputs.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.
      evaluation: ``"auto"``, ``"scan"`` or ``"impulse"``.

    Raises:
      ValueError: if a size or variance is not positive and finite or ``evaluation`` is unknown.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))  # 3 sequences, 5 steps, 2 inputs
      >>> model = nr.LinearRNN(width=50, out_dim=1, nu_w=0.3, nu_f=1.0, nu_c=1.0)
      >>> params = model.init(jax.random.key(1), x)
      >>> {name: array.shape for name, array in sorted(params["params"].items())}
      {'C': (1, 50), 'F': (50, 2), 'W': (50, 50)}
      >>> model.apply(params, x).shape
      (3, 5, 1)
    """

    width: int
    out_dim: int
    nu_w: float | Float[AnyArray, ""] = 0.3
    nu_f: float | Float[AnyArray, ""] = 1.0
    nu_c: float | Float[AnyArray, ""] = 1.0
    evaluation: Evaluation = "auto"

    def __post_init__(self) -> None:
        _checks.integer("width", self.width)
        _checks.integer("out_dim", self.out_dim)
        _checks.variance(nu_w=self.nu_w, nu_f=self.nu_f, nu_c=self.nu_c)
        _checks.one_of("evaluation", self.evaluation, "auto", "scan", "impulse")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[AnyArray, "N T n_x"]) -> Float[Array, "N T n_y"]:
        """Outputs ``y``, shape ``(N, T, n_y)``, to inputs ``x``, shape ``(N, T, n_x)``."""
        x = _checks.sequences("x", x)
        num, seq_len, in_dim = x.shape
        n = self.width
        w, f, c = _matrices(self, x)
        evaluation = self.evaluation
        if evaluation == "auto":
            # Multiplications of each way.
            out_dim = self.out_dim
            step_by_step = num * seq_len * n * (n + in_dim + out_dim)
            chain = seq_len * n * (n * min(in_dim, out_dim) + in_dim * out_dim)
            conv = num * seq_len**2 * in_dim * out_dim
            evaluation = "scan" if step_by_step < chain + conv else "impulse"
        if evaluation == "scan":
            return _scan(as_function("identity"), w, f, c, x)
        _checks.one_dtype("params", W=w, F=f, C=c)
        return convolved(response(w, f, c, seq_len), x)  # (eq. 5, 9)

    def _start_of_w(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """``W`` at the start, which a subclass may draw from another law."""
        return _normal(self.nu_w, dtype)(key, shape, dtype)


class RNN(nn.Module):
    """Recurrent network in the NTK parameterization, with any activation (Proposition 3.1).

    ``g_t = W h_{t-1} / sqrt(n) + F x_t``, ``h_t = phi(g_t)``, ``y_t = C h_t / sqrt(n)``,
    ``h_{-1} = 0``, with entries of ``W (n, n)``, ``F (n, n_x)`` and ``C (n_y, n)`` drawn from
    ``N(0, nu_w)``, ``N(0, nu_f)`` and ``N(0, nu_c)``. As the width grows, its neural tangent kernel
    tends to ``recurrent_ntk``. With the identity it is ``LinearRNN``, which has a faster
    evaluation. A bias is an input that is always 1, as in the paper.

    Attributes:
      width: number ``n`` of hidden units.
      out_dim: number ``n_y`` of outputs.
      activation: ``phi``: ``"identity"``, ``"relu"``, ``"leaky_relu"`` (slope 0.01), ``"abs"``,
        ``"erf"``, ``"gelu"``, ``"sin"``, ``"cos"``, ``"tanh"``, or a function of JAX arrays, an
        entry at a time.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.

    Raises:
      ValueError: if a size or variance is not positive and finite, or the activation is no name
        and no such function.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))  # 3 sequences, 5 steps, 2 inputs
      >>> model = nr.RNN(width=50, out_dim=1, activation="relu", nu_w=2.0, nu_f=1.0, nu_c=1.0)
      >>> params = model.init(jax.random.key(1), x)
      >>> {name: array.shape for name, array in sorted(params["params"].items())}
      {'C': (1, 50), 'F': (50, 2), 'W': (50, 50)}
      >>> model.apply(params, x).shape
      (3, 5, 1)
    """

    width: int
    out_dim: int
    activation: Activation
    nu_w: float | Float[AnyArray, ""] = 1.0
    nu_f: float | Float[AnyArray, ""] = 1.0
    nu_c: float | Float[AnyArray, ""] = 1.0

    def __post_init__(self) -> None:
        _checks.integer("width", self.width)
        _checks.integer("out_dim", self.out_dim)
        as_function(self.activation)
        _checks.variance(nu_w=self.nu_w, nu_f=self.nu_f, nu_c=self.nu_c)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[AnyArray, "N T n_x"]) -> Float[Array, "N T n_y"]:
        """Outputs ``y``, shape ``(N, T, n_y)``, to inputs ``x``, shape ``(N, T, n_x)``."""
        x = _checks.sequences("x", x)
        return _scan(as_function(self.activation), *_matrices(self, x), x)

    def _start_of_w(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """``W`` at the start."""
        return _normal(self.nu_w, dtype)(key, shape, dtype)


class ScaledConv(nn.Module):
    """Causal convolution with lag weights (eqs. 7 and 8): ``L_j = sqrt(rho_j) theta_j``.

    With the lag weights of a linear RNN (eq. 21) it has the neural tangent kernel that the RNN
    tends to as its width grows, at every ``theta``. With ``rho_j = 1`` it is the unscaled
    convolution (eq. 5). Lags beyond those of ``lag_weights`` are 0. Entries of
    ``theta (T, n_y, n_x)`` start from ``N(0, 1)``; ``params_from`` starts it from a given
    impulse response instead.

    Attributes:
      lag_weights: ``rho``, one number of at least 0 a lag, shape ``(T,)``; a lag of weight 0 is
        absent.
      out_dim: number ``n_y`` of outputs.

    Raises:
      ValueError: if ``out_dim`` is not positive, or a lag weight negative or not finite.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
      >>> rnn = nr.LinearRNN(width=50, out_dim=1, nu_w=0.3, nu_f=1.0, nu_c=1.0)
      >>> start = rnn.init(jax.random.key(1), x)
      >>> conv = nr.ScaledConv(lag_weights=nr.lag_weights(5, 0.3, 1.0, 1.0), out_dim=1)
      >>> params = conv.params_from(nr.impulse_response(start, 5))  # starts where the RNN does
      >>> params["params"]["theta"].shape
      (5, 1, 2)
      >>> np.allclose(conv.apply(params, x), rnn.apply(start, x), atol=1e-5)
      True
    """

    lag_weights: Sequence[float] | Float[AnyArray, " T"]
    out_dim: int

    def __post_init__(self) -> None:
        _checks.integer("out_dim", self.out_dim)
        # A tuple of numbers rather than an array, so that equal modules are equal and hash alike
        # and what is compiled for one is found again for the other.
        object.__setattr__(
            self, "lag_weights", _checks.weight_per_lag("lag_weights", self.lag_weights)
        )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[AnyArray, "N T n_x"]) -> Float[Array, "N T n_y"]:
        """Outputs ``y``, shape ``(N, T, n_y)``, to inputs ``x``, shape ``(N, T, n_x)``."""
        x = _checks.sequences("x", x)
        scale = self._scale(x.dtype)
        theta = parameter(
            self, "theta", _normal(1.0, x.dtype), (len(scale), self.out_dim, x.shape[2]), x
        )
        return convolved(scale * theta, x)  # (eq. 7, 8)

    def params_from(self, impulse_response: Float[AnyArray, "T n_y n_x"]) -> dict[str, Any]:
        """The parameters with which this convolution has a given impulse response.

        ``theta_j = L_j / sqrt(rho_j)``, shape ``(T, n_y, n_x)``; 0 where ``rho_j`` is 0.

        Raises:
          ValueError: if the impulse response has not this module's number of lags and outputs, or
            more than rounding at a lag of weight 0, which the convolution does not have.
        """
        response = _checks.impulse_response("impulse_response", impulse_response)
        scale = self._scale(response.dtype)
        _checks.same(
            "impulse_response.shape[:2]", response.shape[:2],
            "(len(lag_weights), out_dim)", (len(scale), self.out_dim), "lags and outputs",
        )  # fmt: skip
        present = jnp.broadcast_to(scale > 0, response.shape)
        if not (_checks.is_traced(response) or _checks.is_traced(present)):
            lost = jnp.max(jnp.abs(jnp.where(present, 0, response)), axis=(1, 2))
            lag = int(jnp.argmax(lost))
            if lost[lag] > jnp.finfo(response.dtype).eps * jnp.max(jnp.abs(response)):
                raise ValueError(
                    f"impulse_response must vanish where lag_weights are 0, got {lost[lag]:.2g} at "
                    f"lag {lag}; use fewer lags, or float64 if the weight underflowed"
                )
        return {
            "params": {"theta": jnp.where(present, response, 0) / jnp.where(scale > 0, scale, 1)}
        }

    def _scale(self, dtype: Any) -> Float[Array, "T 1 1"]:
        return jnp.sqrt(jnp.asarray(self.lag_weights, dtype))[:, None, None]


def _matrices(module: LinearRNN | RNN, x: Array) -> tuple[Array, Array, Array]:
    """The parameters ``W``, ``F`` and ``C`` of a recurrent network."""
    n, in_dim = module.width, x.shape[2]
    w = parameter(module, "W", module._start_of_w, (n, n), x)
    f = parameter(module, "F", _normal(module.nu_f, x.dtype), (n, in_dim), x)
    return w, f, parameter(module, "C", _normal(module.nu_c, x.dtype), (module.out_dim, n), x)


def _normal(variance: Any, dtype: Any) -> Initializer:
    """Entries ``N(0, variance)``."""
    return nn.initializers.normal(jnp.sqrt(jnp.asarray(variance, dtype)))


def parameter(
    module: nn.Module, name: str, start: Initializer, shape: tuple[int, ...], x: Array
) -> Array:
    """A parameter that starts from ``start(key, shape, dtype)``, with the type of the inputs."""
    given = module.get_variable("params", name)
    found = getattr(given, "shape", type(given).__name__)
    if given is not None and found != shape:
        raise ValueError(
            f"params must hold {name} of shape {shape} for this {type(module).__name__} and x of "
            f"shape {x.shape}, got {found}; pass what init returned for such x"
        )
    return module.param(name, start, shape, x.dtype)


def _scan(
    phi: Function,
    w: Float[Array, "n n"],
    f: Float[Array, "n n_x"],
    c: Float[Array, "n_y n"],
    x: Float[Array, "N T n_x"],
) -> Float[Array, "N T n_y"]:
    """The recurrence (eq. 1) step by step; inputs and outputs take one product for all times."""
    scale = w.shape[0] ** -0.5
    forcing = jnp.einsum("ntq,kq->tnk", x, f, precision="highest")

    def step(h: Array, force: Array) -> tuple[Array, Array]:
        h = phi(jnp.einsum("nk,lk->nl", h, w, precision="highest") * scale + force)
        return h, h

    _, states = lax.scan(step, jnp.zeros_like(forcing[0]), forcing)
    return jnp.einsum("tnk,pk->ntp", states, c, precision="highest") * scale
