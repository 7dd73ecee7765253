"""Gradient descent with momentum in closed form: against exact powers, and against optax."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_rnn as nr
from ntk_rnn.regression.eigenmodes import descent, flow, heavy_ball

STEPS = np.asarray([0, 1, 2, 3, 10, 101, 1000, 12345, 10**6, 10**6 + 1])


@pytest.fixture
def bar(dtype):
    return {"float32": 1e-4, "float64": 1e-10}[dtype.name]


def problem(dtype):
    k1, k2, k3 = jax.random.split(jax.random.key(7), 3)
    x = jax.random.normal(k1, (9, 5, 3), dtype)
    y = jax.random.normal(k2, (9, 5, 2), dtype)
    return (x, y), nr.lag_weights(5, 0.3, 1.0, 1.0), jax.random.normal(k3, (5, 2, 3), dtype)


def exactly(size, beta, steps):
    """What remains by r_{l+1} = (1 + beta - s) r_l - beta r_{l-1}, r_{-1} = r_0 = 1, as a power."""

    def product(a, b):
        return [[sum(a[i][k] * b[k][j] for k in (0, 1)) for j in (0, 1)] for i in (0, 1)]

    power, square = [[1, 0], [0, 1]], [[1 + beta - size, -beta], [1, 0]]
    while steps:
        power = product(power, square) if steps % 2 else power
        square, steps = product(square, square), steps // 2
    return Decimal(power[0][0] + power[0][1])


@pytest.mark.parametrize("beta", [0.001, 0.9, 0.9999])
def test_is_the_exact_power_but_for_rounding(dtype, beta):
    """Real roots of both signs, double roots, complex ones, and the neighbourhood of all.

    Rounding eta lambda and beta alone changes r by eps (|s dr/ds| + |beta dr/dbeta|): 10 times
    that is allowed, and 10 eps of r, and of 1 - r for what is gained.
    """
    low, high = (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2
    near = 1 + np.asarray([-1e-3, -1e-7, -1e-12, 0, 1e-12, 1e-7, 1e-3])
    limit = 2 * (1 + beta)
    sizes = [1e-12, 1e-6, 1e-3, 0.5, 1.0, *(low * near), *(high * near), 0.999 * limit]
    sizes, beta = np.asarray([s for s in sizes if s < limit], dtype), np.asarray(beta, dtype)
    xp = np if dtype == np.float64 else jnp
    everywhere, one = xp.ones(len(sizes), bool), xp.asarray(1, dtype)
    results = heavy_ball(xp.asarray(sizes), everywhere, xp.asarray(STEPS), one, xp.asarray(beta))
    remains, gained = np.asarray(results, dtype=float)
    eps, small = float(np.finfo(dtype).eps), Decimal("1e-25")
    with localcontext() as context:
        context.prec = 70
        for i, j in np.ndindex(remains.shape):
            s, b, steps = Decimal(float(sizes[j])), Decimal(float(beta)), int(STEPS[i])
            r = exactly(s, b, steps)
            slopes = [exactly(s * (1 + small), b, steps), exactly(s, b * (1 + small), steps)]
            unit = sum(abs(slope - r) for slope in slopes) / small
            assert abs(Decimal(remains[i, j]) - r) <= 10 * eps * float(unit + abs(r)) + 1e-37
            assert abs(Decimal(gained[i, j]) - (1 - r)) <= 10 * eps * float(unit + abs(1 - r))


def test_is_optax_with_momentum(dtype, bar):
    """At a learning rate beyond what is stable without momentum."""
    momentum, fraction = 0.9, 1.7
    data, rho, initial = problem(dtype)
    kernel = nr.kernel_regression(rho, data, initial=initial)
    rate = fraction * float(kernel.max_learning_rate)
    conv = nr.ScaledConv(rho, 2)
    path = nr.gradient_descent(
        conv, conv.params_from(initial), data, steps=1000,
        optimizer=optax.sgd(rate, momentum=momentum), test=data,
    )  # fmt: skip
    steps = np.arange(1001)
    responses = kernel.impulse_response(steps, rate, momentum=momentum)
    assert responses.dtype == dtype
    assert np.max(np.abs(responses - path.impulse_response)) <= bar * np.max(
        np.abs(path.impulse_response)
    )
    for losses, expected in (
        (kernel.train_loss(steps, rate, momentum=momentum), path.train_loss),
        (kernel.test_loss(data, steps, rate, momentum=momentum), path.test_loss),
    ):
        assert np.max(np.abs(losses - expected)) <= bar * np.max(path.train_loss)


def test_limits(dtype, tol):
    """No steps, infinitely many, no momentum, and small steps."""
    data, rho, initial = problem(dtype)
    kernel = nr.kernel_regression(rho, data, initial=initial)
    rate = 0.6 * float(kernel.max_learning_rate)
    np.testing.assert_array_equal(kernel.impulse_response(0, rate, momentum=0.9), initial)
    ends = kernel.impulse_response(np.asarray([1e30, np.inf]), rate, momentum=0.9)
    fit = kernel.impulse_response(jnp.inf, rate)
    for end in ends:
        np.testing.assert_allclose(end, fit, atol=100 * tol)

    sizes, nonzero = jnp.asarray([1e-3, 0.4, 1.9, 1e-9], dtype), jnp.arange(4) < 3
    steps, one = jnp.arange(30), jnp.asarray(1, dtype)
    plain = descent(sizes, nonzero, steps, one)
    without = heavy_ball(sizes, nonzero, steps, one, 0 * one)
    np.testing.assert_allclose(np.asarray(without), np.asarray(plain), rtol=10 * tol, atol=tol)
    # Gradient flow runs 1 / (1 - beta) times as fast; halving the step halves the gap.
    small = sizes[:2], nonzero[:2]
    limit, _ = flow(*small, one)
    gaps = [
        np.max(np.abs(heavy_ball(*small, jnp.asarray(n), 0.5 * one / n, 0.5 * one)[0] - limit))
        for n in (100, 200)
    ]
    assert 1.9 < gaps[0] / gaps[1] < 2.1


def test_can_be_compiled_and_differentiated_at_a_double_root(dtype):
    """There the roots have no derivative, but what remains has one."""
    kernel = nr.kernel_regression(
        jnp.ones(1, dtype), (jnp.ones((1, 1, 1), dtype), jnp.ones((1, 1, 1), dtype))
    )
    rate = (1 - np.sqrt(0.5)) ** 2 / float(kernel.eigenvalues[0])

    @jax.jit
    def loss(rate, momentum):
        return kernel.train_loss(10, rate, momentum=momentum)

    slopes = jax.jit(jax.grad(loss, argnums=(0, 1)))(rate, 0.5)
    h = 1e-2
    numerical = (
        (loss(rate * (1 + h), 0.5) - loss(rate * (1 - h), 0.5)) / (2 * h * rate),
        (loss(rate, 0.5 * (1 + h)) - loss(rate, 0.5 * (1 - h))) / h,
    )
    np.testing.assert_allclose(slopes, numerical, rtol=1e-2)


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    data, rho, _ = problem(np.float32)
    kernel = nr.kernel_regression(rho, data)
    rate = float(kernel.max_learning_rate)
    for momentum in (-0.1, 1.0, np.nan, np.asarray([0.5, 0.9]), None, "0.5"):
        with pytest.raises(ValueError, match="momentum must be at least 0 and below 1, got"):
            kernel.train_loss(1, 0.5 * rate, momentum=momentum)
    assert np.isfinite(kernel.train_loss(1, 1.89 * rate, momentum=0.9))
    with pytest.raises(ValueError, match=r"must be below 2 \(1 \+ momentum\) / lambda_max = "):
        kernel.train_loss(1, 1.91 * rate, momentum=0.9)
    with pytest.raises(ValueError, match="either step and learning_rate, or time"):
        kernel.train_loss(time=1.0, momentum=0.9)
