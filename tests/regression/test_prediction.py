"""Gradient descent in closed form: against the loop, its limits and its invariants."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn._neural_tangents import load
from ntk_rnn.compression.triangle import compress

# N, T, n_x, n_y: more data than unknowns, as many inputs as it takes, and fewer data.
SHAPES = [(20, 6, 1, 1), (9, 5, 3, 2), (1, 5, 4, 2)]
STEPS = np.arange(1001)


@pytest.fixture
def bar(dtype):
    """How well a thousand steps agree, relative to the size of the start, but for rounding."""
    return {"float32": 1e-4, "float64": 1e-10}[dtype.name]


def problem(dtype, num, seq_len, in_dim, out_dim):
    rng, lag = np.random.default_rng(7), np.arange(seq_len)
    x = normal(rng, (num, seq_len, in_dim), dtype)
    y = normal(rng, (num, seq_len, out_dim), dtype)
    rho = jnp.asarray(2 * 0.3**lag + lag * 0.3 ** (lag - 1.0), dtype)
    return (x, y), rho, normal(rng, (seq_len, out_dim, in_dim), dtype)


def normal(rng, shape, dtype):
    return jnp.asarray(rng.normal(size=shape), dtype)


def dense(rho, in_dim, out_dim):
    """The Gram matrix over entries of L that lag weights stand for."""
    weights = np.repeat(np.asarray(rho), out_dim * in_dim)
    return jnp.asarray(np.diag(weights).reshape(2 * (len(rho), out_dim, in_dim)))


@pytest.mark.parametrize(("shape", "loss"), [*zip(SHAPES, ["sum", "mean", "sum"], strict=True)])
def test_is_gradient_descent(dtype, bar, by_loop, shape, loss):
    """Also above half the largest rate, where 1 - eta lambda is negative along the first mode."""
    data, rho, initial = problem(dtype, *shape)
    kernel = nr.kernel_regression(rho, data, initial=initial, loss=loss)
    for fraction, steps in ((0.6, 1000), (0.5, 60), (0.9, 60), (0.999, 60)):
        rate = fraction * float(kernel.max_learning_rate)
        expected, losses = by_loop(data, rho, initial, steps, rate, loss=loss)
        responses = kernel.impulse_response(STEPS, rate)[: steps + 1]
        assert responses.dtype == dtype
        assert np.max(np.abs(responses - expected)) <= bar * np.max(np.abs(expected))
        gaps = kernel.train_loss(STEPS, rate)[: steps + 1] - losses
        assert np.max(np.abs(gaps)) <= bar * losses[0]


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_is_that_of_the_scaled_convolution(dtype, bar):
    data, rho, initial = problem(dtype, *SHAPES[1])
    kernel = nr.kernel_regression(rho, data, initial=initial, loss="mean")
    rate = 0.6 * float(kernel.max_learning_rate)
    conv = nr.ScaledConv(rho, 2)
    path = nr.gradient_descent(
        conv, conv.params_from(initial), data, steps=1000, learning_rate=rate, loss="mean",
        test=data,
    )  # fmt: skip
    responses = kernel.impulse_response(STEPS, rate)
    scale = np.max(np.abs(path.impulse_response))
    assert np.max(np.abs(responses - path.impulse_response)) <= bar * scale
    losses = kernel.train_loss(STEPS, rate)
    assert np.max(np.abs(losses - path.train_loss)) <= bar * path.train_loss[0]
    test_losses = kernel.test_loss(data, STEPS, rate)
    assert np.max(np.abs(test_losses - path.test_loss)) <= bar * path.test_loss[0]
    outputs = kernel.predict(data[0], 700, rate)
    expected = nr.causal_conv(path.impulse_response[700], data[0])
    assert np.max(np.abs(outputs - expected)) <= bar * np.max(np.abs(expected))


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_dense_gram_of_lag_weights_is_the_lag_weights(dtype, bar):
    data, rho, initial = problem(dtype, *SHAPES[1])
    by_lag = nr.kernel_regression(rho, data, initial=initial)
    by_gram = nr.kernel_regression(dense(rho, *SHAPES[1][2:]), data, initial=initial)
    rate = 0.6 * float(by_lag.max_learning_rate)
    steps = np.asarray([0, 1, 10, 1000])
    expected = by_lag.impulse_response(steps, rate)
    actual = by_gram.impulse_response(steps, rate)
    assert np.max(np.abs(actual - expected)) <= bar * np.max(np.abs(expected))
    np.testing.assert_allclose(
        by_gram.train_loss(steps, rate), by_lag.train_loss(steps, rate),
        rtol=bar, atol=bar * float(by_lag.train_loss(0, rate)),
    )  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_correlated_gram_is_gradient_descent_with_it(dtype, bar, by_loop, shape):
    """By primal and dual, of a rank below its size."""
    data, _, initial = problem(dtype, *shape)
    factor = np.random.default_rng(1).normal(size=(initial.size, 20))
    gram = jnp.asarray((factor @ factor.T).reshape(2 * initial.shape), dtype)
    kernel = nr.kernel_regression(gram, data, initial=initial)
    rate = 0.8 * float(kernel.max_learning_rate)
    expected, losses = by_loop(data, gram, initial, 1000, rate)
    responses = kernel.impulse_response(STEPS, rate)[:101]
    assert np.max(np.abs(responses - expected[:101])) <= bar * np.max(np.abs(expected))
    gaps = kernel.train_loss(STEPS, rate)[:101] - losses[:101]
    assert np.max(np.abs(gaps)) <= bar * losses[0]


@pytest.mark.parametrize("shape", SHAPES[1:2])
def test_step_zero_is_the_start(dtype, tol, shape):
    data, rho, initial = problem(dtype, *shape)
    kernel = nr.kernel_regression(rho, data, initial=initial, loss="mean")
    np.testing.assert_array_equal(kernel.impulse_response(0, 1e-3), initial)
    np.testing.assert_array_equal(kernel.impulse_response(time=0), initial)
    error = np.mean((nr.causal_conv(initial, data[0]) - data[1]) ** 2)
    np.testing.assert_allclose(kernel.train_loss(0, 1e-3), error, rtol=10 * tol)


@pytest.mark.parametrize("shape", SHAPES)
def test_infinitely_many_steps_are_the_least_squares_fit(dtype, bar, shape):
    """The one of all least-squares fits that is nearest to the start, in the kernel's norm."""
    data, rho, initial = problem(dtype, *shape)
    _, seq_len, in_dim, out_dim = shape
    kernel = nr.kernel_regression(rho, data, initial=initial)
    half = np.sqrt(np.repeat(np.asarray(rho, float), in_dim))
    features = np.asarray(nr.lagged_inputs(data[0]), float).reshape(-1, seq_len * in_dim) * half
    residual = np.asarray(data[1] - nr.causal_conv(initial, data[0]), float).reshape(-1, out_dim)
    theta = np.linalg.lstsq(features, residual, rcond=None)[0]
    change = (half[:, None] * theta).reshape(seq_len, in_dim, out_dim).transpose(0, 2, 1)
    expected = np.asarray(initial) + change
    rate = 0.5 * float(kernel.max_learning_rate)
    for fit in (
        kernel.impulse_response(jnp.inf, rate),
        kernel.impulse_response(time=jnp.inf),
    ):
        assert np.max(np.abs(fit - expected)) <= 10 * bar * np.max(np.abs(expected))
    left = 0.5 * np.sum((residual - features @ theta) ** 2)
    np.testing.assert_allclose(
        kernel.train_loss(jnp.inf, rate), left, rtol=bar, atol=bar * float(np.sum(residual**2))
    )
    np.testing.assert_allclose(kernel.train_loss(time=jnp.inf), kernel.train_loss(jnp.inf, rate))


def test_directions_that_nothing_reaches_stay(dtype, bar):
    """A kernel of rank 2, and inputs of which one repeats another: no drift, however long."""
    (x, y), rho, initial = problem(dtype, 9, 4, 1, 1)
    factor = np.asarray(np.random.default_rng(1).normal(size=(4, 2)), dtype)
    gram = jnp.asarray((factor @ factor.T).reshape(4, 1, 1, 4, 1, 1))
    low_rank = nr.kernel_regression(gram, (x, y), initial=initial)
    design = np.asarray(nr.lagged_inputs(x), float).reshape(36, 4)
    residual = np.asarray(y - nr.causal_conv(initial, x), float).reshape(36)
    half = np.asarray(factor, float)
    fit = (
        np.asarray(initial).ravel() + half @ np.linalg.lstsq(design @ half, residual, rcond=None)[0]
    )
    twice = jnp.asarray(np.concatenate([x, x], axis=2))
    repeated = nr.kernel_regression(rho, (twice, y))
    for kernel in (low_rank, repeated):
        rate = 0.5 * float(kernel.max_learning_rate)
        ends = np.asarray(kernel.impulse_response(np.asarray([1e6, 1e12, np.inf]), rate))
        assert np.max(np.abs(ends - ends[-1])) <= bar * np.max(np.abs(ends[-1]))
        if kernel is low_rank:
            assert np.max(np.abs(ends[-1].ravel() - fit)) <= bar * np.max(np.abs(fit))


def test_one_step_at_the_inverse_eigenvalue_gains_all(dtype):
    """eta lambda = 1, where |1 - eta lambda| has no logarithm; derivatives are finite there."""
    x = jnp.ones((1, 1, 1), dtype)
    kernel = nr.kernel_regression(jnp.ones(1, dtype), (2 * x, 4 * x))
    rate = 1 / float(kernel.eigenvalues[0])
    np.testing.assert_allclose(kernel.impulse_response(np.arange(3), rate).ravel(), [0, 2, 2], 1e-6)
    slope = jax.jit(jax.grad(lambda r, step: kernel.train_loss(step, r)))
    assert all(np.isfinite(slope(rate, step)) for step in (0.0, 1.0, 5.0, np.inf))


@pytest.mark.parametrize(("shape", "loss"), [(SHAPES[1], "mean"), (SHAPES[2], "sum")])
def test_compressed_data_are_the_data(dtype, bar, shape, loss):
    """Trained and tested on, by lag weights or, at one shape, by a dense Gram matrix."""
    (x, y), rho, initial = problem(dtype, *shape)
    kernel = dense(rho, *shape[2:]) if shape == SHAPES[1] else rho
    test = (x[:, :3] * 0.5, y[:, :3])  # shorter than what is trained on
    raw = nr.kernel_regression(kernel, (x, y), initial=initial, loss=loss)
    data = nr.kernel_regression(kernel, compress(x, y), initial=initial, loss=loss)
    rate = 0.6 * float(raw.max_learning_rate)
    steps = np.asarray([0, 1, 10, 1000])
    assert data.impulse_response(steps, rate).dtype == dtype
    for actual, expected in (
        (data.max_learning_rate, raw.max_learning_rate),
        (data.impulse_response(steps, rate), raw.impulse_response(steps, rate)),
        (data.train_loss(steps, rate), raw.train_loss(steps, rate)),
        (raw.test_loss(compress(*test), steps, rate), raw.test_loss(test, steps, rate)),
    ):
        assert np.max(np.abs(actual - expected)) <= bar * np.max(np.abs(expected))


@pytest.mark.parametrize("how", ["steps", "time"])
def test_evolving_twice_is_evolving_once(dtype, bar, how):
    data, rho, initial = problem(dtype, 9, 5, 3, 2)
    first = nr.kernel_regression(rho, data, initial=initial)
    rate = 0.6 * float(first.max_learning_rate)

    def evolve(kernel, amount):
        if how == "time":
            return kernel.impulse_response(time=amount * rate)
        return kernel.impulse_response(amount, rate)

    once = evolve(first, 1000)
    twice = evolve(nr.kernel_regression(rho, data, initial=evolve(first, 300)), 700)
    assert np.max(np.abs(twice - once)) <= bar * np.max(np.abs(once))


def test_gradient_flow_is_the_limit_of_small_steps(dtype):
    data, rho, initial = problem(dtype, 9, 5, 2, 1)
    kernel = nr.kernel_regression(rho, data, initial=initial)
    time = 3 * float(kernel.max_learning_rate)
    flow = kernel.impulse_response(time=time)
    gaps = [
        np.max(np.abs(kernel.impulse_response(steps, time / steps) - flow)) for steps in (40, 80)
    ]
    # First order: halving the step halves the gap.
    assert 1.8 < gaps[0] / gaps[1] < 2.2


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize("loss", ["sum", "mean"])
def test_gradient_flow_is_that_of_neural_tangents(dtype, bar, loss):
    data, rho, initial = problem(dtype, 4, 5, 2, 1)
    (x, y), x_test = data, data[0][::-1] * 0.5
    kernel = nr.kernel_regression(rho, data, initial=initial, loss=loss)
    size = y.size

    def gram(a, b):
        return nr.analytic_ntk(a, b, rho).transpose(0, 2, 1, 3).reshape(size, size)

    nt = load()
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        predict = nt.predict.gradient_descent_mse(gram(x, x), y.reshape(size, 1), diag_reg=0.0)
        # neural-tangents descends 1/2 of the mean squared error: 1/(N T n_y) of the sum loss
        # here, and 1/2 of the mean loss.
        time = 0.37 * float(kernel.max_learning_rate)
        theirs = time * (size if loss == "sum" else 2)
        train, test = predict(
            theirs,
            nr.causal_conv(initial, x).reshape(size, 1),
            nr.causal_conv(initial, x_test).reshape(size, 1),
            gram(x_test, x),
        )
    for outputs, expected in ((kernel.predict(x, time=time), train),
                              (kernel.predict(x_test, time=time), test)):  # fmt: skip
        expected = np.asarray(expected).reshape(y.shape)
        assert np.max(np.abs(outputs - expected)) <= bar * np.max(np.abs(expected))


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_largest_learning_rate_is_the_edge_of_stability(dtype):
    data, rho, initial = problem(dtype, 9, 5, 2, 1)
    conv = nr.ScaledConv(rho, 1)
    for loss in ("sum", "mean"):
        kernel = nr.kernel_regression(rho, data, initial=initial, loss=loss)
        descend = partial(
            nr.gradient_descent, conv, conv.params_from(initial), data, steps=300, loss=loss
        )
        edge = float(kernel.max_learning_rate)
        below = descend(learning_rate=0.99 * edge, record_at=[0, 300])
        above = descend(learning_rate=1.01 * edge, record_at=[0, 300], allow_unstable=True)
        assert below.train_loss[-1] < below.train_loss[0]
        assert above.train_loss[-1] > 1e3 * above.train_loss[0]


def test_predictions_of_other_lengths(dtype, tol):
    data, rho, initial = problem(dtype, 9, 5, 2, 3)
    kernel = nr.kernel_regression(rho, data, initial=initial)
    rate = 0.5 * float(kernel.max_learning_rate)
    x = jax.random.normal(jax.random.key(0), (4, 8, 2), dtype)
    long, short = kernel.predict(x, 10, rate), kernel.predict(x[:, :3], 10, rate)
    assert long.shape == (4, 8, 3)
    np.testing.assert_allclose(short, long[:, :3], rtol=10 * tol, atol=10 * tol)
    several = kernel.predict(x, np.asarray([[0, 10], [20, 30]]), rate)
    assert several.shape == (2, 2, 4, 8, 3)
    np.testing.assert_allclose(several[0, 1], long, rtol=100 * tol, atol=10 * tol)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_can_be_compiled_and_differentiated(dtype):
    data, rho, initial = problem(dtype, 9, 5, 1, 1)

    def loss_after(step, rate):
        kernel = nr.kernel_regression(rho, data, initial=initial)
        return kernel.train_loss(step, rate)

    value, slope = jax.jit(jax.value_and_grad(loss_after, argnums=1))(10, 1e-3)
    kernel = nr.kernel_regression(rho, data, initial=initial)
    numerical = (kernel.train_loss(10, 1.01e-3) - kernel.train_loss(10, 0.99e-3)) / 2e-5
    np.testing.assert_allclose(value, kernel.train_loss(10, 1e-3), rtol=1e-5)
    np.testing.assert_allclose(slope, numerical, rtol=1e-2)
