"""What may be asked of gradient descent in closed form, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.compression.triangle import compress


def test_numbers_of_steps_of_any_type(dtype):
    """Beyond 32-bit integers, where they would wrap around, and in small ones."""
    kernel = nr.kernel_regression(jnp.ones(1, dtype), 2 * (jnp.ones((1, 1, 1), dtype),))
    rate = 1e-7 * float(kernel.max_learning_rate)
    large = [3 * 10**6, 2**32 + 1, 10**10, 10**20]
    remains = 0.5 * np.exp(2 * np.asarray(large, float) * np.log1p(-2e-7))
    for momentum in (0.0, 1e-9):
        losses = kernel.train_loss(np.asarray(large[:3]), rate, momentum=momentum)
        np.testing.assert_allclose(
            losses, remains[:3], rtol=3e-3 if dtype == np.float32 else 1e-6, atol=1e-7
        )
        assert kernel.train_loss(large[3], rate, momentum=momentum) == 0
    small = kernel.train_loss(np.asarray([3, 250], np.uint8), 1e-2, momentum=0.5)
    np.testing.assert_array_equal(small, kernel.train_loss([3, 250], 1e-2, momentum=0.5))


def test_weights_of_long_lags_may_underflow():
    """In float32 rho_j is 0 from lag 74 on for nu_W = 0.3: such a lag does not move."""
    rho = nr.lag_weights(100, 0.3, 1.0, 1.0)
    x = jax.random.normal(jax.random.key(0), (5, 100, 1))
    conv = nr.ScaledConv(rho, 1)
    initial = jnp.asarray(0.3 ** (np.arange(100) / 2), x.dtype)[:, None, None]
    theta = conv.params_from(initial)
    assert np.all(np.isfinite(theta["params"]["theta"]))
    np.testing.assert_allclose(conv.apply(theta, x), nr.causal_conv(initial, x), atol=1e-4)
    kernel = nr.kernel_regression(rho, (x, jnp.ones((5, 100, 1))), initial=initial)
    rate = 0.5 * float(kernel.max_learning_rate)
    path = nr.gradient_descent(conv, theta, (x, jnp.ones((5, 100, 1))), steps=5, learning_rate=rate)
    predicted = kernel.train_loss(np.arange(6), rate)
    np.testing.assert_allclose(predicted, path.train_loss, rtol=1e-4)
    assert np.all(np.isfinite(nr.analytic_ntk(x, None, rho)))


@pytest.mark.parametrize("method", ["dense", "matrix_free", "compressed"])
def test_lags_beyond_those_of_the_kernel_stay(method):
    """A short filter on a long record: the same as with weights of 0."""
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(2, 30, size)).astype(np.float32) for size in (2, 1))
    rho, initial = nr.lag_weights(4, 0.5, 1.0, 1.0), rng.normal(size=(30, 1, 2)).astype(np.float32)
    data = nr.compress(x, y) if method == "compressed" else (x, y)
    options = {"method": "auto" if method == "compressed" else method, "initial": initial}
    short = nr.kernel_regression(rho, data, **options)
    padded = nr.kernel_regression(np.pad(rho, (0, 26)), data, **options)
    response = short.impulse_response(20, 1e-3)
    np.testing.assert_array_equal(response[4:], initial[4:])
    np.testing.assert_allclose(response, padded.impulse_response(20, 1e-3), rtol=1e-6)
    # Independently: four columns of lagged inputs, in gradient descent step by step.
    rows = np.asarray(nr.lagged_inputs(x, 30), float).reshape(60, 60)
    flat = initial.astype(float).transpose(0, 2, 1).reshape(60)
    weights = np.repeat(np.pad(np.asarray(rho, float), (0, 26)), 2)
    for _ in range(20):
        flat = flat - 1e-3 * weights * (rows.T @ (rows @ flat - y.reshape(60)))
    expected = flat.reshape(30, 2, 1).transpose(0, 2, 1)
    np.testing.assert_allclose(response, expected, rtol=1e-4, atol=1e-5)


def test_the_end_of_training_needs_no_rate(dtype):
    rng = np.random.default_rng(3)
    data = tuple(jnp.asarray(rng.normal(size=(9, 5, size)), dtype) for size in (2, 1))
    kernel = nr.kernel_regression(jnp.ones(5, dtype), data)
    for endless in (np.inf, np.asarray([np.inf, np.inf])):
        for momentum in (0.0, 0.5):
            end = kernel.predict(data[0], step=endless, momentum=momentum)
            np.testing.assert_array_equal(end, kernel.predict(data[0], time=endless))
    with pytest.raises(ValueError, match="learning_rate must be given with step"):
        kernel.predict(data[0], step=[1, np.inf])


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("value", ["a", 1j, {}, [1, [2, 3]], None, b"1", np.datetime64("2020")])
def test_what_is_no_number_is_named(value):
    kernel = nr.kernel_regression(jnp.ones(2), (jnp.ones((3, 2, 1)), jnp.ones((3, 2, 1))))
    for name in ("step", "time"):
        given = {name: value, **({"learning_rate": 1e-3} if name == "step" else {})}
        with pytest.raises(ValueError, match=rf"{name} must be|give either step and .*{name}="):
            kernel.train_loss(**given)
    for name in ("learning_rate", "momentum"):
        if value is None and name == "learning_rate":
            continue
        given = {"step": 1, "learning_rate": 1e-3, name: value}
        with pytest.raises(ValueError, match=f"{name} must be"):
            kernel.train_loss(**given)
    with pytest.raises(ValueError, match="kernel must"):
        nr.kernel_regression(value, (jnp.ones((3, 2, 1)), jnp.ones((3, 2, 1))))


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    rng = np.random.default_rng(7)
    x, y = (jnp.asarray(rng.normal(size=(9, 5, size)), jnp.float32) for size in (2, 1))
    data, rho, initial = (x, y), jnp.ones(5), jnp.zeros((5, 1, 2))
    regress = nr.kernel_regression
    with pytest.raises(ValueError, match=r"data\[0\].shape\[:2\] and data\[1\].shape\[:2\] must"):
        regress(rho, (x, y[:3]))
    with pytest.raises(ValueError, match=r"data must be a pair \(inputs, targets\), got ArrayImpl"):
        regress(rho, x)
    with pytest.raises(ValueError, match=r"data\[1\] must be finite, got 1 NaN"):
        regress(rho, (x, y.at[0, 0, 0].set(jnp.nan)))
    with pytest.raises(ValueError, match=r"kernel must have at most as many lags .* 5, got 6; "):
        regress(jnp.ones(6), data)
    with pytest.raises(ValueError, match=r"kernel must have shape \(T,\) = \(5,\)"):
        regress(jnp.eye(5), data)
    for matrix in (jnp.triu(jnp.ones((10, 10))), -jnp.eye(10)):
        with pytest.raises(ValueError, match="kernel must be symmetric and positive semi-definite"):
            regress(matrix.reshape(5, 1, 2, 5, 1, 2), data)
    with pytest.raises(ValueError, match="kernel must be real, got dtype complex"):
        regress(1j * np.eye(10).reshape(5, 1, 2, 5, 1, 2), data)
    network = {"params": {"W": jnp.eye(3), "F": jnp.ones((3, 2)), "C": jnp.ones((1, 3))}}
    with pytest.raises(ValueError, match=r"got FiniteWidthGram; pass .dense\(\)"):
        regress(nr.finite_width_gram(network, 5), data)
    assert regress(np.eye(10, dtype=int).reshape(5, 1, 2, 5, 1, 2), data).initial.dtype == x.dtype
    assert regress(nr.ScaledConv(rho, 1).lag_weights, data).initial.dtype == x.dtype  # a tuple
    halves = regress(rho, (jnp.asarray(x, jnp.float16), jnp.asarray(y, jnp.float16)))
    assert halves.initial.dtype == np.float32
    with pytest.raises(ValueError, match=r"initial.shape .* got \(5, 2, 1\) and \(5, 1, 2\)"):
        regress(rho, data, initial=jnp.ones((5, 2, 1)))
    with pytest.raises(ValueError, match='loss must be "sum"'):
        regress(rho, data, loss="mse")
    kernel = regress(rho, data, initial=initial)
    with pytest.raises(ValueError, match=r"learning_rate must be below .* diverges, got 1"):
        kernel.impulse_response(10, 1.0)
    with pytest.raises(ValueError, match="learning_rate must be given with step"):
        kernel.train_loss(10)
    with pytest.raises(ValueError, match="learning_rate must be positive and finite, got -1"):
        kernel.train_loss(10, -1.0)
    with pytest.raises(ValueError, match="step must be at least 0, got -1"):
        kernel.train_loss([3, -1], 1e-4)
    with pytest.raises(ValueError, match="time must be at least 0, got nan"):
        kernel.train_loss(time=np.nan)
    with pytest.raises(ValueError, match=r"step must be whole numbers, got 2.5"):
        kernel.train_loss([2.0, 2.5], 1e-4)
    for arguments in ({}, {"step": 1, "time": 1.0}, {"learning_rate": 1.0, "time": 1.0}):
        with pytest.raises(ValueError, match="give either step and learning_rate, or time"):
            kernel.train_loss(**arguments)
    with pytest.raises(ValueError, match=r"data\[1\].shape\[2\] and .* outputs, got 2 and 1"):
        kernel.test_loss((x, jnp.ones((9, 5, 2), x.dtype)), 1, 1e-4)
    with pytest.raises(ValueError, match=r"x.shape\[2\] and the training data's .* got 1 and 2"):
        kernel.predict(x[..., :1], 1, 1e-4)
    compressed = compress(x, y)
    with pytest.raises(ValueError, match=r"kernel must have at most as many lags .* 5, got 6; "):
        regress(jnp.ones(6), compressed)
    with pytest.raises(ValueError, match=r"initial.shape .* got \(5, 2, 1\) and \(5, 1, 2\)"):
        regress(rho, compressed, initial=jnp.ones((5, 2, 1)))
    with pytest.raises(ValueError, match=r"impulse_response must have the shape .* \(5, 2, 1\), w"):
        kernel.test_loss(compress(y, x), 1, 1e-4)
