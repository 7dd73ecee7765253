"""Exponents of time in sizes and devices, fitted to rows of the case ``scaling``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.cases import devices, scaling
from benchmarks.comparisons import Row
from ntk_rnn.power_law import fit_power_law


class Fit(NamedTuple):
    """An exponent of time.

    Attributes:
      what: what was timed.
      axis: the size that varies.
      values: its values.
      seconds: the times.
      slope: the exponent over all of them; NaN for fewer than two.
      stderr: its standard error; NaN for fewer than three.
      last: the exponent between the last two, where fixed costs weigh least.
      expected: the exponent for large sizes.
    """

    what: str
    axis: str
    values: list[int]
    seconds: list[float]
    slope: float
    stderr: float
    last: float
    expected: float


def fit(rows: Sequence[Row]) -> list[Fit]:
    """The exponents that rows of this case allow to fit."""
    fits = []
    for (what, axis), expected in scaling.EXPECTED.items():
        points = sorted(_points(rows, what, axis))
        if len(points) < 2:
            continue
        x, y = np.array(points).T
        law = fit_power_law(x, y)
        last = float(np.diff(np.log(y[-2:]))[0] / np.diff(np.log(x[-2:]))[0])
        values = [int(value) for value in x]
        fits.append(Fit(what, axis, values, y.tolist(), law.slope, law.stderr, last, expected))
    return fits


def _points(rows: Sequence[Row], what: str, axis: str) -> list[tuple[int, float]]:
    """Values of an axis and seconds, where all other sizes are at the base."""
    timed = [
        (row, row.seconds) for row in rows
        if row.case == "scaling" and row.variant == what and row.seconds is not None
    ]  # fmt: skip
    if what == devices.VARIANT:
        return [(devices.count(row.contender), seconds) for row, seconds in timed]
    return [
        (row.sizes[axis], seconds) for row, seconds in timed
        if all(value == scaling.BASE[k] for k, value in row.sizes.items() if k != axis)
    ]  # fmt: skip
