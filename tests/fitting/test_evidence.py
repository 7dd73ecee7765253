"""Evidence from the triangle of the data, against dense Gaussians of all samples."""

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal

import ntk_rnn as nr
from ntk_rnn.fitting.evidence import log_evidence, posterior_covariance
from ntk_rnn.fitting.optimization import Problem
from ntk_rnn.fitting.priors import PRIORS, covariance
from ntk_rnn.fitting.samples import as_samples, triangle_of

T, SAMPLES = 6, 60


def problem(kernel, *, offset=False, shared=False, delays=(0, 2), samples=SAMPLES):
    """A problem of two inputs, its matrix of lagged inputs by input and lag, and its output."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(1.0, 1.0, size=(1, samples, 2)), rng.normal(3.0, 1.0, size=(1, samples, 1))
    triangle = triangle_of(as_samples((x, y)), T, offset)
    lagged = np.asarray(nr.lagged_inputs(x, T), np.float64)[0]
    matrix = lagged.swapaxes(1, 2).reshape(samples, -1)
    return Problem(triangle.output(0), kernel, delays, shared), matrix, y.ravel()


def dense(of, vector, matrix, y, offset=False):
    """Log density of the samples, or of their contrasts, which an offset does not change."""
    blocks = []
    for delay, logs in zip(of.delays, of.logarithms(vector), strict=True):
        block = np.zeros((T, T))
        block[delay:, delay:] = covariance(of.kernel, T - delay, logs)[0]
        blocks.append(block)
    total = matrix @ block_diag(*blocks) @ matrix.T + np.exp(vector[-1]) * np.eye(len(y))
    contrasts = np.eye(len(y))
    if offset:
        ones = np.ones((len(y), 1))
        contrasts = np.linalg.qr(np.concatenate([ones, np.eye(len(y))[:, 1:]], axis=1))[0][:, 1:].T
    total = contrasts @ total @ contrasts.T
    return multivariate_normal(np.zeros(len(total)), total).logpdf(contrasts @ y)


def vector_of(of, seed=1):
    count = len(of.starts()[0])
    return np.random.default_rng(seed).normal(-0.5, 0.3, size=count)


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("kernel", sorted(PRIORS))
def test_evidence_is_the_density_of_all_samples(kernel, offset, dtype):
    of, matrix, y = problem(kernel, offset=offset)
    matrix = matrix.astype(dtype).astype(np.float64)
    vector = vector_of(of)
    tolerance = 1e-8 if dtype == np.float64 else 1e-5  # of the lagged inputs of JAX
    wanted = dense(of, vector, matrix, y, offset)
    np.testing.assert_allclose(of.at(vector).evidence.value, wanted, rtol=tolerance)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kernel", sorted(PRIORS))
def test_gradient_is_that_of_the_density(kernel, shared):
    of, _, _ = problem(kernel, shared=shared)
    vector, step = vector_of(of), 1e-5
    gradient = of.at(vector).gradient
    for index in range(len(vector)):
        shift = step * (np.arange(len(vector)) == index)
        above, below = of.at(vector + shift), of.at(vector - shift)
        difference = (above.evidence.value - below.evidence.value) / (2 * step)
        np.testing.assert_allclose(difference, gradient[index], rtol=1e-6, atol=1e-7)


def test_gradient_by_the_dense_covariance():
    """``1/2 tr((a a^T - S^-1) dS)`` over all samples, to 1e-8."""
    rng = np.random.default_rng(3)
    matrix, y = rng.normal(size=(40, T)), rng.normal(size=40)
    factor = np.linalg.qr(np.concatenate([matrix, y[:, None]], axis=1), mode="r")
    of, _, _ = problem("tc", delays=(0, 0))
    output = of.output._replace(
        triangle=factor[:T, None, :T],
        goal=factor[:T, T],
        rest=float(factor[T, T] ** 2),
        num_samples=40,
    )
    prior, slopes = covariance("tc", T, np.array([0.3, -1.0]))
    found = log_evidence(output, prior[None], 0.5)
    total = matrix @ prior @ matrix.T + 0.5 * np.eye(40)
    solved, inverse = np.linalg.solve(total, y), np.linalg.inv(total)
    middle = np.outer(solved, solved) - inverse
    for slope in slopes:
        wanted = 0.5 * np.sum(middle * (matrix @ slope @ matrix.T))
        np.testing.assert_allclose(np.sum(found.by_covariance[0] * slope), wanted, rtol=1e-8)
    np.testing.assert_allclose(found.by_noise, 0.25 * np.trace(middle), rtol=1e-8)
    hat = matrix @ prior @ matrix.T @ inverse
    np.testing.assert_allclose(found.degrees_of_freedom, np.trace(hat), rtol=1e-8)


def test_posterior_is_that_of_the_dense_gaussian():
    of, _, _ = problem("dc", delays=(0, 0))
    point = of.at(vector_of(of))
    prior = block_diag(*point.covariances)
    triangle = of.output.triangle.reshape(len(of.output.goal), -1)
    noise = np.exp(point.vector[-1])
    precision = np.linalg.inv(prior) + triangle.T @ triangle / noise
    covariances = posterior_covariance(point.evidence.whitened, point.covariances)
    np.testing.assert_allclose(covariances, np.linalg.inv(precision), rtol=1e-8, atol=1e-12)
    mean = np.linalg.solve(precision, triangle.T @ of.output.goal / noise)
    np.testing.assert_allclose(point.evidence.mean.ravel(), mean, rtol=1e-8)


def test_fewer_samples_than_unknowns():
    of, matrix, y = problem("tc", delays=(0, 0), samples=8)
    vector = vector_of(of)
    assert len(of.output.goal) == 8
    np.testing.assert_allclose(
        of.at(vector).evidence.value, dense(of, vector, matrix, y), rtol=1e-5
    )


def test_fewer_lags_of_the_same_samples():
    """The leading columns of the triangle are the triangle of fewer lags."""
    rng = np.random.default_rng(0)
    samples = as_samples((rng.normal(size=(3, 30, 2)), rng.normal(size=(3, 30, 2))))
    narrowed, direct = (triangle_of(samples, lags, True).narrowed(4) for lags in (T, 4))
    for index in range(2):
        values = []
        for triangle in (narrowed, direct):
            of = Problem(triangle.output(index), "ss", (0, 0), True)
            values.append(of.at(np.array([0.1, -0.5, -0.2])).evidence.value)
        np.testing.assert_allclose(values[0], values[1], rtol=1e-10)
