"""What is not known of the hyper-parameters, against an integral over all of them."""

import numpy as np
import pytest

import ntk_rnn as nr
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


def test_bands_cover_a_response_that_noise_hides():
    """60 samples, noise of variance 1, ``0.3 0.6^j`` and ``0.05 0.6^j``, with their errors.

    Of 16 draws. Laplace's method alone covers 64 +- 6 % and 44 +- 7 % (of 40 draws).
    """
    for amplitude in (0.3, 0.05):
        true, covered = amplitude * 0.6 ** np.arange(8), []
        for seed in range(16):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=60)
            y = np.convolve(x, true)[:60] + rng.normal(size=60)
            fit = nr.fit((x, y), 8, kernel="tc")
            errors = np.abs(fit.impulse_response[:, 0, 0] - true)
            covered.append(np.mean(errors < 1.96 * fit.standard_deviation[:, 0, 0]))
        error = np.std(covered) / np.sqrt(len(covered))
        assert np.mean(covered) > 0.93 - 2 * error, (amplitude, np.mean(covered), error)
        assert error < 0.03


@pytest.mark.parametrize("kernel", ["rnn", "flat", "dc"])
def test_bands_cover_weak_inputs_beside_a_strong_one(kernel):
    """Of three inputs, one has a strong response, one a weak one, and one none."""
    true = np.stack([3 * 0.6 ** np.arange(6), 0.1 * 0.6 ** np.arange(6), np.zeros(6)], axis=1)
    covered = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(80, 3))
        y = sum(np.convolve(x[:, q], true[:, q])[:80] for q in range(3)) + rng.normal(size=80)
        fit = nr.fit((x, y), 6, kernel=kernel)
        errors = np.abs(fit.impulse_response[:, 0] - true)
        covered.append((errors < 1.96 * fit.standard_deviation[:, 0]).mean(axis=0))
    error = np.std(covered, axis=0) / np.sqrt(len(covered))
    assert np.all(np.mean(covered, axis=0) > 0.93 - 2 * error), (np.mean(covered, axis=0), error)


def test_a_mixture_knows_what_two_inputs_have_in_common():
    """Of two equal weak inputs the sum is known, not each of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    y = 0.3 * x + rng.normal(size=100)
    fit = nr.fit((np.stack([x, x], axis=1), y), 3, kernel="flat")
    covariance = fit.covariance[0]
    assert np.linalg.eigvalsh(covariance.reshape(6, 6)).min() > 0
    of_sum = covariance.sum(axis=(1, 3))
    alone = nr.fit((x, y), 3, kernel="flat")
    wanted, found = alone.standard_deviation[:, 0, 0], np.sqrt(np.diag(of_sum))
    np.testing.assert_allclose(found, wanted, rtol=0.3)
    assert np.all(fit.standard_deviation[0] > wanted[0])
    np.testing.assert_allclose(
        fit.impulse_response.sum(axis=(1, 2)), alone.impulse_response[:, 0, 0], atol=wanted.max()
    )
