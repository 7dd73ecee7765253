"""Kernel regression on kernels between sequences: the path of outputs in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

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
    rate, steps = float(found.max_learning_rate) / 4, 20

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

    @jax.jit
    @jax.value_and_grad
    def total(nu_w):
        kernel = partial(nr.recurrent_ntk, activation="gelu", nu_w=nu_w, nu_f=1.0, nu_c=0.8)
        found = nr.kernel_regression(kernel, (x, y))
        outputs = jnp.sum(found.predict(new, time=0.05))
        return outputs + found.train_loss(time=0.05) + 100 * found.max_learning_rate

    step = 1e-5
    difference = (total(0.6 + step)[0] - total(0.6 - step)[0]) / (2 * step)
    _, derivative = total(0.6)
    jax.config.update("jax_enable_x64", False)
    np.testing.assert_allclose(derivative, difference, rtol=1e-6)


def truncated(x1, lengths1, x2, lengths2):
    """For each pair, the kernel with erf of what is before the padding, by its recursion."""
    nu_w, nu_f, nu_c = NU.values()

    def moments(a, b, c):
        product = (1 + 2 * a) * (1 + 2 * b)
        value = 2 / np.pi * np.arcsin(2 * c / np.sqrt(product))
        return value, 4 / np.pi / np.sqrt(product - 4 * c**2)

    def variances(x):
        q = [nu_f * x[0] @ x[0]]
        for x_t in x[1:]:
            q.append(nu_f * x_t @ x_t + nu_w * moments(q[-1], q[-1], q[-1])[0])
        return q

    def block(x, z):
        q, r = variances(x), variances(z)
        kernel, before = np.zeros((len(x), len(z))), {}
        for t, s in np.ndindex(kernel.shape):
            value, passed = before.get((t - 1, s - 1), (0, 0))
            gram = x[t] @ z[s]
            theta = gram + value + nu_w * passed
            value, slope = moments(q[t], r[s], nu_f * gram + nu_w * value)
            before[t, s] = value, slope * theta
            kernel[t, s] = value + nu_c * slope * theta
        return kernel

    def cut(x, lengths):
        return [each[:length] for each, length in zip(np.asarray(x, float), lengths, strict=True)]

    return [[block(x, z) for z in cut(x2, lengths2)] for x in cut(x1, lengths1)]


def last(array, lengths):
    return np.asarray(array)[np.arange(len(array)), np.asarray(lengths) - 1]


@pytest.mark.parametrize(
    ("dtype", "output"), [("float64", "all"), ("float32", "last")], indirect=["dtype"]
)
def test_sequences_of_different_lengths(output, dtype, tol):
    """It is the regression on what is before the padding, which does not count."""
    x, new = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(dtype)
    lengths, lengths_new = np.array([4, 2, 3, 1]), np.array([2, 4, 3, 3])
    targets, other = np.sin(3 * x[..., :1]), np.cos(new[..., :1])

    def start(x, lengths):
        outputs = np.asarray(x)[..., :1] / 3
        return last(outputs, lengths) if output == "last" else outputs

    def kept(array, lengths):
        """Outputs of all sequences, those before their padding or the last ones."""
        if output == "last":
            return np.asarray(array)
        pairs = zip(np.asarray(array), lengths, strict=True)
        return np.concatenate([each[:length] for each, length in pairs])

    def matrix(blocks):
        if output == "last":
            return np.array([[block[-1, -1] for block in row] for row in blocks])
        return np.block(blocks)

    def causal(x1, x2, lengths1, lengths2):
        """Wrong in the padding, which must not count whatever it is."""
        return kernel_fn("erf")(x1, x2)

    kernel = causal
    if output == "last":
        kernel = kernel_fn("erf", output="last")
        targets, other = last(targets, lengths), last(other, lengths_new)
    found = nr.kernel_regression(kernel, (x, targets), initial=start, loss="mean", lengths=lengths)
    inner = matrix(truncated(x, lengths, x, lengths))
    cross = matrix(truncated(new, lengths_new, x, lengths))
    time, scale = 0.7, 2 / len(inner)
    left = scipy.linalg.expm(-time * scale * inner)
    missed = kept(targets - start(x, lengths), lengths)
    outputs = kept(start(new, lengths_new), lengths_new)
    outputs = outputs + cross @ np.linalg.solve(inner, missed - left @ missed)
    bound = {"rtol": 1e3 * tol, "atol": 1e3 * tol}
    predicted = found.predict(new, time=time, lengths=lengths_new)
    np.testing.assert_allclose(kept(predicted, lengths_new), outputs, **bound)
    np.testing.assert_allclose(found.train_loss(time=time), np.mean((left @ missed) ** 2), **bound)
    np.testing.assert_allclose(
        found.test_loss((new, other), time=time, lengths=lengths_new),
        np.mean((outputs - kept(other, lengths_new)) ** 2), **bound,
    )  # fmt: skip
    if output == "all":
        assert not np.any(predicted[0, 2:])


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
        ({"lengths": [1, 2]}, "lengths must be whole numbers of steps, one for each of 12"),
        ({"lengths": [9] * 12}, "lengths must be from 1 to 5"),
        ({"kernel": short, "lengths": [5] * 12}, "kernel must take lengths1 and lengths2"),
        ({"initial": jnp.sin, "lengths": [5] * 12}, "initial must take lengths by keyword"),
        ({"kernel": np.ones(5), "lengths": [5] * 12}, "lengths must be None for lag weights"),
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
    with pytest.raises(ValueError, match="lengths must be from 1 to"):
        found.predict(new_sequences(np.float32), time=1.0, lengths=[1, 2, 3, 6])
