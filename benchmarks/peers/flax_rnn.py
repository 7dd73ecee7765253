"""The linear RNN as Flax has it: a cell in ``flax.linen.RNN``, trained by optax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax


class LinearCell(nn.RNNCellBase):
    """``h_t = W h_{t-1} / sqrt(n) + F x_t``."""

    width: int

    @nn.compact
    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The next state, twice: to go on with, and to put out."""
        dense = partial(nn.Dense, self.width, use_bias=False, precision="highest")
        carry = dense(name="W")(carry) * self.width**-0.5 + dense(name="F")(inputs)
        return carry, carry

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> jax.Array:
        """Zero, as the recurrence has it."""
        del rng
        return jnp.zeros((*input_shape[:-1], self.width))

    @property
    def num_feature_axes(self) -> int:
        """Axes of an input that are no batch."""
        return 1


class Network(nn.Module):
    """The cell over time, and ``y_t = C h_t / sqrt(n)``."""

    width: int
    out_dim: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Outputs, shape ``(N, T, n_y)``."""
        states = nn.RNN(LinearCell(self.width, name="cell"))(x)
        dense = nn.Dense(self.out_dim, use_bias=False, precision="highest", name="C")
        return dense(states) * self.width**-0.5


def from_ours(params: Any) -> dict[str, Any]:
    """Our parameters in the places that Flax gives them."""
    w, f, c = (params["params"][name].T for name in "WFC")
    return {"params": {"cell": {"W": {"kernel": w}, "F": {"kernel": f}}, "C": {"kernel": c}}}


def to_ours(params: Any) -> dict[str, Any]:
    """The parameters where ours are."""
    inner = params["params"]
    parts = {"W": inner["cell"]["W"], "F": inner["cell"]["F"], "C": inner["C"]}
    return {"params": {name: part["kernel"].T for name, part in parts.items()}}


@partial(jax.jit, static_argnums=0)
def train(
    model: Network,
    params: Any,
    data: tuple[jax.Array, jax.Array],
    batches: jax.Array,
    rate: float,
) -> Any:
    """As ``jax_rnn.train``, with ``optax.sgd``."""
    optimizer = optax.sgd(rate)
    apply_fn: Callable[..., Any] = model.apply

    def step(state: tuple[Any, Any], rows: jax.Array) -> tuple[tuple[Any, Any], None]:
        params, opt_state = state
        x, y = data if rows.size == 0 else (data[0][rows], data[1][rows])

        def loss(p: Any) -> jax.Array:
            return jnp.sum(optax.l2_loss(apply_fn(p, x), y))

        updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state)
        return (optax.apply_updates(params, updates), opt_state), None

    return lax.scan(step, (params, optimizer.init(params)), batches)[0][0]
