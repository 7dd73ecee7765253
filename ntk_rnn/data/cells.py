"""Cells of tables as numbers and as times, and what is wrong with those that are none."""

from __future__ import annotations

import datetime
import math
import re

#: What spreadsheet programs and statistics packages write for what is missing.
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "#n/a"})
#: What may mark thousands, of which a decimal comma cannot be told apart.
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_COMMAS_AND_POINTS = re.compile(r"[+-]?(\d[\d.]*\.[\d.]*,|\d[\d,]*,[\d,]*\.)[\d.,]*")

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def number(cell: str) -> float:
    """A cell as a number; NaN if it is none."""
    # float() takes "1_000" for a number, which no spreadsheet program writes. Some write a minus
    # sign of its own, U+2212.
    try:
        return math.nan if "_" in cell else float(cell.replace("\u2212", "-"))
    except ValueError:
        return math.nan


def complaint(cell: str) -> str:
    """What is wrong with a cell that is not a finite number, and what to do about it."""
    if cell.lower() in MISSING:
        what = f"the number is missing, got {cell!r}" if cell else "the cell is empty"
        return (
            f"{what}; fill it in, e.g. from its neighbours, or remove the whole sequence: without "
            "single rows, time would skip"
        )
    if math.isinf(number(cell)):
        return f"{cell!r} is not a finite number; correct it, or remove the whole sequence"
    if THOUSANDS.fullmatch(cell) or _COMMAS_AND_POINTS.fullmatch(cell):
        return (
            f"{cell!r} has a comma that may mark thousands or decimals; export the file without "
            "marks of thousands, and with decimal points"
        )
    if not math.isnan(number(cell.replace(",", "."))):
        return (
            f"{cell!r} has a decimal comma; export the file with decimal points (or replace the "
            "commas within numbers)"
        )
    return f"{cell!r} is not a number; correct it, and put units into the column's name"


def moment(cell: str) -> float:
    """Microseconds of a date, as ``2024-05-01 12:00:00.5``, or of a time of day, as ``12:00:00.5``.

    They are whole numbers, so that float64 has them exactly; NaN for anything else.
    """
    text = cell.replace(",", ".")
    if ":" not in text:  # Python takes some plain numbers for dates
        return math.nan
    for written in (text, f"1970-01-01 {text}"):
        try:
            when = datetime.datetime.fromisoformat(written)
        except ValueError:
            continue
        return (when.replace(tzinfo=when.tzinfo or datetime.UTC) - _EPOCH) / _MICROSECOND
    return math.nan


def complaint_of_moment(cell: str) -> str:
    """What is wrong with a cell of a column of times that is none."""
    if cell.lower() in MISSING:
        return complaint(cell)
    return (
        f"{cell!r} is not a time as 2024-05-01 12:00:00.5 or 12:00:00.5; correct it, or give times "
        "as numbers"
    )
