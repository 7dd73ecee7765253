"""Means over seeds, and claims about them that are tested against their standard errors."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from ntk_rnn.experiments.claims import Claim

# A claim about a mean is settled at this many standard errors from its bar, and not before.
MULTIPLE = 3.0


def mean(samples: Float[np.ndarray, " S"]) -> tuple[float, float]:
    """The mean of samples that are finite, and its standard error; NaN where there are too few."""
    finite = samples[np.isfinite(samples)]
    count = len(finite)
    average = float(np.mean(finite)) if count else np.nan
    error = float(np.std(finite, ddof=1)) / count**0.5 if count > 1 else np.nan
    return average, error


def above(statement: str, samples: Float[np.ndarray, " S"], bar: float) -> Claim:
    """The claim that the mean of what samples are drawn from is above ``bar``.

    It holds if theirs is, by 3 standard errors. If it is nearer to the bar than that on either
    side, the value says that it cannot be told.
    """
    average, error = mean(samples)
    return _claim(statement, average, error, bar, average - bar, "above")


def below(statement: str, samples: Float[np.ndarray, " S"], bar: float) -> Claim:
    """The claim that the mean of what samples are drawn from is below ``bar``."""
    average, error = mean(samples)
    return _claim(statement, average, error, bar, bar - average, "below")


def within(statement: str, samples: Float[np.ndarray, " S"], bar: float) -> Claim:
    """The claim that the mean of what samples are drawn from is nearer to 0 than ``bar``."""
    average, error = mean(samples)
    return _claim(statement, average, error, bar, bar - abs(average), "within +-")


def rise(x: Shaped[np.ndarray, " D"], samples: Float[np.ndarray, "S D"]) -> Float[np.ndarray, " S"]:
    """How much a line fitted to each sample rises from the first abscissa to the last."""
    centred = x - np.mean(x)
    return samples @ centred / (centred @ centred) * (x[-1] - x[0])


def crossing(
    x: Shaped[np.ndarray, " D"], samples: Float[np.ndarray, "S D"]
) -> Float[np.ndarray, " S"]:
    """Where each sample first turns positive, by a line between two abscissas.

    NaN for one that does not, or is positive from the first on.
    """
    crossings = np.full(len(samples), np.nan)
    for i, row in enumerate(samples):
        turns = np.flatnonzero((row[:-1] <= 0) & (row[1:] > 0))
        if len(turns):
            k = turns[0]
            crossings[i] = x[k] + row[k] / (row[k] - row[k + 1]) * (x[k + 1] - x[k])
    return crossings


def _claim(
    statement: str, average: float, error: float, bar: float, margin: float, relation: str
) -> Claim:
    holds = margin >= MULTIPLE * error
    settled = holds or margin <= -MULTIPLE * error
    return Claim(
        statement,
        f"{average:.3g} +- {error:.2g}" + ("" if settled else ", cannot be told"),
        f"{relation} {bar:.3g}, by {MULTIPLE:g} standard errors".replace("+- ", "+-"),
        bool(holds),
    )
