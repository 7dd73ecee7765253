"""Means and medians over seeds, and claims tested against their standard errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.special
from jaxtyping import Float, Shaped

from ntk_rnn.power_law import PowerLaw
from ntk_rnn.reproduction.claims import Claim, Verdict

# A claim is settled at this many standard errors from its bar, and not before; and where samples
# are few, at as many as Student's t exceeds with this probability: one by mistake in a hundred.
MULTIPLE, MISTAKEN = 3.0, 0.01


def multiple(count: int) -> float:
    """How many standard errors from its bar settle a claim: 3, and more of below 8 samples.

    The error of a few samples is itself uncertain: of two, means are 3 of their standard errors
    off to one side in a case of ten, of eight in one of a hundred.
    """
    return max(MULTIPLE, -float(scipy.special.stdtrit(max(count - 1, 1), MISTAKEN)))


def mean(samples: Float[np.ndarray, " S"]) -> tuple[float, float]:
    """The mean of samples that are finite, and its standard error; NaN where there are too few."""
    finite = samples[np.isfinite(samples)]
    count = len(finite)
    average = float(np.mean(finite)) if count else np.nan
    error = float(np.std(finite, ddof=1)) / count**0.5 if count > 1 else np.nan
    return average, error


def median(samples: Float[np.ndarray, " S"]) -> tuple[float, float]:
    """The median of positive samples, and its standard error; NaN where there is one sample.

    The error is that of the median's logarithm, times the median: what is positive, as a distance
    is, varies by factors. It is the exact bootstrap's (Maritz and Jarrett 1978): the median of
    ``S`` samples drawn anew from these is the i-th smallest with the probability that
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


def told(samples: Float[np.ndarray, " S"]) -> str:
    """The mean of samples that are finite and its standard error, as the report prints them."""
    return shown(*mean(samples))


def shown(average: float, error: float) -> str:
    """A mean or a median and its standard error, as claims and the report print them."""
    if np.isnan(average):
        return "none"
    return f"{average:.3g} " + ("(one sample)" if np.isnan(error) else f"+- {error:.2g}")


def above(statement: str, samples: Float[np.ndarray, " S"], bar: float) -> Claim:
    """The claim that the mean of what samples are drawn from is above ``bar``.

    It holds if theirs is, by as many standard errors as :func:`multiple` asks for, and does not if
    theirs is not, by as much. Nearer to the bar it cannot be told.
    """
    return _of_mean(statement, samples, bar, lambda average: average - bar, "above")


def below(statement: str, samples: Float[np.ndarray, " S"], bar: float) -> Claim:
    """The claim that the mean of what samples are drawn from is below ``bar``."""
    return _of_mean(statement, samples, bar, lambda average: bar - average, "below")


def within(statement: str, samples: Float[np.ndarray, " S"], bar: float) -> Claim:
    """The claim that the mean of what samples are drawn from is nearer to 0 than ``bar``."""
    return _of_mean(statement, samples, bar, lambda average: bar - abs(average), "within +-")


def median_below(statement: str, samples: Float[np.ndarray, " S"], bar: float) -> Claim:
    """The claim that the median of what positive samples are drawn from is below ``bar``.

    Tested on the logarithms, as :func:`median` has their error.
    """
    middle, error = median(samples)
    margin = middle * float(np.log(bar / middle)) if middle > 0 else bar
    return _claim(statement, middle, error, bar, margin, "below", multiple(len(samples)))


def slope(statement: str, law: PowerLaw, expected: float, tolerance: float) -> Claim:
    """The claim that the exponent of a power law is ``expected``, up to ``tolerance``.

    It holds if the fitted one is, with a standard error no larger than the tolerance, and does not
    if the fitted one is farther off than that by 3 standard errors.
    """
    off = abs(law.slope - expected)
    verdict = _verdict(
        off <= tolerance and law.stderr <= tolerance, off - tolerance > MULTIPLE * law.stderr
    )
    return Claim(statement, exponent(law), f"{expected:g} +- {tolerance:g}", verdict)


def falling(statement: str, law: PowerLaw) -> Claim:
    """The claim that the exponent of a power law is below 0."""
    claim = _claim(statement, law.slope, law.stderr, 0.0, -law.slope, "below", MULTIPLE)
    return claim._replace(value=exponent(law))


def exponent(law: PowerLaw, digits: int = 3) -> str:
    """The exponent of a power law and its standard error, as claims and the report print them."""
    error = "(two points)" if np.isnan(law.stderr) else f"+- {law.stderr:.{digits}f}"
    return f"{law.slope:.{digits}f} {error}"


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


def _of_mean(
    statement: str,
    samples: Float[np.ndarray, " S"],
    bar: float,
    margin: Callable[[float], float],
    relation: str,
) -> Claim:
    average, error = mean(samples)
    times = multiple(int(np.isfinite(samples).sum()))
    return _claim(statement, average, error, bar, margin(average), relation, times)


def _claim(
    statement: str,
    average: float,
    error: float,
    bar: float,
    margin: float,
    relation: str,
    times: float,
) -> Claim:
    value, threshold = shown(average, error), f"{relation} {bar:.3g}".replace("+- ", "+-")
    # What is at its bar is on neither side of it, be it without any spread.
    beyond = margin != 0 and abs(margin) >= times * error
    verdict = _verdict(beyond and margin > 0, beyond and margin < 0)
    return Claim(statement, value, f"{threshold}, by {times:.3g} standard errors", verdict)


def _verdict(holds: bool, fails: bool) -> Verdict:
    if holds:
        return "holds"
    return "does not hold" if fails else "cannot be told"
