"""Covariances of impulse responses: their equations, derivatives, and semi-definiteness."""

import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.fitting.priors import PRIORS, covariance

T = 9
KERNELS = sorted(PRIORS)


def drawn(kernel, seed=0):
    return np.random.default_rng(seed).normal(-0.7, 0.4, size=len(PRIORS[kernel].names))


@pytest.mark.parametrize("kernel", KERNELS)
def test_derivatives_are_those_of_the_covariance(kernel):
    logs, step = drawn(kernel), 1e-5
    _, derivatives = covariance(kernel, T, logs)
    for index, derivative in enumerate(derivatives):
        shift = step * (np.arange(len(logs)) == index)
        difference = covariance(kernel, T, logs + shift)[0] - covariance(kernel, T, logs - shift)[0]
        np.testing.assert_allclose(difference / (2 * step), derivative, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
def test_covariances_are_symmetric_and_semidefinite(kernel):
    matrix, _ = covariance(kernel, 40, drawn(kernel, seed=1))
    np.testing.assert_array_equal(matrix, matrix.T)
    values = np.linalg.eigvalsh(matrix)
    assert values[0] > -1e-14 * values[-1]


def test_the_rnn_has_its_lag_weights(dtype, tol):
    """``nu_F`` and ``nu_C`` act as ``nu = 2 nu_F nu_C / (nu_F + nu_C)``, but for the scale."""
    nu_w, nu_f, nu_c = 0.6, 0.5, 2.0
    nu = 2 * nu_f * nu_c / (nu_f + nu_c)
    matrix, _ = covariance("rnn", T, np.log([1.0, -np.log(nu_w), nu]))
    rho = np.asarray(nr.lag_weights(T, nu_w, nu_f, nu_c), np.float64)
    np.testing.assert_allclose(np.diag(matrix), rho / rho[0], rtol=10 * tol)


@pytest.mark.parametrize("kernel", KERNELS)
def test_equations_of_the_literature(kernel):
    """Entry by entry, as the papers have them."""
    logs = drawn(kernel, seed=2)
    scale, rate, third = np.append(np.exp(logs), [np.nan, np.nan])[:3]
    lam = np.exp(-rate)

    def entry(i, j):
        m = max(i, j)
        return {
            "rnn": (i == j) * (lam**i + i * third / 2 * lam ** (i - 1)),
            "di": (i == j) * lam**i,
            "tc": min(lam**i, lam**j),
            "dc": lam ** ((i + j) / 2) * np.exp(-third) ** abs(i - j),
            "ss": lam ** (i + j + m) / 2 - lam ** (3 * m) / 6,
            "flat": float(i == j),
        }[kernel]

    matrix, _ = covariance(kernel, T, logs)
    wanted = scale * np.array([[entry(i, j) for j in range(T)] for i in range(T)])
    np.testing.assert_allclose(matrix, wanted, rtol=1e-12, atol=0)


def test_dc_is_tc_where_its_decorrelation_is_half_the_rate():
    tc, _ = covariance("tc", T, np.log([2.0, 0.4]))
    dc, _ = covariance("dc", T, np.log([2.0, 0.4, 0.2]))
    np.testing.assert_allclose(dc, tc, rtol=1e-12)
