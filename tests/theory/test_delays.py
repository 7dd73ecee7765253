"""Which delays are learned, and when."""

import numpy as np
import pytest

import ntk_rnn as nr

STEPS = np.arange(0, 201, 20)


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((200, 8, 1))


def test_errors_are_those_of_gradient_descent(x):
    """Against the descent itself, of each delay alone, on the matrix of lagged inputs."""
    rho = np.asarray(nr.lag_weights(8, 0.4, 1.0, 0.5), float)
    found = nr.delay_errors(rho, x, STEPS)
    lagged = np.asarray(nr.lagged_inputs(x), float).reshape(-1, 8)
    for delay in range(8):
        response, target, errors = np.zeros(8), lagged[:, delay], []
        for _ in range(201):
            miss = lagged @ response - target
            errors.append(np.sum(miss**2) / np.sum(target**2))
            response = response - found.learning_rate * rho * (lagged.T @ miss)
        # Inputs pass through float32 where JAX has no float64.
        np.testing.assert_allclose(found.error[:, delay], np.asarray(errors)[STEPS], rtol=1e-4)


def test_white_inputs_learn_each_delay_at_the_rate_of_its_weight(x):
    rho = np.asarray(nr.lag_weights(8, 0.3, 1.0, 1.0), float)
    many = np.unique(np.geomspace(1, 1e5, 400).astype(int))
    energy = len(x) * np.arange(8, 0, -1)
    found = nr.delay_errors(rho, x, many, learning_rate=0.5 / np.max(rho * energy))
    expected = np.log(0.5) / (2 * np.log1p(-found.learning_rate * rho * energy))
    # Energies of 200 to 1600 squares are known to sqrt(2 / 200) = 0.1, and what A^T A has beside
    # its diagonal counts as much; steps are 3 % apart, and whole.
    needed = found.steps_needed()
    np.testing.assert_allclose(needed, expected, rtol=0.3, atol=1)
    assert np.all(np.diff(needed) >= 0) and needed[-1] > 50 * needed[1]


def test_what_is_never_learned_takes_infinitely_many_steps(x):
    found = nr.delay_errors(np.repeat([1.0, 0.0], [2, 6]), x, STEPS)
    assert np.isinf(found.steps_needed()[2:]).all() and np.isfinite(found.steps_needed()[:2]).all()
    np.testing.assert_array_equal(found.error[0], 1)


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused(x):
    with pytest.raises(ValueError, match="the inputs of this task"):
        nr.delay_errors(np.ones(8), np.ones((2, 8, 3)), STEPS)
    with pytest.raises(ValueError, match="steps must be rising"):
        nr.delay_errors(np.ones(8), x, [3, 2])
    with pytest.raises(ValueError, match="learning_rate"):
        nr.delay_errors(np.ones(8), x, STEPS, learning_rate=1.0)
    with pytest.raises(ValueError, match="error must be between 0 and 1, got 2"):
        nr.delay_errors(np.ones(8), x, STEPS).steps_needed(2)
