"""Inputs whose response noise hides: a mixture over all that their hyper-parameters may be.

The evidence may take a scale to 0 where noise hides a response, though much larger ones are almost
as probable. Its curvature there says nothing of that. So the evidence is taken at points that cover
all hyper-parameters of such an input, with all else at the most probable values. The response is
the mixture of the Gaussians at these points, weighted by evidence and prior, with a covariance by
the law of total variance, ``E[cov(L | h)] + cov(E[L | h])``.

A priori, the standard deviation of all that an input contributes to the output is uniform (Gelman
2006), up to that of the output. The logarithms of the other hyper-parameters are uniform within
ranges. Where several inputs are weak, hyper-parameters are drawn for each of them alone and put
together; weights correct for what the inputs have in common (importance sampling).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import LinAlgError

from ntk_rnn.fitting.evidence import posterior_covariance
from ntk_rnn.fitting.optimization import Point, Problem
from ntk_rnn.fitting.priors import PRIORS, covariance

# A response is weak if it raises the log evidence by less than this above that without it. At 50,
# bands by Laplace's method are 2 to 4 points too narrow for 60 samples and "tc".
_WEAK = 50.0

# Number of points at which the evidence of one input is taken, a power of 2, and number of draws
# where several inputs are weak.
_POINTS, _DRAWS = 128, 64

# Weights below this are left out.
_NEGLIGIBLE = 1e-4


def weak(problem: Problem, point: Point) -> Bool[np.ndarray, "blocks h"]:
    """Whether each hyper-parameter belongs to a weak response, one row for each block of them."""
    width = len(PRIORS[problem.kernel].names)
    least = problem.bounds()[:, 0]
    found = []
    for first in range(0, len(point.vector) - 1, width):
        without = point.vector.copy()
        without[first] = least[first]
        gain = point.evidence.value - problem.at(without).evidence.value
        found.append([gain < _WEAK] * width)
    return np.array(found)


def mixture(
    problem: Problem, point: Point, weak_blocks: Bool[np.ndarray, " blocks"]
) -> tuple[Float[np.ndarray, "n_x T"], Float[np.ndarray, "P P"]]:
    """Mean and covariance of the response, with what is unknown of weak inputs."""
    vectors, logs = _possible(problem, point, np.flatnonzero(weak_blocks))
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()

    best, size = point.evidence.mean, point.evidence.mean.size
    shift, total = np.zeros(size), np.zeros((size, size))
    for weight, vector in zip(weights, vectors, strict=True):
        if weight > _NEGLIGIBLE:
            drawn = problem.at(vector)
            apart = (drawn.evidence.mean - best).ravel()
            shift += weight * apart
            total += weight * posterior_covariance(drawn.evidence.whitened, drawn.covariances)
            total += weight * np.outer(apart, apart)
    return best + shift.reshape(best.shape), total - np.outer(shift, shift)


def _possible(
    problem: Problem, point: Point, blocks: Int[np.ndarray, " B"]
) -> tuple[Float[np.ndarray, "N k"], Float[np.ndarray, " N"]]:
    """Vectors that are possible, with the logarithms of their weights."""
    width = len(PRIORS[problem.kernel].names)
    candidates, prior = _candidates(problem)
    alone, logs = {}, {}
    for block in blocks:
        alone[block] = np.tile(point.vector, (_POINTS, 1))
        alone[block][:, block * width : (block + 1) * width] = candidates
        logs[block] = prior + _evidence(problem, alone[block])
    if len(blocks) == 1:
        return alone[blocks[0]], logs[blocks[0]]
    together, ratios = np.tile(point.vector, (_DRAWS, 1)), np.zeros(_DRAWS)
    for block in blocks:
        chosen = _drawn(np.exp(logs[block] - logs[block].max()), seed=int(block))
        inside = slice(block * width, (block + 1) * width)
        together[:, inside] = candidates[chosen]
        ratios -= (logs[block] - prior)[chosen]
    return together, ratios + _evidence(problem, together)


def _candidates(
    problem: Problem,
) -> tuple[Float[np.ndarray, "N h"], Float[np.ndarray, " N"]]:
    """Logarithms of hyper-parameters that cover all that is possible, and of their prior weights.

    They are in the order of the variance, so that neighbours are alike.
    """
    from scipy.stats import qmc  # takes longer to import than all else in this room

    names, (_, _, seq_len) = PRIORS[problem.kernel].names, problem.output.triangle.shape
    power, num_samples = problem.output.power, problem.output.num_samples
    # From what is far below the noise of one coefficient. For scales it is the variance in all.
    rates = (0.4 / seq_len, 3.0)
    limits = {"scale": (0.02 * power / num_samples, power), "nu": (0.1, 10.0)}
    low, high = np.log([limits.get(name, rates) for name in names]).T
    points = qmc.scale(qmc.Sobol(len(names), scramble=False).random(_POINTS), low, high)
    points = points[np.argsort(points[:, 0])]
    prior = points[:, 0] / 2
    for each in points:
        shape, _ = covariance(problem.kernel, seq_len, np.append(0.0, each[1:]))
        each[0] -= np.log(np.trace(shape))
    return points, prior


def _evidence(problem: Problem, vectors: Float[np.ndarray, "N k"]) -> Float[np.ndarray, " N"]:
    """Log evidence at each vector; none where the noise is below the rounding of the prior."""
    values = np.full(len(vectors), -np.inf)
    for index, vector in enumerate(vectors):
        try:
            values[index] = problem.at(vector).evidence.value
        except LinAlgError:
            continue
    return values


def _drawn(weights: Float[np.ndarray, " N"], seed: int) -> np.ndarray:
    """Indices in proportion to weights, at equal distances of their sums, in random order."""
    sums = np.cumsum(weights) / weights.sum()
    middles = (np.arange(_DRAWS) + 0.5) / _DRAWS
    chosen = np.minimum(np.searchsorted(sums, middles), len(weights) - 1)
    return np.random.default_rng(seed).permutation(chosen)
