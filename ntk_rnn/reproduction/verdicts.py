"""Claims about means, medians and power laws, tested against their standard errors over seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.special
from jaxtyping import Float

from ntk_rnn.power_law import PowerLaw
from ntk_rnn.reproduction import averages
from ntk_rnn.reproduction.claims import Claim, Verdict

# A claim is settled once it is this many standard errors from its bar. Where samples are few, it
# takes as many as Student's t exceeds with this probability: one mistake in a hundred.
MULTIPLE, MISTAKEN = 3.0, 0.01


def multiple(count: int) -> float:
    """How many standard errors from its bar settle a claim: 3, or more for fewer than 8 samples.

    The error of a few samples is itself uncertain: the mean of two is more than 3 of its standard
    errors too large in one case of ten, the mean of eight in one of a hundred.
    """
    return max(MULTIPLE, -float(scipy.special.stdtrit(max(count - 1, 1), MISTAKEN)))


def at_most(statement: str, value: float, bar: float, note: str = "") -> Claim:
    """The claim that ``value`` is at most ``bar``; one that is not a number does not hold.

    ``note`` is shown after the value.
    """
    verdict = "holds" if value <= bar else "does not hold"
    return Claim(statement, f"{value:.3g}{note}", f"at most {bar:.3g}", verdict)


def above(statement: str, samples: Float[np.ndarray, " S"], bar: float) -> Claim:
    """The claim that the mean of what samples are drawn from is above ``bar``.

    It holds if the mean of the samples is above the bar by as many standard errors as `multiple`
    asks for, and does not hold if it is below by as many. In between it cannot be told.
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

    It is tested on the logarithms, whose standard error is that of `averages.median`.
    """
    middle, error = averages.median(samples)
    margin = middle * float(np.log(bar / middle)) if middle > 0 else bar
    return _claim(statement, middle, error, bar, margin, "below", multiple(len(samples)))


def slope(statement: str, law: PowerLaw, points: int, expected: float, tolerance: float) -> Claim:
    """The claim that the exponent of a power law is nearer to ``expected`` than ``tolerance``.

    Like a mean it holds, or does not, if the fitted exponent is as many standard errors from the
    ends of that interval as `multiple` asks for. ``points`` have been fitted, by two parameters.
    """
    margin, times = tolerance - abs(law.slope - expected), multiple(points - 1)
    claim = _claim(statement, law.slope, law.stderr, tolerance, margin, "within +-", times)
    bar = claim.bar.replace("within +-", f"{expected:g} +- ")
    return claim._replace(value=averages.printed_exponent(law), bar=bar)


def falling(statement: str, law: PowerLaw, points: int) -> Claim:
    """The claim that the exponent of a power law, fitted to so many points, is below 0."""
    times = multiple(points - 1)
    claim = _claim(statement, law.slope, law.stderr, 0.0, -law.slope, "below", times)
    return claim._replace(value=averages.printed_exponent(law))


def _of_mean(
    statement: str,
    samples: Float[np.ndarray, " S"],
    bar: float,
    margin: Callable[[float], float],
    relation: str,
) -> Claim:
    average, error = averages.mean(samples)
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
    threshold = f"{relation} {bar:.3g}".replace("+- ", "+-")
    # A value at its bar is on neither side of it, even if the samples do not vary.
    beyond = margin != 0 and abs(margin) >= times * error
    verdict = _verdict(beyond and margin > 0, beyond and margin < 0)
    needed = f"{threshold}, by {times:.3g} standard errors"
    return Claim(statement, averages.printed(average, error), needed, verdict)


def _verdict(holds: bool, fails: bool) -> Verdict:
    if holds:
        return "holds"
    return "does not hold" if fails else "cannot be told"
