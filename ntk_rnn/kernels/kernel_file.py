"""A kernel in a file, and beside it a note of which of its blocks are there."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ntk_rnn._files import locked, write_whole


class KernelFile:
    """An ``.npy`` file that is written in blocks, and can be taken up where it was left.

    ``path + ".json"`` holds the configuration and the finished blocks, a bit each. It is replaced
    whole, once a block has reached the disk, so it never lists one that has not.

    Attributes:
      path: the file.
      finished: whether each block is there, shape ``(blocks of x1, blocks of x2)``.
    """

    def __init__(
        self,
        path: Path,
        configuration: dict[str, Any],
        counts: tuple[int, int],
    ) -> None:
        """Takes up the file, or makes it.

        Args:
          path: the file.
          configuration: what the kernel follows from, with its ``shape`` and ``dtype``.
          counts: numbers of blocks a side.

        Raises:
          ValueError: if the file is not of this configuration, another call writes to it, or the
            disk is too small.
        """
        self.path, self._configuration = path, configuration
        self._record = path.with_name(path.name + ".json")
        self._shape = tuple(configuration["shape"])
        self._dtype = np.dtype(configuration["dtype"])
        if not path.absolute().parent.is_dir():
            raise ValueError(f"path must be in a folder that exists, got {path}; make it")
        with ExitStack() as held:
            try:
                take = self._taken_up if path.exists() else self._made
                self.finished = take(held, counts)
            except BlockingIOError:
                raise ValueError(
                    "path must be a file to which one call writes at a time, but another one that "
                    f"has not ended writes to {path}; wait for it, or choose another path"
                ) from None
            self._offset = self._opened().offset
            self._held = held.pop_all()

    def _taken_up(self, held: ExitStack, counts: tuple[int, int]) -> np.ndarray:
        held.enter_context(locked(self.path, wait=False))
        finished = self._saved(counts)
        self._check_space()
        return finished

    def _made(self, held: ExitStack, counts: tuple[int, int]) -> np.ndarray:
        self._check_space()
        begun = self.path.with_name(self.path.name + ".new")
        begun.touch()
        held.enter_context(locked(begun, wait=False))
        if self.path.exists():  # of another call, since it was looked for
            raise BlockingIOError
        self.finished = np.zeros(counts, bool)
        self._save()
        # Renamed, lock and all, once it has its full size, of which the disk holds nothing yet.
        np.lib.format.open_memmap(begun, "w+", self._dtype, self._shape)
        begun.replace(self.path)
        return self.finished

    def close(self) -> None:
        """Leaves the file to other calls."""
        self._held.close()

    def read(self) -> np.memmap:
        """The kernel, shape ``shape``, read-only."""
        return np.load(self.path, mmap_mode="r")

    def check(self, where: tuple[slice, slice], block: np.ndarray) -> None:
        """Raises ``ValueError`` unless a block is what was written there, but for rounding."""
        written = self.read()[where]
        largest, apart = (float(np.max(np.abs(a))) for a in (block, written - block))
        # What rounding alone may do, on other hardware for example.
        if not apart <= 100 * np.finfo(self._dtype).eps * largest:
            raise ValueError(
                f"path must hold the kernel that is asked for, but {self.path} was begun with "
                f"another kernel_fn: a block is {apart:.2g} away, where the largest entry is "
                f"{largest:.2g}; pass that kernel_fn, or choose another path"
            )

    def write(self, index: tuple[int, int], parts: Iterable[tuple[int, int, np.ndarray]]) -> None:
        """Writes a block and notes that it is on the disk.

        Args:
          index: which block it is.
          parts: what belongs to it: the row and column of a first entry, and the entries.
        """
        pair_bytes = math.prod(self._shape[2:]) * self._dtype.itemsize
        # Through a mapping, all that is written would count as memory of this process.
        with self.path.open("r+b") as file:
            for row, column, part in parts:
                for i, line in enumerate(part, row):
                    file.seek(self._offset + (i * self._shape[1] + column) * pair_bytes)
                    file.write(np.ascontiguousarray(line).data)
            file.flush()
            os.fsync(file.fileno())
        self.finished[index] = True
        self._save()

    def _save(self) -> None:
        record = {**self._configuration, "finished": np.packbits(self.finished).tobytes().hex()}
        write_whole(self._record, json.dumps(record, indent=2).encode())

    def _saved(self, counts: tuple[int, int]) -> np.ndarray:
        try:
            saved = json.loads(self._record.read_text(encoding="utf-8"))
            bits = np.frombuffer(bytes.fromhex(saved["finished"]), np.uint8)
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            raise ValueError(
                f"path must be a new file, or one that write_ntk began, got {self.path}, with no "
                f"record {self._record.name} of its blocks; move it, or choose another path"
            ) from None
        for field, value in self._configuration.items():
            if saved.get(field) != value:
                raise ValueError(
                    f"path must hold the kernel that is asked for, but {self.path} was begun with "
                    f"{field} {saved.get(field)}, got {value}; pass that, or choose another path"
                )
        return np.unpackbits(bits, count=math.prod(counts)).reshape(counts) > 0

    def _check_space(self) -> None:
        folder = self.path.absolute().parent
        need = math.prod(self._shape) * self._dtype.itemsize
        if self.path.exists():  # which takes as much of the disk as has been written
            need -= getattr(self.path.stat(), "st_blocks", 0) * 512
        free = shutil.disk_usage(folder).free
        if need > free:
            raise ValueError(
                f"path must be on a disk with {need / 1e9:.4g} GB free, for a kernel of shape "
                f"{self._shape}, got {free / 1e9:.4g} GB in {folder}; choose another disk, or "
                "fewer sequences"
            )

    def _opened(self) -> np.memmap:
        """The kernel, if the file is whole."""
        try:
            kernel = self.read()
        except (ValueError, EOFError) as error:
            raise ValueError(
                f"path must hold the kernel that is asked for, but {self.path} is damaged "
                f"({error}); delete it, or choose another path"
            ) from error
        if kernel.shape != self._shape or kernel.dtype != self._dtype:
            raise ValueError(
                f"path must hold the kernel that is asked for, but {self.path} is of shape "
                f"{kernel.shape} and type {kernel.dtype}; delete it, or choose another path"
            )
        return kernel
