"""The impulse response given the data, with what is not known of the hyper-parameters.

At given hyper-parameters it is Gaussian. Bands from the most probable ones alone are too narrow,
since these are estimates as well. With their logarithms Gaussian around the most probable ones, by
the curvature of the evidence (Laplace's method), the covariance of the mean is added.

That is good where data determine the hyper-parameters. Where noise hides the response of an input,
which is so where it raises the log evidence by less than 50, the evidence may take its scale to 0,
and bands would vanish. There, mean and covariance are those of a mixture (``weak_inputs``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import linalg

from ntk_rnn.fitting.evidence import posterior_covariance
from ntk_rnn.fitting.optimization import Point, Problem, free
from ntk_rnn.fitting.weak_inputs import mixture, weak

# Step of central differences of exact derivatives, in logarithms.
_STEP = 1e-2

# Prior standard deviation of a logarithm: a factor of 20, so that what the evidence does not
# determine is not spread without bounds.
_SPREAD = 3.0


class Posterior(NamedTuple):
    """The impulse response of one output.

    Attributes:
      mean: shape ``(n_x, T)``.
      covariance: shape ``(n_x T, n_x T)``.
    """

    mean: Float[np.ndarray, "n_x T"]
    covariance: Float[np.ndarray, "P P"]


def given_data(problem: Problem, point: Point) -> Posterior:
    """Mean and covariance, by a mixture for weak inputs and by Laplace's method for the others."""
    weak_ones = weak(problem, point)
    if weak_ones.any():
        mean, covariance = mixture(problem, point, weak_ones[:, 0])
    else:
        mean = point.evidence.mean
        covariance = posterior_covariance(point.evidence.whitened, point.covariances)
    varied = np.flatnonzero(free(problem, point) & ~np.append(weak_ones.ravel(), False))
    curvature, slopes = [], []
    for index in varied:
        step = np.zeros_like(point.vector)
        step[index] = _STEP
        above, below = problem.at(point.vector + step), problem.at(point.vector - step)
        curvature.append((below.gradient - above.gradient)[varied] / (2 * _STEP))
        slopes.append((above.evidence.mean - below.evidence.mean).ravel() / (2 * _STEP))
    if len(varied):
        slope = np.stack(slopes)
        covariance += slope.T @ _spread(np.stack(curvature)) @ slope
    return Posterior(mean, covariance)


def _spread(curvature: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """Covariance of the logarithms; a direction in which the evidence rises has the prior's."""
    values, vectors = linalg.eigh((curvature + curvature.T) / 2, check_finite=False)
    return (vectors / (np.maximum(values, 0) + _SPREAD**-2)) @ vectors.T
