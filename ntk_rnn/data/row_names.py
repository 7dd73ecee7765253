"""By what a file tells its rows apart: the cells of its columns of trials and of times, as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ntk_rnn.data.any_file import is_table, variables
from ntk_rnn.data.cells import moment, number
from ntk_rnn.data.channels import places
from ntk_rnn.data.csv_files import body
from ntk_rnn.data.csv_source import file_path, open_text, read_header


def row_texts(path: str | Path, names: Sequence[str]) -> dict[str, list[str]]:
    """The cells of some columns or variables of a file that ``from_file`` has read.

    Args:
      path: the file.
      names: of columns or variables with one number or text a row.

    Returns:
      The cells of each by its full name. Decimal commas are points.
    """
    if not names:
        return {}
    file = file_path(path)
    if is_table(file):
        return _table_cells(file, list(names))
    found = variables(file)
    full = [list(found)[places(name, list(found))[0]] for name in names]
    return {name: list(map(_text, found[name].ravel())) for name in full}


def _table_cells(path: Path, names: list[str]) -> dict[str, list[str]]:
    """The texts of some columns by their full names, with points for decimal commas.

    Only these are kept of each line of a file that has been read as a table.
    """
    with open_text(path) as lines:
        found = read_header(path.name, lines)
        assert found is not None, path
        header, rows = body(*found)
        places = [header.place(name) for name in names]
        kept, blank = [], 0
        for _, row in rows:
            cells = [row[place].strip() for place in places]
            blank = 0 if any(cell.strip() for cell in row) else blank + 1
            kept.append([cell if header.separator == "," else _point(cell) for cell in cells])
    kept = kept[: len(kept) - blank]
    return {name: [row[k] for row in kept] for k, name in enumerate(header.written(names))}


def _point(cell: str) -> str:
    """A number or a time with a decimal point; other texts as they are."""
    written = cell.replace(",", ".")
    is_number = math.isfinite(number(written)) or math.isfinite(moment(written))
    return written if is_number else cell


def _text(value: object) -> str:
    """A number, a text, or a cell of MATLAB with one of these in it."""
    only = value.item() if isinstance(value, np.ndarray) else value
    return f"{only:.15g}" if isinstance(only, float | np.floating) else str(only)
