"""Units of the training data."""

import numpy as np
import pytest

import ntk_rnn as nr


def test_training_data_have_mean_0_and_deviation_1():
    rng = np.random.default_rng(0)
    x = rng.normal([3.0, -1.0, 0.1], [2.0, 0.5, 0.0], (6, 7, 3))  # the third is constant
    y = rng.normal(40.0, 10.0, (6, 7, 1))
    units = nr.data.training_units(x[:4], y[:4])
    for values, scales in zip(units.standardize(x[:4], y[:4]), ((1, 1, 0), (1,)), strict=True):
        np.testing.assert_allclose(values.mean(axis=(0, 1)), 0, atol=1e-12)
        np.testing.assert_allclose(values.std(axis=(0, 1)), scales, atol=1e-12)
    # Test data are in the same units, and come back from them.
    inputs, outputs = units.standardize(x[4:], y[4:])
    np.testing.assert_allclose(inputs * units.x_scale + units.x_mean, x[4:])
    np.testing.assert_allclose(units.outputs(outputs), y[4:])


@pytest.mark.usefixtures("unannotated")
def test_data_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="number and length of sequences"):
        nr.data.training_units(np.ones((2, 3, 1)), np.ones((2, 4, 1)))
