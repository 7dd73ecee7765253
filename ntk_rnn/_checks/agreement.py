"""Checks of what arguments must share: sizes, types and devices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ntk_rnn._checks.inspection import is_traced


def same(name1: str, value1: Any, name2: str, value2: Any, what: str) -> None:
    """Raises ``ValueError`` unless two quantities that must agree are equal."""
    if value1 != value2:
        raise ValueError(
            f"{name1} and {name2} must have the same {what}, got {value1} and {value2}"
        )


def one_dtype(name: str, **arrays: jax.Array) -> None:
    """Raises ``ValueError`` unless the named arrays are of one type."""
    if len(set(map(jnp.result_type, arrays.values()))) > 1:
        found = ", ".join(f"{array.dtype} for {each}" for each, array in arrays.items())
        raise ValueError(f"{name} must be of one dtype, got {found}")


def common_type(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Arrays in the one type that holds them all, also where JAX is told not to promote."""
    dtype = arrays[0].dtype
    for array in arrays[1:]:
        dtype = jnp.promote_types(dtype, array.dtype)
    return tuple(array.astype(dtype) for array in arrays)


def same_devices(**named: Any) -> None:
    """Raises ``ValueError`` if arrays among the named arguments are bound to different devices.

    Those that nobody has placed go to where the others are, as do traced ones and NumPy's.
    """
    first, place = "", frozenset[Any]()
    for name, tree in named.items():
        for leaf in jax.tree.leaves(tree):
            if not isinstance(leaf, jax.Array) or is_traced(leaf) or not leaf.committed:
                continue
            devices = frozenset(leaf.sharding.device_set)
            if first and devices != place:
                here, there = (", ".join(sorted(map(str, each))) for each in (place, devices))
                raise ValueError(
                    f"{first} and {name} must be on the same devices, got {here:.60} and "
                    f"{there:.60}; split parameters by shard_params and sequences by "
                    "shard_sequences over one mesh, or move one by jax.device_put"
                )
            first, place = name, devices
