"""The file of a kernel that is written in blocks, and a record of the blocks that are finished."""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ntk_rnn._files import locked, write_whole

# What stands for the checksum of a block that is not finished.
_NONE = np.array("-", "U8")


class KernelFile:
    """An ``.npy`` file that is written in blocks, by one call or by several, one after another.

    ``path + ".json"`` holds the configuration and a checksum of each block that is finished. This
    record is replaced as a whole after a block has reached the disk, so it never lists a block that
    is not on the disk. Opening the file reads all finished blocks: one that is not what was written
    there counts as not finished.

    Attributes:
      path: the file.
    """

    def __init__(
        self, path: Path, configuration: dict[str, Any], counts: tuple[int, int], symmetric: bool
    ) -> None:
        """Opens the file that an earlier call began, or creates it.

        Args:
          path: the file.
          configuration: what determines the kernel, with its ``shape``, ``dtype`` and
            ``block_size``.
          counts: numbers of blocks, ``(blocks of x1, blocks of x2)``.
          symmetric: whether a block is written along with its transpose.

        Raises:
          ValueError: if the file is not of this configuration, is something that cannot be written
            to, another call writes to it, or the disk is too small.
        """
        self.path, self._configuration, self._symmetric = path, configuration, symmetric
        self._record = path.with_name(path.name + ".json")
        self._shape = tuple(configuration["shape"])
        self._dtype = np.dtype(configuration["dtype"])
        if not path.absolute().parent.is_dir():
            raise ValueError(f"path must be in a folder that exists, got {path}; make it")
        with ExitStack() as held:
            try:
                start = self._resume if path.exists() else self._create
                self._checksums = start(held, counts)
            except BlockingIOError:
                raise ValueError(
                    "path must be a file to which one call writes at a time, but another one that "
                    f"has not ended writes to {path}; wait for it, or choose another path"
                ) from None
            except OSError as error:
                raise ValueError(
                    f"path must be a file that can be written, but {error.filename or path} cannot "
                    f"({error.strerror or error}); choose another"
                ) from error
            self._offset = self._open_whole().offset
            self._held = held.pop_all()
        self._forget_damaged()

    @property
    def finished(self) -> np.ndarray:
        """Whether each block is in the file, shape ``(blocks of x1, blocks of x2)``."""
        return self._checksums != _NONE

    def _resume(self, held: ExitStack, counts: tuple[int, int]) -> np.ndarray:
        with self.path.open("r+b"):  # so that a file that cannot be written is found now
            held.enter_context(locked(self.path, wait=False))
        checksums = self._read_record(counts)
        self._check_space()
        return checksums

    def _create(self, held: ExitStack, counts: tuple[int, int]) -> np.ndarray:
        self._check_space()
        new = self.path.with_name(self.path.name + ".new")
        new.touch()
        held.enter_context(locked(new, wait=False))
        if self.path.exists():  # another call has created it in the meantime
            raise BlockingIOError
        self._checksums = np.full(counts, _NONE)
        self._write_record()
        # The file gets its name, and keeps its lock, once it has its full size. It is sparse: the
        # disk holds nothing of it yet.
        np.lib.format.open_memmap(new, "w+", self._dtype, self._shape)
        new.replace(self.path)
        return self._checksums

    def listed(self) -> list[tuple[int, int]]:
        """The blocks that are finished, by row and column."""
        return [(int(i), int(k)) for i, k in np.argwhere(self.finished)]

    def close(self) -> None:
        """Releases the file for other calls."""
        self._held.close()

    def read(self) -> np.memmap:
        """The kernel, shape ``shape``, read-only."""
        return np.lib.format.open_memmap(self.path, mode="r")

    def where(self, index: tuple[int, int]) -> tuple[slice, ...]:
        """The place of a block in the kernel."""
        sizes = self._configuration["block_size"]
        return tuple(
            slice(i * size, min((i + 1) * size, length))
            for i, size, length in zip(index, sizes, self._shape[:2], strict=True)
        )

    def check(self, index: tuple[int, int], block: np.ndarray) -> None:
        """Raises ``ValueError`` unless a block equals what was written there, up to rounding."""
        written = self.read()[self.where(index)]
        largest, apart = (float(np.max(np.abs(a))) for a in (block, written - block))
        # Rounding alone may differ as much, on other hardware for example.
        if not apart <= 100 * np.finfo(self._dtype).eps * largest:
            raise self._another_kernel(
                f"was begun with another kernel_fn: a block is {apart:.2g} away, where the largest "
                f"entry is {largest:.2g}; pass that kernel_fn"
            )

    def write(self, index: tuple[int, int], block: np.ndarray) -> None:
        """Writes a block, and its transpose, to the disk, and then records that they are there."""
        pair_bytes = math.prod(self._shape[2:]) * self._dtype.itemsize
        # Written through a memory map, the kernel would count as memory of this process.
        with self.path.open("r+b") as file:
            for place, part in zip(self._places(index), (block, _transposed(block)), strict=False):
                row, column = (axis.start for axis in self.where(place))
                for i, line in enumerate(part, row):
                    file.seek(self._offset + (i * self._shape[1] + column) * pair_bytes)
                    file.write(np.ascontiguousarray(line).data)
            file.flush()
            os.fsync(file.fileno())
        self._checksums[index] = _checksum(block)
        self._write_record()

    def _forget_damaged(self) -> None:
        """Counts blocks that are not what was written as not finished, with a warning."""
        damaged = [
            index
            for index in self.listed()
            if any(checksum != self._checksums[index] for checksum in self._found(index))
        ]
        for index in damaged:
            self._checksums[index] = _NONE
        if damaged:
            warnings.warn(
                f"path is damaged: {len(damaged)} blocks in {self.path} are not what was written "
                "there, and are computed again",
                RuntimeWarning,
                stacklevel=4,
            )

    def _found(self, index: tuple[int, int]) -> Iterator[str]:
        """The checksums of a block in the file, and of its transpose turned back."""
        kernel = self.read()
        for place in self._places(index):
            part = np.array(kernel[self.where(place)])
            yield _checksum(part if place == index else _transposed(part))

    def _places(self, index: tuple[int, int]) -> list[tuple[int, int]]:
        """Where a block is: its index, and that of its transpose if that is written as well."""
        i, k = index
        return [(i, k), (k, i)] if self._symmetric and i != k else [(i, k)]

    def _write_record(self) -> None:
        blocks = " ".join(self._checksums.flat)
        record = json.dumps({**self._configuration, "blocks": blocks}, indent=2)
        write_whole(self._record, record.encode())

    def _read_record(self, counts: tuple[int, int]) -> np.ndarray:
        try:
            saved = json.loads(self._record.read_text(encoding="utf-8"))
            blocks = saved["blocks"].split()
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            raise self._unknown() from None
        for field, value in self._configuration.items():
            if saved.get(field) != value:
                raise self._another_kernel(
                    f"was begun with {field} {saved.get(field)}, got {value}; pass that"
                )
        if len(blocks) != math.prod(counts):
            raise self._unknown()
        return np.array(blocks, _NONE.dtype).reshape(counts)

    def _unknown(self) -> ValueError:
        return ValueError(
            f"path must be a new file, or one that write_ntk began, got {self.path}, with no "
            f"record {self._record.name} of its blocks; move it, or choose another path"
        )

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


def _checksum(block: np.ndarray) -> str:
    """Eight hexadecimal digits, which differ if a byte of the block does."""
    return f"{zlib.crc32(np.ascontiguousarray(block).data):08x}"


def _transposed(block: np.ndarray) -> np.ndarray:
    """A block of the kernel between the same sequences the other way round."""
    return block.transpose([axis ^ 1 for axis in range(block.ndim)])
