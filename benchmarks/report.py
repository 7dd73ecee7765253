"""What was found as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import summary
from benchmarks.cases import CASES
from benchmarks.comparisons import Row
from benchmarks.fits import Fit

_COLUMNS = (
    "contender", "time", "quartiles of samples", "ratio to ours", "compiling", "error (allowed)",
    "memory", "GFLOP by hand, XLA", "MB by hand, XLA", "share of floor",
)  # fmt: skip

_READING = """\
Times are medians of interleaved runs, of one step where a call takes several. Compiling is what
the first call took beyond a later one. A time counts only if the result is no further
from ours than is allowed (relative Frobenius distance); else there is none. Ratios are times
divided by ours. Memory is what a call needs beyond its inputs: on a CPU of the resident set of a
process that calls one contender after the other, of the device elsewhere. Operations and bytes are
those of a step, of ours counted by hand, and by XLA, which counts a loop once. The share of the
floor is the time that what was counted by hand must take at the rates measured here, divided by
ours; where a call is shorter than its own overhead it says little.
"""


def markdown(
    rows: Sequence[Row], fits: Sequence[Fit], description: dict[str, Any], date: str
) -> str:
    """A line for each task and a picture, and folded below it all that was measured."""
    device = description["device"]
    versions = ", ".join(f"{k} {v or 'not installed'}" for k, v in description["versions"].items())
    rates = "; ".join(f"{name} {value:.3g}" for name, value in description["rates"].items())
    parts = [
        "# Benchmarks",
        f"{device['count']} x {device['platform']} ({device['kind']}), "
        f"{description['machine']}, {date}. How much longer others take for the same result, which "
        "is checked before a time counts; in float32, but for fits, which are in float64.",
        *_in_short(rows),
        "## Details",
        f"{versions}. Measured: {rates}.",
        _READING.strip(),
    ]
    # Which are about CPUs, where what others do is slower than memory.
    if device["platform"] == "cpu":
        parts += _promises(rows)
    for case, of_case in itertools.groupby(rows, lambda row: row.case):
        parts += [f"<details><summary>{_capital(CASES.get(case, case))}</summary>"]
        for label, group in itertools.groupby(of_case, lambda row: row.label):
            if case == "scaling" and "devices" not in label:
                continue  # as exponents
            parts += [*([f"**{label}**"] if label else []), _table(_COLUMNS, map(_cells, group))]
        if case == "scaling" and fits:
            parts += [_exponents(fits)]
        parts += ["</details>"]
    return "\n\n".join(parts) + "\n"


def write(
    folder: Path,
    rows: Sequence[Row],
    fits: Sequence[Fit],
    description: dict[str, Any],
    date: str,
) -> None:
    """Writes ``results.md`` and ``results.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(rows, fits, description, date)
    (folder / "results.md").write_text(text, encoding="utf-8")
    found = {
        "date": date,
        **description,
        "rows": [dataclasses.asdict(row) for row in rows],
        "exponents": [fit._asdict() for fit in fits],
    }
    text = json.dumps(_plain(found), indent=2, allow_nan=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")


def ratio_lines(rows: Sequence[Row]) -> list[tuple[str, str, str, str, str]]:
    """For the screen: case and sizes, contender, time, ratio, and what else is to be said."""
    return [
        (row.case, row.label, row.contender, time_text(row.seconds), _ratio(row) or row.status)
        for row in rows
    ]


def time_text(seconds: float | None) -> str:
    """Seconds in a unit that suits them; empty for ``None``."""
    if seconds is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def _in_short(rows: Sequence[Row]) -> list[str]:
    """The table and the picture of tasks, and all comparisons in which another is faster."""
    found = summary.lines(rows)
    if not found:
        return []
    columns = ("task", "sizes", "ntk_rnn", "fastest other", "its time", "ratio")
    table = [
        [
            line.task, line.sizes, time_text(line.ours.seconds), line.fastest.contender,
            time_text(line.fastest.seconds), f"**{_ratio(line.fastest)}**",
        ]
        for line in summary.tasks(found)
    ]  # fmt: skip
    behind = [line for line in found if not line.ahead]
    ahead = f"ntk_rnn is ahead in {len(found) - len(behind)} of {len(found)} comparisons"
    told = [ahead + (". It is not in:" if behind else ".")]
    told += [""] * bool(behind) + [
        f"- {line.task}, {line.sizes}: {line.fastest.contender} takes {_ratio(line.fastest)} of "
        f"its time. {line.fastest.behind}".strip()
        for line in behind
    ]
    picture = "![Ratio to the fastest other, by task](ratios.png)"
    return [_table(columns, table), picture, "\n".join(told)]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _cells(row: Row) -> Sequence[str]:
    name = row.contender
    if row.status != "timed":
        return [name, f"**{row.status}**: {row.note}" if row.note else f"**{row.status}**"]
    error = "" if row.error is None else f"{row.error:.1e} ({row.tolerance:.0e})"
    return [
        name, time_text(row.seconds),
        f"{time_text(row.low)} to {time_text(row.high)} of {row.samples}", _ratio(row),
        time_text(row.compile_seconds), error,
        "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.3g} MB",
        _pair(row.flops, row.xla_flops, 1e9), _pair(row.moved, row.xla_bytes, 1e6),
        "" if row.floor_share is None else f"{row.floor_share:.2f}",
    ]  # fmt: skip


def _promises(rows: Sequence[Row]) -> list[str]:
    """The table of what ratios are said to be at least."""
    table = [
        [
            f"{row.case}, {row.label}", row.contender, f"{row.at_least:.3g}",
            _ratio(row) or row.status,
            "cannot be told" if row.ratio is None else "yes" if row.ratio >= row.at_least else "NO",
        ]
        for row in rows if row.at_least is not None
    ]  # fmt: skip
    columns = ("comparison", "contender", "at least", "measured", "holds")
    return ["What ratios are meant to be:", _table(columns, table)] if table else []


def _exponents(fits: Sequence[Fit]) -> str:
    columns = ("time of", "in", "values", "exponent", "between the last two", "expected")
    return _table(columns, (
        [
            fit.what, fit.axis, ", ".join(map(str, fit.values)),
            f"{fit.slope:.2f}" + (f" +- {fit.stderr:.2f}" if math.isfinite(fit.stderr) else ""),
            f"{fit.last:.2f}", f"{fit.expected:g}",
        ]
        for fit in fits
    ))  # fmt: skip


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns)]
    lines += [[*row, *[""] * (len(columns) - len(row))] for row in rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.3g}"


def _pair(by_hand: float | None, by_xla: float | None, unit: float) -> str:
    parts = ["-" if value is None else f"{value / unit:.3g}" for value in (by_hand, by_xla)]
    return "" if parts == ["-", "-"] else ", ".join(parts)


def _plain(value: Any) -> Any:
    """``value`` with ``None`` for numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
