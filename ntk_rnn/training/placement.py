"""Where the state of a run lies: on the devices of its parameters and data, split as they are.

What is said here of an array is what the compiled loop of a run says of it at the end of a chunk.
If it said something else, the next chunk would be compiled once more.
"""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec, Sharding


def beside(params: Any, tree: Any) -> tuple[NamedSharding | None, ...]:
    """How to split arrays that are of the shape of parameters, as a moment of each of them is.

    Args:
      params: parameters, split over devices or not.
      tree: a pytree of shapes, each that of a parameter, with any axes in front, or another one.

    Returns:
      One for each leaf of ``tree``; ``None`` where nothing is said.
    """
    splits = {leaf.shape: _split(leaf) for leaf in jax.tree.leaves(params)}

    def place(shape: tuple[int, ...]) -> NamedSharding | None:
        for own, split in splits.items():
            front = len(shape) - len(own)
            if split is not None and front >= 0 and shape[front:] == own:
                return NamedSharding(split.mesh, PartitionSpec(*[None] * front, *split.spec))
        return None

    return tuple(place(leaf.shape) for leaf in jax.tree.leaves(tree))


def settled(state: Any, problem: Any) -> Any:
    """``state``, all of it bound to the devices to which some of it, or of ``problem``, is."""
    arrays = [a for a in jax.tree.leaves((state, problem)) if isinstance(a, jax.Array)]
    bound = next((a.sharding for a in arrays if a.committed), None)
    if bound is None:
        return state
    everywhere = bound
    if isinstance(bound, NamedSharding):
        everywhere = NamedSharding(bound.mesh, PartitionSpec())

    def place(array: jax.Array) -> Sharding:
        return (_split(array) or array.sharding) if array.committed else everywhere

    return jax.device_put(state, jax.tree.map(place, state))


def _split(array: jax.Array) -> NamedSharding | None:
    """How an array is split, in as few words as the compiler uses; ``None`` if it is not."""
    sharding = array.sharding
    if not isinstance(sharding, NamedSharding):
        return None
    spec = list(sharding.spec)
    while spec and spec[-1] is None:
        spec.pop()
    return NamedSharding(sharding.mesh, PartitionSpec(*spec))
