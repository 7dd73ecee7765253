"""The outcome of a check, and the errors and allowances that it is made of."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from ntk_rnn._types import AnyArray
from ntk_rnn.power_law import PowerLaw

# "relative": Frobenius norm of the difference over that of what is expected. "standard errors":
# the largest deviation over the entries compared. "of bound": the largest part of a bound that is
# reached. "slope": of a power law in the width.
Unit = Literal["relative", "standard errors", "of bound", "slope"]


# How far a slope may be from its expected value, and how large its standard error may be.
SLOPE_ALLOWANCE, SLOPE_ERROR = 0.25, 0.15


class Outcome(NamedTuple):
    """What the check of one result found.

    Attributes:
      result: name in the paper.
      compared: which two things were compared.
      error: how far they are apart.
      allowance: how far they may be.
      unit: the unit of both.
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


def rounding(multiple: float = 100.0) -> float:
    """An allowance for rounding: so many times the spacing of JAX's floating-point numbers at 1."""
    return multiple * float(jnp.finfo(jnp.result_type(float)).eps)


def equal(
    result: str,
    compared: str,
    found: Any,
    expected: Any,
    correction: str = "",
    multiple: float = 100.0,
) -> Outcome:
    """The check that two arrays are equal up to rounding, of which `rounding` allows a multiple."""
    error, allowance = relative(found, expected), rounding(multiple)
    return Outcome(result, compared, error, allowance, "relative", correction)


def equal_on_average(
    result: str,
    compared: str,
    samples: np.ndarray,
    expected: AnyArray,
    allowance: float,
    correction: str = "",
) -> Outcome:
    """The check that the mean over samples, the first axis, is ``expected``, entry by entry."""
    standard_error = samples.std(0, ddof=1) / len(samples) ** 0.5
    error = deviation(samples.mean(0), standard_error, expected)
    return Outcome(result, compared, error, allowance, "standard errors", correction)


def deviation(mean: AnyArray, standard_error: AnyArray, expected: AnyArray | float) -> float:
    """The largest ``|mean - expected|`` in standard errors.

    Entries that do not vary must be equal to what is expected, up to the rounding of 1000 terms.
    The deviation is NaN if anything is not finite.
    """
    mean, error = np.asarray(mean, float), np.asarray(standard_error, float)
    expected = np.broadcast_to(np.asarray(expected, float), mean.shape)
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(error))):
        return math.nan
    rounded = 1e-4 * max(np.abs(expected).max(), np.abs(mean).max())
    gap = np.abs(mean - expected)
    varies = error > 1e-5 * np.abs(expected).max()
    if np.any(gap[~varies] > rounded):
        return math.inf
    return float(np.max(gap[varies] / error[varies], initial=0.0))


def slope_error(law: PowerLaw, expected: float) -> float:
    """How far a slope is from what is expected; NaN if its standard error is too large."""
    return abs(law.slope - expected) if law.stderr <= SLOPE_ERROR else math.nan
