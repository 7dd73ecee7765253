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

# 12:00, 12:00:00.5 and, of minutes and seconds, 00:01.5.
_CLOCK = re.compile(r"(?P<hours>\d+):(?P<minutes>[0-5]\d)(:(?P<seconds>[0-5]\d(\.\d+)?))?")
_MINUTES = re.compile(r"(?P<minutes>\d+):(?P<seconds>[0-5]\d\.\d+)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_FRACTION_OF_MINUTES = re.compile(r"[ T]\d\d:\d\d\.\d")
# What may be meant as a date or a time, in whatever order of its parts.
_LIKE_A_MOMENT = re.compile(r"\d+([-./:]\d+){2}.*|\d+:\d+.*")

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
    if _LIKE_A_MOMENT.fullmatch(cell):
        return (
            f"{cell!r} is not a number; write a column of times as 2024-05-01 12:00:00.5, as "
            "12:00:00.5 or in numbers, and nothing else in dates"
        )
    return f"{cell!r} is not a number; correct it, and put units into the column's name"


def moment(cell: str) -> float:
    """Microseconds of a date, as ``2024-05-01 12:00:00.5``, or of a time of day, as ``12:00:00.5``.

    Times may also be counted from a start, so that hours go beyond 24, and spreadsheet programs
    write minutes and seconds as ``00:01.5``. Results are whole numbers, so that float64 has them
    exactly; NaN for anything else.
    """
    text = cell.replace(",", ".")
    found = _CLOCK.fullmatch(text) or _MINUTES.fullmatch(text)
    if found is not None:
        part = found.groupdict()
        minutes = 60 * int(part.get("hours") or 0) + int(part["minutes"])
        return float(round(1e6 * (60 * minutes + float(part["seconds"] or 0))))
    # Python takes some plain numbers for dates, and a fraction of minutes for one of seconds.
    if not _DATE.match(text) or _FRACTION_OF_MINUTES.search(text):
        return math.nan
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return (when.replace(tzinfo=when.tzinfo or datetime.UTC) - _EPOCH) / _MICROSECOND


def complaint_of_moment(cell: str) -> str:
    """What is wrong with a cell of a column of times that is none."""
    if cell.lower() in MISSING:
        return complaint(cell)
    return (
        f"{cell!r} is not a time as 2024-05-01 12:00:00.5 or 12:00:00.5; correct it, or give times "
        "as numbers"
    )
