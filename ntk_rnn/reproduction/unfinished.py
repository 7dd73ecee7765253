"""Finished units of studies that are not finished, kept so that an interrupted study goes on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ntk_rnn
from ntk_rnn._files import locked, write_whole
from ntk_rnn._terminal import note
from ntk_rnn.reproduction import environment
from ntk_rnn.reproduction.results import UNREADABLE, as_user_error

Arrays = dict[str, np.ndarray]

FOLDER = ".unfinished"


class Units:
    """The units of work of one study, each of which is computed, or taken up from an earlier run.

    Args:
      advance: called after each unit.
      out: folder of all results.
      folder: where units are kept, below ``out``; if ``None``, none is.
    """

    def __init__(
        self, advance: Callable[[], None], out: Path | None = None, folder: Path | None = None
    ) -> None:
        self._advance, self._out, self._folder = advance, out, folder
        self._kept = {} if folder is None else _read(folder)

    def __len__(self) -> int:
        """How many have been taken up."""
        return len(self._kept)

    def __call__(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of a unit, which are computed and kept if they were not there.

        Raises:
          ValueError: if they cannot be written.
        """
        found = self._kept.get(name)
        if found is None:
            found = compute()
            if self._out is not None and self._folder is not None:
                _write(self._out, self._folder / f"{name}.npz", found)
        self._advance()
        return found


class Unfinished:
    """All units that are kept in a folder of results, in a hidden folder for each piece of work.

    Two studies that are about the same work share its units.

    Args:
      out: the folder of all results.
      anew: whether to begin anew, without units that were kept before.
    """

    def __init__(self, out: Path, *, anew: bool = False) -> None:
        self._out, self._anew = out, anew
        self._used: set[Path] = set()

    def units(self, work: str, advance: Callable[[], None]) -> Units:
        """The units of a piece of work; says on stderr how many of them are taken up.

        Args:
          work: what decides on its numbers, besides the version of the library and the precision.
          advance: called after each unit.
        """
        key = f"{work}, {ntk_rnn.__version__}, {environment.x64()}"
        folder = self._out / FOLDER / hashlib.sha256(key.encode()).hexdigest()[:16]
        if self._anew and folder not in self._used:
            _remove(self._out, folder)
        self._used.add(folder)
        units = Units(advance, self._out, folder)
        if len(units):
            note(f"{len(units)} units of work that were finished before are taken up")
        return units

    def discard(self) -> None:
        """Removes the units that have been asked for, once they are part of finished results."""
        for folder in self._used:
            _remove(self._out, folder)


def _read(folder: Path) -> dict[str, Arrays]:
    """The arrays of all units in a folder. What is damaged is left out, and so computed again."""
    found = {}
    for path in folder.glob("*.npz"):
        with contextlib.suppress(*UNREADABLE):
            content = io.BytesIO(path.read_bytes())  # which np.load may leave open
            with np.load(content) as arrays:
                found[path.stem] = dict(arrays)
    return found


def _write(out: Path, path: Path, arrays: Arrays) -> None:
    content = io.BytesIO()
    np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
    # While the folder of all results is locked, no other process removes this one.
    with as_user_error(path), locked(out):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.getvalue())


def _remove(out: Path, folder: Path) -> None:
    """Removes the folder of a piece of work, and the hidden folder around it if it is the last."""
    if not folder.parent.is_dir():
        return
    with as_user_error(folder), locked(out):
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()
