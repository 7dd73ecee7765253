"""A file, fitted and tested: the training part, the part that is held out, and the fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

import ntk_rnn as nr
from ntk_rnn.data.informative import check_informative
from ntk_rnn.fitting.priors import PRIORS
from ntk_rnn.fitting.samples import Samples, as_samples

#: Half of a band of 95 % of a normal law, in standard deviations.
BAND = 1.96


class Fitted(NamedTuple):
    """What figures and the report are made of.

    Attributes:
      file: where the recording is from.
      train: what the response was fitted to.
      test: what was held out, the last part of the file.
      fit: the response.
      mean: predicted outputs of the part that was held out, shape ``(rows, n_y)``; NaN where
        inputs before a piece are not known.
      deviation: standard deviations of measurements about ``mean``, shape ``(rows, n_y)``.
      score: of these predictions.
      delays: rows after which each input can first have an effect.
      remarks: what has been found in the file and dealt with, a sentence each.
    """

    file: Path
    train: nr.data.Recording
    test: nr.data.Recording
    fit: nr.ImpulseFit
    mean: Float[np.ndarray, "rows n_y"]
    deviation: Float[np.ndarray, "rows n_y"]
    score: Any
    delays: tuple[int, ...]
    remarks: list[str]

    @property
    def interval(self) -> float:
        """Time from a row to the next; 1 if times are not known."""
        return self.train.interval or 1.0

    @property
    def frequency_unit(self) -> str:
        """The unit of frequencies, in words."""
        if self.train.interval is None:
            return "cycles per time step"
        seconds = self.train.time_unit in ("s", "sec", "seconds")
        return (
            "Hz" if seconds else f"cycles per {self.train.time_unit or 'unit of the time column'}"
        )

    @property
    def time_unit(self) -> str:
        """The unit of times, in words."""
        if self.train.interval is None:
            return "time steps"
        return self.train.time_unit or "units of the time column"

    def span(self, steps: int) -> str:
        """A number of time steps, also as a time where that is known."""
        told = f"{steps} time step{'s' * (steps != 1)}"
        if self.train.interval is None:
            return told
        return f"{steps * self.interval:.4g} {self.time_unit} ({told})"


def read(
    file: str, inputs: Any, outputs: Any, *, time: str | None, trial: str | None
) -> nr.data.Recording:
    """A recording of a file, in which inputs before a piece are not known.

    Without trials, ``split`` may cut a piece in two.
    """
    seq_len = None if trial else 1
    return nr.data.from_file(file, inputs, outputs, seq_len=seq_len, group=trial, time=time)


def _plan(train: nr.data.Recording, lags: int | None, kernel: Any) -> str:
    """What is going to be tried, in words."""
    kernels = f"kernels {', '.join(PRIORS)}" if kernel == "auto" else f"kernel {kernel}"
    samples = as_samples(train)
    assert isinstance(samples, Samples)  # which a recording gives
    choices = samples.candidates() if lags is None else [lags]
    told = ", ".join(map(str, choices))
    return f"fitting {len(train.x)} rows by evidence: {kernels}; number of lags {told}"


def fitted(
    recording: nr.data.Recording,
    file: str,
    *,
    lags: int | None,
    delay: Sequence[int],
    kernel: Any,
    test_fraction: float,
    tell: Callable[[str], None],
) -> Fitted:
    """Fits a response to the first part of a recording, and predicts the last one.

    Args:
      recording: all rows of the file.
      file: where they are from.
      lags: number of lags; ``None`` to choose it by evidence.
      delay: rows after which inputs can first have an effect, one number or one for each input.
      kernel: as ``nr.fit`` takes it.
      test_fraction: part of the rows that is held out.
      tell: is called with what will be tried, where there is something to choose.

    Raises:
      ValueError: if the recording does not allow it.
    """
    train, test = recording.split(test_fraction, standardize=False)
    # Inputs before a piece are not known, and not 0 as in sequences at rest.
    train = dataclasses.replace(train, seq_len=1)
    remarks = [*recording.remarks, *check_informative(train)]
    in_dim = train.x.shape[1]
    if len(delay) not in (1, in_dim):
        raise ValueError(
            f"delay must be one number, or one for each of {in_dim} inputs, got {len(delay)} "
            "numbers; give as many --delay as --inputs"
        )
    delays = tuple(delay) * (in_dim if len(delay) == 1 else 1)
    if lags is None or kernel == "auto":
        tell(_plan(train, lags, kernel))
    fit = nr.fit(
        train, "auto" if lags is None else lags, kernel=kernel, delay=delays,
        interval=train.interval or 1.0,
    )  # fmt: skip
    most = max((each.seq_len for each in fit.lags), default=0)
    if len(fit.impulse_response) == most:
        remarks.append(
            f"the evidence is highest for {most} lags, the most that were tried: the response may "
            f"be longer; try more, as --lags {2 * most}"
        )
    preceded = _preceded(recording, len(train.x), len(fit.impulse_response) - 1)
    mean, deviation = (values[-len(test.x) :] for values in fit.predict(preceded, return_std=True))
    if np.isnan(mean).all():
        longest = np.diff([*test.pieces, len(test.x)]).max()
        raise ValueError(
            f"lags must leave rows that are held out to predict, got {len(fit.impulse_response)} "
            f"where their pieces have up to {longest} rows; take fewer --lags"
        )
    spread = np.hypot(deviation, fit.noise)
    score = fit.score(preceded)
    return Fitted(Path(file), train, test, fit, mean, spread, score, delays, remarks)


def _preceded(recording: nr.data.Recording, first: int, lags: int) -> nr.data.Recording:
    """The rows from one on, and so many before it, whose inputs explain the first outputs.

    The outputs of the rows before it are not predicted, having fewer inputs before them still.
    """
    start = max(first - lags, 0)
    pieces = recording.pieces[recording.pieces > start] - start
    return dataclasses.replace(
        recording, x=recording.x[start:], y=recording.y[start:], seq_len=1,
        pieces=np.concatenate([[0], pieces]),
    )  # fmt: skip
