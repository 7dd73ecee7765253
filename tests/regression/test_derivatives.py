"""Derivatives of paths in hyper-parameters and data, also where singular values coincide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.regression.symmetric import function_times

SEQ_LEN = 6


def draws(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def problem(name):
    """Data of two inputs, and the variance of W at which to differentiate."""
    x, y = draws(7, SEQ_LEN, 2), draws(7, SEQ_LEN, 2, seed=1)
    if name == "dead input":
        x[..., 1] = 0
    if name == "few data":
        x, y = x[:1], y[:1]
    if name == "tied weights":  # with nu_w = 0.5 lags 0 and 1 have the same weight
        x = np.asarray(nr.unit_impulses(SEQ_LEN, 2))
        y = y[:2]
        return (x, y), 0.5
    return (x, y), 0.3


def weights(nu):
    return nr.lag_weights(SEQ_LEN, nu, 1.0, 1.0)


def rotated_gram(nu):
    """The Gram matrix of lag weights, which come four times each, in a basis that turns."""
    size = 4 * SEQ_LEN
    basis, _ = np.linalg.qr(draws(size, size, seed=2))
    angles = nu * jnp.asarray(draws(size // 2, seed=8))
    cos, sin = jnp.diag(jnp.cos(angles)), jnp.diag(jnp.sin(angles))
    turn = basis @ jnp.block([[cos, -sin], [sin, cos]]) @ basis.T
    gram = turn @ jnp.diag(jnp.repeat(weights(nu), 4)) @ turn.T
    return gram.reshape(2 * (SEQ_LEN, 2, 2))


UNTIL = {
    "steps": {"step": np.asarray([1, 20]), "learning_rate": 2e-3},
    "momentum": {"step": 7, "learning_rate": 2e-3, "momentum": 0.6},
    "flow": {"time": 0.3},
}


def assert_differences(everything, at, rtol):
    """Both modes of differentiation give what central differences do, by one program."""
    step = 1e-5

    @jax.jit
    def both_modes(at):
        value, pushed = jax.linearize(everything, at)  # what both modes start from
        mixed = jnp.asarray(draws(len(value), seed=5))
        (backward,) = jax.linear_transpose(pushed, at)(mixed)
        return value, pushed(jnp.ones_like(at)), mixed, backward

    at = jnp.asarray(at)
    expected = (both_modes(at + step)[0] - both_modes(at - step)[0]) / (2 * step)
    _, forward, mixed, backward = both_modes(at)
    np.testing.assert_allclose(forward, expected, rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(backward, forward @ mixed, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize("name", ["any", "tied weights"])
def test_every_method_has_the_derivative_of_central_differences(dtype, name):
    data, nu = problem(name)
    test = draws(3, 8, 2, seed=3), draws(3, 8, 2, seed=4)
    given = nr.compress(*data) if name == "any" else data

    def everything(nu):
        path = nr.kernel_regression(weights(nu), given, initial=nu * jnp.ones((SEQ_LEN, 2, 2)))
        results = [path.predict(test[0], time=0.3), path.test_loss(test, time=0.3)]
        for until in UNTIL.values():
            results += [path.impulse_response(**until), path.train_loss(**until)]
        if name != "tied weights":  # there the largest eigenvalue has a kink
            results += [path.max_learning_rate]
        results += [jnp.sum(path.eigenvalues)]
        return jnp.concatenate([jnp.ravel(each) for each in results])

    assert_differences(everything, nu, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_the_fit_has_a_derivative_in_the_data(dtype):
    """Of fewer targets than unknowns, where the fit at infinity depends on the kernel too."""
    (x, y), nu = problem("few data")
    direction = jnp.asarray(draws(*x.shape, seed=6))

    def fit(amount):
        moved = x + amount * direction, (1 + amount) * y
        path = nr.kernel_regression(weights(nu + amount), moved)
        return jnp.stack([path.impulse_response(time=np.inf), path.impulse_response(time=0.5)])

    compiled = jax.jit(fit)
    expected = (compiled(1e-5) - compiled(-1e-5)) / 2e-5
    forward = jax.jit(lambda amount: jax.jvp(fit, (amount,), (1.0,))[1])(0.0)
    np.testing.assert_allclose(forward, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize(
    ("name", "kernel"),
    [("dead input", rotated_gram), ("one sequence repeated", weights),
     ("late start", rotated_gram)],
)  # fmt: skip
def test_data_of_lower_rank_have_derivatives(dtype, name, kernel):
    """At finite steps in any direction, at infinity in those that keep the rank."""
    (x, y), nu = problem("dead input" if name == "dead input" else "any")
    if name == "one sequence repeated":
        x = np.repeat(x[:1], len(x), axis=0)
    if name == "late start":  # of fewer data than unknowns
        x, y = x[:1] * (np.arange(SEQ_LEN) >= 3)[:, None], y[:1]
    any_change, keeping_rank = draws(*x.shape, seed=6), x * draws(SEQ_LEN, 2, seed=7)
    test = draws(3, 8, 2, seed=3), draws(3, 8, 2, seed=4)

    def moved(amount, direction):
        data = jnp.asarray(x) + amount * direction, (1 + amount) * y
        initial = (1 + amount) * jnp.ones((SEQ_LEN, 2, 2))
        return nr.kernel_regression(kernel(nu + amount), data, initial=initial, loss="mean")

    def everything(amount):
        path, end = moved(amount, any_change), moved(amount, keeping_rank)
        results = [path.test_loss(test, time=0.3)]
        for until in UNTIL.values():
            results += [path.impulse_response(**until), path.train_loss(**until)]
        if name == "dead input" or kernel is weights:
            results += [end.impulse_response(step=np.inf), end.train_loss(time=np.inf)]
            results += [end.max_learning_rate, jnp.sum(end.eigenvalues)]
        return jnp.concatenate([jnp.ravel(each) for each in results])

    assert_differences(everything, 0.0, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_second_derivatives_in_the_data(dtype):
    (x, y), nu = problem("any")
    direction = jnp.asarray(draws(*x.shape, seed=6))

    def loss(amount):
        path = nr.kernel_regression(weights(nu), (x + amount * direction, y))
        return (
            path.train_loss(time=0.3)
            + path.irreducible
            + jnp.sum(path.impulse_response(time=np.inf) ** 2)
        )

    second, slope = jax.jit(jax.hessian(loss))(0.0), jax.jit(jax.grad(loss))
    np.testing.assert_allclose(second, (slope(1e-5) - slope(-1e-5)) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_second_derivatives_where_singular_values_are_distinct(dtype):
    data, nu = problem("any")

    def loss(nu):
        path = nr.kernel_regression(weights(nu), data)
        return path.train_loss(time=0.3) + 10 * path.max_learning_rate

    second = jax.jit(jax.hessian(loss))(nu)
    slope = jax.jit(jax.grad(loss))
    np.testing.assert_allclose(second, (slope(nu + 1e-5) - slope(nu - 1e-5)) / 2e-5, rtol=1e-6)


def test_weights_that_underflow_have_finite_derivatives():
    """In float32 rho_j is 0 from lag 74 on for nu_W = 0.3."""
    x, y = draws(3, 100, 1).astype(np.float32), draws(3, 100, 1, seed=1).astype(np.float32)

    def loss(nu):
        return nr.kernel_regression(nr.lag_weights(100, nu, 1.0, 1.0), (x, y)).train_loss(10, 1e-3)

    slope = jax.jit(jax.grad(loss))(0.3)
    np.testing.assert_allclose(slope, (loss(0.31) - loss(0.29)) / 0.02, rtol=1e-2)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize("gap", [0, 1e-12, 1e-7, 1e-5, 1e-3])
def test_function_of_a_matrix_whose_eigenvalues_nearly_coincide(dtype, gap):
    """The derivative of exp(M) u is in the corner of exp([[M, dM], [0, M]])."""
    matrix, change = np.diag([2.0, 2.0 + gap, 0.5]), draws(3, 3)
    change, vectors = change + change.T, jnp.asarray(draws(3, 2, seed=1))
    both = np.block([[matrix, change], [np.zeros((3, 3)), matrix]])
    expected = jax.scipy.linalg.expm(jnp.asarray(both))[:3, 3:] @ vectors
    _, actual = jax.jvp(
        lambda m: function_times(lambda e, _: jnp.exp(e), m, vectors, ()),
        (jnp.asarray(matrix),), (jnp.asarray(change),),
    )  # fmt: skip
    np.testing.assert_allclose(actual, expected, rtol=1e-9)
