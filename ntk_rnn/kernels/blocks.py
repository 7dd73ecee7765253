"""Kernels larger than memory, computed in blocks and written to disk."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.kernels.storage import KernelFile

# What a block may take where its size is not given: large beside the cost of writing one, small
# beside memory.
_BLOCK_BYTES = 2**26

# Work that ends before has no progress bar.
_PATIENCE_SECONDS = 2.0


def write_ntk(
    path: str | Path,
    kernel_fn: Callable[[Any, Any], Any],
    x1: Shaped[AnyArray, "N1 ..."],
    x2: Shaped[AnyArray, "N2 ..."] | None = None,
    *,
    block_size: int | None = None,
    progress: bool = True,
) -> np.memmap:
    """Writes a kernel ``K(x1, x2)``, block by block, to an ``.npy`` file.

    Memory holds one block at a time, whatever the size of the kernel. A call that was interrupted,
    even killed, is taken up by the same call again: finished blocks are kept, which a small file
    ``path + ".json"`` lists. Of a kernel of sequences with themselves half the blocks are computed,
    and the others are their transposes.

    Args:
      path: the file to write, in a folder that exists, by one process at a time.
      kernel_fn: ``kernel_fn(x1_block, x2_block) -> (n1, n2, T, T)``: any kernel of this library,
        such as ``partial(analytic_ntk, rho=rho)``, ``finite_width_gram(params, T).ntk`` or
        ``partial(empirical_ntk, apply_fn, params)``. Further pairs of axes may follow, as those
        of a full kernel. All blocks have one shape, so it is compiled once.
      x1: sequences, shape ``(N1, T, n_x)``.
      x2: sequences, shape ``(N2, T, n_x)``; ``x1`` if ``None``.
      block_size: number of sequences a side; as many as give blocks of up to 64 MB if ``None``. A
        kernel function that needs much more memory than its result, as that of Jacobians, asks
        for fewer.
      progress: whether to draw a bar on stderr, if that is a terminal, after 2 seconds.

    Returns:
      The kernel, shape ``(N1, N2, T, T)``, in the file, read-only.

    Raises:
      ValueError: if ``block_size`` is not positive, an input is empty or not finite,
        ``kernel_fn`` returns another shape, the disk has not the room for the kernel (nothing is
        written then), or ``path`` holds something other than what this call began.
      OSError: if the disk fills up meanwhile; make room, and call again.
    """
    first = np.asarray(_checks.batch("x1", x1))
    second = first if x2 is None else np.asarray(_checks.batch("x2", x2))
    if block_size is not None:
        block_size = _checks.positive_int("block_size", block_size)
    rows, columns = (_Blocks(x, block_size) for x in (first, second))

    def compute(i: int, k: int) -> np.ndarray:
        block = np.asarray(kernel_fn(rows.padded(i), columns.padded(k)))
        if block.shape[:2] != (rows.size, columns.size) or block.ndim % 2:
            raise ValueError(
                "kernel_fn must return the shape (n1, n2, T, T) for n1 = "
                f"{rows.size} and n2 = {columns.size} sequences, got {block.shape}"
            )
        return block[: rows.length(i), : columns.length(k)]

    # The first block is computed anew even if it is there: it says what the kernel is.
    start = compute(0, 0)
    configuration = {
        "shape": [len(first), len(second), *start.shape[2:]],
        "dtype": start.dtype.name,
        "block_size": [rows.size, columns.size],
        "x1": _described(first),
        "x2": None if x2 is None else _described(second),
    }
    file = KernelFile(Path(path), configuration, (rows.count, columns.count), start)
    todo = [
        (i, k)
        for i in range(rows.count)
        for k in range(i if x2 is None else 0, columns.count)
        if not file.finished[i, k]
    ]
    for i, k in _shown(todo, progress):
        block = start if i == k == 0 else compute(i, k)
        parts = [(rows.start(i), columns.start(k), block)]
        if x2 is None and i != k:
            pairs = [axis ^ 1 for axis in range(block.ndim)]
            parts.append((columns.start(k), rows.start(i), block.transpose(pairs)))
        file.write((i, k), parts)
    return file.read()


class _Blocks:
    """Sequences in blocks of one size."""

    def __init__(self, x: np.ndarray, size: int | None) -> None:
        if size is None:
            largest = max(1, math.isqrt(_BLOCK_BYTES // (x.shape[1] ** 2 * x.dtype.itemsize)))
            size = -(-len(x) // -(-len(x) // largest))  # as even as they can be
        self._x, self.size = x, min(size, len(x))
        self.count = -(-len(x) // self.size)

    def start(self, index: int) -> int:
        return index * self.size

    def length(self, index: int) -> int:
        return min(self.size, len(self._x) - self.start(index))

    def padded(self, index: int) -> np.ndarray:
        """A block; the last one repeats its last sequence up to the size of the others."""
        last = len(self._x) - 1
        return self._x[np.minimum(np.arange(self.size) + self.start(index), last)]


def _described(x: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(x).data).hexdigest()[:16]
    return f"{x.dtype.name}{list(x.shape)} with hash {digest}"


def _shown(blocks: list[tuple[int, int]], wanted: bool) -> Iterable[tuple[int, int]]:
    """``blocks``, with a bar on a terminal once they take long."""
    console = Console(stderr=True)
    return _with_bar(blocks, console) if wanted and console.is_terminal else blocks


def _with_bar(blocks: list[tuple[int, int]], console: Console) -> Iterator[tuple[int, int]]:
    bar = Progress(
        "kernel", BarColumn(16), MofNCompleteColumn(), "blocks", TimeRemainingColumn(),
        console=console,
    )  # fmt: skip
    task = bar.add_task("", total=len(blocks))
    begun = time.perf_counter()
    try:
        for block in blocks:
            yield block
            bar.advance(task)
            if time.perf_counter() - begun > _PATIENCE_SECONDS:
                bar.start()
    finally:
        bar.stop()
