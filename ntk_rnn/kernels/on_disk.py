"""Kernels larger than memory, computed in blocks and written to disk."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from ntk_rnn import _checks
from ntk_rnn._terminal import progress_bar
from ntk_rnn._types import AnyArray
from ntk_rnn.kernels.kernel_file import KernelFile

# The size of a block if none is given: writing one costs little in comparison, and memory holds
# many times as much.
_BLOCK_BYTES = 2**26


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
    ``path + ".json"`` lists with their checksums. All of them are read again then, and those that
    have changed on the disk are computed anew, with a ``RuntimeWarning``. For a kernel of sequences
    with themselves, half of the blocks are computed, and the others are their transposes.

    Args:
      path: the file to write, in a folder that exists, by one call at a time.
      kernel_fn: ``kernel_fn(x1_block, x2_block) -> (n1, n2, T, T)``: any kernel of this library,
        such as ``partial(analytic_ntk, rho=rho)``, ``finite_width_gram(params, T).ntk`` or
        ``partial(empirical_ntk, apply_fn, params)``. Further pairs of axes may follow, as those
        of a full kernel, or none, as for one output a sequence. All blocks have one shape, so it is
        compiled once. What it returns must be finite, and of type float16, float32 or float64.
      x1: sequences, shape ``(N1, T, n_x)``.
      x2: sequences, shape ``(N2, T, n_x)``; ``x1`` if ``None``.
      block_size: number of sequences a side; as many as give blocks of up to 64 MB if ``None``, for
        an ``(n1, n2, T, T)`` of the type of ``x1``. A kernel function that gives more, or needs
        much more memory than its result, as that of Jacobians, asks for fewer.
      progress: whether to draw a bar on stderr, if that is a terminal, after 2 seconds.

    Returns:
      The kernel, shape ``(N1, N2, T, T)``, in the file, read-only.

    Raises:
      ValueError: if ``block_size`` is not positive, an input is empty or not finite,
        ``kernel_fn`` returns another shape or type or something not finite, the disk has not the
        room for the kernel (nothing is written then), ``path`` is no path of a file that can be
        written, holds something other than what this call began, or another call that has not ended
        writes to it.
      OSError: if the disk fills up meanwhile; make room, and call again.

    Example:
      >>> import pathlib, tempfile
      >>> from functools import partial
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> kernel_fn = partial(nr.analytic_ntk, rho=nr.lag_weights(3, 0.5, 1.0, 1.0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "kernel.npy")
      ...     K = nr.write_ntk(path, kernel_fn, np.ones((4, 3, 1)), block_size=2)
      ...     print(K.shape, path.exists())
      (4, 4, 3, 3) True
    """
    file_path = _checks.path("path", path)
    _checks.function("kernel_fn", kernel_fn, "(x1_block, x2_block) -> kernel")
    _checks.flag("progress", progress)
    first = np.asarray(_checks.batch("x1", x1))
    second = first if x2 is None else np.asarray(_checks.batch("x2", x2))
    if block_size is not None:
        block_size = _checks.integer("block_size", block_size)
    rows, columns = (_SequenceBlocks(x, block_size) for x in (first, second))

    # The first block is computed even if it is in the file, because it says what the kernel is.
    blocks = _KernelBlocks(kernel_fn, rows, columns)
    configuration = {
        "shape": [len(first), len(second), *blocks.first.shape[2:]],
        "dtype": blocks.first.dtype.name,
        "block_size": [rows.size, columns.size],
        "x1": _fingerprint(first),
        "x2": None if x2 is None else _fingerprint(second),
    }
    counts = rows.count, columns.count
    with closing(KernelFile(file_path, configuration, counts, symmetric=x2 is None)) as file:
        _check_same_kernel(file, blocks)
        todo = [
            (i, k)
            for i in range(rows.count)
            for k in range(i if x2 is None else 0, columns.count)
            if not file.finished[i, k]
        ]
        with progress_bar("blocks", len(todo), wanted=progress) as show:
            for done, (i, k) in enumerate(todo, 1):
                file.write((i, k), blocks.computed(i, k))
                show(done)
        return file.read()


def _check_same_kernel(file: KernelFile, blocks: _KernelBlocks) -> None:
    """Refuses a file that another kernel function began.

    The first finished block is compared. Where the first block of the kernel is 0, as it is for
    sequences of zeros, a block that is not 0 is compared as well.
    """
    done = file.listed()
    others = (block for block in done[1:] if file.read()[file.where(block)].any())
    for block in [*done[:1], *islice(others, 0 if blocks.first.any() else 1)]:
        file.check(block, blocks.computed(*block))


class _KernelBlocks:
    """The blocks of a kernel, which must all be of the shape and type of the first."""

    def __init__(
        self, kernel_fn: Callable[[Any, Any], Any], rows: _SequenceBlocks, columns: _SequenceBlocks
    ) -> None:
        self._kernel_fn, self._rows, self._columns = kernel_fn, rows, columns
        self._kind: tuple[Any, ...] | None = None
        self.first = self._compute(0, 0)

    def computed(self, i: int, k: int) -> np.ndarray:
        return self.first if i == k == 0 else self._compute(i, k)

    def _compute(self, i: int, k: int) -> np.ndarray:
        sizes = self._rows.size, self._columns.size
        block = np.asarray(self._kernel_fn(self._rows.padded(i), self._columns.padded(k)))
        if block.shape[:2] != sizes or block.ndim % 2:
            raise ValueError(
                f"kernel_fn must return the shape (n1, n2, T, T) for n1 = {sizes[0]} and n2 = "
                f"{sizes[1]} sequences, got {block.shape}"
            )
        if not np.issubdtype(block.dtype, np.floating):
            raise ValueError(
                "kernel_fn must return a type that .npy files have, float16, float32 or float64, "
                f"got {block.dtype}; convert its result"
            )
        self._kind = self._kind or (block.shape, block.dtype.name)
        if (block.shape, block.dtype.name) != self._kind:
            raise ValueError(
                f"kernel_fn must return the same shape and type for all blocks, got {block.shape} "
                f"and {block.dtype} after {self._kind[0]} and {self._kind[1]}"
            )
        _checks.finite("what kernel_fn returns", block, "rescale x1 and x2, or mend kernel_fn")
        rows, columns = self._rows.where(i), self._columns.where(k)
        return block[: rows.stop - rows.start, : columns.stop - columns.start]


class _SequenceBlocks:
    """Sequences in blocks of one size."""

    def __init__(self, x: np.ndarray, size: int | None) -> None:
        if size is None:
            largest = max(1, math.isqrt(_BLOCK_BYTES // (x.shape[1] ** 2 * x.dtype.itemsize)))
            size = -(-len(x) // -(-len(x) // largest))  # as even as they can be
        self._x, self.size = x, min(size, len(x))
        self.count = -(-len(x) // self.size)

    def where(self, index: int) -> slice:
        return slice(index * self.size, min((index + 1) * self.size, len(self._x)))

    def padded(self, index: int) -> np.ndarray:
        """A block of sequences; the last one repeats its last sequence to be as long as others."""
        positions = np.arange(index * self.size, (index + 1) * self.size)
        return self._x[np.minimum(positions, len(self._x) - 1)]


def _fingerprint(x: np.ndarray) -> str:
    # Viewed as bytes, because buffers cannot be of bfloat16.
    digest = hashlib.sha256(np.ascontiguousarray(x).view(np.uint8).data).hexdigest()[:16]
    return f"{x.dtype.name}{list(x.shape)} with hash {digest}"
