"""The state of a run as arrays on the host, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Snapshot(NamedTuple):
    """A step, and what the steps to come depend on.

    Attributes:
      step: number of steps taken.
      params: the parameters, as NumPy arrays.
      opt_state: the state of the optimizer, as NumPy arrays.
    """

    step: int
    params: Any
    opt_state: Any


def take_snapshot(step: int, params: Any, opt_state: Any) -> Snapshot:
    """Copies to the host, so that the memory of the originals may be reused."""
    return Snapshot(step, jax.tree.map(_to_host, params), jax.tree.map(_to_host, opt_state))


def on_devices(copies: Any, like: Any) -> Any:
    """Host copies as arrays on the devices of ``like``, whose memory may be in other use."""
    return jax.tree.map(_on_device, copies, like)


def stored(snapshot: Snapshot) -> dict[str, Any]:
    """What orbax can store: leaves by number, since it may take two names of a tree for one.

    A number stands for each array without entries, which it cannot store either.
    """

    def numbered(tree: Any) -> dict[str, np.ndarray]:
        leaves = enumerate(jax.tree.leaves(tree))
        return {f"{i:04d}": a if a.size else np.zeros((), a.dtype) for i, a in leaves}

    return {"params": numbered(snapshot.params), "optimizer": numbered(snapshot.opt_state)}


def restored(step: int, tree: dict[str, Any], template: Snapshot) -> Snapshot:
    """The snapshot of what ``stored`` made, with the structure of ``template``."""
    leaves = [
        tree[part][name] for part in ("params", "optimizer") for name in sorted(tree[part], key=int)
    ]
    own, structure = jax.tree.flatten(template[1:])
    kept = [leaf if a.size else a for a, leaf in zip(own, leaves, strict=True)]
    return Snapshot(step, *jax.tree.unflatten(structure, kept))


def _on_device(copy: np.ndarray, like: jax.Array) -> jax.Array:
    impl = _key_impl(like)
    if impl is not None:
        return jax.random.wrap_key_data(jnp.asarray(copy), impl=impl)
    # An array that JAX may move stays movable, or functions that take it would be compiled anew.
    # The array is going to be overwritten, which the copy must not be.
    return jax.device_put(copy, like.sharding if like.committed else None, may_alias=False)


def plain(array: Any) -> Any:
    """``array``, or the numbers of its random keys."""
    return array if _key_impl(array) is None else jax.random.key_data(array)


def _key_impl(array: Any) -> Any:
    is_key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return jax.random.key_impl(array) if is_key else None


def _to_host(array: Any) -> np.ndarray:
    return np.array(plain(array), copy=True)
