"""The linear RNN in plain JAX: a ``lax.scan`` and what JAX derives from it."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Step = Callable[[Any, jax.Array, jax.Array], Any]


def outputs(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """``h_t = W h_{t-1} / sqrt(n) + F x_t``, ``y_t = C h_t / sqrt(n)``, shape ``(N, T, n_y)``."""
    w, f, c = params["W"], params["F"], params["C"]
    scale = w.shape[0] ** -0.5
    matmul = partial(jnp.matmul, precision="highest")

    def step(h: jax.Array, x_t: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = matmul(h, w.T) * scale + matmul(x_t, f.T)
        return h, matmul(h, c.T) * scale

    start = jnp.zeros((x.shape[0], w.shape[0]), x.dtype)
    return lax.scan(step, start, x.swapaxes(0, 1))[1].swapaxes(0, 1)


@jax.jit
def kernel(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """The tangent kernel by ``jax.jacobian``, a sequence at a time, shape ``(N, N, T, T)``."""
    num, seq_len, _ = x.shape

    def jacobian(sequence: jax.Array) -> Any:
        return jax.jacobian(lambda p: outputs(p, sequence[None])[0])(params)

    def gram(jac: jax.Array) -> jax.Array:
        flat = jac.reshape(num * seq_len, -1)
        product = jnp.matmul(flat, flat.T, precision="highest") / jac.shape[2]
        return product.reshape(num, seq_len, num, seq_len).transpose(0, 2, 1, 3)

    return functools.reduce(operator.add, map(gram, jax.tree.leaves(jax.vmap(jacobian)(x))))


@partial(jax.jit, static_argnums=0)
def train(
    apply_fn: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    data: tuple[jax.Array, jax.Array],
    batches: jax.Array,
    rate: float,
) -> Any:
    """Gradient descent on ``1/2 sum ||y_hat - y||^2``, as one compiled loop.

    Args:
      apply_fn: the model.
      params: where to start.
      data: all inputs and targets.
      batches: rows of the data that each step takes, shape ``(steps, size)``; of size 0 for all.
      rate: the learning rate.
    """

    def step(params: Any, rows: jax.Array) -> tuple[Any, None]:
        x, y = data if rows.size == 0 else (data[0][rows], data[1][rows])

        def loss(p: Any) -> jax.Array:
            return 0.5 * jnp.sum((apply_fn(p, x) - y) ** 2)

        return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params)), None

    return lax.scan(step, params, batches)[0]
