"""Several devices: the rows of ``W`` and the sequences of a data set, split over a mesh.

The functions of this library are the same on one device and on many, because what is split follows
from where the arrays lie. ``ntk_rnn.guide.devices`` has the recipe, for one host and for many.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from ntk_rnn import _checks
from ntk_rnn._types import Params
from ntk_rnn.impulse import rnn_matrices
from ntk_rnn.products.panels import Panels
from ntk_rnn.products.wide import WideRNN


def shard_params(
    params: Params | WideRNN, mesh: Mesh, *, axis: str | tuple[str, ...] | None = None
) -> dict[str, Any] | WideRNN:
    """Parameters of a linear RNN, split over a mesh along its width.

    Each device holds ``n / devices`` rows of ``W (n, n)`` and ``F (n, n_x)``, and as many columns
    of ``C (n_y, n)``; of a ``wide_rnn`` as many rows of ``F``, columns of ``C`` and rows of all
    products, those to come too. What is computed from them is split alike; trained parameters stay
    split.

    Args:
      params: what ``init`` of a ``LinearRNN`` returned, or a ``wide_rnn``; with several processes,
        the same in each.
      mesh: the devices. How axes are used is left to the compiler, also for a mesh with explicit
        axes.
      axis: the axis of the mesh along which to split, or several; all of them if ``None``.

    Returns:
      The parameters, in the same form.

    Raises:
      ValueError: if ``params`` are not those of a linear RNN, ``axis`` is not one of the mesh, or
        the mesh does not divide the width.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.numpy.ones((3, 5, 2))
      >>> width = 50 * len(jax.devices())
      >>> params = nr.LinearRNN(width, out_dim=1).init(jax.random.key(0), x)
      >>> mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
      >>> params = nr.shard_params(params, mesh)
      >>> params["params"]["W"].addressable_shards[0].data.shape[0]  # rows on the first device
      50
    """
    matrices = (params.f, params.c) if isinstance(params, WideRNN) else rnn_matrices(params)
    names = _axis_names(mesh, axis)
    rows, columns = PartitionSpec(names, None), PartitionSpec(None, names)
    width = len(matrices[0])
    size = math.prod(mesh.shape[name] for name in names)
    if width % size:
        raise ValueError(
            f"mesh must divide the width n, got {size} devices along {names} and n = {width}; "
            f"take a width of {-(-width // size) * size}, or a mesh of {math.gcd(width, size)}"
        )
    if isinstance(params, WideRNN):
        everywhere = NamedSharding(Mesh(mesh.devices, mesh.axis_names), PartitionSpec())
        source, rank = jax.device_put((params.source, params.panels.rank), everywhere)
        basis, forward, backward = (_placed(panel, mesh, rows) for panel in params.panels[:3])
        f, c = _placed(params.f, mesh, rows), _placed(params.c, mesh, columns)
        return WideRNN(source, f, c, Panels(basis, forward, backward, rank))
    w, f, c = rnn_matrices(params)
    return {
        "params": {
            "W": _placed(w, mesh, rows), "F": _placed(f, mesh, rows), "C": _placed(c, mesh, columns)
        }
    }  # fmt: skip


def shard_sequences(x: Any, mesh: Mesh, *, axis: str | tuple[str, ...] | None = None) -> Any:
    """Sequences, split over a mesh: each device holds ``N / devices`` of them.

    Args:
      x: inputs, targets or weights, any array of shape ``(N, ...)`` or pytree of such; with several
        processes, the same in each. Processes that have only their own sequences pass them to
        ``jax.make_array_from_process_local_data`` instead.
      mesh: the devices.
      axis: the axis of the mesh along which to split, or several; all of them if ``None``.

    Returns:
      The same numbers, split along the first axis. A kernel of them is split as well.

    Raises:
      ValueError: if an array is empty, ``axis`` is not one of the mesh, or the mesh does not divide
        the number of sequences. None are added here: padding is data to a kernel, and to a loss
        without weights.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
      >>> x = nr.shard_sequences(jax.numpy.ones((4 * len(jax.devices()), 5, 2)), mesh)
      >>> x.addressable_shards[0].data.shape  # on the first device
      (4, 5, 2)
    """
    names = _axis_names(mesh, axis)
    size = math.prod(mesh.shape[name] for name in names)

    def split(array: Any) -> jax.Array:
        # Arrays of NumPy remain what they are, for no device is to hold them as a whole.
        array = _checks.fitting("x", _checks.numbers("x", array, or_complex=True))
        if not array.ndim or 0 in array.shape:
            raise ValueError(
                f"x must have shape (N, ...) and not be empty, got shape {array.shape}"
            )
        num = array.shape[0]
        if num % size:
            raise ValueError(
                f"mesh must divide the number of sequences N, got {size} devices along {names} and "
                f"N = {num}; leave out {num % size}, take a mesh of {math.gcd(num, size)}, or, "
                f"where weights are taken, add {-num % size} of weight 0"
            )
        return _placed(array, mesh, PartitionSpec(names))

    if not jax.tree.leaves(x):
        raise ValueError(
            f"x must hold at least one array of sequences, got {_checks.shown(x)}; leave out what "
            "there is not"
        )
    return jax.tree.map(split, x)


def _axis_names(mesh: Mesh, axis: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if not isinstance(mesh, Mesh) or not mesh.axis_names:
        raise ValueError(
            f"mesh must be a jax.sharding.Mesh with an axis, got {_checks.shown(mesh)}; e.g. "
            'jax.sharding.Mesh(jax.devices(), ("devices",))'
        )
    names = mesh.axis_names if axis is None else (axis,) if isinstance(axis, str) else axis
    good = isinstance(names, tuple | list) and names and all(n in mesh.axis_names for n in names)
    if not good or len(set(names)) < len(names):
        raise ValueError(
            f"axis must be among those of the mesh, {mesh.axis_names}, got {_checks.shown(axis)}; "
            "leave it out for all of them"
        )
    return tuple(names)


def _placed(array: Any, mesh: Mesh, spec: PartitionSpec) -> jax.Array:
    # With explicit axes, each operation would have to be told how to split its result.
    sharding = NamedSharding(Mesh(mesh.devices, mesh.axis_names), spec)
    if _checks.is_traced(array):
        return jax.lax.with_sharding_constraint(array, sharding)
    spread = isinstance(array, jax.Array) and not array.is_fully_addressable
    if jax.process_count() == 1 or spread:
        return jax.device_put(array, sharding)
    # Every process has the whole array and need not ask another one whether theirs is the same.
    whole = np.asarray(array)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def split_like(params: Any, tree: Any) -> tuple[NamedSharding | None, ...]:
    """How to split arrays that have the shapes of parameters, such as an optimizer's moments.

    An array is split here, and by ``bound_together``, as a compiled loop leaves it at its end. If
    it were split in another way, the next call would be compiled once more.

    Args:
      params: parameters, split over devices or not.
      tree: a pytree of shapes, each that of a parameter, with any axes in front, or another one.

    Returns:
      A sharding for each leaf of ``tree``, or ``None`` where it is left to JAX; no entries at all
      if no parameter is split.
    """
    splits: dict[tuple[int, ...], NamedSharding] = {}
    for leaf in jax.tree.leaves(params):
        if isinstance(leaf.sharding, NamedSharding):
            splits[leaf.shape] = _shortened(leaf.sharding)
    places: list[NamedSharding | None] = []
    for leaf in jax.tree.leaves(tree) if splits else ():
        places.append(None)
        for own, split in splits.items():
            front = len(leaf.shape) - len(own)
            if front >= 0 and leaf.shape[front:] == own:
                places[-1] = NamedSharding(split.mesh, PartitionSpec(*[None] * front, *split.spec))
                break
    return tuple(places)


def bound_together(state: Any, problem: Any) -> Any:
    """``state``, all bound to the devices to which a part of it or of ``problem`` is bound."""
    for array in jax.tree.leaves((state, problem)):
        if isinstance(array, jax.Array) and array.committed:
            bound = array.sharding
            break
    else:
        return state
    everywhere = bound
    if isinstance(bound, NamedSharding):
        everywhere = NamedSharding(bound.mesh, PartitionSpec())

    def place(array: jax.Array) -> Sharding:
        own = array.sharding
        if not array.committed:
            return everywhere
        return _shortened(own) if isinstance(own, NamedSharding) else own

    return jax.device_put(state, jax.tree.map(place, state))


def _shortened(sharding: NamedSharding) -> NamedSharding:
    """How an array is split, as the compiler writes it: without unsplit axes at the end."""
    spec = list(sharding.spec)
    while spec and spec[-1] is None:
        spec.pop()
    return NamedSharding(sharding.mesh, PartitionSpec(*spec))
