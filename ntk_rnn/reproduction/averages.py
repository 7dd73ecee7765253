"""Means and medians over seeds with their standard errors, and how the report prints them."""

from __future__ import annotations

import numpy as np
import scipy.special
from jaxtyping import Float, Shaped

from ntk_rnn.power_law import PowerLaw


def mean(samples: Float[np.ndarray, " S"]) -> tuple[float, float]:
    """The mean of samples that are finite, and its standard error; NaN if there are too few."""
    finite = samples[np.isfinite(samples)]
    count = len(finite)
    average = float(np.mean(finite)) if count else np.nan
    error = float(np.std(finite, ddof=1)) / count**0.5 if count > 1 else np.nan
    return average, error


def median(samples: Float[np.ndarray, " S"]) -> tuple[float, float]:
    """The median of positive samples, and its standard error; NaN where there is one sample.

    The error is that of the median's logarithm, times the median, since positive quantities such
    as distances vary by factors. It is that of the exact bootstrap (Maritz and Jarrett 1978): the
    median of ``S`` samples drawn anew from these is the i-th smallest with the probability that
    ``Beta((S + 1) / 2, (S + 1) / 2)`` is between ``(i - 1) / S`` and ``i / S``.
    """
    middle, count = float(np.median(samples)), len(samples)
    if count < 2:
        return middle, np.nan
    logs = np.log(np.maximum(np.sort(samples).astype(float), np.finfo(float).tiny))
    half = (count + 1) / 2
    weights = np.diff(scipy.special.betainc(half, half, np.linspace(0, 1, count + 1)))
    variance = weights @ (logs - weights @ logs) ** 2
    return middle, middle * float(np.sqrt(variance))


def rise(x: Shaped[np.ndarray, " D"], samples: Float[np.ndarray, "S D"]) -> Float[np.ndarray, " S"]:
    """How much a line fitted to each sample rises from the first abscissa to the last."""
    centred = x - np.mean(x)
    return samples @ centred / (centred @ centred) * (x[-1] - x[0])


def crossing(
    x: Shaped[np.ndarray, " D"], samples: Float[np.ndarray, "S D"]
) -> Float[np.ndarray, " S"]:
    """Where each sample first turns positive, by a line between two abscissas.

    It is NaN for a sample that never does, or that is positive from the first abscissa on.
    """
    crossings = np.full(len(samples), np.nan)
    for i, row in enumerate(samples):
        turns = np.flatnonzero((row[:-1] <= 0) & (row[1:] > 0))
        if len(turns):
            k = turns[0]
            crossings[i] = x[k] + row[k] / (row[k] - row[k + 1]) * (x[k + 1] - x[k])
    return crossings


def printed(average: float, error: float) -> str:
    """A mean or a median and its standard error."""
    if np.isnan(average):
        return "none"
    return f"{average:.3g} " + ("(one sample)" if np.isnan(error) else f"+- {error:.2g}")


def printed_mean(samples: Float[np.ndarray, " S"]) -> str:
    """The mean of samples that are finite and its standard error."""
    return printed(*mean(samples))


def printed_median(samples: Float[np.ndarray, " S"]) -> str:
    """The median of positive samples and its standard error."""
    return printed(*median(samples))


def printed_exponent(law: PowerLaw, digits: int = 3) -> str:
    """The exponent of a power law and its standard error."""
    error = "(two points)" if np.isnan(law.stderr) else f"+- {law.stderr:.{digits}f}"
    return f"{law.slope:.{digits}f} {error}"
