"""A CSV file as columns of text and numbers, with messages that say where it is wrong."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# What spreadsheet programs and statistics packages write for a number that is missing.
MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "#n/a"}


class Table(NamedTuple):
    """The cells of a CSV file.

    Attributes:
      path: the file.
      columns: names of the columns.
      rows: the cells of every row, as text.
      lines: the line of the file that each row is on, counted from 1.
    """

    path: Path
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]

    def text(self, name: str) -> list[str]:
        """The cells of a column; raises ``ValueError`` where one is missing."""
        cells = [row[self._index(name)].strip() for row in self.rows]
        for line, cell in zip(self.lines, cells, strict=True):
            if cell.lower() in MISSING:
                what = f"the group is missing, got {cell!r}" if cell else "the cell is empty"
                raise ValueError(
                    f"{self.path.name}, line {line}, column {name!r}: {what}; fill in to which "
                    "group this row belongs"
                )
        return cells

    def numbers(self, names: list[str]) -> Float[np.ndarray, "rows columns"]:
        """The cells of some columns, as numbers; raises ``ValueError`` where one is none."""
        places = [self._index(name) for name in names]
        values = np.empty((len(self.rows), len(names)))
        bad = []
        for i, row in enumerate(self.rows):
            for k, place in enumerate(places):
                values[i, k] = _number(row[place])
                if not math.isfinite(values[i, k]):
                    bad.append((self.lines[i], names[k], row[place].strip()))
        if bad:
            line, name, cell = bad[0]
            more = f" ({len(bad)} cells are not numbers, this is the first)" if bad[1:] else ""
            raise ValueError(
                f"{self.path.name}, line {line}, column {name!r}: {_complaint(cell)}{more}"
            )
        return values

    def _index(self, name: str) -> int:
        count = self.columns.count(name)
        if count == 1:
            return self.columns.index(name)
        if count:
            raise ValueError(
                f"{self.path.name}, line 1: column {name!r} is there {count} times; give its "
                "columns different names"
            )
        listed = ", ".join(repr(column) for column in self.columns)
        near = _nearest(name, self.columns)
        raise ValueError(
            f"{self.path.name}, line 1: there is no column {name!r}, the columns are {listed}; "
            + (f"did you mean {near!r}?" if near else "the first line must name the columns")
        )


def read_table(path: Path) -> Table:
    """The cells of a CSV file; raises ``ValueError`` if it cannot be had or is no table."""
    text = _text(path)
    header = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=header.count)
    kept = list(_records(path, text, separator))
    # Spreadsheet programs export rows that were once in use.
    while kept and not any(cell.strip() for cell in kept[-1][1]):
        kept.pop()
    if len(kept) < 2:
        raise ValueError(
            f"{path.name} must have a line of column names and at least one of numbers, got "
            f"{len(kept)} lines that are not empty; export it once more"
        )
    (_, columns), *body = kept
    for line, row in body:
        if len(row) != len(columns):
            raise ValueError(
                f"{path.name}, line {line}: this line has {len(row)} cells where line 1 has "
                f"{len(columns)}; add or remove cells, and put text that has a {separator!r} in it "
                "between double quotes"
            )
    names = [column.strip() for column in columns]
    return Table(path, names, [row for _, row in body], [line for line, _ in body])


def _text(path: Path) -> str:
    if path.is_dir():
        raise ValueError(f"path must be a CSV file, got the folder {str(path)!r}; add its name")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(_not_there(path)) from None
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(
            f"path must be a file that can be read, got {str(path)!r} ({reason}); see who may "
            "read it, or copy it elsewhere"
        ) from None
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError(
            f"{path.name} must be a CSV file, got a workbook of a spreadsheet program; open it "
            'there and save the sheet as "CSV UTF-8"'
        )
    try:
        return raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path.name}, line {line}: the text is not in UTF-8, got the byte "
            f'{raw[error.start]:#04x}; save the file as "CSV UTF-8"'
        ) from None


def _not_there(path: Path) -> str:
    message = f"path must be a file that is there, got {str(path)!r}; "
    folder = path.parent
    if not folder.is_dir():
        return message + f"there is no folder {str(folder)!r} either: check the whole path"
    others = sorted(other.name for other in folder.iterdir() if other.suffix.lower() == ".csv")
    near = _nearest(path.name, others)
    if near:
        return message + f"did you mean {near!r}?"
    if others:
        return message + f"the CSV files in that folder are {', '.join(map(repr, others[:5]))}"
    return message + f"there are no CSV files in {str(folder.absolute())!r}: check the path"


def _records(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The line at which each record starts, and its cells; empty lines are passed over."""
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=separator, skipinitialspace=True, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"{path.name}, line {line}: this is not a line of a CSV file ({error}); look for "
                "a double quote that is not closed"
            ) from None
        if row:
            yield line, row
        line = reader.line_num + 1


def _number(cell: str) -> float:
    # float() takes "1_000" for a number, which no spreadsheet program writes.
    try:
        return math.nan if "_" in cell else float(cell)
    except ValueError:
        return math.nan


def _complaint(cell: str) -> str:
    """What is wrong with a cell that is not a finite number, and what to do about it."""
    if cell.lower() in MISSING:
        what = f"the number is missing, got {cell!r}" if cell else "the cell is empty"
        return (
            f"{what}; fill it in, e.g. from its neighbours, or remove the whole sequence: without "
            "single rows, time would skip"
        )
    if math.isinf(_number(cell)):
        return f"{cell!r} is not a finite number; correct it, or remove the whole sequence"
    if not math.isnan(_number(cell.replace(",", "."))):
        return (
            f"{cell!r} has a decimal comma; export the file with decimal points (or replace the "
            "commas within numbers)"
        )
    return f"{cell!r} is not a number; correct it, and put units into the column's name"


def _nearest(name: str, names: list[str]) -> str | None:
    lowered = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[found[0]] if found else None
