"""Several devices: the rows of ``W`` and the sequences of a data set, split over a mesh.

The functions of this library are the same on one device and on many. What is split is said once,
by where the arrays lie, and JAX compiles the exchanges between devices::

    mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
    params = nr.shard_params(params, mesh)      # W by rows: width / devices of them on each
    x, y = nr.shard_sequences((x, y), mesh)     # N / devices sequences on each
    kernel = nr.finite_width_gram(params, T).ntk(x)
    path = nr.gradient_descent(model, params, (x, y), steps=1000, learning_rate=1e-4)

No device ever holds all of ``W``, neither in the chains of the impulse response nor in a training
step: what goes round is of the size of a chain, ``T n min(n_x, n_y)``. At ``n = 2048`` each of
eight devices keeps 2.1 of the 17 MB of ``W``, and a training step takes 2.2 MB more.
A ``W`` too large for one device is drawn where it belongs, by
``jax.jit(lambda key: nr.shard_params(model.init(key, x), mesh))(key)``. This is so for
``evaluation="impulse"``, which ``"auto"`` takes for all but few or short sequences. Stepped through
time, ``"scan"``, a device may have to gather ``W``, unless sequences lie along another axis of the
mesh than its rows::

    mesh = jax.sharding.Mesh(np.reshape(jax.devices(), (2, 4)), ("data", "width"))
    params = nr.shard_params(params, mesh, axis="width")
    x, y = nr.shard_sequences((x, y), mesh, axis="data")

``empirical_ntk`` gives the same numbers on split arrays, but gathers Jacobians, of the size of all
parameters for every sequence and time: ``finite_width_gram`` does not.

**Several hosts.** Start the same script on each; every process gets the same arrays (draw them
from the same seed or read the same file), and keeps its part of them::

    from jax.experimental.multihost_utils import process_allgather

    jax.distributed.initialize("host0:1234", num_processes=2, process_id=rank)  # first of all
    mesh = jax.sharding.Mesh(jax.devices(), ("devices",))    # the devices of all hosts
    params, data = nr.shard_params(params, mesh), nr.shard_sequences((x, y), mesh)
    train = jax.jit(lambda p, d: nr.gradient_descent(model, p, d, steps=9, learning_rate=1e-4))
    path = train(params, data)
    response = process_allgather(path.impulse_response, tiled=True)  # whole, on every host

On a cluster that Slurm, Open MPI or Kubernetes manages, and on Cloud TPUs,
``jax.distributed.initialize()`` finds the arguments itself. No process can look at arrays that
are spread over all: compile what takes them with ``jax.jit``, as here, which leaves out the checks
of their entries, and let ``process_allgather`` fetch the parts of a result. Data sets are
compressed by ``nr.compress_shards``, each part where it is. All processes must make the same calls
in the same order. Two processes of one computer do for a trial: pass ``"localhost:1234"``, and set
``JAX_PLATFORMS=cpu``.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntk_rnn import _checks
from ntk_rnn._types import Params
from ntk_rnn.impulse import rnn_matrices


def shard_params(
    params: Params, mesh: Mesh, *, axis: str | tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Parameters of a linear RNN, split over a mesh along its width.

    Each device holds ``n / devices`` rows of ``W (n, n)`` and ``F (n, n_x)``, and as many columns
    of ``C (n_y, n)``. What is computed from them is split alike; trained parameters stay split.

    Args:
      params: what ``LinearRNN.init`` returned; with several processes, the same in each.
      mesh: the devices. How axes are used is left to the compiler, also for a mesh with explicit
        axes.
      axis: the axis of the mesh along which to split, or several; all of them if ``None``.

    Returns:
      The parameters, in the same form.

    Raises:
      ValueError: if ``params`` are not those of a linear RNN, ``axis`` is not one of the mesh, or
        the mesh does not divide the width.
    """
    w, f, c = rnn_matrices(params)
    names = _axis_names(mesh, axis)
    size, width = math.prod(mesh.shape[name] for name in names), w.shape[0]
    if width % size:
        raise ValueError(
            f"mesh must divide the width n, got {size} devices along {names} and n = {width}; "
            f"take a width of {-(-width // size) * size}, or a mesh of {math.gcd(width, size)}"
        )
    return {
        "params": {
            "W": _placed(w, mesh, PartitionSpec(names, None)),
            "F": _placed(f, mesh, PartitionSpec(names, None)),
            "C": _placed(c, mesh, PartitionSpec(None, names)),
        }
    }


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
    """
    names = _axis_names(mesh, axis)
    size = math.prod(mesh.shape[name] for name in names)

    def split(array: Any) -> jax.Array:
        shape = np.shape(array)
        if not shape or 0 in shape:
            raise ValueError(f"x must have shape (N, ...) and not be empty, got shape {shape}")
        num = shape[0]
        if num % size:
            raise ValueError(
                f"mesh must divide the number of sequences N, got {size} devices along {names} and "
                f"N = {num}; leave out {num % size}, take a mesh of {math.gcd(num, size)}, or, "
                f"where weights are taken, add {-num % size} of weight 0"
            )
        return _placed(array, mesh, PartitionSpec(names))

    return jax.tree.map(split, x)


def _axis_names(mesh: Mesh, axis: str | tuple[str, ...] | None) -> tuple[str, ...]:
    names = mesh.axis_names if axis is None else (axis,) if isinstance(axis, str) else tuple(axis)
    missing = [name for name in names if name not in mesh.axis_names]
    if missing:
        raise ValueError(f"axis must be among those of the mesh, {mesh.axis_names}, got {axis!r}")
    return names


def _placed(array: Any, mesh: Mesh, spec: PartitionSpec) -> jax.Array:
    # With explicit axes, each operation would have to be told how to split its result.
    sharding = NamedSharding(Mesh(mesh.devices, mesh.axis_names), spec)
    if _checks.is_traced(array):
        return jax.lax.with_sharding_constraint(array, sharding)
    spread = isinstance(array, jax.Array) and not array.is_fully_addressable
    if jax.process_count() == 1 or spread:
        return jax.device_put(array, sharding)
    # Every process has the whole, and need not ask another one whether it is the same.
    whole = np.asarray(array)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
