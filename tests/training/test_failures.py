"""Gradient descent that cannot go on, or not begin: what is kept, and what is said."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_rnn as nr


@functools.cache
def problem(dtype):
    k1, k2, k3, k4 = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(k1, (6, 5, 2), dtype)
    y = jax.random.normal(k2, (6, 5, 1), dtype)
    test = (jax.random.normal(k4, (3, 7, 2), dtype), jnp.ones((3, 7, 1), dtype))
    model = nr.LinearRNN(20, 1)
    return model, jax.jit(model.init)(k3, x), (x, y), test


def small_problem(dtype):
    """A convolution: the model that is soonest compiled, where any model will do."""
    _, _, data, test = problem(dtype)
    return nr.causal_conv, jax.random.normal(jax.random.key(3), (5, 1, 2), dtype), data, test


def test_divergence_stops_and_keeps_the_path(dtype):
    model, params, data, test = small_problem(dtype)
    edge = float(nr.max_learning_rate(model, params, data[0]))
    message = r"non-finite at step (\d+); the path ends at step \d+. The largest stable .* is (\S+)"
    with pytest.warns(RuntimeWarning, match=message) as caught:
        path = nr.gradient_descent(
            model, params, data, steps=3000, learning_rate=20 * edge, test=test,
            record_at=np.arange(0, 3001, 2), allow_unstable=True,
        )  # fmt: skip
    assert f"{edge:.4g}" in str(caught[0].message)
    assert 1 < path.diverged_at < 3000
    assert path.step[-1] == path.diverged_at - 1
    assert np.all(np.diff(path.step) > 0)
    assert len(path.train_loss) == len(path.test_loss) == len(path.impulse_response)
    assert np.all(np.isfinite(path.train_loss))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(path.params))
    # The path up to there is that of a run which ends there.
    whole = nr.gradient_descent(
        model, params, data, steps=path.diverged_at - 1, learning_rate=20 * edge,
        allow_unstable=True,
    )  # fmt: skip
    np.testing.assert_allclose(path.train_loss, whole.train_loss[path.step], rtol=1e-3)


def test_divergence_in_the_last_step_is_seen():
    model, params, data, _ = small_problem(np.float32)
    edge = float(nr.max_learning_rate(model, params, data[0]))
    given = {"learning_rate": 20 * edge, "allow_unstable": True}
    with pytest.warns(RuntimeWarning):
        first = nr.gradient_descent(model, params, data, steps=3000, **given)
    with pytest.warns(RuntimeWarning, match="non-finite at step"):
        again = nr.gradient_descent(model, params, data, steps=first.diverged_at, **given)
    assert again.diverged_at == first.diverged_at


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_unstable_learning_rates_are_refused_unless_insisted_on(dtype):
    model, params, data, _ = problem(dtype)
    edge = float(nr.max_learning_rate(model, params, data[0]))
    with pytest.raises(ValueError, match=r"learning_rate must be at most .* allow_unstable=True"):
        nr.gradient_descent(model, params, data, steps=3, learning_rate=1.1 * edge)
    # Where nothing has a gradient there is nothing to diverge.
    zero = jax.tree.map(jnp.zeros_like, params)
    still = nr.gradient_descent(model, zero, data, steps=1, learning_rate=1e3, kernel_drift=True)
    assert still.train_loss[0] == still.train_loss[1] and np.all(still.kernel_drift == 0)
    insisted = nr.gradient_descent(
        model, params, data, steps=3, learning_rate=1.1 * edge, allow_unstable=True
    )
    below = nr.gradient_descent(model, params, data, steps=3, learning_rate=0.99 * edge)
    assert np.all(np.isfinite(insisted.train_loss)) and np.all(np.isfinite(below.train_loss))


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": -1}, "steps must be an integer of at least 0, got -1"),
        ({"steps": 1.5}, "steps must be an integer of at least 0, got 1.5"),
        ({"learning_rate": -1e-3}, "learning_rate must be positive and finite, got -0.001"),
        ({"learning_rate": np.nan}, "learning_rate must be positive and finite, got nan"),
        ({"learning_rate": None}, "give either learning_rate or optimizer, got learning_rate=None"),
        ({"steps": 2**31}, "steps must be at most 2147483646, got 2147483648"),
        ({"learning_rate": "1e-3"}, "learning_rate must be a positive number, got '1e-3'"),
        ({"learning_rate": None, "optimizer": 0.01}, "optimizer must be one of optax, .* got 0.01"),
        ({"optimizer": optax.adam(0.1)}, "give either learning_rate or optimizer"),
        ({"loss": "mse"}, 'loss must be "sum"'),
        ({"apply_fn": lambda p, x: (x, x)}, r"apply_fn must return one array, got \(\(6, 5, 2\)"),
        (
            {"data": (np.ones((2, 3, 4), np.float32), np.ones((2, 3, 1), np.float32))},
            r"params must hold F of shape \(20, 4\) for this LinearRNN .* got \(20, 2\)",
        ),
        ({"learning_rate": lambda step: 1 / 0}, "learning_rate must be .* ZeroDivisionError"),
        (
            {"learning_rate": lambda step: 1e-3 * jnp.ones(2)},
            r"learning_rate must be .* of one number, got .*, which returns shape \(2,\)",
        ),
        ({"record_at": [[0, 1]]}, r"record_at must have shape \(records,\), got shape \(1, 2\)"),
        (
            {"steps": 2**31 - 2},
            r"record_at must be .*: 2147483647 records of shape \(\d+, 1, 2\) take .* GB, and .* "
            r"pass fewer, as record_at=range\(0, 2147483646, 2147483\)",
        ),
        ({"record_at": [0.5]}, "record_at must hold whole numbers of steps"),
        ({"record_at": [0, 4]}, "record_at must lie between 0 and steps = 3, got 0 to 4"),
        ({"data": 3}, r"data must be a pair \(inputs, targets\), got int"),
        (
            {"data": (np.ones((2, 3, 2), np.float32), np.ones((2, 3, 4), np.float32))},
            r"data\[1\].shape and .* same shape, got \(2, 3, 4\) and \(2, 3, 1\)",
        ),
        (
            {"data": (np.ones((0, 3, 2)), np.ones((0, 3, 1)))},
            r"data\[0\] must not be empty, got shape \(0, 3, 2\)",
        ),
        (
            {"test": (np.ones((2, 3, 2), np.float32), np.full((2, 3, 1), np.inf))},
            r"test\[1\] must be finite, got 6 NaN or infinite of 6 entries",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    model, params, data, _ = problem(np.float32)
    arguments = {
        "apply_fn": model, "params": params, "data": data, "steps": 3, "learning_rate": 1e-3,
        **arguments,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        nr.gradient_descent(**arguments)


def test_start_with_infinite_loss_is_refused():
    model, params, data, _ = small_problem(np.float32)
    huge = jax.tree.map(lambda a: 1e20 * a, params)
    with pytest.raises(ValueError, match="params must give a finite training loss to start from"):
        nr.gradient_descent(model, huge, data, steps=3, learning_rate=1e-3)
