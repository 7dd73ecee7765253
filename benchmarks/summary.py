"""One line for each task: ours beside the fastest of the others, as a table and as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.cases import TASKS
from benchmarks.comparisons import Row
from ntk_rnn.plotting import panels


class Line(NamedTuple):
    """A comparison in short.

    Attributes:
      task: what is computed.
      sizes: at which sizes.
      ours: our row.
      fastest: that of the fastest contender who is not ours.
    """

    task: str
    sizes: str
    ours: Row
    fastest: Row

    @property
    def ahead(self) -> bool:
        """Whether ours takes less time."""
        return (self.fastest.ratio or 0) >= 1


def lines(rows: Sequence[Row]) -> list[Line]:
    """A line for each comparison with others that were timed, in their order."""
    found = []
    for (case, _), of_comparison in itertools.groupby(rows, lambda row: (row.case, row.label)):
        group = list(of_comparison)
        timed = [row for row in group if row.role == "peer" and row.ratio is not None]
        if not timed or case == "scaling":
            continue
        first = group[0]
        task = TASKS.get(case, case) + (f": {first.variant}" if first.variant else "")
        sizes = ", ".join(f"{name} = {value:,}" for name, value in first.sizes.items())
        fastest = min(timed, key=lambda row: row.ratio or 0)
        found.append(Line(task, sizes, first, fastest))
    return found


def tasks(found: Sequence[Line]) -> list[Line]:
    """The first comparison of each task, which has the sizes that others are varied from."""
    first: dict[str, Line] = {}
    for line in found:
        first.setdefault(line.task, line)
    return list(first.values())


def draw(found: Sequence[Line], path: Path) -> None:
    """Draws how many times longer the fastest of the others takes, a bar for each task."""
    figure, axes = panels(1)
    (panel,) = axes
    figure.set_size_inches(8, 1 + 0.45 * len(found))
    ratios = [line.fastest.ratio or 0 for line in found]
    places = range(len(found))
    colors = ["tab:blue" if line.ahead else "tab:gray" for line in found]
    panel.barh(places, [ratio - 1 for ratio in ratios], left=1, color=colors, height=0.6)
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set(xscale="log", xlim=(min(0.3, min(ratios) / 2), max(ratios) * 4))
    panel.set_yticks(places, [_wrapped(line.task) for line in found], fontsize=8)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("time of the fastest other / time of ntk_rnn")
    for place, line, ratio in zip(places, found, ratios, strict=True):
        text = f" {ratio:.3g} x  {line.fastest.contender}"
        panel.text(max(ratio, 1), place, text, va="center", fontsize=8)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def _wrapped(task: str) -> str:
    """A task on two lines where it has a variant."""
    return task.replace(": ", ":\n", 1)
