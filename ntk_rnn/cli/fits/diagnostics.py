"""Whether inputs explain the outputs at all, and how well."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from ntk_rnn.cli.fits.fitting import Fitted
from ntk_rnn.fitting.evidence import log_evidence
from ntk_rnn.fitting.priors import covariance

# An effect is taken for real if it makes the data e^3 = 20 times as probable.
_LEAST_GAIN = 3.0


def gains(found: Fitted) -> Float[np.ndarray, " n_y"]:
    """Log evidence of each output, minus that of a constant output with noise.

    It is not negative but for rounding and the limits of a search, since a prior of scale 0 is a
    constant output.
    """
    fit = found.fit
    seq_len, out_dim, in_dim = fit.impulse_response.shape
    result = np.zeros(out_dim)
    for p in range(out_dim):
        output = fit.triangle.output(p)
        logs = np.log([values[p] for values in fit.hyperparameters.values()])
        prior = np.zeros((in_dim, seq_len, seq_len))
        for q, delay in enumerate(found.delays):
            prior[q, delay:, delay:], _ = covariance(fit.kernel, seq_len - delay, logs[:, q])
        value = log_evidence(output, prior, fit.noise[p] ** 2).value
        constant = log_evidence(output, np.zeros_like(prior), output.power).value
        result[p] = value - constant
    return result


def explained(found: Fitted) -> Bool[np.ndarray, " n_y"]:
    """Whether inputs explain each output, both where it was fitted and where it was held out."""
    return (gains(found) >= _LEAST_GAIN) & (found.score.r_squared > 0)


def verdicts(found: Fitted) -> list[str]:
    """How well each output is predicted, a sentence each."""
    return [
        _verdict(channel.name, found.score.r_squared[p], found.score.fit[p], gain)
        for p, (channel, gain) in enumerate(zip(found.train.outputs, gains(found), strict=True))
    ]


def _verdict(name: str, r_squared: float, fit: float, gain: float) -> str:
    if gain < _LEAST_GAIN:
        return (
            f"{name}: no effect of the inputs is seen, a constant explains the data as well "
            f"(R² = {r_squared:.3f} on held-out data)"
        )
    if r_squared <= 0:
        return (
            f"{name}: held-out data are predicted no better than by their mean (R² = "
            f"{r_squared:.3f}), though inputs explain the data of the fit; check whether the last "
            "part of the file differs from the rest, or the output drifts"
        )
    return (
        f"{name}: {100 * r_squared:.1f} % of the variance of held-out data is predicted "
        f"(R² = {r_squared:.3f}, fit {fit:.1f} %)"
    )
