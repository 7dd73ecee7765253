"""Whether a model is a causal linear map of sequences that is the same at all times, by trying it.

Such a map is the convolution with its impulse response (eq. 5). It is linear, and to delay its
inputs delays its outputs. That outputs do not depend on later inputs follows from this, but it is
tried as well, so that a message can say so.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._networks import Network

# Rounding alone stays below this, relative to the outputs, or below so many times the precision.
_TO, _ROUNDINGS = 1e-3, 8

# What a model may not be, in the order in which it is tried.
_WORDS = (
    "gives equal sequences of a batch different outputs",
    "has outputs where all inputs are 0, as a bias adds them",
    "is not linear in its inputs",
    "is not causal",
    "is not the same at all times",
)


def departure(network: Network, params: Any, shape: tuple[int, int], dtype: Any) -> str:
    """What a model is that a causal linear time-invariant map is not, and by how much.

    A model that seems linear at the start may not be, if it is small there. So it is tried at
    parameters of order 1 as well, and at inputs that give outputs of order 10.

    Args:
      network: the model.
      params: its trainable parameters.
      shape: length ``T`` and number ``n_x`` of its inputs.
      dtype: their type.

    Returns:
      In words, with the size relative to its outputs; nothing for such a map, and where JAX traces
      the model, whose outputs cannot be looked at.
    """
    if _checks.is_traced((network, params)):
        return ""
    x = jax.random.normal(jax.random.key(0), (2, *shape), dtype)
    allowed = max(_TO, _ROUNDINGS * float(jnp.finfo(dtype).eps))
    for at, where in ((params, ""), (_moved(params), ", at parameters near these")):
        sizes = _departures(network, at, x)
        if _checks.is_traced(sizes):  # by what the model closes over
            return ""
        for word, size in zip(_WORDS, map(float, sizes), strict=True):
            if size > allowed:
                return f"{word} (by {size:.2g}, relative to its outputs{where})"
            if size != size and not where:  # far from the given parameters it may well overflow
                return "has outputs that are not finite for some inputs of order 1 or 10"
    return ""


@jax.jit
def _departures(
    network: Network, params: Any, x: Float[Array, "2 T n_x"]
) -> tuple[Float[Array, ""], ...]:
    """The sizes of what ``_WORDS`` say, relative to the outputs for the first of two sequences.

    Of several outputs it is the largest size, each relative to its own output.
    """
    half = x.shape[1] // 2
    first, other = x
    late = _delayed(first)
    cut = jnp.concatenate([first[:half], other[half:]])
    given = jnp.stack([first, first, jnp.zeros_like(first), other, first + other, late, cut])
    outputs = network(params, given).reshape(*given.shape[:2], -1)
    unit = jnp.max(jnp.abs(outputs[0]), axis=0)
    unit = jnp.where(unit > 0, unit, 1)
    # So large that the smallest output is of order 10, and no output is near overflow.
    most = float(jnp.finfo(x.dtype).max) ** 0.5
    factor = jnp.minimum(10 / jnp.min(unit), most / jnp.max(unit))
    (large,) = network(params, factor * first[None])
    alone, again, none, second, both, after, until = outputs / unit[None, None]
    large = large.reshape(alone.shape) / factor / unit[None]

    def relative(*gaps: Array) -> Float[Array, ""]:
        sizes = jnp.stack([jnp.linalg.norm(each, axis=0) for each in gaps])
        return jnp.max(jnp.where(sizes == 0, 0, sizes / jnp.linalg.norm(alone, axis=0)[None]))

    return (
        relative(again - alone),
        relative(none),
        relative(both - alone - second, large - alone),
        relative((until - alone)[:half]),
        relative(after - _delayed(alone)),
    )


def _delayed(x: Float[Array, "T k"]) -> Float[Array, "T k"]:
    return jnp.pad(x, ((1, 0), (0, 0)))[:-1]


@jax.jit
def _moved(params: Any) -> Any:
    """Parameters moved at random, by numbers of order 1."""

    def move(index: int, leaf: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(1), index)
        return leaf + jax.random.normal(key, leaf.shape, leaf.dtype)

    leaves, structure = jax.tree.flatten(params)
    return jax.tree.unflatten(structure, [move(*item) for item in enumerate(leaves)])
