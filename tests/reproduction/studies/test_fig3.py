"""Fig. 3 at small sizes: errors found independently, and claims that can fail."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from ntk_rnn.reproduction.studies import fig3, fig3_problem
from ntk_rnn.reproduction.studies.configs import DelayConfig

SMALL = DelayConfig(
    width=300, in_dim=2, seq_len=4, num_train=3, num_test=5, steps=(6, 2, 20), rnn_steps=6,
    rnn_delays=(3, 0), seeds=3, rnn_seeds=2, first_seed=5, learning_rate=5e-3,
)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_run(dtype):
    calls = []
    arrays = fig3.run(SMALL, lambda: calls.append(1))
    assert len(calls) == fig3.units(SMALL) == 3 + 2 * 2
    assert arrays["step"].tolist() == [2, 6, 20, math.inf]
    assert arrays["seed"].tolist() == [5, 6, 7] and arrays["delay"].tolist() == [0, 1, 2, 3]
    trained = np.zeros((3, 4, 4), bool)
    trained[:2, :2, ::3] = True
    np.testing.assert_array_equal(np.isfinite(arrays["rnn"]), trained)

    # Gradient descent and weighted least squares, of one seed and delay, by NumPy.
    (x, y), test, _, response = map(_host, fig3_problem.draw(jax.random.key(6), SMALL))
    for name, rho in (("unscaled", np.ones(4)), ("scaled", [2.0, 1.6, 0.78, 0.324])):
        root = np.sqrt(np.repeat(rho, 2))
        features, start = _lagged(x) * root, response.reshape(-1) / root
        goal, theta, errors = y[..., 1].reshape(-1), start.copy(), {}
        for step in range(21):
            errors[step] = _error(theta * root, test)
            theta -= 5e-3 * features.T @ (features @ theta - goal)
        errors[math.inf] = _error(
            (start + np.linalg.lstsq(features, goal - features @ start)[0]) * root, test
        )
        expected = [errors[step] for step in arrays["step"]]
        np.testing.assert_allclose(arrays[name][1, :, 1], expected, rtol=2e-5)
    squares = np.sum(test[1] ** 2, axis=(0, 1))
    np.testing.assert_allclose(arrays["power"][1], squares / squares[0], rtol=1e-5)
    # Of this width and after few steps the RNN is near its limit, as the other one is not.
    distance = {name: np.abs(arrays["rnn"] - arrays[name])[trained].mean()
                for name in ("scaled", "unscaled")}  # fmt: skip
    assert distance["scaled"] < 0.3 * distance["unscaled"]

    rows = fig3.metrics(SMALL, arrays)
    assert [(row["step"], row["delay"]) for row in rows[3:5]] == [(2, 3), (6, 0)]
    assert rows[3]["rnn"] == pytest.approx(arrays["rnn"][:2, 0, 3].mean())
    assert rows[3]["scaled"] == pytest.approx(np.median(arrays["scaled"][:, 0, 3]))
    assert np.isnan(rows[1]["rnn"]) and len({tuple(row) for row in rows}) == 1


def test_the_copy_task_delays_the_first_input():
    config = dataclasses.replace(SMALL, target="copy", snr_db=200.0)
    (x, y), *_ = fig3_problem.draw(jax.random.key(0), config)
    for steps in range(4):
        np.testing.assert_allclose(y[:, steps:, steps], x[:, : 4 - steps, 0], rtol=1e-6)
        assert np.abs(y[:, :steps, steps]).sum() < 1e-6


def test_learning_rate_past_stability():
    config = dataclasses.replace(SMALL, learning_rate=10.0)
    with pytest.raises(ValueError, match=r"learning_rate must be below 0\.\d+, .*, got 10"):
        fig3.run(config, lambda: None)


def _host(part):
    return jax.tree.map(lambda a: np.asarray(a, float), part)


def _lagged(x):
    """Lagged inputs, a row a sequence and time and a column a lag and input."""
    rows = np.zeros((*x.shape[:2], *x.shape[1:]))
    for t in range(x.shape[1]):
        rows[:, t, : t + 1] = x[:, t::-1]
    return rows.reshape(x.shape[0] * x.shape[1], -1)


def _error(response, test):
    x, y = test
    goal = y[..., 1].reshape(-1)
    return np.sum((_lagged(x) @ response - goal) ** 2) / np.sum(goal**2)


def _errors(rnn, scaled, unscaled, power=1.0):
    """Errors as functions of the delay, with some noise, at the steps of a configuration."""
    config = DelayConfig()
    delays = np.arange(20)
    noise = 1e-3 * np.random.default_rng(0).standard_normal((4, 4, 20))
    arrays = {
        name: np.broadcast_to(law(delays), (4, 4, 20)) + noise
        for name, law in (("rnn", rnn), ("scaled", scaled), ("unscaled", unscaled))
    }
    arrays["rnn"][2:] = arrays["rnn"][:, 2:] = arrays["rnn"][..., 1] = np.nan
    return {
        **arrays, "step": np.array([*config.steps, np.inf]), "delay": delays,
        "seed": np.arange(4), "power": power ** np.ones((4, 1)) * np.ones(20),
    }  # fmt: skip


def _rising(delays):
    return 0.1 + 0.08 * delays


def _falling(delays):
    return 1 - 0.04 * delays


def _flat(delays):
    return 0.4 + 0 * delays


def test_claims():
    """Each claim holds of errors as the paper describes them, and fails of others."""

    def verdicts(*laws):
        return [claim.holds for claim in fig3.claims(DelayConfig(), _errors(*laws))]

    rnn, scaled, unscaled, matches = slice(0, 5), slice(5, 10), slice(10, 12), 12
    assert verdicts(_rising, _rising, _flat) == [True] * 13
    broken = verdicts(_falling, _rising, _flat)
    assert broken[rnn] == [False] * 2 + [False, True, False] and not broken[matches]
    assert broken[scaled] == [True] * 5 and broken[unscaled] == [True] * 2
    assert verdicts(_rising, _falling, _flat)[scaled] == [False] * 2 + [False, True, False]
    assert verdicts(_rising, _rising, _falling)[unscaled] == [False] * 2
    assert not verdicts(_rising, lambda d: _rising(d) + 0.06, _flat)[matches]

    claim = fig3.claims(DelayConfig(), _errors(_rising, _rising, _flat))[8]
    assert "after 1,000 steps; they cross at delay 3.75 +- " in claim.statement
    assert claim.statement.endswith(", in 4 of 4 seeds")


def test_claims_in_units_of_delay_0():
    arrays = _errors(_rising, _rising, _flat)
    arrays["power"] = np.ones((4, 1)) / _rising(np.arange(20))
    holds = [claim.holds for claim in fig3.claims(DelayConfig(), arrays)]
    # What falls with the delay in one unit may be flat in the other.
    assert holds[:2] == holds[5:7] == [True, False] and holds[10:12] == [True, False]


def test_plot():
    arrays = _errors(_rising, _rising, _flat)
    fig = fig3.plot(DelayConfig(), arrays)
    assert len(fig.axes) == 4
    for r, ax in enumerate(fig.axes):
        assert len(ax.containers) == (r < 2)  # the RNN is trained for the first two numbers
        assert len(ax.collections) == 2 + (r < 2)
    median = fig.axes[0].containers[0].lines[0].get_xydata()
    assert median[:, 0].tolist() == [0, *range(2, 20)]
    np.testing.assert_allclose(median[:, 1], np.median(arrays["rnn"][:2, 0][:, [0, *range(2, 20)]],
                                                       axis=0))  # fmt: skip
    # The table of the report shows what the figure does.
    number = fig3.numbers(DelayConfig(), arrays)[0]
    drawn = fig.axes[1].containers[0].lines[0].get_ydata()[0]
    assert number.quantity == "Error of the RNN at delay 0, after 1,000 steps (median of seeds)"
    assert number.ours.startswith(f"{drawn:.3g} +- ")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"steps": ()}, r"steps must not be empty, got \(\); .* e.g. 100 1000 10000"),
        ({"steps": (5, 5)}, r"steps must differ, got \(5, 5\)"),
        ({"rnn_steps": 99}, r"rnn_steps must be at least the smallest of steps, 100, got 99"),
        ({"rnn_delays": (0, 20)}, r"rnn_delays must be two or more below seq_len, 20, got \(0, 20"),
        ({"rnn_delays": (3,)}, r"rnn_delays must be two or more"),
        ({"rnn_delays": (-1, 2)}, r"rnn_delays must be at least 0, got -1"),
        ({"snr_db": math.inf}, r"snr_db must be finite, got inf"),
        ({"rnn_seeds": 0}, r"rnn_seeds must be at least 1, got 0; the default is 6"),
    ],
)
def test_errors_name_field_value_and_remedy(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        DelayConfig(**fields)
