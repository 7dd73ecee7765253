"""Time over each size that varies, on log-log axes, a file a case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from benchmarks.comparisons import Row
from ntk_rnn.plotting import panels


def save(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """Writes ``CASE.png`` and ``CASE.pdf`` for each case in which something varies."""
    written = []
    for case in dict.fromkeys(row.case for row in rows):
        of_case = [row for row in rows if row.case == case and row.seconds is not None]
        drawn = [
            (variant, axis, sweep)
            for variant in dict.fromkeys(row.variant for row in of_case)
            for axis, sweep in _sweeps([row for row in of_case if row.variant == variant])
        ]
        if not drawn:
            continue
        figure, axes = panels(len(drawn))
        names = dict.fromkeys(row.contender for _, _, sweep in drawn for row in sweep)
        colors = {name: colormaps["tab10"](k % 10) for k, name in enumerate(names)}
        for panel, (variant, axis, sweep) in zip(axes, drawn, strict=True):
            _draw(panel, axis, sweep, colors)
            panel.set_title(variant, fontsize=10)
        handles = {str(h.get_label()): h for panel in axes for h in panel.get_lines()}
        figure.legend(
            list(handles.values()), list(handles),
            loc="outside lower center", ncols=len(drawn), fontsize=8,
        )  # fmt: skip
        for ending in ("png", "pdf"):
            written.append(folder / f"{case}.{ending}")
            figure.savefig(written[-1], dpi=160)
    return written


def _sweeps(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """For each size that varies, the rows in which all others are what they most often are."""
    if not rows:
        return []
    base = {
        name: Counter(row.sizes[name] for row in rows).most_common(1)[0][0]
        for name in rows[0].sizes
    }
    found = []
    for axis in base:
        sweep = [
            row for row in rows
            if all(row.sizes[name] == base[name] for name in base if name != axis)
        ]  # fmt: skip
        if len({row.sizes[axis] for row in sweep}) > 1:
            found.append((axis, sweep))
    return found


def _draw(panel: Axes, axis: str, rows: Sequence[Row], colors: dict[str, Any]) -> None:
    for name in dict.fromkeys(row.contender for row in rows):
        points = sorted(
            (row.sizes[axis], row.seconds or 0, row.low or 0, row.high or 0)
            for row in rows if row.contender == name
        )  # fmt: skip
        x, y, low, high = zip(*points, strict=True)
        panel.plot(x, y, marker="o", markersize=3.5, linewidth=1.4, color=colors[name], label=name)
        panel.fill_between(x, low, high, color=colors[name], alpha=0.15, linewidth=0)
    panel.set(xscale="log", yscale="log", xlabel=axis, ylabel="seconds")
    values = sorted({row.sizes[axis] for row in rows})
    panel.set_xticks(values, [str(value) for value in values])
    panel.xaxis.set_minor_locator(NullLocator())
