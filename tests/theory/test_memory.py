"""What a layer remembers: against gradient descent on white data, and by hand."""

import re

import jax
import numpy as np
import pytest

import ntk_rnn as nr

RHO = np.asarray(nr.lag_weights(8, 0.3, 1.0, 1.0), float)


def first_half(kernel, targets, inputs, rate):
    """Steps, with a fraction, until half of each delay is learned, by the path of descent."""
    solved = nr.kernel_regression(kernel, (inputs, targets), on_host=True)
    steps = np.unique(np.geomspace(1, 1e7, 3000).astype(int))
    learned = np.einsum("rjj->jr", solved.impulse_response(steps, rate)[..., 0])
    return np.asarray([np.interp(0.5, each, steps) for each in learned])


@pytest.fixture
def white():
    """Sequences whose matrix of lagged inputs is orthogonal but for their ends: Legendre's."""
    x = np.random.default_rng(0).choice([-1.0, 1.0], size=(4000, 8, 1))
    return x, np.asarray(nr.lagged_inputs(x), float)[..., 0]


def test_steps_are_those_of_gradient_descent_on_white_data(white):
    """What study ``bias`` measures: steps times ``s_j`` grow as ``1 / rho_j``."""
    x, delayed = white
    rate = 1e-2 / (RHO[0] * 4000 * 8)
    found = nr.memory(RHO, (x, delayed), learning_rate=rate)
    np.testing.assert_allclose(found.energy, 4000 * np.arange(8, 0, -1), rtol=1e-5)
    measured = first_half(RHO, delayed, x, rate)
    np.testing.assert_allclose(found.steps, measured, rtol=0.05)
    growth = found.steps * found.energy * RHO
    np.testing.assert_allclose(growth, np.log(2) / rate, rtol=0.05)


def test_without_data_steps_grow_as_one_over_the_weight():
    """At the default rate from the lag on that is learned in many steps, at small ones for all."""
    rho = nr.lag_weights(20, 0.3, 1.0, 1.0)
    found = nr.memory(rho)
    effort = found.steps * np.asarray(rho, float)
    np.testing.assert_allclose(effort[5:], effort[-1], rtol=0.05)
    assert found.max_learning_rate == pytest.approx(2 / float(rho[0]))
    assert found.learning_rate == found.max_learning_rate / 2
    # More targets make all faster by as much.
    slow = nr.memory(rho, learning_rate=1e-5)
    many = nr.memory(rho, learning_rate=1e-7, num_targets=100)
    np.testing.assert_allclose(slow.steps, many.steps)
    np.testing.assert_allclose(slow.steps * np.asarray(rho, float), np.log(2) / 1e-5, rtol=1e-4)


def test_steps_count_any_part_and_every_rate():
    """``|1 - eta rho s|`` is .5 above and below the rate that learns a lag at once."""
    rates = np.array([0.5, 1.0, 1.5])
    steps = [nr.memory(np.array([1.0]), learning_rate=rate, part=0.875).steps[0] for rate in rates]
    np.testing.assert_allclose(steps, [3, 1, 3])
    assert nr.memory(np.array([1.0, 0.0])).steps[1] == np.inf


def test_the_effective_memory_holds_95_percent():
    assert nr.memory(np.ones(40)).lags == pytest.approx(38)
    assert nr.memory(np.array([0.0, 0.0, 1.0])).lags == pytest.approx(2.95)
    geometric = nr.memory(0.5 ** np.arange(60.0))
    so_far = np.cumsum(geometric.share)
    assert so_far[3] < 0.95 < so_far[4] and 4 < geometric.lags < 5
    assert geometric.share.sum() == pytest.approx(1)


def test_a_gram_matrix_weighs_as_its_diagonal_and_says_what_is_beside_it(white):
    rho = RHO[:4]
    diagonal = np.einsum("jk,pr,qs->jpqkrs", np.diag(rho), np.eye(2), np.eye(3))
    found, plain = nr.memory(diagonal), nr.memory(rho)
    assert found.off_diagonal == plain.off_diagonal == 0
    assert [*found[:4]] == [pytest.approx(each) for each in plain[:4]]
    assert found[4:] == pytest.approx(plain[4:])
    # Two lags of weight 1 and correlation .6: eigenvalues .4 and 1.6.
    pair = np.array([[1.0, 0.6], [0.6, 1.0]]).reshape(2, 1, 1, 2, 1, 1)
    found = nr.memory(pair)
    assert found.max_learning_rate == pytest.approx(2 / 1.6)
    assert found.off_diagonal == pytest.approx(np.sqrt(0.72 / 2.72))
    assert "learned together" in found.table() and "together" not in plain.table()


@pytest.mark.parametrize("correlation", [0.3, 0.95])
def test_lags_of_a_gram_matrix_are_learned_together(correlation):
    """As descent on each delay learns it, for correlated lags and inputs: not as weights say."""
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(30, 6, 1)), axis=1)
    lag = np.arange(6)
    gram = correlation ** np.abs(lag[:, None] - lag) * 0.8 ** (lag[:, None] + lag)
    delayed = np.asarray(nr.lagged_inputs(x), float)[..., 0]
    found = nr.memory(gram.reshape(6, 1, 1, 6, 1, 1), (x, delayed[..., :1]))
    each = np.einsum("jk,pr->jpkr", gram, np.eye(6))[:, :, None, :, :, None]  # an output a delay
    measured = first_half(each, delayed, x, found.learning_rate)
    np.testing.assert_allclose(found.steps, measured, rtol=0.01, atol=1)
    alone = nr.memory(
        np.diag(gram).copy(), (x, delayed[..., :1]), learning_rate=found.learning_rate
    )
    assert not np.allclose(found.steps[1:], alone.steps[1:], rtol=0.5)


def test_the_memory_of_a_network_tends_to_that_of_its_lag_weights(white):
    x, delayed = white
    model = nr.LinearRNN(400, 1, nu_w=0.3, nu_f=1.0, nu_c=1.0)
    gram = nr.layer_gram(model, model.init(jax.random.key(0), x[:, :5]), 5, 1)
    data = nr.compress(x[:, :5], delayed[:, :5, :1])
    found, limit = nr.memory(gram, data), nr.memory(RHO[:5], data)
    # Entries are off by about a few over sqrt(400).
    np.testing.assert_allclose(found.weight, limit.weight, rtol=0.3)
    assert found.lags == pytest.approx(limit.lags, rel=0.1)
    assert 0 < found.off_diagonal < 0.2


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_steps_of_a_gram_matrix_are_those_of_its_iteration(part):
    """At rates near the limit, where what is fast overshoots."""
    draw = np.random.default_rng(0)
    for _ in range(200):
        root = draw.standard_normal((2, 2))
        gram = root @ root.T
        rate = draw.uniform(0.1, 0.95) * 2 / np.linalg.eigvalsh(gram)[-1]
        found = nr.memory(gram.reshape(2, 1, 1, 2, 1, 1), learning_rate=rate, part=part).steps
        for lag in range(2):
            target, response, steps = np.eye(2)[lag], np.zeros(2), 0
            while steps < 100 and abs(1 - response[lag]) > 1 - part:
                response, steps = response + rate * gram @ (target - response), steps + 1
            if steps < 100:
                assert steps - 1 < found[lag] <= steps + 1e-9


def test_what_takes_longer_than_any_training_is_never_learned():
    for kernel in (RHO, np.diag(RHO).reshape(8, 1, 1, 8, 1, 1)):
        assert np.all(np.isinf(nr.memory(kernel, learning_rate=1e-18).steps))


def test_a_table_has_a_row_for_each_lag_or_some_of_many():
    rows = re.findall(r"(?m)^ *(\d+) .*$", nr.memory(RHO).table())
    assert rows == [str(lag) for lag in range(8)]
    many = re.findall(r"(?m)^ *(\d+) .*$", nr.memory(np.ones(1000)).table())
    assert many[0] == "0" and many[-1] == "999" and len(many) <= 24
    words = nr.memory(np.ones(300)).table().splitlines()[-3:]
    assert words[0] == "The first 285 of these 300 lags hold 95 % of their weight."
    assert words[1].startswith("The last ones still weigh much")
    assert "still" not in nr.memory(RHO).table()


def test_a_figure_shows_shares_and_steps(tmp_path):
    found = nr.memory(np.array([2.0, 1.0, 0.0]))
    shares, steps = found.plot().axes
    np.testing.assert_allclose([bar.get_height() for bar in shares.patches], found.share)
    assert steps.lines[0].get_xdata().tolist() == [0, 1]  # lag 2 is never learned
    assert steps.get_yscale() == "log" and steps.get_xlim() == shares.get_xlim()
    assert [text.get_text() for text in steps.texts] == ["1 of 3 lags: never"]
    nr.memory(np.array([1.0])).plot().savefig(tmp_path / "one_lag.png")


@pytest.mark.parametrize(
    "weights",
    [
        lambda nu_w: nr.lag_weights(50, nu_w, 1.0, 1.0),
        lambda r_max: nr.LRU(1, 1, r_max=r_max).lag_weights(50),
        lambda r_max: nr.DiagonalRNN(1, 1, r_max=r_max).lag_weights(50),
    ],
)
def test_the_value_for_a_memory_has_it(weights):
    value = nr.value_for_memory(8.0, weights)
    assert nr.memory(weights(value)).lags == pytest.approx(8, rel=1e-4)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nr.memory([]), r"kernel must have shape \(lags,\)"),
        (lambda: nr.memory([1.0, -2.0]), "kernel must be at least 0 and finite, got -2 at lag 1"),
        (lambda: nr.memory([1.0, np.nan]), "kernel must be at least 0 and finite, got nan"),
        (lambda: nr.memory([0.0, 0.0]), "kernel and data must leave something to learn"),
        (lambda: nr.memory(np.ones((2, 2))), r"kernel must have shape \(T,\) for lag weights"),
        (lambda: nr.memory(-np.ones((1,) * 6)), "kernel must be symmetric and positive"),
        (lambda: nr.memory(np.full((1,) * 6, np.nan)), "kernel must be finite"),
        (
            lambda: nr.memory(np.ones(3), (np.ones((2, 4, 1)), np.ones((2, 4, 1)))),
            "kernel.* the same number of lags, got 3 and 4",
        ),
        (
            lambda: nr.memory(
                np.eye(4).reshape(4, 1, 1, 4, 1, 1), (np.ones((2, 4, 2)), np.ones((2, 4, 1)))
            ),
            r"kernel must have the shape .* got \(4, 1, 1, 4, 1, 1\)",
        ),
        (
            lambda: nr.memory([2.0], (np.ones((1, 1, 1)), np.ones((1, 1, 1))), num_targets=7),
            "num_targets must be left out with data, .* got 7",
        ),
        (lambda: nr.memory([2.0], learning_rate=1.0), "below 2 / lambda_max = 1, .* got 1"),
        (lambda: nr.memory([2.0], learning_rate=-1.0), "learning_rate must be positive"),
        (lambda: nr.memory([2.0], part=1.0), "part must be between 0 and 1, got 1"),
        (
            lambda: nr.value_for_memory(40, lambda nu: nr.lag_weights(20, nu, 1.0, 1.0)),
            "lags must be between 1.871 and 19.41, .* got 40",
        ),
        (
            lambda: nr.value_for_memory(4, lambda nu: nr.lag_weights(20, nu, 1.0, 1.0), (2, 1)),
            r"between must be a smaller and a larger number, .* got \(2, 1\)",
        ),
        (lambda: nr.value_for_memory(4, lambda nu: nu), r"weights\(value\) must have shape"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
