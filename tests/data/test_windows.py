"""Windows of a recording with gaps: in one piece, in order, and standardized by the past alone."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import ntk_rnn as nr


@hypothesis.given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    seq_len=st.integers(1, 6), first=st.integers(0, 20), length=st.integers(0, 60),
)  # fmt: skip
@hypothesis.settings(deadline=None, derandomize=True)
def test_windows_are_all_that_lie_in_one_piece(lengths, seq_len, first, length):
    pieces, bins = np.cumsum([0, *lengths[:-1]]), sum(lengths)
    of = np.repeat(np.arange(len(lengths)), lengths)
    last = min(first + length, bins)
    expected = [
        t for t in range(first, last - seq_len + 1) if len(set(of[t : t + seq_len])) == 1
    ]  # fmt: skip
    assert nr.data.window_starts(pieces, seq_len, first, last).tolist() == expected


def test_pieces_end_where_the_position_jumps():
    rng = np.random.default_rng(0)
    velocity = rng.standard_normal((40, 2)).cumsum(axis=0)
    steps = 0.1 * (velocity[1:] + velocity[:-1]) / 2
    steps += rng.uniform(-0.29, 0.29, steps.shape)
    for t, coordinate in ((6, 0), (7, 1), (29, 1)):
        steps[t, coordinate] += np.copysign(0.7, steps[t, coordinate])
    position = np.concatenate([np.zeros((1, 2)), steps.cumsum(axis=0)])
    assert nr.data.piece_starts(position, velocity, bin_width=0.1).tolist() == [0, 7, 8, 30]
    wider = nr.data.piece_starts(position, velocity, bin_width=0.1, tolerance=2.0)
    assert wider.tolist() == [0]


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(1)
    inputs = rng.poisson(3.0, (200, 4)) + np.arange(200)[:, None] // 20
    inputs = np.asarray(inputs, float)
    inputs[:100, 2] = 0.1  # of which rounding leaves a deviation
    return inputs, rng.normal(7.0, 2.0, (200, 2)), np.array([0, 30, 31, 90, 155])


@pytest.mark.parametrize("num_train", [None, 100])
def test_the_split_is_in_time_and_its_units_are_of_the_past(recording, num_train):
    inputs, targets, pieces = recording
    train, test = nr.data.chronological_split(
        inputs, targets, pieces, 6, test_fraction=0.25, num_train=num_train
    )
    used = 150 if num_train is None else num_train
    bins = [{t + k for t in part.start for k in range(6)} for part in (train, test)]
    assert max(bins[0]) == used - 1 and min(bins[1]) == 155 and max(bins[1]) == 199
    assert not set.intersection(*bins)

    scale = inputs[:used].std(axis=0)
    scale[scale < 1e-12] = 1
    x = (inputs - inputs[:used].mean(axis=0)) / scale
    y = (targets - targets[:used].mean(axis=0)) / targets[:used].std(axis=0)
    for part in (train, test):
        assert part.x.shape == (len(part.start), 6, 4) and part.y.shape[1:] == (6, 2)
        for window in (0, 1, -1):
            span = slice(part.start[window], part.start[window] + 6)
            np.testing.assert_allclose(part.x[window], x[span], rtol=1e-12)
            np.testing.assert_allclose(part.y[window], y[span], rtol=1e-12)

        np.testing.assert_allclose(part.units.outputs(part.y[0]), targets[part.start[0] :][:6])
        assert part.units is train.units

    # What comes later changes nothing of what is trained on.
    later = np.where(np.arange(200)[:, None] < used, inputs, 99)
    again, _ = nr.data.chronological_split(
        later, targets, pieces, 6, test_fraction=0.25, num_train=num_train
    )
    np.testing.assert_array_equal(again.x, train.x)


def test_one_target_may_be_a_row_of_numbers(recording):
    inputs, targets, pieces = recording
    train, _ = nr.data.chronological_split(inputs, targets[:, 0], pieces, 6)
    again, _ = nr.data.chronological_split(inputs, targets[:, :1], pieces, 6)
    np.testing.assert_array_equal(train.y, again.y)


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused(recording):
    inputs, targets, pieces = recording
    for changed, complaint in (
        ({"test_fraction": 1.0}, r"test_fraction must be between 0 and 1, got 1.0; e.g. 0.2"),
        ({"num_train": 161}, r"num_train must be at most 160, .* got 161; leave it out"),
        ({"num_train": 0}, r"num_train must be a positive integer, got 0"),
        ({"num_train": 5}, r"seq_len must leave windows for training, got 6"),
        ({"test_fraction": "a"}, r"test_fraction must be between 0 and 1, got 'a'"),
        ({"test_fraction": 0.01}, r"seq_len must leave windows for test, got 6 .* bins 198 to 200"),
    ):
        with pytest.raises(ValueError, match=complaint):
            nr.data.chronological_split(inputs, targets, pieces, 6, **changed)
    with pytest.raises(ValueError, match="must have the same number of bins, got 200 and 199"):
        nr.data.chronological_split(inputs, targets[1:], pieces, 6)
    masked, dates = np.ma.masked_greater(inputs, 15), np.array(["2024"] * 200, "M8[Y]")
    for changed, complaint in (
        ({"pieces": np.array([30, 0])}, r"pieces must begin with 0 and rise, got \[30, 0\]"),
        ({"pieces": np.array([0, 200])}, r"pieces must begin within the 200 rows, got one at"),
        ({"pieces": np.array([0, 30.5])}, r"pieces must be whole numbers .* dtype float64"),
        ({"inputs": masked}, r"inputs must not be masked"),
        ({"targets": targets + 1j}, r"targets must be real"),
        ({"targets": dates}, r"targets must hold real numbers"),
        ({"targets": targets[None]}, r"targets must have shape \(rows, columns\)"),
    ):
        given = {"inputs": inputs, "targets": targets, "pieces": pieces} | changed
        with pytest.raises(ValueError, match=complaint):
            nr.data.chronological_split(**given, seq_len=6)
    for bad in ([-2, 5], [0.5, 3], [30, 0], []):
        with pytest.raises(ValueError, match="pieces must"):
            nr.data.window_starts(np.array(bad), 3, 0, 9)
    with pytest.raises(ValueError, match="first must be an integer of at least 0, got -1"):
        nr.data.window_starts(pieces, 3, -1, 9)
    gap = np.where(np.arange(200)[:, None] == 7, np.nan, targets)
    with pytest.raises(ValueError, match="position must be finite, got 2 NaN"):
        nr.data.piece_starts(gap, targets, bin_width=0.1)
    with pytest.raises(ValueError, match="seq_len must be a positive integer, got 0"):
        nr.data.window_starts(pieces, 0, 0, 9)
    with pytest.raises(ValueError, match="tolerance must be positive"):
        nr.data.piece_starts(targets, targets, bin_width=0.1, tolerance=0.0)
    with pytest.raises(
        ValueError, match=r"must have the same shape, got \(200, 2\) and \(199, 2\)"
    ):
        nr.data.piece_starts(targets, targets[1:], bin_width=0.1)
