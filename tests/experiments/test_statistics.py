"""Claims about means: settled by standard errors, or said to be open."""

import numpy as np
import pytest

from ntk_rnn.experiments import statistics

# Mean 1, standard error 0.1.
SAMPLES = 1 + 0.1 * np.array([-1.0, 1.0]).repeat(2) * np.sqrt(3)


def test_mean_and_its_standard_error():
    assert statistics.mean(SAMPLES) == pytest.approx((1.0, 0.1))
    assert statistics.mean(np.append(SAMPLES, np.nan)) == pytest.approx((1.0, 0.1))
    average, error = statistics.mean(np.array([2.0]))
    assert average == 2 and np.isnan(error)
    assert np.isnan(statistics.mean(np.array([]))).all()


@pytest.mark.parametrize(
    ("test", "bar", "holds", "told"),
    [
        (statistics.above, 0.69, True, True),
        (statistics.above, 0.71, False, False),
        (statistics.above, 1.31, False, True),
        (statistics.below, 1.31, True, True),
        (statistics.below, 1.29, False, False),
        (statistics.below, 0.69, False, True),
        (statistics.within, 1.31, True, True),
        (statistics.within, 1.29, False, False),
        (statistics.within, 0.69, False, True),
    ],
)
def test_claims(test, bar, holds, told):
    samples = SAMPLES if test is not statistics.within else -SAMPLES
    claim = test("mean", samples, bar)
    assert claim.holds == holds and ("cannot be told" not in claim.value) == told
    assert "1 +- 0.1" in claim.value and "3 standard errors" in claim.bar
    # One sample says nothing of its error.
    single = test("mean", samples[:1], bar)
    assert not single.holds and single.value.endswith("cannot be told")


def test_rise_is_that_of_a_fitted_line():
    x = np.array([0.0, 1.0, 4.0])
    samples = np.stack([2 - 3 * x, x**2])
    slopes = [np.polyfit(x, row, 1)[0] for row in samples]
    np.testing.assert_allclose(statistics.rise(x, samples), np.array(slopes) * 4)


def test_crossing():
    samples = np.array([[-1.0, -1.0, 3.0, -1.0], [1.0, -1.0, 1.0, 1.0], [-1.0] * 4, [1.0] * 4])
    found = statistics.crossing(np.array([0, 2, 4, 8]), samples)
    np.testing.assert_allclose(found, [2.5, 3.0, np.nan, np.nan])
