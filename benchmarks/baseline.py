"""A guard against falling behind: ratios of an earlier full sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.comparisons import Row
from ntk_rnn._terminal import UserError

PATH = Path(__file__).parent / "baseline.json"

#: The factor by which a ratio may fall short of the saved one.
ALLOWED = 2.0


class Verdict(NamedTuple):
    """What a comparison with a baseline found.

    Attributes:
      fallen: ratios that fell by more than allowed, a line each.
      lost: ratios of the baseline whose row was tried, and has none now, a line each.
      held: how many ratios were compared and have not fallen.
    """

    fallen: list[str]
    lost: list[str]
    held: int

    @property
    def passed(self) -> bool:
        """Whether something was compared, and nothing fell."""
        return self.held > 0 and not self.fallen


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """The ratios of others' times to ours, by the keys of their rows.

    Those of ``scaling`` are of ours to ours, on one device and on more: there less is better.
    """
    others = [row for row in rows if row.role != "ours" and row.case != "scaling"]
    return {row.key: row.ratio for row in others if row.ratio is not None}


def read(platform: str, path: Path = PATH) -> dict[str, float]:
    """The saved ratios of a kind of device.

    Raises:
      ValueError: if there are none.
    """
    saved = _saved(path)
    if platform not in saved:
        there = ", ".join(saved) or "none"
        raise UserError(
            f"--check needs ratios of a {platform} in {path.name}, which has {there}; make them "
            "with --record"
        )
    return saved[platform]["ratios"]


def write(rows: Sequence[Row], description: dict[str, Any], path: Path = PATH) -> None:
    """Saves the ratios of rows for the device that they were measured on, beside other devices'."""
    saved = _saved(path)
    found = {key: float(f"{value:.3g}") for key, value in ratios(rows).items()}
    saved[description["device"]["platform"]] = {**description, "ratios": found}
    path.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")


def check(rows: Sequence[Row], saved: dict[str, float]) -> Verdict:
    """Compares the ratios of rows with saved ones.

    What the baseline lacks is not compared, and what ``--quick`` leaves out is not missed.
    """
    now = ratios(rows)
    fallen = [
        f"{key}: {now[key]:.3g} times ours, {saved[key]:.3g} in the baseline"
        for key in now
        if key in saved and not now[key] >= saved[key] / ALLOWED
    ]
    lost = [
        f"{row.key}: {row.status}, {row.note}, {saved[row.key]:.3g} in the baseline"
        for row in rows
        if row.key in saved and row.key not in now and row.status != "left out"
    ]
    return Verdict(fallen, lost, sum(key in saved for key in now) - len(fallen))


def _saved(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
