"""Mini-batches: the order of the data, which follows from a key and the step alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.training.objective import Data


def check_batches(batch_size: Any, key: Any, data: Data) -> int:
    """The number of steps an epoch: ``N // batch_size``, or 1 without mini-batches.

    Raises:
      ValueError: if ``batch_size`` is not between 1 and ``N``, or mini-batches have no key or
        compressed data.
    """
    if batch_size is None:
        return 1
    size = _checks.positive_int("batch_size", batch_size)
    if isinstance(data, CompressedData):
        raise ValueError(
            "batch_size must be left out with compressed data, which a step takes whole, got "
            f"{size}; pass the sequences (x, y) for mini-batches"
        )
    num = len(data[0])
    if size > num:
        raise ValueError(
            f"batch_size must be at most the number of sequences, {num}, got {size}; leave it out "
            "for the full batch"
        )
    if key is None:
        raise ValueError(
            "key must be given with batch_size, for the order of the data, got None; pass "
            "jax.random.key(0), say"
        )
    if not isinstance(key, jax.Array) or (
        key.ndim != 0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key.ndim != 1
    ):
        raise ValueError(
            "key must be a single random key, as of jax.random.key(0), got "
            + (f"shape {key.shape}" if isinstance(key, jax.Array) else type(key).__name__)
        )
    return num // size


@partial(jax.jit, static_argnums=2)
def epoch_order(key: Array, epoch: Any, num: int) -> Int[Array, " N"]:
    """The order in which an epoch goes through the sequences: a permutation of its own."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), num)


def take_batch(
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N T n_y"]],
    order: Int[Array, " N"],
    index: Int[Array, ""],
    size: int,
) -> tuple[Float[Array, "b T n_x"], Float[Array, "b T n_y"]]:
    """Batch ``index`` of an epoch: ``size`` sequences that stand one after the other in order."""
    x, y = map(jnp.asarray, data)
    rows = lax.dynamic_slice_in_dim(order, index * size, size)
    return x[rows], y[rows]
