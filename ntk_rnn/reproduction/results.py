"""Results folders: they are replaced whole or not at all, and read back."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from ntk_rnn import _files
from ntk_rnn._files import locked, replaced_folder, write_whole
from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction.claims import Claim, Number, Verdict

# Of the figure, which is embedded in the report.
PICTURE = "figure.png"
_PNG = b"\x89PNG"


class Finished(NamedTuple):
    """What the folder of a finished run holds, from which the report is made.

    Attributes:
      config: what ``config.json`` holds.
      claims: the claims of the study.
      numbers: its main numbers, beside those of the paper.
    """

    config: dict[str, Any]
    claims: list[Claim]
    numbers: list[Number]


@contextlib.contextmanager
def replacing(out: Path, name: str) -> Iterator[Path]:
    """An empty folder, to become ``out/name`` if the block ends well and to vanish if it does not.

    It is made at once, so that a place that cannot be written to is found before the work starts.

    Raises:
      ValueError: if ``out/name`` cannot be written, or is something other than earlier results.
    """
    target = out / name
    with as_user_error(target), replaced_folder(target, lambda: _check_replaceable(target)) as new:
        yield new


def write(
    folder: Path,
    config: dict[str, Any],
    arrays: dict[str, np.ndarray],
    metrics: Sequence[dict[str, Any]],
    claims: Sequence[Claim],
    numbers: Sequence[Number],
) -> None:
    """Writes ``config.json``, ``arrays.npz``, and ``metrics``, ``claims`` and ``numbers.csv``."""
    with as_user_error(folder):
        text = json.dumps(config, indent=2, default=str)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        np.savez_compressed(folder / "arrays.npz", **arrays)  # pyright: ignore[reportArgumentType]
        _write_csv(folder / "metrics.csv", list(metrics[0]), metrics)
        for name, rows, kind in (("claims", claims, Claim), ("numbers", numbers, Number)):
            _write_csv(folder / f"{name}.csv", kind._fields, [row._asdict() for row in rows])


def read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What ``config.json`` and ``arrays.npz`` hold, from which a figure can be drawn again."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with np.load(folder / "arrays.npz") as arrays:
        return config, dict(arrays)


def finished(folder: Path) -> Finished | None:
    """What the folder of a finished run holds.

    ``None`` if there is none, this version cannot read it, or a file in it is damaged.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        claims = [Claim(**row) for row in _read_csv(folder / "claims.csv")]
        numbers = [Number(**row) for row in _read_csv(folder / "numbers.csv")]
        with zipfile.ZipFile(folder / "arrays.npz") as arrays:
            damaged = arrays.testzip()
        drawn = (folder / PICTURE).read_bytes().startswith(_PNG)
    except UNREADABLE:
        return None
    judged = bool(claims) and all(claim.verdict in get_args(Verdict) for claim in claims)
    complete = bool(numbers) and all(None not in row for row in (*claims, *numbers))
    if damaged or not (_is_record(config) and judged and complete and drawn):
        return None
    return Finished(config, claims, numbers)


# Whatever a damaged file leads to; too deep nesting in JSON is a RuntimeError.
UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, RuntimeError, csv.Error, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def _is_record(config: Any) -> bool:
    """Whether ``config.json`` holds what the report needs of it, each of its type."""
    if not isinstance(config, dict):
        return False
    settings, device = config.get("config"), config.get("device")
    return (
        all(isinstance(config.get(name), str) for name in ("study", "title", "preset"))
        and isinstance(config.get("x64"), bool)
        and isinstance(settings, dict)
        and isinstance(settings.get("seeds"), int)
        and all(_all(int | float | str | None, value) for value in settings.values())
        and isinstance(config.get("versions"), dict)
        and isinstance(config["versions"].get("ntk_rnn"), str)
        and _all(str | None, list(config["versions"].values()))
        and isinstance(device, dict)
        and isinstance(device.get("count"), int)
        and all(isinstance(device.get(name), str) for name in ("platform", "kind"))
        and all(isinstance(config.get(n), list) and _all(str, config[n]) for n in _SENTENCES)
    )


_SENTENCES = ("paper", "choices")


def _all(kind: Any, value: Any) -> bool:
    """Whether a value, or all entries of a list, are of a kind."""
    return all(isinstance(entry, kind) for entry in (value if isinstance(value, list) else [value]))


def recover(out: Path, names: Sequence[str]) -> None:
    """Restores what killed runs of these names had finished, and removes what they had begun."""
    if out.is_dir():
        with as_user_error(out), locked(out):
            for name in names:
                _files.recover(out / name)


def prepare(out: Path) -> None:
    """Makes the folder of all results, and tries whether it can be written to.

    Raises:
      ValueError: if it cannot.
    """
    with as_user_error(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass


def write_texts(out: Path, make: Callable[[], dict[str, str]]) -> None:
    """Writes files of the names and contents that ``make`` returns, each whole or not at all.

    While they are made and written, no run can replace its results.
    """
    with as_user_error(out):
        out.mkdir(parents=True, exist_ok=True)
        with locked(out):
            for name, text in make().items():
                # A path in the text may have bytes that are not UTF-8.
                write_whole(out / name, text.encode(errors="backslashreplace"))


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _check_replaceable(target: Path) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise UserError(
            f"out must be where results can be written, but {target} is a file; move it"
        )
    if any(target.iterdir()) and not (target / "config.json").is_file():
        raise UserError(
            f"out must be where results can be written, but {target} holds other files "
            "(it has no config.json); move it, or choose another --out"
        )


@contextlib.contextmanager
def as_user_error(path: Path) -> Iterator[None]:
    """Turns errors of the file system into one that a user can act on."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"out must be where results can be written, but {path} cannot "
            f"({error.strerror or error}); choose another --out"
        ) from error
