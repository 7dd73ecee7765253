"""Compressed data in parts: data sets that are spread over several devices or processes.

The triangle of stacked rows is that of the stacked triangles, so each part is compressed where it
is, and what is sent does not depend on the number of sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._namespace import float64
from ntk_rnn.compression.blocks import Block, factor_of
from ntk_rnn.compression.triangle import CompressedData, centred, compress


def merge_compressed(parts: Iterable[CompressedData]) -> CompressedData:
    """The data set that several compressed ones make up together, compressed.

    Its loss is the sum of theirs: ``1/2 sum_i ||R_i (L - C_i) - r_i||^2 + constants``, of which
    the rows ``[R_i, R_i C_i + r_i]`` are factorized once more, in float64.

    Args:
      parts: results of ``compress``, of sequences of one length; they are iterated over once.

    Returns:
      What ``compress`` gives for all of their data at once, up to rounding.

    Raises:
      TypeError: if ``parts`` is no iterable, or a part is no ``CompressedData``.
      ValueError: if there is no part, or they differ in length or numbers of inputs or outputs.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> parts = [nr.compress(x[:10], y[:10]), nr.compress(x[10:], y[10:])]
      >>> L = np.zeros((5, 1, 1))
      >>> np.allclose(nr.merge_compressed(parts).loss(L), nr.compress(x, y).loss(L), rtol=1e-5)
      True
    """
    no_parts = CompressedData | np.ndarray | jax.Array
    if isinstance(parts, no_parts) or not isinstance(parts, Iterable):
        raise TypeError(
            f"parts must be an iterable of CompressedData, got {type(parts).__name__}; pass a "
            "list of results of compress"
        )
    factor = factor_of(_blocks_of_parts(parts))
    if factor is None:
        raise ValueError("parts must hold at least one CompressedData, got an empty iterable")
    return centred(factor)


def _blocks_of_parts(parts: Iterable[CompressedData]) -> Iterator[Block]:
    """Rows of each part."""
    first = None
    for index, part in enumerate(parts):
        if not isinstance(part, CompressedData):
            raise TypeError(
                f"parts[{index}] must be CompressedData, got {type(part).__name__}; pass results "
                "of compress"
            )
        first = part if first is None else first
        _checks.same(
            f"parts[{index}].shape", part.shape, "parts[0].shape", first.shape, "(T, n_y, n_x)"
        )
        seq_len, out_dim, in_dim = part.shape
        weight = float(part.num_targets) / out_dim
        yield Block(_rows_of_part(part), (seq_len, in_dim, out_dim), weight, part.dtype)


def compress_shards(
    x: Float[Array, "N T n_x"],
    y: Float[Array, "N T n_y"],
    weights: Float[Array, "N T"] | None = None,
) -> CompressedData:
    """Compresses sequences that are split over devices, or over processes, where they are.

    Each process compresses the sequences of its devices, one device after the other, and all merge
    the results: no process needs to hold, or to see, the data of another one. All must call it.

    Args:
      x: inputs, shape ``(N, T, n_x)``, from ``shard_sequences``, say.
      y: targets, shape ``(N, T, n_y)``, finite where the weight is not 0.
      weights: at least 0, shape ``(N, T)``, not all 0; 1 if ``None``.

    Returns:
      The compressed data, the same in each process.

    Raises:
      ValueError: as ``compress``, and if the arrays are not split over the same devices, along
        sequences alone.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
      >>> x, y = nr.data.teacher(jax.random.key(0), 20 * len(jax.devices()), 5)
      >>> data = nr.compress_shards(*nr.shard_sequences((x, y), mesh))
      >>> data.triangle.shape
      (5, 5, 1)
    """
    arrays = {"x": x, "y": y} if weights is None else {"x": x, "y": y, "weights": weights}
    for name, array in arrays.items():
        if not isinstance(array, jax.Array) or _checks.is_traced(array):
            raise ValueError(
                f"{name} must be an array on devices, got {type(array).__name__}; pass it through "
                "shard_sequences, or use compress"
            )
        _checks.numbers(name, array)
    if jax.process_count() == 1:
        return compress(_batches(arrays))
    here = _padded(_compressed_here(arrays))
    # As pairs of integers, for JAX would round float64 to what its setting allows.
    packed = [np.atleast_1d(leaf).view(np.uint32) for leaf in jax.tree.leaves(here)]
    gathered = multihost_utils.process_allgather(packed)
    merged = merge_compressed(
        jax.tree.map(
            lambda leaf, all_of_it, i=i: all_of_it[i].view(np.float64).reshape(leaf.shape),
            here,
            jax.tree.unflatten(jax.tree.structure(here), gathered),
        )
        for i in range(jax.process_count())
    )
    if not merged.num_targets > 0:
        raise ValueError("weights must not all be 0, got no positive one; there is nothing to fit")
    return merged


def _compressed_here(arrays: dict[str, Array]) -> CompressedData:
    """What this process holds, compressed; of sequences that several devices hold, one copy."""
    shards = arrays.get("weights", arrays["x"]).addressable_shards
    local = [shard.data for shard in shards if shard.replica_id == 0]
    if local and ("weights" not in arrays or any(np.any(np.asarray(part)) for part in local)):
        return compress(_batches(arrays))
    # No data, in the type and shape that data would have.
    example = compress(*(np.ones((1, *a.shape[1:]), a.dtype) for a in arrays.values()))
    return jax.tree.map(np.zeros_like, example)


def _batches(arrays: dict[str, Array]) -> Iterator[tuple[np.ndarray, ...]]:
    """The sequences of each device of this process, without copies that other devices hold."""
    shards = [
        {shard.device: shard for shard in array.addressable_shards} for array in arrays.values()
    ]
    for device, shard in shards[0].items():
        matching = [others.get(device) for others in shards]
        where = {None if s is None else (_span(s), s.replica_id) for s in matching}
        if len(where) > 1 or any(
            s is None or s.data.shape[1:] != array.shape[1:]
            for s, array in zip(matching, arrays.values(), strict=True)
        ):
            raise ValueError(
                f"{', '.join(arrays)} must be split over the same devices, along sequences alone, "
                f"got {[array.sharding for array in arrays.values()]}; pass all of them through "
                "shard_sequences"
            )
        if shard.replica_id == 0:
            yield tuple(np.asarray(s.data) for s in matching if s is not None)


def _span(shard: jax.Shard) -> tuple[int | None, int | None]:
    return shard.index[0].start, shard.index[0].stop


def _rows_of_part(part: CompressedData) -> np.ndarray:
    """Rows ``[A b]`` whose squared error ``1/2 ||A L - b||^2`` is the loss of a part."""
    triangle, centre, residual = map(float64, (part.triangle, part.centre, part.residual))
    seq_len, out_dim, in_dim = part.shape
    triangle = triangle.reshape(-1, seq_len * in_dim)
    goal = triangle @ centre.swapaxes(1, 2).reshape(-1, out_dim) + residual
    # The constants are the losses of one target of each output with inputs of 0.
    unreached = np.diag(np.sqrt(2 * float64(part.constants)))
    constant_rows = np.concatenate([np.zeros((out_dim, triangle.shape[1])), unreached], axis=1)
    return np.concatenate([np.concatenate([triangle, goal], axis=1), constant_rows])


def _padded(part: CompressedData) -> CompressedData:
    """A part with rows of 0, as many as any part may have."""
    seq_len, _, in_dim = part.shape
    missing = (0, seq_len * in_dim - len(part.triangle))
    return replace(
        part,
        triangle=np.pad(part.triangle, (missing, (0, 0), (0, 0))),
        residual=np.pad(part.residual, (missing, (0, 0))),
    )
