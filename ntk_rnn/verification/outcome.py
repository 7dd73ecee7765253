"""What a check found."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from ntk_rnn._types import AnyArray

# "relative": Frobenius norm of the difference over that of what is expected. "standard errors":
# the largest deviation over the entries compared. "of bound": the largest part of a bound that is
# reached. "slope": of a power law in the width, whose allowance is four standard errors.
Unit = Literal["relative", "standard errors", "of bound", "slope"]


class Outcome(NamedTuple):
    """One result, tried.

    Attributes:
      result: name in the paper.
      compared: what was compared with what.
      error: how far they are apart.
      allowance: how far they may be.
      unit: in what the two are measured.
      correction: what the paper has instead of what was checked; empty where it is right.
    """

    result: str
    compared: str
    error: float
    allowance: float
    unit: Unit
    correction: str = ""

    @property
    def holds(self) -> bool:
        """Whether the error is a number and within its allowance."""
        return math.isfinite(self.error) and self.error <= self.allowance


def relative(found: Any, expected: Any) -> float:
    """``||found - expected|| / ||expected||``, Frobenius norms of arrays of one shape."""
    found, expected = (np.asarray(a, float) for a in (found, expected))
    if found.shape != expected.shape:
        raise ValueError(f"found must have shape {expected.shape}, got {found.shape}")
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def rounding(dtype: Any, multiple: float = 100.0) -> float:
    """An allowance for rounding: so many times the spacing of numbers of that type at 1."""
    return multiple * float(np.finfo(dtype).eps)


def deviation(mean: AnyArray, standard_error: AnyArray, expected: AnyArray | float) -> float:
    """The largest ``|mean - expected|`` in standard errors, over entries that vary at all."""
    mean, error = np.asarray(mean, float), np.asarray(standard_error, float)
    expected = np.broadcast_to(np.asarray(expected, float), mean.shape)
    varies = error > 1e-5 * np.abs(expected).max()
    return float(np.max(np.abs(mean - expected)[varies] / error[varies]))
