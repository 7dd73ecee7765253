"""Checks of sequences, and of pairs of inputs and targets."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_rnn._checks.agreement import common_type, same, same_devices
from ntk_rnn._checks.arrays import computed, not_empty, numbers, real
from ntk_rnn._checks.inspection import is_traced


def sequences(name: str, x: Any) -> jax.Array:
    """``x`` as a floating array of shape ``(N, T, features)`` with nothing empty.

    Raises:
      ValueError: if the rank is not 3, a dimension is 0, or concrete entries are not finite.
    """
    array = numbers(name, x)
    if array.ndim != 3:
        raise ValueError(
            f"{name} must have shape (sequences, time steps, features), got shape {array.shape}; "
            f"add the missing axis, e.g. {name}[..., None] for one feature"
        )
    not_empty(name, array.shape)
    return real(name, array)


def both_sequences(x1: Any, x2: Any) -> tuple[jax.Array, ...]:
    """The arguments ``x1`` and ``x2`` of a kernel as sequences that match; ``x1`` twice for one.

    They may differ in length, and are of one type of at least float32.
    """
    x1 = sequences("x1", x1)
    x2 = x1 if x2 is None else sequences("x2", x2)
    same("x1.shape[2]", x1.shape[2], "x2.shape[2]", x2.shape[2], "number of inputs")
    same_devices(x1=x1, x2=x2)
    return common_type(computed(x1), computed(x2))


def lengths(name: str, value: Any, x: jax.Array) -> jax.Array:
    """Numbers of steps of the sequences ``x (N, T, n_x)``, shape ``(N,)``; ``T`` for ``None``.

    Raises:
      ValueError: if they are not ``N`` whole numbers from 1 to ``T``.
    """
    num, seq_len, _ = x.shape
    if value is None:
        return jnp.full(num, seq_len, jnp.int32)
    array = numbers(name, value)
    if array.shape != (num,) or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(
            f"{name} must be whole numbers of steps, one for each of {num} sequences, got shape "
            f"{array.shape} of {array.dtype}"
        )
    if not is_traced(array):
        bad = np.asarray(array)[(np.asarray(array) < 1) | (np.asarray(array) > seq_len)]
        if bad.size:
            raise ValueError(
                f"{name} must be from 1 to {seq_len}, the number of steps of x, got {bad[0]}"
            )
    return jnp.asarray(array).astype(jnp.int32)


def pair(name: str, data: Any) -> tuple[Any, Any]:
    """``data`` if it is a pair; raises ``ValueError`` for anything else."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(
            f"{name} must be a pair (inputs, targets), got {type(data).__name__}"
            + (f" of length {len(data)}" if isinstance(data, tuple | list) else "")
            + "; pass (x, y)"
        )
    return data[0], data[1]


def inputs_and_targets(name: str, data: Any) -> tuple[jax.Array, jax.Array]:
    """``data`` as a pair of sequences ``x (N, T, n_x)`` and ``N`` targets of any shape."""
    given_x, given_y = pair(name, data)
    x, y = sequences(f"{name}[0]", given_x), real(f"{name}[1]", given_y)
    same(
        f"len({name}[0])", len(x), f"len({name}[1])", y.shape[0] if y.ndim else 0,
        "number of sequences",
    )  # fmt: skip
    return _together(name, x, y)


def data_set(name: str, data: Any) -> tuple[jax.Array, jax.Array]:
    """``data`` as a pair of sequences ``x (N, T, n_x)`` and ``y (N, T, n_y)`` that match."""
    given_x, given_y = pair(name, data)
    x, y = sequences(f"{name}[0]", given_x), sequences(f"{name}[1]", given_y)
    same(
        f"{name}[0].shape[:2]", x.shape[:2], f"{name}[1].shape[:2]", y.shape[:2],
        "number and length of sequences",
    )  # fmt: skip
    return _together(name, x, y)


def _together(name: str, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Inputs and targets in one type, after a check that they are on the same devices."""
    same_devices(**{f"{name}[0]": x, f"{name}[1]": y})
    inputs, targets = common_type(x, y)
    return inputs, targets
