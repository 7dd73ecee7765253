"""The largest learning rate at which training in a subspace is stable where it starts."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn.objective import DataSet
from ntk_rnn.products.panels import length
from ntk_rnn.products.small import Small, chains_of, gradient_of, response_of
from ntk_rnn.training.subspace.loop import Setting

# So many, the cost of a step each, come near enough to the largest eigenvalue.
_ITERATIONS = 20


@partial(jax.jit, static_argnums=0)
def largest_singular_value(
    setting: Setting, scale: Float[Array, ""], data: DataSet, small: Small
) -> Float[Array, ""]:
    """That of the derivative of the errors on the data by the parameters, from below.

    With ``H`` the second derivative of the loss by the impulse response, and ``G`` the Gram matrix
    of the latter's gradients, it is the root of the largest eigenvalue of ``H^{1/2} G H^{1/2}``.
    For any ``z``, ``z^T H G H z / z^T H z`` is not above that; power iteration has it rise.

    Args:
      setting: how the network is trained.
      scale: ``1 / sqrt(n)``.
      data: training data.
      small: the network before training.
    """
    chains = chains_of(small, scale, data.shape[0])
    response = response_of(small, chains, scale)
    slope = jax.grad(partial(data.loss_of_response, loss=setting.loss))
    _, by_response = jax.linearize(slope, response)
    pull = partial(gradient_of, chains, scale=scale)
    push = jax.linear_transpose(lambda slope: pull(slope=slope), response)

    def improve(_: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        z, _ = state
        h_z = by_response(z)
        change = pull(slope=h_z)
        size, square = length(jnp.stack([*map(length, change)])), jnp.sum(z * h_z)
        value = jnp.where(square > 0, size / jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        (product,) = push(change)
        norm = length(product)
        return product / jnp.where(norm > 0, norm, 1), value

    start = jax.random.normal(jax.random.key(0), response.shape, response.dtype)
    nothing = jnp.zeros((), response.dtype)
    return lax.fori_loop(0, _ITERATIONS, improve, (start / length(start), nothing))[1]
