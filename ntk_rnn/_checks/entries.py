"""Checks that the entries of arrays and pytrees are finite."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_rnn._checks.inspection import is_traced

# Entries of an array that is not copied from its device in order to look at it.
_LARGE = 2**20


def finite(name: str, value: Any, remedy: str = "remove or impute the affected entries") -> None:
    """Raises ``ValueError`` if an array has NaN or infinite entries, saying how many and where."""
    if is_traced(value):
        return
    spread = isinstance(value, jax.Array) and not value.is_fully_addressable
    if isinstance(value, jax.Array) and (len(value.sharding.device_set) > 1 or value.size > _LARGE):
        # Looked at where it is, also while something else is traced.
        with jax.ensure_compile_time_eval():
            if jnp.all(jnp.isfinite(value)):
                return
    if spread:  # over processes, none of which can say where
        raise ValueError(f"{name} must be finite, got NaN or infinite entries; {remedy}")
    array = np.asarray(value)
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite, got {int(bad.sum())} NaN or infinite of {array.size} entries, "
            f"the first at index {first}; {remedy}"
        )


def finite_leaves(name: str, tree: Any) -> None:
    """Raises ``ValueError`` if a floating array in a pytree has NaN or infinite entries."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        dtype = getattr(leaf, "dtype", None)
        if dtype is not None and jnp.issubdtype(dtype, jnp.inexact):
            where = name + jax.tree_util.keystr(path)
            finite(where, leaf, "take those of an earlier step")
