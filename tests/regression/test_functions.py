"""Kernel regression on kernels between sequences: the path of outputs in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr

NU = {"nu_w": 0.6, "nu_f": 1.0, "nu_c": 0.8}
SEQ_LEN = 5


def data(dtype, num=12):
    x, y = nr.data.teacher(jax.random.key(0), num, SEQ_LEN)
    return x.astype(dtype), y.astype(dtype)


def new_sequences(dtype):
    return jax.random.normal(jax.random.key(3), (4, SEQ_LEN, 1), dtype)


def kernel_fn(activation, **options):
    return partial(nr.recurrent_ntk, activation=activation, **NU, **options)


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
@pytest.mark.parametrize("loss", ["sum", "mean"])
def test_the_identity_is_the_kernel_regression_of_lag_weights(loss, dtype, tol):
    """Two solvers, two kernels, one path: for steps, momentum, flow and the end."""
    x, y = data(dtype)
    lags = nr.kernel_regression(nr.lag_weights(SEQ_LEN, **NU), (x, y), loss=loss)
    functions = nr.kernel_regression(kernel_fn("identity"), (x, y), loss=loss)
    rate = float(lags.max_learning_rate)
    assert np.isclose(functions.max_learning_rate, rate, rtol=10 * tol)
    new = new_sequences(dtype)
    other = new, jnp.ones_like(new)
    for until in (
        {"step": np.array([0, 3, 50]), "learning_rate": rate / 3},
        {"step": 7, "learning_rate": rate / 3, "momentum": 0.9},
        {"time": 10 * rate},
        {"time": np.inf},
    ):
        bound = {"rtol": 1e3 * tol, "atol": 1e3 * tol}
        np.testing.assert_allclose(
            functions.predict(new, **until), lags.predict(new, **until), **bound
        )
        np.testing.assert_allclose(functions.train_loss(**until), lags.train_loss(**until), **bound)
        np.testing.assert_allclose(
            functions.test_loss(other, **until), lags.test_loss(other, **until), **bound
        )


def test_it_is_the_loop_of_gradient_descent_on_outputs(dtype, tol):
    """``f <- f - eta K (f - y)`` on training and new sequences, from outputs that are not 0."""
    x, y = data(dtype)
    new, kernel = new_sequences(dtype), kernel_fn("erf")

    def start(x):
        return 0.3 * jnp.sin(x)

    found = nr.kernel_regression(kernel, (x, y), initial=start)
    rate, steps = found.max_learning_rate / 2, 20
    blocks = [nr.as_matrix(kernel(z, x)) for z in (x, new)]
    outputs = [start(z).reshape(-1, 1) for z in (x, new)]
    for _ in range(steps):
        missed = outputs[0] - y.reshape(-1, 1)
        outputs = [f - rate * (k @ missed) for f, k in zip(outputs, blocks, strict=True)]
    for z, expected in zip((x, new), outputs, strict=True):
        predicted = found.predict(z, step=steps, learning_rate=rate)
        np.testing.assert_allclose(predicted.reshape(-1, 1), expected, rtol=0, atol=1e3 * tol)


def test_a_wide_network_follows_it():
    """At width 2000, to 5 % of how far the outputs are from their targets at the start."""
    x, y = data(np.float32)
    model = nr.RNN(2000, 1, "relu", **NU)
    params = model.init(jax.random.key(1), x)
    start = partial(model.apply, params)
    found = nr.kernel_regression(kernel_fn("relu"), (x, y), initial=start)
    rate, steps = float(found.max_learning_rate) / 4, 60

    @jax.jit
    def step(params):
        def loss(params):
            return jnp.sum((model.apply(params, x) - y) ** 2) / 2

        return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params))

    for _ in range(steps):
        params = step(params)
    for z in (x, new_sequences(np.float32)):
        predicted = found.predict(z, step=steps, learning_rate=rate)
        gap = jnp.sqrt(jnp.mean((model.apply(params, z) - predicted) ** 2))
        assert gap < 0.05 * jnp.sqrt(jnp.mean((start(x) - y) ** 2))


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize("output", ["last", "mean"])
def test_classes(output, dtype, tol):
    """One target a sequence; the end of the path interpolates the training data."""
    x, _ = data(dtype)
    labels = np.arange(len(x)) % 3
    targets = jax.nn.one_hot(labels, 3, dtype=dtype)
    found = nr.kernel_regression(kernel_fn("relu", output=output), (x, targets))
    assert found.predict(new_sequences(dtype), time=[0.0, 1.0]).shape == (2, 4, 3)
    fitted = found.predict(x, time=np.inf)
    np.testing.assert_array_equal(np.argmax(fitted, axis=1), labels)


def test_derivatives_by_the_kernel():
    jax.config.update("jax_enable_x64", True)
    x, y = data(np.float64, num=6)
    new = new_sequences(np.float64)

    def total(nu_w):
        kernel = partial(nr.recurrent_ntk, activation="gelu", nu_w=nu_w, nu_f=1.0, nu_c=0.8)
        found = nr.kernel_regression(kernel, (x, y))
        outputs = jnp.sum(found.predict(new, time=0.05))
        return outputs + found.train_loss(time=0.05) + 100 * found.max_learning_rate

    step = 1e-5
    difference = (total(0.6 + step) - total(0.6 - step)) / (2 * step)
    derivative = jax.grad(total)(0.6)
    jax.config.update("jax_enable_x64", False)
    np.testing.assert_allclose(derivative, difference, rtol=1e-6)


def short(x1, x2):
    return jnp.ones((len(x1), len(x2), 2))


def indefinite(x1, x2):
    return jnp.where(jnp.arange(len(x1))[:, None] == jnp.arange(len(x2))[None], 0.0, 1.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel": short}, r"kernel must return the shape \(N1, N2, T, T2\)"),
        ({"kernel": indefinite}, r"kernel\(x, x\) must be symmetric and positive semi-definite"),
        ({"kernel": kernel_fn("relu", output="last")}, r"data\[1\] must have shape \(N, n_y\)"),
        ({"initial": lambda x: x[:, 0]}, "initial must return outputs of the shape"),
        ({"on_host": True}, "on_host must be False for a kernel function"),
        ({"method": "matrix_free"}, "method must be dense for a kernel function"),
    ],
)
def test_bad_arguments(changed, message, unannotated):
    given = {"kernel": kernel_fn("relu"), "data": data(np.float32), **changed}
    if changed.get("kernel") is indefinite:
        given["data"] = given["data"][0], given["data"][1][:, 0]
    with pytest.raises(ValueError, match="^" + message):
        nr.kernel_regression(**given)


def test_bad_steps_and_sequences(unannotated):
    found = nr.kernel_regression(kernel_fn("relu"), data(np.float32))
    with pytest.raises(ValueError, match="learning_rate must be below"):
        found.train_loss(step=3, learning_rate=2 * found.max_learning_rate)
    with pytest.raises(ValueError, match=r"x.shape\[2\]"):
        found.predict(np.ones((2, SEQ_LEN, 3)), time=1.0)
