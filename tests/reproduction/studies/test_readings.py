"""Readings of Table 1 on a small synthetic recording: numbers found independently by NumPy."""

import itertools

import jax
import numpy as np
import pytest
import scipy.linalg
from sklearn.metrics import r2_score

import ntk_rnn as nr
from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction.studies import readings, table1
from ntk_rnn.reproduction.studies.decoding import data
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig, ReadingsConfig
from ntk_rnn.reproduction.studies.decoding.readings import READINGS, moments, windows

SMALL = ReadingsConfig(width=50, seq_len=4, limited_minutes=0.1, seeds=2, first_seed=3)


@pytest.fixture(scope="module")
def recording():
    """Counts of three neurons, and velocities that follow them with noise and two breaks."""
    rng = np.random.default_rng(0)
    spikes = rng.poisson(2.0, (300, 3))
    velocity = spikes @ rng.standard_normal((3, 2)) + rng.standard_normal((300, 2))
    return nr.data.S1(spikes, velocity, np.zeros((300, 2)), np.array([0, 70, 201]))


@pytest.fixture(scope="module")
def arrays(recording):
    calls = []
    found = readings.compute(SMALL, recording, lambda: calls.append(1))
    assert len(calls) == readings.units(SMALL) == 6
    return found


def cut(recording, targets, bins, test):
    """Lagged inputs and targets of windows in some bins for training and others for test."""
    spikes, velocity = recording.spikes.astype(float), recording.velocity
    x = (spikes - spikes[bins].mean(axis=0)) / spikes[bins].std(axis=0)
    y = (velocity - velocity[bins].mean(axis=0)) / velocity[bins].std(axis=0)
    parts = []
    for span in (bins, test):
        rows, goals, windows = [], [], 0
        edges = sorted({span.start, span.stop, *(p for p in (70, 201) if p in span)})
        for first, last in itertools.pairwise(edges):
            for start in range(first, last - 3, 1 if targets == "last" else 4):
                windows += 1
                for t in [3] if targets == "last" else range(4):
                    lagged = np.zeros((4, 3))
                    lagged[: t + 1] = x[start : start + t + 1][::-1]
                    rows.append(lagged.ravel())
                    goals.append(y[start + t])
        parts.append((np.array(rows), np.array(goals), windows))
    return parts


@pytest.mark.parametrize(
    ("key", "part", "chunk", "bins", "test"),
    [
        ("last", "full", 0, range(240), range(240, 300)),
        ("last", "limited", 1, range(120, 240), range(240, 300)),
        ("own", "limited", 1, range(120, 216), range(216, 240)),
        ("all", "full", 0, range(255), range(255, 300)),
        ("all", "limited", 0, range(102), range(102, 120)),
    ],
)
def test_scores_are_those_of_gradient_flow(arrays, recording, key, part, chunk, bins, test):
    """By the exponential of the normal equations, on windows that are cut one by one."""
    (rows, goals, count), (held, truth, _) = cut(recording, READINGS[key].targets, bins, test)
    model = nr.LinearRNN(50, 2, 0.3, 1.0, 1.0)
    key_student = jax.random.split(jax.random.key(4))[0]
    params = model.init(key_student, nr.unit_impulses(4, 3))
    start = np.asarray(nr.impulse_response(params, 4), float).transpose(0, 2, 1).reshape(12, 2)
    limits = {"scaled": [2.0, 1.6, 0.78, 0.324], "unscaled": np.ones(4)}
    fit = np.linalg.lstsq(rows, goals)[0]
    for name, rho in limits.items():
        step = np.repeat(rho, 3)[:, None] * (rows.T @ rows)
        for k in (0, 12, 20):
            decay = scipy.linalg.expm(-step * arrays["time"][k] / count)
            expected = r2_score(
                truth, held @ (fit + decay @ (start - fit)), multioutput="raw_values"
            )
            found = arrays[f"{key}_{part}_{name}"][chunk, 1, k]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_chunks_are_all_there_are(arrays, recording):
    for key in READINGS:
        assert arrays[f"{key}_limited_scaled"].shape == (2, 2, len(arrays["time"]), 2)
        assert arrays[f"{key}_full_scaled"].shape == (1, 2, len(arrays["time"]), 2)
    # The first chunk of the reading of Table 1 is its limited data, tested on the same windows.
    how, *found = next(windows(SMALL, READINGS["last"], recording, "limited"))
    config = DecodingConfig(seq_len=4, limited_minutes=0.1, batch_size=16)
    expected = data.split(config, recording, "limited")
    assert how.targets == config.targets
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.x, two.x, rtol=1e-6)
        np.testing.assert_allclose(one.y, two.y, rtol=1e-6)


def test_tables_and_figure(arrays):
    rows = readings.metrics(SMALL, arrays)
    assert len({tuple(row) for row in rows}) == 1 and len(rows) == len(moments()) * 2 * 3 * 2
    row = next(
        row for row in rows
        if (row["time"], row["data"], row["model"]) == (35, "limited", "scaled convolution")
    )  # fmt: skip
    k = int(np.flatnonzero(arrays["time"] == 35)[0])
    chunks = arrays["last_limited_scaled"][:, :, k, 0].mean(axis=1)
    assert row["r2"] == chunks.mean() and row["samples"] == 2
    assert row["stderr"] == pytest.approx(abs(chunks[0] - chunks[1]) / 2)
    numbers = readings.numbers(SMALL, arrays)
    assert len(numbers) == len(READINGS) + len(moments()) * 2 * 3
    for (part, name), (x, y) in table1.TABLE_1.items():
        if name != "rnn":
            title = {"full": "all", "limited": "limited"}[part]
            found = [n.paper for n in numbers if f"{title} data: R^2 of the {name}" in n.quantity]
            assert set(found) == {f"{x:.4f}, {y:.4f}"} and len(found) == len(moments())
    assert len(readings.plot(SMALL, arrays).axes) == 4


def test_claims_and_times_of_the_papers_order():
    """Of scores as the paper has them at all times but the last, and before the first worse."""
    noise = 1e-4 * np.random.default_rng(0).standard_normal((6, 4, 1, 2))
    time = np.unique([1.0, 2.0, *(moment.time for _, moment in moments()), 1e4])
    full, limited = (np.full((len(time), 2), ahead) for ahead in (-0.02, 0.02))
    full[-1, 1], limited[0] = 0.01, -9
    scores = {"full": (noise[:1], full), "limited": (noise, limited)}
    arrays = {"time": time} | {
        f"{key}_{part}_{name}": 0.6 + (ahead + some) * (name == "scaled")
        for key in READINGS
        for part, (some, ahead) in scores.items()
        for name in ("scaled", "unscaled")
    }
    assert readings.agreeing_times(arrays, "last") == "2 to 232"
    found = readings.claims(SMALL, arrays)
    failing = {claim.statement.split(" (")[0] for claim in found if not claim.holds}
    assert len(found) == 10 and failing == {
        "last bin, one test part, tau = 35, limited data",  # expected to be behind
        "all bins, own test parts, tau = 75, all data",  # expected to be ahead
    }
    arrays["own_limited_scaled"] = arrays["own_limited_unscaled"] + 0.05 * np.array([1, -1])
    assert readings.agreeing_times(arrays, "own") == "none"


def test_mistakes(recording):
    for fields, complaint in (
        ({"limited_minutes": 0.21}, r"limited_minutes must be at most 0.2, .* got 0.21"),
        ({"seq_len": 99}, r"the full data cannot be used: seq_len must leave windows"),
    ):
        config = ReadingsConfig(**{"limited_minutes": 0.1, "width": 20, "seeds": 1} | fields)
        with pytest.raises(UserError, match=complaint):
            readings.compute(config, recording, lambda: None)
    with pytest.raises(UserError, match=r"limited_minutes must be positive and finite, got -1"):
        ReadingsConfig(limited_minutes=-1.0)
