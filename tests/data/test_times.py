"""Times of rows: the sampling interval, gaps, and times that are not at equal steps."""

import numpy as np
import pytest

import ntk_rnn as nr


def recorded(times, groups=None, seq_len=None):
    rows = np.arange(float(len(times)))
    return nr.data.from_arrays(rows, rows, seq_len=seq_len, groups=groups, times=times)


@pytest.mark.parametrize("dt", [1.0, 0.02, 1 / 60, 1e-4, 3600.0])
@pytest.mark.parametrize("start", [0.0, -3.0, 1.7e9])
def test_the_interval_is_found_at_whatever_times(dt, start):
    found = recorded(start + dt * np.arange(500))
    accuracy = 1e-8 + 2 * np.spacing(start) / dt  # of the times themselves
    np.testing.assert_allclose(found.interval, dt, rtol=accuracy)
    assert found.pieces.tolist() == [0] and not found.remarks


@pytest.mark.parametrize("digits", [".3f", ".4f", ".8g"])
def test_times_may_be_rounded(digits):
    """At 60 Hz, steps that are rounded to milliseconds are 16 or 17."""
    times = np.array([float(format(k / 60, digits)) for k in range(5000)])
    found = recorded(times)
    assert found.pieces.tolist() == [0] and not found.remarks
    np.testing.assert_allclose(found.interval, 1 / 60, rtol=1e-5)


def test_times_of_few_bits_are_rounded_too():
    times = (np.arange(50_000) / 1000).astype(np.float32)
    assert np.abs(np.diff(times) - 1e-3).max() > 2e-6
    found = recorded(times)
    assert found.pieces.tolist() == [0]
    np.testing.assert_allclose(found.interval, 1e-3, rtol=1e-6)


@pytest.mark.parametrize("missing", [1, 2, 500])
def test_a_gap_begins_a_piece_and_is_said(missing):
    times = np.delete(np.arange(1000) / 100, slice(300, 300 + missing))
    found = recorded(times)
    assert found.pieces.tolist() == [0, 300]
    np.testing.assert_allclose(found.interval, 0.01, rtol=1e-6)
    (remark,) = found.remarks
    assert remark.startswith(f"time jumps from 2.99 to {(300 + missing) / 100:g} (rows 299 to 300)")


def test_gaps_and_groups_are_both_pieces():
    """Between groups time may do anything: here it begins anew in each."""
    times = np.concatenate([np.delete(np.arange(20), 7), np.arange(10)]) * 0.5
    found = recorded(times, groups=["a"] * 19 + ["b"] * 10, seq_len=3)
    assert found.pieces.tolist() == [0, 7, 19] and found.interval == 0.5
    assert "more places" not in found.remarks[0]


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 1, 2, 2, 3], r"time must rise .* stands still from 2 to 2 \(rows 2 to 3\); sort"),
        ([0, 1, 2, 0, 1], r"goes back from 2 to 0 \(rows 2 to 3\); .* which trial a row belongs"),
        ([0, 1, 2, 3.2, 4.2], r"goes 1.2 from 2 to 3.2 \(rows 2 to 3\) where the mean .* resample"),
        ([0, 1, 3, 4, 6, 7, 9], "time must go on in equal steps"),
        ([0, 1, 10, 100, 1000], "time must go on in equal steps"),
        (np.sort(np.random.default_rng(0).uniform(size=50)), "time must go on in equal steps"),
        ([5.0], "time must have two rows in a piece or more"),
        ([[0, 1], [2, 3]], r"times must have shape \(rows,\)"),
        ([0, 1, np.nan], r"times must be finite, .* index \(2,\)"),
    ],
)
def test_times_that_are_none_are_refused(times, message):
    with pytest.raises(ValueError, match=message):
        recorded(times)
