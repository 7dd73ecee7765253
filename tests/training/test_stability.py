"""The largest stable learning rate, against the eigenvalues of the kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize(("shape", "loss"), [((1, 1, 1, 1), "sum"), ((4, 5, 2, 3), "mean")])
def test_is_two_over_the_largest_eigenvalue_of_the_kernel(dtype, shape, loss):
    num, seq_len, in_dim, out_dim = shape
    x = jax.random.normal(jax.random.key(0), (num, seq_len, in_dim), dtype)
    model = nr.LinearRNN(12, out_dim)
    params = jax.jit(model.init)(jax.random.key(1), x)
    jacobian = jax.jit(jax.jacobian(model.apply))(params, x)
    size = num * seq_len * out_dim
    flat = np.concatenate([j.reshape(size, -1) for j in jax.tree.leaves(jacobian)], axis=1)
    largest = np.linalg.norm(flat.astype(float), ord=2) ** 2
    scale = 1 if loss == "sum" else 2 / size
    actual = nr.max_learning_rate(model, params, x, loss=loss)
    # The iteration ends when an eigenvalue changes by less than 1e-5 a step.
    np.testing.assert_allclose(actual, 2 / (scale * largest), rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_of_the_convolution_is_that_of_the_closed_form(dtype):
    x = jax.random.normal(jax.random.key(0), (6, 5, 2), dtype)
    rho = nr.lag_weights(5, 0.3, 1.0, 1.0)
    conv = nr.ScaledConv(rho, 2)
    expected = nr.kernel_regression(rho, (x, jnp.zeros((6, 5, 2), dtype))).max_learning_rate
    actual = nr.max_learning_rate(conv, conv.init(jax.random.key(0), x), x)
    np.testing.assert_allclose(actual, expected, rtol=1e-3)
    small = nr.compress(x, np.ones((6, 5, 2), dtype))
    actual = nr.max_learning_rate(conv, conv.init(jax.random.key(0), x), small)
    np.testing.assert_allclose(actual, expected, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
@pytest.mark.parametrize("scale", [1e-18, 1e-11, 1e9, 1e17])
def test_scales_as_one_over_the_square_of_the_inputs(dtype, scale):
    x = jax.random.normal(jax.random.key(0), (4, 5, 2), dtype)
    model = nr.LinearRNN(6, 1)
    params = jax.jit(model.init)(jax.random.key(1), x)
    rate, scaled = (float(nr.max_learning_rate(model, params, s * x)) for s in (1, scale))
    np.testing.assert_allclose(scaled * scale**2, rate, rtol=1e-4)
    data = scale * x, jnp.zeros((4, 5, 1), dtype)
    with pytest.raises(ValueError, match="learning_rate must be at most"):
        nr.gradient_descent(model, params, data, steps=1, learning_rate=100 * scaled)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_is_differentiable(dtype):
    x = jax.random.normal(jax.random.key(0), (4, 5, 2), dtype)
    model = nr.LinearRNN(6, 1)
    params = jax.jit(model.init)(jax.random.key(1), x)

    def rate(factor):
        scaled = jax.tree.map(lambda a: a * factor.astype(dtype), params)
        return nr.max_learning_rate(model, scaled, x)

    at, step = jnp.asarray(1.2, dtype), jnp.asarray(1e-2, dtype)
    compiled = jax.jit(rate)
    expected = (compiled(at + step) - compiled(at - step)) / (2 * step)
    for derivative in (jax.grad, jax.jacfwd):
        np.testing.assert_allclose(jax.jit(derivative(rate))(at), expected, rtol=1e-2)


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    model = nr.LinearRNN(4, 1)
    x = jnp.ones((2, 3, 1))
    params = model.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match='loss must be "sum"'):
        nr.max_learning_rate(model, params, x, loss="mse")
    with pytest.raises(ValueError, match=r"data must have shape"):
        nr.max_learning_rate(model, params, x[0])
    with pytest.raises(ValueError, match=r"apply_fn must be a function .* got int"):
        nr.max_learning_rate(3, params, x)
    with pytest.raises(ValueError, match=r"key must be a single random key, .* got int 0"):
        nr.max_learning_rate(model, params, x, key=0)
    with pytest.raises(ValueError, match="apply_fn must return one array, got"):
        nr.max_learning_rate(lambda p, x: (x, x), params, x)
