"""The study of short memory at small sizes: numbers found by hand, and claims that can fail."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_rnn.reproduction.studies import bias, bias_activations, bias_problem
from ntk_rnn.reproduction.studies.bias_config import BiasConfig

SMALL = BiasConfig(
    width=40, in_dim=2, seq_len=3, num_train=20, learning_rate=1e-3, steps=40,
    changes=(1.0, 0.2), seeds=2, first_seed=3, rnn_seeds=1, activations=(),
)  # fmt: skip


# In the precision whose tolerance is the narrow one; test_delay.py runs in both.
@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_run(dtype, tol):
    calls = []
    arrays = bias.run(SMALL, lambda: calls.append(1))
    assert len(calls) == bias.units(SMALL) == 2 + 2
    assert arrays["seed"].tolist() == [3, 4] and arrays["change"].tolist() == [0.2, 1.0]
    step = arrays["step"]
    assert step[0] == 0 and 40 in step and step[-1] > 40

    x, params, initial, change = _host(bias_problem.draw(jax.random.key(3), SMALL))
    np.testing.assert_allclose(np.linalg.norm(change, axis=(1, 2)), 1, rtol=tol)
    energy = [np.sum(x[:, : 3 - j] ** 2) / 2 for j in range(3)]
    np.testing.assert_allclose(arrays["input_energy"][0], energy, rtol=tol)
    matrix = np.zeros((20, 3, 3, 2))
    for j in range(3):
        matrix[:, j:, j] = x[:, : 3 - j]
    matrix = matrix.reshape(60, 6)
    rho = np.asarray([2.0, 1.6, 0.78])
    norms = np.linalg.norm(matrix, 2) * np.linalg.norm(matrix @ change.reshape(6))
    bound = norms * 1e-3 * np.multiply.outer(step, rho)
    np.testing.assert_allclose(arrays["bound"][0], bound, rtol=10 * tol)

    # Gradient descent of the convolutions, on what they have to change by.
    for name, weights in (("scaled", rho), ("unscaled", np.ones(3))):
        moved, path = np.zeros(6), []
        for _ in range(step[-1] + 1):
            path.append(moved.reshape(3, 1, 2))
            gradient = matrix.T @ (matrix @ (moved - change.reshape(6)))
            moved = moved - 1e-3 * np.repeat(weights, 2) * gradient
        _check_steps(arrays[name][0], np.stack(path), change)
        if name == "scaled":
            drift = np.linalg.norm(np.stack(path), axis=(2, 3))[step]
            np.testing.assert_allclose(arrays["scaled_drift"][0], drift, rtol=0, atol=10 * tol)

    # Of the RNN, for both changes, by gradients by hand.
    taken = step <= 40
    for k, size in enumerate((0.2, 1.0)):
        path = _descend(params["params"], matrix, initial + size * change) / size
        _check_steps(arrays["rnn"][k, 0], path, change)
        drift = np.linalg.norm(path, axis=(2, 3))[step[taken]]
        np.testing.assert_allclose(arrays["rnn_drift"][k, 0, taken], drift, rtol=0, atol=50 * tol)
    assert np.isnan(arrays["rnn"][:, 1]).all() and np.isnan(arrays["rnn_drift"][:, 1]).all()
    assert np.isnan(arrays["rnn_drift"][:, :, ~taken]).all()


def _host(part):
    return jax.tree.map(lambda a: np.asarray(a, float), part)


def _check_steps(steps, path, change):
    """A path of every step passes half of the change within the steps found."""
    learned = np.einsum("ljpq,jpq->jl", path, change)
    for found, row in zip(steps, learned, strict=True):
        after = np.flatnonzero(row > 0.5)
        if len(after):
            # Records of the first 40 steps leave out none of these small ones.
            assert after[0] - 1 - 1e-3 <= found <= after[0] + 1e-3
        else:
            assert np.isnan(found)


def _descend(params, matrix, target):
    """How the impulse response of the RNN moves in 40 steps."""
    w, f, c = params["W"] / 40**0.5, params["F"], params["C"] / 40**0.5
    path = []
    for _ in range(41):
        response = np.stack([c @ np.linalg.matrix_power(w, j) @ f for j in range(3)])
        path.append(response)
        grad = (matrix.T @ (matrix @ (response - target).reshape(6))).reshape(3, 1, 2)
        # Parameters are those of the scaled products, so two of the three steps are 1 / n of it.
        grad_w = (c.T @ grad[1] @ f.T + c.T @ grad[2] @ (w @ f).T + (c @ w).T @ grad[2] @ f.T) / 40
        grad_c = (grad[0] @ f.T + grad[1] @ (w @ f).T + grad[2] @ (w @ w @ f).T) / 40
        grad_f = c.T @ grad[0] + (c @ w).T @ grad[1] + (c @ w @ w).T @ grad[2]
        w, f, c = w - 1e-3 * grad_w, f - 1e-3 * grad_f, c - 1e-3 * grad_c
    return np.stack(path) - path[0]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"learning_rate": 0.1}, r"learning_rate must be below B1 = 0\.\d+, .*, got 0.1"),
        ({"steps": 3, "seeds": 1}, r"steps must be more, got 3, .* half of two lags"),
    ],
)
def test_what_only_the_data_tell_is_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        bias.run(dataclasses.replace(SMALL, **fields), lambda: None)


CONFIG = BiasConfig(seq_len=4, seeds=6, activations=())


def _arrays(*, rnn=1.0, large=0.8, scaled=1.0, unscaled=0.0, noise=0.01, drift=0.3):
    """Steps that follow these powers of ``1 / rho_j``, and drifts that are this part of bounds."""
    rng = np.random.default_rng(0)
    rho, energy = bias_problem.lag_weights(CONFIG), np.arange(4000.0, 0, -1000)
    step = np.array([0, 1, 2000, 4000])

    def steps(power):
        spread = np.exp(noise * rng.standard_normal((6, 4)))
        return np.log(2) / (7e-6 * rho**power * energy) * spread

    bound = np.multiply.outer(step, rho)[None].repeat(6, axis=0) * 1e-3
    return {
        "seed": np.arange(6), "step": step, "lag_weights": rho, "change": np.array([0.1, 1.0]),
        "input_energy": np.tile(energy, (6, 1)), "bound": bound,
        "rnn": np.stack([steps(rnn), steps(large)]), "scaled": steps(scaled),
        "unscaled": steps(unscaled), "scaled_drift": drift * bound,
        "rnn_drift": np.stack([2 * drift * bound] * 2),
        **bias_activations.run(CONFIG, lambda: None),
    }  # fmt: skip


def test_claims():
    def verdicts(**given):
        return [claim.verdict for claim in bias.claims(CONFIG, _arrays(**given))]

    yes, no = "holds", "does not hold"
    assert verdicts() == [yes] * 8
    assert verdicts(rnn=0.8) == [no, no] + [yes] * 6
    assert verdicts(scaled=1.2) == [yes, yes, no, no] + [yes] * 4
    assert verdicts(unscaled=0.2) == [yes] * 4 + [no] + [yes] * 3
    # Where rho_j is below 1 at the last lag, a larger power of its inverse is later.
    assert verdicts(large=1.2) == [yes] * 5 + [no] + [yes] * 2
    assert verdicts(noise=0.5)[0] == verdicts(noise=0.5)[4] == "cannot be told"
    # The RNN moves by twice the part, and may at lag 0 by 1 + 3 sqrt(4.704 / 2000) = 1.145 of it.
    assert verdicts(drift=0.57)[6:] == [yes, yes] and verdicts(drift=0.58)[6:] == [yes, no]
    assert verdicts(drift=1.1)[6:] == [no, no]
    slope, rate, *_, conv, rnn = bias.claims(CONFIG, _arrays(rnn=0.7, noise=0.0))
    assert slope.value.startswith("0.3 +- ")
    assert rate.value.startswith("-0.3 +- ") and "lags 0 to 3" in rate.statement
    assert conv.value == "0.3" and rnn.value.endswith("(0.6 of the bound alone)")


def test_lags_that_a_seed_does_not_learn_are_left_out():
    arrays = _arrays(noise=0.0)
    arrays["rnn"][0, 2, 3] = np.nan
    arrays["rnn"][0, 4:] = np.nan  # not trained
    assert "lags 0 to 2" in bias.claims(CONFIG, arrays)[0].statement
    numbers = [float(number.ours.split()[0]) for number in bias.numbers(CONFIG, arrays)]
    np.testing.assert_allclose(numbers, [-1, -0.8, -1, 0], rtol=1e-2, atol=1e-12)
    rows = bias.metrics(CONFIG, arrays)
    assert len(rows) == 4 * 4 and len({tuple(row) for row in rows}) == 1
    row = rows[2]
    assert row["lag"] == 2 and row["lag_weight"] == pytest.approx(0.78)
    assert row["steps"] == pytest.approx(np.log(2) / (7e-6 * 0.78 * 2000))
    assert row["steps"] == pytest.approx(row["predicted"], rel=0.01)
    assert row["largest_of_bound"] == pytest.approx(0.6)


def test_plot():
    arrays = _arrays()
    arrays["rnn"][:, 4:] = np.nan
    over_lag, over_steps = bias.plot(CONFIG, arrays).axes
    medians = [container.lines[0].get_ydata() for container in over_lag.containers]
    np.testing.assert_allclose(medians, np.median(arrays["rnn"][:, :4], axis=1))
    np.testing.assert_allclose(over_lag.lines[1].get_ydata(), np.median(arrays["scaled"], axis=0))
    assert any("(4 seeds)" in text.get_text() for text in over_lag.get_legend().get_texts())
    # A drift and its bound for every lag, up to the last step of the RNN, and one for the legend.
    assert len(over_steps.lines) == 2 * 4 + 1
    drift, bound = over_steps.lines[2:4]
    assert drift.get_xdata().tolist() == bound.get_xdata().tolist() == [1, 2000]
    np.testing.assert_allclose(drift.get_ydata(), arrays["rnn_drift"][0, 0, 1:3, 1])
    np.testing.assert_allclose(bound.get_ydata(), arrays["bound"][0, 1:3, 1])


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"steps": 0}, r"steps must be at least 1, got 0; the default is 2000"),
        ({"changes": (0.1, 0.0)}, r"changes must be positive and finite, got \(0.1, 0.0\); e.g."),
        ({"changes": (0.1, 0.1)}, r"changes must differ, got \(0.1, 0.1\)"),
        ({"seq_len": 1}, r"seq_len must be at least 2, to compare lags, got 1"),
        ({"activations": ("erf", "erf")}, r"activations must differ, got \('erf', 'erf'\)"),
        ({"activation_seeds": 0}, r"activation_seeds must be at least 1, got 0; the default is 4"),
        ({"nu_f": -1.0}, r"nu_f must be positive and finite, got -1"),
    ],
)
def test_errors_name_field_value_and_remedy(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        BiasConfig(**fields)
