"""The hyper-parameters of highest evidence, by L-BFGS in their logarithms from several starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import LinAlgError
from scipy.optimize import minimize

from ntk_rnn.fitting.evidence import Evidence, Output, log_evidence
from ntk_rnn.fitting.priors import PRIORS, covariance

# Number of starts, whose responses fade within all lags, within one lag, and between. The best of
# them are followed for some steps, and the best of these for as many as are needed.
_STARTS, _FOLLOWED = 6, 2
_FIRST_STEPS, _MOST_STEPS = 6, 100

# A search ends where a step raises the log evidence by less, relative to the number of rows.
_RISE = 1e-6

# With so many samples for each row of the triangle, least squares knows the noise.
_MANY_SAMPLES = 10

# Noise below this part of the summed squares of an output is below rounding.
_LEAST_NOISE = 1e-12

# Hyper-parameters are sought within these, and a scale within a factor of its start.
_LARGEST_RATE, _SCALE_RANGE = 20.0, 1e8
_LIMITS = {"nu": (1e-3, 1e4), "decorrelation": (1e-5, 20.0)}


class Point(NamedTuple):
    """An evaluated point.

    Attributes:
      vector: logarithms of the hyper-parameters and, last, of the noise's variance, shape ``(k,)``.
      evidence: its value, derivatives and posterior mean.
      covariances: of the prior, shape ``(n_x, T, T)``.
      gradient: of the evidence, shape ``(k,)``.
    """

    vector: Float[np.ndarray, " k"]
    evidence: Evidence
    covariances: Float[np.ndarray, "n_x T T"]
    gradient: Float[np.ndarray, " k"]


@dataclass(frozen=True)
class Problem:
    """The evidence of one output as a function of a vector.

    Scales are in units in which each input has mean square 1, so that inputs may have any units
    where they share their hyper-parameters.

    Attributes:
      output: what the data say.
      kernel: name of the prior.
      delays: lags before the first that may differ from 0, one for each input.
      shared: whether inputs have the same hyper-parameters.
    """

    output: Output
    kernel: str
    delays: tuple[int, ...]
    shared: bool

    @cached_property
    def powers(self) -> Float[np.ndarray, " n_x"]:
        """Mean square of each input; that of an input that never changes is the others' mean."""
        squares = np.sum(self.output.triangle**2, axis=0).mean(axis=1) / self.output.num_samples
        alive = squares > 0
        return np.where(alive, squares, squares[alive].mean() if alive.any() else 1.0)

    def logarithms(self, vector: Float[np.ndarray, " k"]) -> Float[np.ndarray, "n_x h"]:
        """The logarithms of the hyper-parameters of each input, in the units of the data."""
        names, in_dim = PRIORS[self.kernel].names, len(self.delays)
        blocks = np.broadcast_to(vector[:-1].reshape(-1, len(names)), (in_dim, len(names))).copy()
        blocks[:, 0] -= np.log(self.powers)
        return blocks

    def at(self, vector: Float[np.ndarray, " k"]) -> Point:
        """The evidence at a vector, with its gradient."""
        _, in_dim, seq_len = self.output.triangle.shape
        covariances, derivatives = np.zeros((in_dim, seq_len, seq_len)), []
        for block, (delay, logs) in enumerate(
            zip(self.delays, self.logarithms(vector), strict=True)
        ):
            covariances[block, delay:, delay:], slopes = covariance(
                self.kernel, seq_len - delay, logs
            )
            derivatives.append(slopes)
        found = log_evidence(self.output, covariances, float(np.exp(vector[-1])))
        each = np.stack([
            np.einsum("ij,kij->k", found.by_covariance[block, delay:, delay:], slopes)
            for block, (delay, slopes) in enumerate(zip(self.delays, derivatives, strict=True))
        ])  # fmt: skip
        gradient = each.sum(axis=0) if self.shared else each.ravel()
        return Point(vector, found, covariances, np.append(gradient, found.by_noise))

    def starts(self) -> list[Float[np.ndarray, " k"]]:
        """Vectors to begin with, of memories of several lengths.

        The noise is that of least squares where samples are many. Elsewhere it is half of the
        output: less would lead away from priors that fit badly as yet, to no response at all.
        """
        names, (_, in_dim, seq_len) = PRIORS[self.kernel].names, self.output.triangle.shape
        output, noise = self.output, self.output.power / 2
        if output.num_samples > _MANY_SAMPLES * len(output.goal):
            beyond = max(output.num_samples - len(output.goal), 1.0)
            noise = min(max(output.rest / beyond, 2 * self._least_noise()), noise)
        signal = (output.power - noise) / in_dim
        vectors = []
        for rate in np.geomspace(2 / seq_len, 1, _STARTS if "rate" in names else 1):
            values = {"scale": 1.0, "rate": rate, "nu": 1.0, "decorrelation": rate}
            block = np.log([values[name] for name in names])
            variance, _ = covariance(self.kernel, seq_len, block)
            block[0] = np.log(signal / np.trace(variance))
            blocks = np.tile(block, 1 if self.shared else in_dim)
            vectors.append(np.append(blocks, np.log(noise)))
        return vectors

    def bounds(self) -> Float[np.ndarray, "k 2"]:
        """Least and largest logarithms."""
        names, seq_len = PRIORS[self.kernel].names, self.output.triangle.shape[2]
        limits = {**_LIMITS, "rate": (1e-2 / seq_len, _LARGEST_RATE)}
        pairs = []
        for position, value in enumerate(self.starts()[0][:-1]):
            name = names[position % len(names)]
            if name == "scale":
                pairs.append(value + np.log(_SCALE_RANGE) * np.array([-1, 1]))
            else:
                pairs.append(np.log(limits[name]))
        pairs.append(np.log([self._least_noise(), 2 * self.output.power]))
        return np.stack(pairs)

    def _least_noise(self) -> float:
        return _LEAST_NOISE * self.output.num_samples * self.output.power


def maximized(problem: Problem) -> Point:
    """The point of highest evidence, of those that several starts lead to.

    Evidence may have several maxima. After a few steps from the best starts, the highest point is
    followed to its end.
    """
    starts = sorted(map(problem.at, problem.starts()), key=lambda point: -point.evidence.value)
    begun = [_climbed(problem, start, _FIRST_STEPS) for start in starts[:_FOLLOWED]]
    return _climbed(problem, max(begun, key=lambda point: point.evidence.value), _MOST_STEPS)


def _climbed(problem: Problem, start: Point, steps: int) -> Point:
    """The highest point of a search, which ends where evidence rises no more by what counts.

    In the units of the search all curvatures are of order 1: that of the evidence is about half of
    the samples in the logarithm of the noise, and half of the rows in the others at most.
    """
    reached, rows = start, len(problem.output.goal)
    units = np.ones(len(start.vector))
    units[-1] = np.sqrt(rows / problem.output.num_samples)

    def objective(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal reached
        try:
            point = problem.at(scaled * units)
        except LinAlgError:  # the noise is below the rounding of the prior: take a smaller step
            return abs(start.evidence.value) / rows, np.zeros_like(scaled)
        if point.evidence.value > reached.evidence.value:
            reached = point
        return (start.evidence.value - point.evidence.value) / rows, -point.gradient * units / rows

    minimize(
        objective, start.vector / units, jac=True, method="L-BFGS-B",
        bounds=problem.bounds() / units[:, None],
        options={"ftol": _RISE, "gtol": 1e-9, "maxiter": steps},
    )  # fmt: skip
    return reached


def free(problem: Problem, point: Point) -> Bool[np.ndarray, " k"]:
    """Which hyper-parameters are within their bounds, where the gradient vanishes."""
    low, high = problem.bounds().T
    room = 1e-6 * (high - low)
    return (point.vector > low + room) & (point.vector < high - room)
