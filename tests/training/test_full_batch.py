"""Gradient descent: against a plain loop, optax and its invariants."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_rnn as nr
from ntk_rnn._functions import as_apply_fn
from ntk_rnn.training import records


@functools.cache
def problem(dtype, num=6, seq_len=5, in_dim=2, out_dim=1, width=20):
    k1, k2, k3, k4 = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(k1, (num, seq_len, in_dim), dtype)
    y = jax.random.normal(k2, (num, seq_len, out_dim), dtype)
    test = (jax.random.normal(k4, (3, 7, in_dim), dtype), jnp.ones((3, 7, out_dim), dtype))
    model = nr.LinearRNN(width, out_dim)
    return model, jax.jit(model.init)(k3, x), (x, y), test


def small_problem(dtype):
    """A convolution: the model that is soonest compiled, where any model will do."""
    _, _, data, test = problem(dtype)
    return nr.causal_conv, jax.random.normal(jax.random.key(3), (5, 1, 2), dtype), data, test


def plain_loop(model, params, data, steps, rate):
    """Gradient descent as anyone would write it down."""
    x, y = data
    loss = jax.jit(jax.value_and_grad(lambda p: 0.5 * jnp.sum((as_apply_fn(model)(p, x) - y) ** 2)))
    losses = []
    for _ in range(steps + 1):
        value, gradient = loss(params)
        losses.append(value)
        params, last = jax.tree.map(lambda p, g: p - rate * g, params, gradient), params
    return np.asarray(losses), last


def test_is_the_plain_loop(dtype, tol):
    model, params, data, test = problem(dtype)
    path = nr.gradient_descent(model.apply, params, data, steps=30, learning_rate=1e-3, test=test)
    losses, last = plain_loop(model, params, data, 30, 1e-3)
    np.testing.assert_array_equal(path.step, np.arange(31))
    np.testing.assert_allclose(path.train_loss, losses, rtol=10 * tol)
    assert path.diverged_at is None
    for a, b in zip(jax.tree.leaves(path.params), jax.tree.leaves(last), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=100 * tol, atol=10 * tol)
    response = nr.impulse_response(path.params, 5)
    np.testing.assert_allclose(path.impulse_response[-1], response, rtol=100 * tol, atol=tol)
    error = nr.causal_conv(nr.impulse_response(path.params, 7), test[0]) - test[1]
    np.testing.assert_allclose(path.test_loss[-1], 0.5 * np.sum(error**2), rtol=100 * tol)


def test_trajectories_are_those_of_the_rnn_step_by_step(dtype):
    """Over 1000 steps, within 1e-4 relative in float32 and 1e-9 in float64."""
    _, params, data, _ = problem(dtype)
    given = {"steps": 1000, "learning_rate": 2e-3, "record_at": np.arange(0, 1001, 50)}
    paths = [
        nr.gradient_descent(nr.LinearRNN(20, 1, evaluation=evaluation), params, data, **given)
        for evaluation in ("impulse", "scan")
    ]
    bar = {"float32": 1e-4, "float64": 1e-9}[dtype.name]
    fast, slow = (np.asarray(path.impulse_response, float).reshape(21, -1) for path in paths)
    size = np.linalg.norm(slow, axis=1)
    assert np.linalg.norm(slow[-1] - slow[0]) > 0.1 * size[0]
    assert np.all(np.linalg.norm(fast - slow, axis=1) <= bar * size)
    np.testing.assert_allclose(paths[0].train_loss, paths[1].train_loss, rtol=bar)


def test_mean_loss_is_the_sum_loss_at_a_scaled_rate(dtype, tol):
    model, params, data, test = small_problem(dtype)
    size = data[1].size
    by_sum = nr.gradient_descent(model, params, data, steps=20, learning_rate=1e-3, test=test)
    by_mean = nr.gradient_descent(
        model, params, data, steps=20, learning_rate=1e-3 * size / 2, test=test, loss="mean"
    )
    np.testing.assert_allclose(by_mean.train_loss, by_sum.train_loss * 2 / size, rtol=100 * tol)
    np.testing.assert_allclose(
        by_mean.test_loss, by_sum.test_loss * 2 / test[1].size, rtol=100 * tol
    )


def test_records_where_asked(dtype, tol):
    model, params, data, _ = small_problem(dtype)
    every = nr.gradient_descent(model, params, data, steps=20, learning_rate=1e-3)
    some = nr.gradient_descent(
        model, params, data, steps=20, learning_rate=1e-3, record_at=[20, 3, 3, 0]
    )
    np.testing.assert_array_equal(some.step, [0, 3, 20])
    np.testing.assert_allclose(some.train_loss, every.train_loss[some.step], rtol=10 * tol)
    np.testing.assert_allclose(
        some.impulse_response, every.impulse_response[some.step], rtol=100 * tol, atol=10 * tol
    )
    assert some.test_loss is None


def test_records_of_large_sets_are_evaluated_apart(monkeypatch):
    _, params, (x, y), _ = problem(np.float32)
    start, data = params["params"]["F"][:5].reshape(5, 1, 2), (x[:5], y[:5])
    test, sizes = (x[:4] + 1, y[:4]), set()

    def model(response, inputs):
        sizes.add(len(inputs))
        return nr.causal_conv(response, inputs)

    monkeypatch.setattr(records, "_MANY_NUMBERS", 45)  # the training data are 50, the test data 40
    path = nr.gradient_descent(
        model, start, data, steps=3, learning_rate=1e-3, test=test, record_at=[0, 3]
    )
    assert {5, 4 + 2} <= sizes and 5 + 4 + 2 not in sizes
    np.testing.assert_array_equal(path.impulse_response, [start, path.params])
    for losses, (inputs, targets) in ((path.train_loss, data), (path.test_loss, test)):
        expected = [
            0.5 * jnp.sum((nr.causal_conv(response, inputs) - targets) ** 2)
            for response in path.impulse_response
        ]
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_kernel_drift_is_that_of_the_parameters(dtype, tol):
    model, params, data, _ = problem(dtype)
    given = {"learning_rate": 1e-3, "kernel_drift": True, "record_at": [0, 2], "steps": 9}
    path = nr.gradient_descent(model, params, data, **given)
    assert path.kernel_drift[0] == 0 and np.all(np.diff(path.kernel_drift) > 0)
    last, first = (nr.finite_width_gram(p, 5) for p in (path.params, params))
    np.testing.assert_allclose(path.kernel_drift[-1], last.drift(first), rtol=100 * tol)
    with pytest.raises(ValueError, match="kernel_drift is of a LinearRNN, got an apply_fn that is"):
        nr.gradient_descent(lambda p, x: jnp.tanh(model.apply(p, x)), params, data, **given)
    conv = nr.ScaledConv([1.0] * 5, 1)
    with pytest.raises(ValueError, match="params must be those of a LinearRNN"):
        nr.gradient_descent(conv, conv.init(jax.random.key(0), data[0]), data, **given)


def test_parameters_are_those_at_the_end(dtype, tol):
    model, params, data, _ = small_problem(dtype)
    path = nr.gradient_descent(model, params, data, steps=9, learning_rate=1e-3, record_at=[4])
    assert path.step.tolist() == [4, 9]
    _, expected = plain_loop(model, params, data, 9, 1e-3)
    for a, b in zip(jax.tree.leaves(path.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=100 * tol, atol=10 * tol)


def test_models_need_no_gradient_beside_the_training_data(dtype, tol):
    """As norms have none at the zeros that follow an impulse."""
    _, _, (x, y), _ = problem(dtype)

    def norms(params, x):
        return jnp.sqrt(jnp.sum((x * params[None, None]) ** 2, -1, keepdims=True))

    params = jnp.array([0.5, 0.7], dtype)
    path = nr.gradient_descent(norms, params, (x, y), steps=5, learning_rate=1e-3)
    losses, last = plain_loop(norms, params, (x, y), 5, 1e-3)
    assert path.diverged_at is None
    np.testing.assert_allclose(path.train_loss, losses, rtol=10 * tol)
    np.testing.assert_allclose(path.params, last, rtol=10 * tol)


def test_no_step_returns_the_start(dtype):
    model, params, data, _ = small_problem(dtype)
    path = nr.gradient_descent(model, params, data, steps=0, learning_rate=1e-3)
    assert path.step.tolist() == [0]
    jax.tree.map(np.testing.assert_array_equal, path.params, params)


def test_any_optimizer_of_optax(dtype, tol):
    model, params, data, _ = small_problem(dtype)
    x, y = data
    optimizer = optax.adam(1e-2)
    path = nr.gradient_descent(model, params, data, steps=10, optimizer=optimizer)
    gradient = jax.jit(jax.grad(lambda p: 0.5 * jnp.sum((model(p, x) - y) ** 2)))
    with jax.numpy_dtype_promotion("standard"):  # optax's own code needs it
        state = optimizer.init(params)
        for _ in range(10):
            updates, state = optimizer.update(gradient(params), state, params)
            params = optax.apply_updates(params, updates)
    for a, b in zip(jax.tree.leaves(path.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1000 * tol, atol=100 * tol)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize("shape", [(6, 1, 1), (6, 1), (6,)])
def test_targets_at_the_last_step_alone(dtype, tol, shape):
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(k1, (6, 5, 2), dtype)
    y = jnp.sum(x, axis=(1, 2)).reshape(shape)
    start = {"a": jax.random.normal(k2, (2, 4), dtype), "b": jax.random.normal(k3, (4, 1), dtype)}

    def model(params, x):
        hidden = jnp.tanh(jnp.einsum("ntq,qk->ntk", x, params["a"], precision="highest"))
        last = jnp.cumsum(hidden, axis=1)[:, -1:]
        outputs = jnp.einsum("ntk,kp->ntp", last, params["b"], precision="highest")
        return outputs.reshape(-1, *shape[1:])

    losses, params = plain_loop(model, start, (x, y), 9, 1e-3)
    for call in (nr.gradient_descent, nr.train):
        path = call(
            model, start, (x, y), steps=9, learning_rate=1e-3, test=(x[:2], y[:2]),
            record_at=range(10),
        )  # fmt: skip
        np.testing.assert_allclose(path.train_loss, losses, rtol=100 * tol)
        np.testing.assert_allclose(path.params["a"], params["a"], rtol=100 * tol)
        impulses = nr.unit_impulses(5, 2, dtype)
        response = jnp.moveaxis(model(path.params, impulses), 0, -1)
        np.testing.assert_allclose(path.impulse_response[-1], response, rtol=100 * tol)
    rate = nr.max_learning_rate(model, start, (x, y))
    np.testing.assert_allclose(rate, nr.max_learning_rate(model, start, x), rtol=1e-5)
    with pytest.raises(ValueError, match=r"with kernel_drift, data.* same number and length"):
        nr.gradient_descent(
            model, start, (x, y), steps=9, learning_rate=1e-3, kernel_drift=True
        )  # fmt: skip


def test_steps_of_several_batches_of_optax(dtype, tol):
    model, params, data, _ = problem(dtype)
    several = optax.MultiSteps(optax.sgd(1e-3), 2)
    path = nr.gradient_descent(model, params, data, steps=6, optimizer=several)
    expected = nr.gradient_descent(model, params, data, steps=3, learning_rate=1e-3)
    np.testing.assert_allclose(path.train_loss[::2], expected.train_loss, rtol=100 * tol)


def test_optimizers_that_search_along_a_line(dtype):
    model, params, data, _ = small_problem(dtype)
    path = nr.gradient_descent(model, params, data, steps=15, optimizer=optax.lbfgs())
    descent = nr.gradient_descent(model, params, data, steps=15, learning_rate=1e-3)
    assert path.train_loss[-1] < descent.train_loss[-1]


def test_schedules(dtype, tol):
    model, params, data, _ = small_problem(dtype)
    frozen = optax.piecewise_constant_schedule(1e-3, {5: 0.0})
    path = nr.gradient_descent(model, params, data, steps=10, learning_rate=frozen)
    losses, _ = plain_loop(model, params, data, 5, 1e-3)
    np.testing.assert_allclose(path.train_loss[:6], losses, rtol=10 * tol)
    np.testing.assert_array_equal(path.train_loss[5:], path.train_loss[5])


def test_second_call_compiles_nothing(caplog):
    _, params, data, test = problem(np.float32)

    def compiled_for(loss, **arguments):
        caplog.clear()
        with jax.log_compiles():
            nr.gradient_descent(
                nr.LinearRNN(20, 1), params, data, steps=12, test=test, loss=loss, **arguments
            )
        return [m for m in caplog.messages if m.startswith("Compiling")]

    assert compiled_for("sum", learning_rate=1e-3, record_at=[0, 3])
    # Another rate, other steps to record and an equal model, made anew.
    assert compiled_for("sum", learning_rate=2e-3, record_at=[2, 5]) == []
    assert compiled_for("mean", learning_rate=2e-3, record_at=[2, 5])
    for arguments in (
        {"learning_rate": optax.constant_schedule(1e-3)},
        {"optimizer": optax.adam(1e-3)},
    ):
        assert compiled_for("sum", **arguments)
        assert compiled_for("sum", **arguments) == []


def test_batches_over_seeds(dtype, tol):
    model, start, data, test = small_problem(dtype)
    keys = jax.random.split(jax.random.key(5), 2)

    @jax.jit
    @jax.vmap
    def descend(key):
        params = jax.random.normal(key, start.shape, dtype)
        return nr.gradient_descent(model, params, data, steps=5, learning_rate=1e-3, test=test)

    paths = descend(keys)
    for i, key in enumerate(keys):
        params = jax.random.normal(key, start.shape, dtype)
        path = nr.gradient_descent(model, params, data, steps=5, learning_rate=1e-3, test=test)
        np.testing.assert_allclose(paths.train_loss[i], path.train_loss, rtol=100 * tol)
        np.testing.assert_allclose(paths.test_loss[i], path.test_loss, rtol=100 * tol)


def test_derivatives_in_what_the_start_depends_on():
    _, _, (x, y), _ = problem(np.float32)

    def end(nu_w, record_at=None):
        model = nr.LinearRNN(4, 1, nu_w=nu_w)
        path = nr.gradient_descent(
            model, model.init(jax.random.key(0), x), (x, y), steps=5, learning_rate=1e-3,
            record_at=record_at,
        )  # fmt: skip
        return path.train_loss[-1]

    at, step = jnp.float32(0.3), jnp.float32(1e-2)
    compiled = jax.jit(end)
    slope = (compiled(at + step) - compiled(at - step)) / (2 * step)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(end))(at), slope, rtol=1e-2)
    np.testing.assert_allclose(jax.jit(jax.grad(end))(at), slope, rtol=1e-2)
    some = functools.partial(end, record_at=[0, 5])
    np.testing.assert_allclose(jax.jit(jax.jacfwd(some))(at), slope, rtol=1e-2)
    with pytest.raises(ValueError, match="record_at must be left out where gradient_descent"):
        jax.grad(some)(at)


def test_batches_over_what_a_model_closes_over():
    model, params, (x, y), _ = small_problem("float32")

    def end(factor, data):
        def scaled(params, x):
            return factor * model(params, x)

        path = nr.gradient_descent(scaled, params, data, steps=3, learning_rate=1e-4)
        return path.train_loss[-1]

    factors = jnp.asarray([0.5, 1.0], np.float32)
    for data in ((x, y), nr.compress(x, y)):
        expected = [end(factor, data) for factor in factors]
        batched = jax.vmap(lambda factor, data=data: end(factor, data))(factors)
        np.testing.assert_allclose(batched, expected, rtol=1e-4)


def test_batches_do_not_copy_all_records_at_every_step():
    """Or their time would grow with the square of the number of steps."""
    model, params, data, _ = small_problem("float32")

    def response(rate):
        path = nr.gradient_descent(model, params, data, steps=1234, learning_rate=rate)
        return path.impulse_response

    program = jax.jit(jax.vmap(response)).lower(jnp.array([1e-3, 2e-3], "float32")).as_text()
    assert "1235x" in program
    assert not [line for line in program.splitlines() if ".select" in line and "1235x" in line]


def test_start_is_left_as_it_is(dtype):
    model, params, data, _ = small_problem(dtype)
    before = jax.tree.map(np.array, params)
    nr.gradient_descent(model, params, data, steps=3, learning_rate=1e-3)
    jax.tree.map(np.testing.assert_array_equal, params, before)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_compressed_data_train_as_the_sequences_do(dtype, tol):
    model, params, data, test = problem(dtype)
    loss = "sum" if dtype == np.float32 else "mean"
    rate = 0.5 * float(nr.max_learning_rate(model, params, data[0], loss=loss))
    given = {"steps": 40, "learning_rate": rate, "loss": loss, "record_at": [0, 3, 40]}
    raw = nr.gradient_descent(model, params, data, test=test, **given)
    small = nr.gradient_descent(model, params, nr.compress(*data), test=nr.compress(*test), **given)
    np.testing.assert_allclose(small.train_loss, raw.train_loss, rtol=100 * tol)
    np.testing.assert_allclose(small.test_loss, raw.test_loss, rtol=100 * tol)
    np.testing.assert_allclose(
        small.impulse_response, raw.impulse_response, rtol=100 * tol, atol=100 * tol
    )


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_compressed_data_are_for_causal_linear_models(dtype):
    model, params, data, _ = small_problem(dtype)
    small = nr.compress(*data)
    given = {"steps": 1, "learning_rate": 1e-4}
    # Near 0 many a model seems linear.
    tiny, zero = (jax.tree.map(lambda a, s=s: a * jnp.asarray(s, dtype), params) for s in (0.1, 0))
    for bend, start in (
        (jnp.tanh, tiny),
        (jnp.tanh, zero),
        (lambda y: y[:, ::-1], params),
        (lambda y: y + jnp.asarray(1, dtype), params),
    ):

        def bent(params, x, bend=bend):
            return bend(model(params, x))

        with pytest.raises(ValueError, match="data may be compressed for causal linear models"):
            nr.gradient_descent(bent, start, small, **given)
    nr.gradient_descent(model, zero, small, **given)
    with pytest.raises(ValueError, match=r"impulses of test .* got \(2, 5, 2\) and \(2, 5, 1\)"):
        nr.gradient_descent(
            model, params, data, test=nr.compress(data[0], np.ones((6, 5, 2), dtype)), **given
        )
