"""The file of a kernel that is written in blocks, and a record of the blocks that are finished."""

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
    """An ``.npy`` file that is written in blocks, by one call or by several, one after another.

    ``path + ".json"`` holds the configuration and a bit for each block, which says whether it is
    finished. This record is replaced as a whole after a block has reached the disk, so it never
    lists a block that has not.

    Attributes:
      path: the file.
      finished: whether each block is in the file, shape ``(blocks of x1, blocks of x2)``.
    """

    def __init__(self, path: Path, configuration: dict[str, Any], counts: tuple[int, int]) -> None:
        """Opens the file that an earlier call began, or creates it.

        Args:
          path: the file.
          configuration: what determines the kernel, with its ``shape`` and ``dtype``.
          counts: numbers of blocks, ``(blocks of x1, blocks of x2)``.

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
                start = self._resume if path.exists() else self._create
                self.finished = start(held, counts)
            except BlockingIOError:
                raise ValueError(
                    "path must be a file to which one call writes at a time, but another one that "
                    f"has not ended writes to {path}; wait for it, or choose another path"
                ) from None
            self._offset = self._open_whole().offset
            self._held = held.pop_all()

    def _resume(self, held: ExitStack, counts: tuple[int, int]) -> np.ndarray:
        held.enter_context(locked(self.path, wait=False))
        finished = self._read_record(counts)
        self._check_space()
        return finished

    def _create(self, held: ExitStack, counts: tuple[int, int]) -> np.ndarray:
        self._check_space()
        new = self.path.with_name(self.path.name + ".new")
        new.touch()
        held.enter_context(locked(new, wait=False))
        if self.path.exists():  # another call has created it in the meantime
            raise BlockingIOError
        self.finished = np.zeros(counts, bool)
        self._write_record()
        # The file gets its name, and keeps its lock, once it has its full size. It is sparse: the
        # disk holds nothing of it yet.
        np.lib.format.open_memmap(new, "w+", self._dtype, self._shape)
        new.replace(self.path)
        return self.finished

    def close(self) -> None:
        """Releases the file for other calls."""
        self._held.close()

    def read(self) -> np.memmap:
        """The kernel, shape ``shape``, read-only."""
        return np.load(self.path, mmap_mode="r")

    def check(self, where: tuple[slice, slice], block: np.ndarray) -> None:
        """Raises ``ValueError`` unless a block equals what was written there, up to rounding."""
        written = self.read()[where]
        largest, apart = (float(np.max(np.abs(a))) for a in (block, written - block))
        # Rounding alone may differ as much, on other hardware for example.
        if not apart <= 100 * np.finfo(self._dtype).eps * largest:
            raise self._another_kernel(
                f"was begun with another kernel_fn: a block is {apart:.2g} away, where the largest "
                f"entry is {largest:.2g}; pass that kernel_fn"
            )

    def write(self, index: tuple[int, int], parts: Iterable[tuple[int, int, np.ndarray]]) -> None:
        """Writes a block to the disk, and then records that it is there.

        Args:
          index: which block it is.
          parts: rectangles of the kernel: the row and column of the first entry, and the entries.
        """
        pair_bytes = math.prod(self._shape[2:]) * self._dtype.itemsize
        # Written through a memory map, the kernel would count as memory of this process.
        with self.path.open("r+b") as file:
            for row, column, part in parts:
                for i, line in enumerate(part, row):
                    file.seek(self._offset + (i * self._shape[1] + column) * pair_bytes)
                    file.write(np.ascontiguousarray(line).data)
            file.flush()
            os.fsync(file.fileno())
        self.finished[index] = True
        self._write_record()

    def _write_record(self) -> None:
        record = {**self._configuration, "finished": np.packbits(self.finished).tobytes().hex()}
        write_whole(self._record, json.dumps(record, indent=2).encode())

    def _read_record(self, counts: tuple[int, int]) -> np.ndarray:
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
                raise self._another_kernel(
                    f"was begun with {field} {saved.get(field)}, got {value}; pass that"
                )
        return np.unpackbits(bits, count=math.prod(counts)).reshape(counts) > 0

    def _check_space(self) -> None:
        folder = self.path.absolute().parent
        need = math.prod(self._shape) * self._dtype.itemsize
        if self.path.exists():  # what has been written already takes its room
            need -= getattr(self.path.stat(), "st_blocks", 0) * 512
        free = shutil.disk_usage(folder).free
        if need > free:
            raise ValueError(
                f"path must be on a disk with {need / 1e9:.4g} GB free, for a kernel of shape "
                f"{self._shape}, got {free / 1e9:.4g} GB in {folder}; choose another disk, or "
                "fewer sequences"
            )

    def _open_whole(self) -> np.memmap:
        """The kernel, if the file is whole."""
        try:
            kernel = self.read()
        except (ValueError, EOFError) as error:
            raise self._another_kernel(f"is damaged ({error}); delete it") from error
        if kernel.shape != self._shape or kernel.dtype != self._dtype:
            raise self._another_kernel(
                f"is of shape {kernel.shape} and type {kernel.dtype}; delete it"
            )
        return kernel

    def _another_kernel(self, found: str) -> ValueError:
        """The error for a file that cannot be taken up: what it is, and what to do about it."""
        return ValueError(
            f"path must hold the kernel that is asked for, but {self.path} {found}, or choose "
            "another path"
        )
