"""What is not known of the hyper-parameters, against an integral over all of them."""

import numpy as np

from ntk_rnn.fitting.evidence import posterior_covariance
from ntk_rnn.fitting.optimization import Problem, maximized
from ntk_rnn.fitting.posterior import given_data
from ntk_rnn.fitting.samples import as_samples, triangle_of


def test_bands_have_the_spread_of_means_over_hyperparameters():
    """``var(E[L | h])`` over scale and noise, of which the evidence is integrated on a grid."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 80, 1))
    y = np.convolve(x.ravel(), rng.normal(size=12))[:80] + 1.5 * rng.normal(size=80)
    triangle = triangle_of(as_samples((x, y.reshape(1, 80, 1))), 12, False)
    problem = Problem(triangle.output(0), "flat", (0,), False)
    point = maximized(problem)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-1.6, 1.6, 25)]), axis=-1).reshape(-1, 2)
    points = [problem.at(point.vector + shift) for shift in grid]
    evidence = np.array([each.evidence.value for each in points])
    # The prior of a logarithm has a standard deviation of 3.
    weights = np.exp(evidence - evidence.max() - np.sum(grid**2, axis=1) / 18)
    weights /= weights.sum()
    means = np.stack([each.evidence.mean.ravel() for each in points])
    wanted = weights @ (means - weights @ means) ** 2
    fixed = posterior_covariance(point.evidence.whitened, point.covariances)
    added = np.diag(given_data(problem, point).covariance - fixed)
    large = wanted > 0.1 * wanted.max()
    np.testing.assert_allclose(np.sqrt(added[large]), np.sqrt(wanted[large]), rtol=0.25)


def test_what_is_on_a_bound_is_taken_as_known():
    """Without noise, the least noise is, and bands are still finite."""
    x = np.random.default_rng(0).normal(size=(1, 100, 1))
    y = x + 0.5 * np.concatenate([np.zeros((1, 1, 1)), x[:, :-1]], axis=1)
    triangle = triangle_of(as_samples((x, y)), 3, False)
    problem = Problem(triangle.output(0), "tc", (0,), False)
    found = given_data(problem, maximized(problem))
    np.testing.assert_allclose(found.mean[0], [1, 0.5, 0], atol=1e-4)
    assert np.all(np.isfinite(found.covariance))
