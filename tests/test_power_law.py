"""Fits of power laws."""

import numpy as np
import pytest

from ntk_rnn.power_law import fit_power_law


def test_agrees_with_polyfit():
    draws = np.random.default_rng(0)
    x = np.array([10, 20, 40, 80])
    y = 3 * x[:, None] ** -0.5 * np.exp(0.2 * draws.standard_normal((4, 5)))
    fit = fit_power_law(x, y)
    logs = np.log(np.repeat(x, 5)), np.log(y).reshape(-1)
    (slope, intercept), covariance = np.polyfit(*logs, 1, cov=True)
    np.testing.assert_allclose(fit, [slope, intercept, covariance[0, 0] ** 0.5], rtol=1e-10)


def test_two_points_leave_no_standard_error():
    fit = fit_power_law(np.array([1.0, 4.0]), np.array([2.0, 1.0]))
    assert fit.slope == pytest.approx(-0.5) and np.isnan(fit.stderr)
