"""How soon networks with an activation learn each lag: paths step by step, weights by hand."""

import dataclasses
from functools import partial

import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.reproduction.studies import bias, bias_activations, bias_problem
from ntk_rnn.reproduction.studies.bias_config import BiasConfig

SMALL = BiasConfig(
    learning_rate=1e-3, nu_w=0.5, activations=("tanh", "relu"), activation_sequences=60, seeds=3,
    first_seed=2, activation_seeds=2,
)  # fmt: skip
NU = {"nu_w": 0.5, "nu_f": 0.8, "nu_c": 1.3}


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_run(dtype):
    """Gradient descent on the kernel, a step at a time."""
    calls = []
    arrays = bias_activations.run(SMALL, lambda: calls.append(1))
    assert len(calls) == bias_activations.units(SMALL) == 2 * 2
    assert arrays["activation"].tolist() == ["tanh", "relu"]
    assert arrays["activation_steps"].shape == (2, 2, 4)
    np.testing.assert_allclose(nr.chi("tanh", arrays["activation_nu_w"][0], 1.0), 0.5, rtol=1e-5)
    np.testing.assert_allclose(arrays["activation_nu_w"][1], 1, rtol=1e-5)  # half of it is chi

    train, new, change = bias_activations.draw(60, 3)
    np.testing.assert_allclose(np.linalg.norm(train, axis=2), 1)
    np.testing.assert_allclose(np.linalg.norm(change, axis=(1, 2)), 1)
    lagged = [np.stack([x[:, -1 - j] for j in range(4)], axis=1) for x in (train, new)]
    targets = np.einsum("jpq,njq->np", change, lagged[0])
    kernel = partial(
        nr.recurrent_ntk, activation="relu", output="last", nu_w=1.0, nu_f=1.0, nu_c=1.0
    )
    own, across = (np.asarray(kernel(x, train)) for x in (train, new))
    pushed, learned = np.zeros_like(targets), []
    regression = np.linalg.pinv(np.column_stack([lagged[1].reshape(60, -1), np.ones(60)]))
    while len(learned) < 30_000 and (not learned or min(learned[-1]) < 0.5):
        moved = (regression @ (across @ pushed))[:-1].reshape(4, 6, 6)
        learned.append(np.einsum("jqp,jpq->j", moved, change))
        pushed = pushed + 1e-3 * (targets - own @ pushed)
    for lag, found in enumerate(arrays["activation_steps"][1, 1]):
        passed = np.flatnonzero(np.asarray(learned)[:, lag] > 0.5)
        if np.isnan(found):
            assert not len(passed)
        else:  # lines between records are not the path
            assert found == pytest.approx(passed[0], rel=0.01, abs=1)
    assert np.isfinite(arrays["activation_steps"][:, :, :2]).all()


def test_weights_between_independent_sequences(tol):
    """Those of the identity, and of an odd activation, whose units pass the mean of a slope."""
    identity = bias_activations.independent_weights(
        partial(nr.recurrent_ntk, activation="identity", output="last", **NU)
    )
    np.testing.assert_allclose(identity, nr.lag_weights(4, **NU), rtol=10 * tol)
    found = bias_activations.independent_weights(
        partial(nr.recurrent_ntk, activation="erf", output="last", **NU)
    )
    q = 0.0
    for _ in range(12):
        q, before = 0.8 + 0.5 * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)), q
    kappa = 4 / np.pi / (1 + 2 * q)  # E[erf'(u)]^2, which is below E[erf'(u)^2]
    assert abs(q - before) < 1e-4
    lag, factor = np.arange(4), 0.5 * kappa
    through_w = lag * 0.8 * kappa * factor ** np.maximum(lag - 1, 0)
    expected = kappa * (1.3 * through_w + (1.3 + 0.8) * factor**lag)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    stationary = np.asarray(nr.effective_lag_weights(4, "erf", **NU))
    assert (found < 0.8 * stationary).all()


def _arrays(power=1.0, noise=0.01):
    """Steps of two activations and five seeds that follow this power of ``1 / w_j``."""
    rng = np.random.default_rng(1)
    weights = np.array([[1.0, 0.5, 0.2, 0.05], [0.8, 0.3, 0.1, 0.02]])
    spread = np.exp(noise * rng.standard_normal((2, 5, 4)))
    return {
        "activation": np.array(["relu", "erf"]), "activation_nu_w": np.array([0.6, 0.59]),
        "activation_weights": weights, "activation_stationary": weights**0.5,
        "activation_steps": 100 / weights[:, None] ** power * spread,
    }  # fmt: skip


def test_claims_and_numbers():
    assert [c.verdict for c in bias_activations.claims(_arrays())] == ["holds"] * 2
    assert [c.verdict for c in bias_activations.claims(_arrays(1.3))] == ["does not hold"] * 2
    assert [c.verdict for c in bias_activations.claims(_arrays(1.0, 0.6))] == ["cannot be told"] * 2
    numbers = bias_activations.numbers(_arrays(noise=1e-3))
    found = [float(number.ours.split()[0]) for number in numbers]
    np.testing.assert_allclose(found, [-1, -2] * 2, rtol=0.01)
    arrays = _arrays()
    arrays["activation_steps"][1, 2, 3] = np.nan
    first, second = bias_activations.claims(arrays)
    assert "lags 0 to 3" in first.statement and "lags 0 to 2" in second.statement


def test_metrics():
    rows = bias_activations.metrics(SMALL, _arrays(noise=0.0))
    assert len(rows) == 2 * 4
    row = rows[6]
    assert row["model"].startswith("erf") and row["lag"] == 2 and row["lag_weight"] == 0.1
    assert row["steps"] == pytest.approx(1000)
    assert row["predicted"] == pytest.approx(np.log(2) / (1e-3 * 0.1 * 10), rel=1e-3)


def test_plot():
    from ntk_rnn import plotting

    _, (ax,) = plotting.panels(1)
    bias_activations.plot(ax, SMALL, _arrays())
    medians = [container.lines[0].get_ydata() for container in ax.containers]
    np.testing.assert_allclose(medians, np.median(_arrays()["activation_steps"], axis=1))
    predicted = bias_problem.predicted(SMALL, np.array([0.02]), np.asarray(10.0))
    assert any(np.isclose(line.get_ydata()[-1:], predicted).all() for line in ax.lines)


def test_no_activation_where_nothing_fades():
    config = dataclasses.replace(SMALL, nu_w=1.0)
    arrays = bias_activations.run(config, lambda: None)
    assert bias_activations.units(config) == 0
    assert {len(array) for array in arrays.values()} == {0}
    assert bias_activations.claims(arrays) == bias_activations.numbers(arrays) == []


def test_they_are_part_of_the_study():
    assert bias.units(SMALL) == 3 + 3 * 2 + 2 * 2
