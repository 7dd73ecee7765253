"""A continuous recording: fitted as it is, across the borders of windows, as least squares are."""

import itertools

import jax
import numpy as np
import pytest

import ntk_rnn as nr

ROWS, CUT = 5000, 4000


@pytest.fixture(scope="module")
def system():
    """A noisy system of second order with three smooth inputs and two outputs."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(ROWS, 3))
    for t in range(1, ROWS):
        x[t] += 0.5 * x[t - 1]
    rotation = 0.9 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    F, C = rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    state, y = np.zeros(2), np.empty((ROWS, 2))
    for t in range(ROWS):
        state = rotation @ state + F @ x[t]
        y[t] = C @ state
    y += 0.3 * y.std(axis=0) * rng.normal(size=y.shape)
    return 2 + 3 * x, 7 - 4 * y


def least_squares(x, y, seq_len):
    """Held-out R^2 of a fit across all borders, by NumPy alone."""
    mean, scale = (np.concatenate([f(a[:CUT], 0) for a in (x, y)]) for f in (np.mean, np.std))
    z = (np.concatenate([x, y], axis=1) - mean) / scale

    def problem(part):
        A = [part[t - seq_len + 1 : t + 1, :3][::-1].ravel() for t in range(seq_len - 1, len(part))]
        return np.array(A), part[seq_len - 1 :, 3:]

    solution = np.linalg.lstsq(*problem(z[:CUT]))[0]
    A, b = problem(z[CUT:])
    return 1 - np.sum((b - A @ solution) ** 2, 0) / np.sum((b - b.mean(0)) ** 2, 0)


@pytest.mark.parametrize(
    ("source", "seq_len"), [("csv", 5), ("arrays", 20), ("stream", 10), ("stream", 40)]
)
def test_a_recording_is_fitted_as_least_squares_across_windows(
    dtype, system, tmp_path, source, seq_len
):
    x, y = system
    if source == "csv":
        path = tmp_path / "recording.csv"
        table = np.concatenate([x, y], axis=1)
        np.savetxt(path, table, delimiter=",", header="a,b,c,left,right", comments="")
        recording = nr.data.from_csv(path, ["a", "b", "c"], ["left", "right"], seq_len=seq_len)
    else:
        recording = nr.data.from_arrays(x, y, seq_len=seq_len)
    train, test = recording.split(test_fraction=0.2)
    if source == "stream":
        steps = np.random.default_rng(4).integers(1, 30, size=400).cumsum()
        bounds = [0, *steps[steps < CUT], CUT]
        units = nr.data.training_units(x[None, :CUT], y[None, :CUT])
        data = nr.compress_recording(
            (units.standardize(x[i:j], y[i:j]) for i, j in itertools.pairwise(bounds)),
            seq_len=seq_len,
        )
    else:
        data = train.compress()
    assert data.shape == (seq_len, 2, 3) and data.num_targets == 2 * (CUT - seq_len + 1)
    fit = nr.kernel_regression(np.ones(seq_len), data)
    L = fit.impulse_response(np.inf, fit.max_learning_rate / 2)
    expected = least_squares(x, y, seq_len)
    np.testing.assert_allclose(test.r_squared(L), expected, atol=0.01)
    assert np.all(expected > 0.5)

    # The loss of held-out data says the same.
    held_out = test.compress().loss(L, "mean")
    errors = test.predict(L)[seq_len - 1 :] - test.y[seq_len - 1 :]
    np.testing.assert_allclose(held_out, np.mean(errors**2), rtol=1e-4)


def test_pieces_are_those_of_the_groups_on_either_side_of_the_split():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 100, 1))
    groups = np.repeat(["a", "b", "c"], [30, 50, 20])
    recording = nr.data.from_arrays(x, y, seq_len=4, groups=groups)
    assert recording.pieces.tolist() == [0, 30, 80]
    train, test = recording.split(test_fraction=0.4)
    assert train.pieces.tolist() == [0, 30] and test.pieces.tolist() == [0, 20]
    assert train.compress().num_targets == 27 + 27 and test.compress().num_targets == 17 + 17
    np.testing.assert_allclose(train.x.mean(), 0, atol=1e-12)
    np.testing.assert_allclose(train.units.outputs(test.y), y[60:])
    assert repr(recording) == "Recording(100 rows in 3 pieces, n_x=1, n_y=1, seq_len=4)"

    # Outputs by the definition, and none across the border of pieces.
    L = rng.normal(size=(4, 1, 1))
    outputs = test.predict(L)
    assert np.flatnonzero(np.isnan(outputs)).tolist() == [0, 1, 2, 20, 21, 22]
    expected = sum(L[j] * test.x[13 - j] for j in range(4))
    np.testing.assert_allclose(outputs[13:14], expected, rtol=1e-12)
    # A recording of its own is put into the units of the other.
    again = nr.data.from_arrays(x[60:], y[60:], seq_len=4).standardized(train.units)
    np.testing.assert_array_equal(again.x, test.x)


def test_names_stay_and_units_are_those_of_the_numbers(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("t [ms],force [N],y\n" + "".join(f"{t},{t * t},{-t}\n" for t in range(20)))
    recording = nr.data.from_csv(path, "force", "y", time="t", seq_len=3)
    for part in recording.split(standardize=False):
        assert (part.inputs, part.units) == ((nr.data.Channel("force", "N"),), None)
    for part in recording.split():
        assert part.inputs == (nr.data.Channel("force", "standard deviations"),)
        assert part.outputs == (nr.data.Channel("y", "standard deviations"),)
        assert (part.interval, part.time_unit) == (1.0, "ms")


def test_sequences_at_rest_are_not_cut_in_two():
    x = np.arange(60.0)
    trials = nr.data.from_arrays(x, x, groups=np.repeat(np.arange(6), 10))
    train, test = trials.split(test_fraction=0.25)
    assert (len(train.x), len(test.x)) in ((40, 20), (50, 10))
    assert train.at_rest()[0].shape[1] == 10


@pytest.mark.usefixtures("unannotated")
def test_what_cannot_be_is_refused():
    x = np.arange(60.0)
    trials = nr.data.from_arrays(x, x, groups=np.repeat(np.arange(6), 10))
    recording = nr.data.from_arrays(x, x, seq_len=10)
    L = np.ones((61, 1, 1))
    for call, message in (
        (trials.compress, "seq_len must be given .* got None; .*at_rest"),
        (lambda: recording.split("a"), "test_fraction must be between 0 and 1, got 'a'"),
        (lambda: recording.split(1.0), "test_fraction must be between 0 and 1, got 1.0"),
        (lambda: recording.split(0.001), "test_fraction must leave rows for training and for test"),
        (lambda: recording.split()[0].standardized(), "units must be None before"),
        (
            lambda: nr.kernel_regression(np.ones(10), recording),
            r"data must be .*; pass its compress",
        ),
        (recording.split(0.1)[1]._part(0, 5).at_rest, "seq_len must be at most .* 5, got 10"),
        (recording._part(0, 9).compress, "seq_len must leave targets"),
        (lambda: recording.r_squared(L), "impulse_response must have at most as many lags"),
        (lambda: recording.predict(np.ones((3, 1, 2))), "must have the same numbers of outputs"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_a_network_is_trained_on_a_recording(dtype, tol):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 300, 2)).astype(dtype)
    train, test = nr.data.from_arrays(x, y, seq_len=4).split()
    model = nr.LinearRNN(8, 2)
    params = model.init(jax.random.key(0), np.zeros((1, 4, 2), dtype))
    path = nr.train(
        model, params, train.compress(), test=test.compress(), steps=3, learning_rate=1e-4
    )
    for part, losses in ((train, path.train_loss), (test, path.test_loss)):
        errors = (part.y - part.predict(nr.impulse_response(params, 4)))[3:]
        np.testing.assert_allclose(losses[0], np.sum(errors**2) / 2, rtol=10 * tol)
    assert path.train_loss[-1] < path.train_loss[0]


def test_a_constant_output_has_no_r_squared():
    recording = nr.data.from_arrays(np.arange(50.0), np.full(50, 0.1))
    with pytest.raises(ValueError, match="outputs must vary where they are predicted, got output"):
        recording.r_squared(np.ones((3, 1, 1)))
