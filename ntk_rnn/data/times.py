"""The times of rows: the sampling interval, and where a recording is interrupted.

Every model here counts time in rows, so rows must be at equal intervals. Times that say otherwise
are refused, unless they skip: then a new continuous piece begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

# A step that is longer than this many sampling intervals is a gap.
_GAP = 1.5
# Steps may differ by this part of the interval, whatever times are rounded to.
_JITTER = 1e-3
# What a time may be rounded to at most, as a part of the interval: beyond, a row that is missing
# could not be told from rounding.
_COARSEST = 0.25


class Clock(NamedTuple):
    """What the times of rows say.

    Attributes:
      interval: the sampling interval.
      gaps: the rows that follow a gap.
      remark: a sentence about the gaps; empty if there are none.
    """

    interval: float
    gaps: list[int]
    remark: str


def clock(
    times: Float[np.ndarray, " rows"],
    starts: Bool[np.ndarray, " rows"],
    where: Callable[[int, int], str],
    rounded: Float[np.ndarray, " rows"] | None = None,
) -> Clock:
    """The sampling interval of times, and their gaps.

    Args:
      times: of the rows, shape ``(rows,)``.
      starts: whether a row begins a piece, shape ``(rows,)``.
      where: says where in a file rows ``[first, end)`` are.
      rounded: what each time is rounded to, shape ``(rows,)``; as its digits have it if ``None``.

    Raises:
      ValueError: if times do not rise within a piece, or not in equal steps.
    """
    after = np.flatnonzero(~starts)  # rows with a row before them in their piece
    if not len(after):
        raise ValueError(
            f"time must have two rows in a piece or more, got one in each of {len(times)}; take "
            "a column of trials that several rows share, or leave time out"
        )
    steps = times[after] - times[after - 1]
    for row, step in zip(after[steps <= 0][:1], steps[steps <= 0][:1], strict=True):
        what = "stands still" if step == 0 else "goes back"
        raise ValueError(
            f"time must rise from row to row, but {what} from {times[row - 1]:.9g} to "
            f"{times[row]:.9g} ({where(row - 1, row + 1)}); sort the rows by time, remove the row "
            "that is there twice, or name the column that says to which trial a row belongs"
        )
    gap = steps > _GAP * np.median(steps)
    if np.count_nonzero(gap) > len(steps) / 3:
        gap[:] = False  # no gaps in a rhythm, but no rhythm
    interval = float(np.mean(steps[~gap]))
    resolution = _resolution(times) if rounded is None else rounded
    allowed = np.maximum(_JITTER * interval, np.minimum(resolution[after], _COARSEST * interval))
    # Where times are large, float64 itself rounds.
    allowed += 4 * np.spacing(np.abs(times[after]))
    unequal = ~gap & (np.abs(steps - interval) > allowed)
    if unequal.any():
        row, step = after[unequal][0], steps[unequal][0]
        raise ValueError(
            f"time must go on in equal steps, but goes {step:.6g} from {times[row - 1]:.9g} to "
            f"{times[row]:.9g} ({where(row - 1, row + 1)}) where the mean step is {interval:.6g}; "
            "resample the recording to equal steps, or leave time out if its rows are in truth "
            "equally spaced"
        )
    gaps = after[gap].tolist()
    remark = ""
    if gaps:
        row = gaps[0]
        remark = (
            f"time jumps from {times[row - 1]:.9g} to {times[row]:.9g} "
            f"({where(row - 1, row + 1)})"
            + (f" and at {len(gaps) - 1} more places" if gaps[1:] else "")
            + "; what follows a gap is taken as a new piece"
        )
    # Beyond nine digits, sums of rounded steps say nothing.
    return Clock(float(f"{interval:.9g}"), gaps, remark)


def _resolution(times: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """What times seem to be rounded to: to as many decimals, or to as many digits in all."""
    decimals = np.full(len(times), 15)
    for places in reversed(range(15)):
        scaled = times * 10.0**places
        decimals[np.abs(scaled - np.rint(scaled)) <= 8 * np.spacing(np.abs(scaled))] = places
    whole = np.floor(np.log10(np.maximum(np.abs(times), 1e-15))) + 1  # digits before the point
    digits = np.max(decimals + whole)
    return np.maximum(10.0 ** -np.max(decimals), 10.0 ** (whole - digits))
