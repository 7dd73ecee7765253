"""Claims about means: settled by standard errors, or said to be open."""

import numpy as np
import pytest

from ntk_rnn.power_law import PowerLaw
from ntk_rnn.reproduction import averages, verdicts

# Mean 1, standard error 0.1.
SAMPLES = 1 + 0.1 * np.array([-1.0, 1.0]).repeat(2) * np.sqrt(3)


def test_mean_and_its_standard_error():
    assert averages.mean(SAMPLES) == pytest.approx((1.0, 0.1))
    assert averages.mean(np.append(SAMPLES, np.nan)) == pytest.approx((1.0, 0.1))
    average, error = averages.mean(np.array([2.0]))
    assert average == 2 and np.isnan(error)
    assert np.isnan(averages.mean(np.array([]))).all()


@pytest.mark.parametrize(
    ("test", "bar", "verdict"),
    [
        (verdicts.above, 0.54, "holds"),
        (verdicts.above, 0.55, "cannot be told"),
        (verdicts.above, 1.46, "does not hold"),
        (verdicts.below, 1.46, "holds"),
        (verdicts.below, 1.45, "cannot be told"),
        (verdicts.below, 0.54, "does not hold"),
        (verdicts.within, 1.46, "holds"),
        (verdicts.within, 1.45, "cannot be told"),
        (verdicts.within, 0.54, "does not hold"),
    ],
)
def test_claims(test, bar, verdict):
    samples = SAMPLES if test is not verdicts.within else -SAMPLES
    claim = test("mean", samples, bar)
    assert claim.verdict == verdict and claim.holds == (verdict == "holds")
    assert "1 +- 0.1" in claim.value and claim.bar.endswith("by 4.54 standard errors")
    # One sample says nothing of its error.
    single = test("mean", samples[-1:], bar)
    assert single.verdict == "cannot be told" and single.value.endswith("1.17 (one sample)")


def test_few_samples_are_rarely_taken_for_a_result():
    """Of noise about the bar, one claim in a hundred holds, whatever the number of samples."""
    draws = np.random.default_rng(0).standard_normal((2000, 4))
    for count in (2, 4):
        found = [verdicts.above("noise", row[:count], 0.0).verdict for row in draws]
        # 20 of each expected, with a standard deviation of 4.5: 4 of these are allowed.
        assert all(2 <= found.count(side) <= 38 for side in ("holds", "does not hold"))
    assert verdicts.multiple(8) == verdicts.multiple(20) == 3


def test_what_is_at_its_bar_is_not_beyond_it():
    for test in (verdicts.above, verdicts.below, verdicts.within, verdicts.median_below):
        assert test("equal", np.full(4, 2.0), 2.0).verdict == "cannot be told"
    assert verdicts.falling("flat", PowerLaw(0.0, 0.0, 0.0), 20).verdict == "cannot be told"


def test_rise_is_that_of_a_fitted_line():
    x = np.array([0.0, 1.0, 4.0])
    samples = np.stack([2 - 3 * x, x**2])
    slopes = [np.polyfit(x, row, 1)[0] for row in samples]
    np.testing.assert_allclose(averages.rise(x, samples), np.array(slopes) * 4)


def test_crossing():
    samples = np.array([[-1.0, -1.0, 3.0, -1.0], [1.0, -1.0, 1.0, 1.0], [-1.0] * 4, [1.0] * 4])
    found = averages.crossing(np.array([0, 2, 4, 8]), samples)
    np.testing.assert_allclose(found, [2.5, 3.0, np.nan, np.nan])


def test_median_and_its_standard_error():
    samples = np.exp(np.random.default_rng(0).standard_normal(9))
    middle, error = averages.median(samples)
    draws = np.random.default_rng(1).choice(samples, (100_000, 9))
    # Of 100,000 medians, whose logarithm has this standard deviation up to a part in 450.
    assert middle == np.median(samples)
    assert error / middle == pytest.approx(np.std(np.log(np.median(draws, axis=1))), rel=0.02)
    assert averages.median(100 * samples) == pytest.approx((100 * middle, 100 * error))
    assert averages.median(np.full(4, 2.0)) == pytest.approx((2.0, 0.0), abs=1e-12)
    assert averages.median(np.zeros(2)) == (0.0, 0.0)
    single = averages.median(np.ones(1))
    assert single[0] == 1 and np.isnan(single[1])


def test_claims_of_medians_and_exponents():
    samples = np.exp(np.array([-1.0, 0.0, 1.0]))
    _, error = averages.median(samples)
    for bar, verdict in (
        (np.exp(7.0 * error), "holds"),
        (np.exp(6.9 * error), "cannot be told"),
        (np.exp(-6.9 * error), "cannot be told"),
        (np.exp(-7.0 * error), "does not hold"),
    ):
        assert verdicts.median_below("gap", samples, float(bar)).verdict == verdict
    assert verdicts.median_below("gap", np.zeros(3), 0.1).holds

    for slope, stderr, verdict in (
        (-0.45, 0.016, "holds"),
        (-0.45, 0.017, "cannot be told"),  # nearer to the bar than 3 standard errors
        (-0.401, 0.016, "cannot be told"),
        (-0.45, 0.11, "cannot be told"),
        (-0.65, 0.017, "cannot be told"),
        (-0.65, 0.016, "does not hold"),
        (-0.50, np.nan, "cannot be told"),
    ):
        law = PowerLaw(slope, 0.0, stderr)
        claim = verdicts.slope("falls", law, 20, -0.5, 0.1)
        assert claim.bar == "-0.5 +- 0.1, by 3 standard errors"
        error = "(two points)" if np.isnan(stderr) else f"+- {stderr:.3f}"
        assert claim.verdict == verdict and claim.value == f"{slope:.3f} {error}"
    for slope, verdict in ((-0.4, "holds"), (-0.2, "cannot be told"), (0.4, "does not hold")):
        assert verdicts.falling("falls", PowerLaw(slope, 0.0, 0.1), 20).verdict == verdict
    # A line through 4 points leaves 2 degrees of freedom, as the mean of 3 samples does.
    for points, verdict in ((4, "cannot be told"), (20, "holds")):
        assert verdicts.falling("falls", PowerLaw(-0.4, 0.0, 0.1), points).verdict == verdict
        assert (
            verdicts.slope("falls", PowerLaw(-0.5, 0, 0.03), points, -0.5, 0.1).verdict == verdict
        )
    few = verdicts.slope("falls", PowerLaw(-0.5, 0.0, 0.01), 4, -0.5, 0.1)
    assert few.bar == "-0.5 +- 0.1, by 6.96 standard errors"


def test_numbers_say_how_well_they_are_known():
    assert averages.printed_mean(SAMPLES) == "1 +- 0.1"
    assert averages.printed_mean(SAMPLES[:1]) == "0.827 (one sample)"
    assert averages.printed_mean(np.array([np.nan])) == "none"
