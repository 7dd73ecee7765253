"""Columns of a CSV file as numbers and labels, with messages that say where it is wrong.

NumPy's parser reads what has nothing unusual. Everything else is read cell by cell, which takes
many times as long and as much memory, and can say what is wrong and in which line.
"""

from __future__ import annotations

import csv
import itertools
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ntk_rnn.data.cells import (
    MISSING,
    THOUSANDS,
    complaint,
    complaint_of_moment,
    moment,
    number,
)
from ntk_rnn.data.csv_source import Header, not_csv, not_utf8, open_text, read_header
from ntk_rnn.data.unit_rows import with_units


class Columns(NamedTuple):
    """Some columns of a file.

    Attributes:
      values: of the columns of numbers, shape ``(rows, columns)``.
      headers: what the file calls these columns.
      labels: the cells of the column of groups; ``None`` without one.
      dated: whether the last column has dates or times of day, which are in seconds here.
    """

    values: Float[np.ndarray, "rows columns"]
    headers: list[str]
    labels: list[str] | None
    dated: bool = False


def read_columns(path: Path, names: list[str], group: str | None, *, timed: bool) -> Columns:
    """Columns of numbers, and the labels of a column of groups.

    Args:
      path: the file.
      names: of columns of numbers.
      group: name of the column of groups, if there is one.
      timed: whether the last of the columns of numbers has times, which may also be dates.

    Raises:
      ValueError: if the file cannot be had or is no table, or a cell is no finite number or no
        label.
    """
    try:
        found = _quick_columns(path, names, group)
        if found is not None:
            return found
        table = read_table(path)
    except (OSError, EOFError, zlib.error) as error:  # in the middle of a file, e.g. one cut short
        raise ValueError(
            f"path must be a file that can be read to its end, got {str(path)!r} ({error}); copy "
            "it once more"
        ) from None
    labels = None if group is None else table.text(group)
    headers = table.header.written(names)
    if timed and table.is_dated(names[-1]):
        values = [table.numbers(names[:-1]), table.moments(names[-1])[:, None]]
        return Columns(np.concatenate(values, axis=1), headers, labels, dated=True)
    return Columns(table.numbers(names), headers, labels)


def _quick_columns(path: Path, names: list[str], group: str | None) -> Columns | None:
    """The same by NumPy's parser; ``None`` where anything is unusual."""
    with open_text(path) as lines:
        try:
            found = read_header(path.name, lines)
        except UnicodeDecodeError:
            return None
        if found is None:
            return None
        header, rest = found
        labelled = None if group is None else header.place(group)
        places = [header.place(name) for name in names]
        if labelled in places:
            return None
        codes: dict[str, int] = {}
        # A text that is not asked for is cut to one letter.
        kinds = ["f8" if place in places else "U1" for place in range(len(header.columns))]
        converters: dict[int | str, Callable[[str], int]] | None = None
        if labelled is not None:
            kinds[labelled] = "i8"
            converters = {labelled: lambda cell: codes.setdefault(cell.strip(), len(codes))}
        rest = _plain(rest)
        try:
            first = next(rest, None)
            if first is None:
                return None
            table = np.loadtxt(
                itertools.chain([first], rest),
                dtype=np.dtype([(str(place), kind) for place, kind in enumerate(kinds)]),
                delimiter=header.separator, quotechar='"', comments=None, converters=converters,
                encoding="utf-8", ndmin=1,
            )  # fmt: skip
        except ValueError:
            return None
    values = np.empty((len(table), len(places)))
    for k, place in enumerate(places):
        values[:, k] = table[str(place)]
    if not np.isfinite(values).all() or any(label.lower() in MISSING for label in codes):
        return None
    labels = None
    if labelled is not None:
        texts = list(codes)
        labels = [texts[code] for code in table[str(labelled)]]
    return Columns(values, header.written(names), labels)


def _plain(lines: Iterable[str]) -> Iterator[str]:
    """Lines that are not empty; raises ``ValueError`` if a quoted cell goes on in the next line.

    NumPy's parser would take all that follows a quote that is not closed for one cell.
    """
    for line in lines:
        if '"' in line and line.count('"') % 2:
            raise ValueError("a quoted cell of several lines")
        if line.strip():
            yield line


class Table(NamedTuple):
    """The cells of a CSV file.

    Attributes:
      header: the names of the columns, and where they are.
      rows: the cells of every row, as text.
      lines: the line of the file that each row is on, counted from 1.
    """

    header: Header
    rows: list[list[str]]
    lines: list[int]

    def text(self, name: str) -> list[str]:
        """The cells of a column; raises ``ValueError`` where one is missing."""
        place = self.header.place(name)
        cells = [row[place].strip() for row in self.rows]
        for line, cell in zip(self.lines, cells, strict=True):
            if cell.lower() in MISSING:
                what = f"the group is missing, got {cell!r}" if cell else "the cell is empty"
                raise ValueError(
                    f"{self.header.file}, line {line}, column {name!r}: {what}; fill in to which "
                    "group this row belongs"
                )
        return cells

    def numbers(self, names: list[str]) -> Float[np.ndarray, "rows columns"]:
        """The cells of some columns, as numbers; raises ``ValueError`` where one is none."""
        places = [self.header.place(name) for name in names]
        decimal = "," if self._has_decimal_commas(places) else "."
        values = np.empty((len(self.rows), len(names)))
        bad = []
        for i, row in enumerate(self.rows):
            for k, place in enumerate(places):
                values[i, k] = number(row[place].replace(decimal, "."))
                if not math.isfinite(values[i, k]):
                    bad.append((self.lines[i], names[k], row[place].strip()))
        self._check_none(bad, complaint, "numbers")
        return values

    def is_dated(self, name: str) -> bool:
        """Whether a column begins with a date or a time of day."""
        return math.isfinite(moment(self.rows[0][self.header.place(name)].strip()))

    def moments(self, name: str) -> Float[np.ndarray, " rows"]:
        """The cells of a column of dates, as seconds since the first one.

        Raises:
          ValueError: where a cell is none.
        """
        cells = [row[self.header.place(name)].strip() for row in self.rows]
        values = np.array([moment(cell) for cell in cells])
        bad = [(self.lines[i], name, cells[i]) for i in np.flatnonzero(np.isnan(values))]
        self._check_none(bad, complaint_of_moment, "times")
        return (values - values[0]) / 1e6

    def _check_none(
        self, bad: list[tuple[int, str, str]], say: Callable[[str], str], kind: str
    ) -> None:
        """Raises ``ValueError`` if there are bad cells, each a line, a column and a text."""
        if bad:
            line, name, cell = bad[0]
            more = f" ({len(bad)} cells are not {kind}, this is the first)" if bad[1:] else ""
            raise ValueError(f"{self.header.file}, line {line}, column {name!r}: {say(cell)}{more}")

    def _has_decimal_commas(self, places: list[int]) -> bool:
        """Whether commas must be decimal: no separators, without points, not as thousands."""
        if self.header.separator == ",":
            return False
        cells = {row[place].strip() for row in self.rows for place in places}
        with_commas = [cell for cell in cells if "," in cell]
        return not any("." in cell for cell in cells) and any(
            not THOUSANDS.fullmatch(cell) for cell in with_commas
        )


def read_table(path: Path) -> Table:
    """The cells of a CSV file; raises ``ValueError`` if it cannot be had or is no table."""
    with open_text(path) as lines:
        try:
            found = read_header(path.name, lines)
            header, rows = (None, iter(())) if found is None else body(*found)
            kept = list(rows)
        except UnicodeDecodeError:
            raise not_utf8(path) from None
    # Spreadsheet programs export rows that were once in use.
    while kept and not any(cell.strip() for cell in kept[-1][1]):
        kept.pop()
    if header is None or not kept:
        raise ValueError(
            f"{path.name} must have a line of column names and at least one of numbers, got "
            f"{0 if header is None else 1} lines that are not empty; export it once more"
        )
    for line, row in kept:
        if len(row) != len(header.columns):
            raise ValueError(
                f"{path.name}, line {line}: this line has {len(row)} cells where line "
                f"{header.line} has {len(header.columns)}; add or remove cells, and put text that "
                f"has a {header.separator!r} in it between double quotes"
            )
    return Table(header, [row for _, row in kept], [line for line, _ in kept])


def body(header: Header, lines: Iterator[str]) -> tuple[Header, Iterator[tuple[int, list[str]]]]:
    """The header, with units that stand in a row below it, and the records after that."""
    rows = _records(header, lines)
    first = next(rows, None)
    if first is None:
        return header, rows
    columns = with_units(header.columns, first[1])
    if columns is None:
        return header, itertools.chain([first], rows)
    return header._replace(columns=columns), rows


def _records(header: Header, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """The line at which each record starts, and its cells; empty lines are passed over."""
    reader = csv.reader(lines, delimiter=header.separator, skipinitialspace=True, strict=True)
    line = header.first
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise not_csv(header.file, line, error) from None
        blank = len(row) == 1 < len(header.columns) and not row[0].strip()
        if row and not blank:
            yield line, row
        line = header.first + reader.line_num
