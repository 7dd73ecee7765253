"""Theorem 4.1: long lags hardly move in training.

The bound is tried on random problems by the recursion of gradient descent itself, in NumPy; on a
few by the library's own training; and the paper's constant on stored problems where it fails.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ntk_rnn as nr
from ntk_rnn.theory.drift import drift_bound

VARIANCES = {"nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0}


def lagged(x):
    """The matrix A of lagged inputs, shape ``(N T, T n_x)``, entry by entry."""
    num, seq_len, in_dim = x.shape
    a = np.zeros((num, seq_len, seq_len, in_dim))
    for t in range(seq_len):
        for j in range(t + 1):
            a[:, t, j] = x[:, t - j]
    return a.reshape(num * seq_len, seq_len * in_dim)


def descend(a, b, rho, rate, steps):
    """``u_l`` for ``l = 0 ... steps``, by gradient descent of the scaled convolution.

    One step takes the residual ``r`` to ``r - eta A D A^T r`` and moves ``L`` by ``eta D A^T r``.
    """
    weights = np.repeat(rho, a.shape[1] // len(rho))[:, None]
    u = np.zeros((steps + 1, a.shape[1], b.shape[1]))
    for step in range(steps):
        u[step + 1] = u[step] + rate * a.T @ b
        b = b - a @ (weights * (rate * a.T @ b))
    return u


def drifts(u, rho):
    """``||L_j^l - L_j^0||_F``, shape ``(steps, T)``."""
    blocks = u.reshape(len(u), len(rho), -1)
    return rho * np.linalg.norm(blocks, axis=2)


def lag_weights(seq_len, nu_w, nu_f, nu_c):
    lag = np.arange(seq_len)
    return nu_c * nu_f * lag * nu_w ** np.maximum(lag - 1.0, 0) + (nu_c + nu_f) * nu_w**lag


@st.composite
def problems(draw):
    seed = draw(st.integers(0, 2**32 - 1))
    sizes = [draw(st.integers(1, most)) for most in (4, 8, 3, 3)]
    nu_w = draw(st.floats(1e-3, 0.999))
    nu_f, nu_c = (10 ** draw(st.floats(-3, 1)) for _ in range(2))
    fraction = draw(st.floats(1e-3, 0.999))
    # From white inputs to sequences that alternate or hardly change: A from well to ill
    # conditioned; residuals from any to such as lie along its strongest direction.
    correlation, alignment = draw(st.floats(-1, 1)), draw(st.floats(0, 1))
    return seed, sizes, (nu_w, nu_f, nu_c), fraction, correlation, alignment


def build(problem):
    seed, (num, seq_len, in_dim, out_dim), variances, fraction, correlation, alignment = problem
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((num, seq_len, in_dim)) * 10 ** rng.uniform(-2, 2)
    for t in range(1, seq_len):
        x[:, t] = correlation * x[:, t - 1] + np.sqrt(1 - correlation**2) * x[:, t]
    initial = rng.standard_normal((seq_len, out_dim, in_dim))
    a = lagged(x)
    b = rng.standard_normal((num * seq_len, out_dim))
    strongest = np.linalg.svd(a)[0][:, :1]
    b = (1 - alignment) * b + alignment * strongest * rng.standard_normal(out_dim)
    predictions = a @ initial.transpose(0, 2, 1).reshape(-1, out_dim)
    y = (predictions + b).reshape(num, seq_len, out_dim)
    return x, y, initial, a, b, variances, fraction


@settings(max_examples=1000, deadline=None)
@given(problems())
def test_the_rigorous_bound_holds_at_every_lag_and_step(problem):
    """Up to ``B1``, and with the same constant up to the limit of stability."""
    _, _, _, a, b, (nu_w, nu_f, nu_c), fraction = build(problem)
    seq_len = problem[1][1]
    rho = lag_weights(seq_len, nu_w, nu_f, nu_c)
    norm = np.linalg.norm(a, 2)
    b1 = 1 / ((nu_c * (seq_len * nu_f + 1) + nu_f) * norm**2)
    weights = np.repeat(rho, a.shape[1] // seq_len)
    stable = 2 / np.linalg.norm(a * np.sqrt(weights), 2) ** 2
    assert stable > 2 * b1
    steps = np.arange(61)[:, None]
    for rate in (fraction * b1, stable):
        bound = norm * np.linalg.norm(b) * rate * steps * rho
        assert np.all(drifts(descend(a, b, rho, rate, 60), rho) <= bound * (1 + 1e-9))


@pytest.mark.parametrize("seed", range(5))
def test_the_library_computes_that_bound(dtype, tol, seed):
    problem = (seed, (3, 6, 2, 2), (0.3, 0.7, 1.3), 0.5, 0.3, 0.2)
    x, y, initial, a, b, variances, _ = build(problem)
    rho, norm = lag_weights(6, *variances), np.linalg.norm(a, 2)
    b1 = 1 / ((1.3 * (6 * 0.7 + 1) + 0.7) * norm**2)
    names = dict(zip(("nu_w", "nu_f", "nu_c"), variances, strict=True))
    data = (jnp.asarray(x, dtype), jnp.asarray(y, dtype))
    steps = np.array([[0, 1], [7, 400]])
    for which, b2 in {
        "rigorous": norm * np.linalg.norm(b),
        "paper": np.linalg.norm(a.T @ b),
    }.items():
        found = drift_bound(
            data, **names, learning_rate=0.9 * b1, steps=steps, b2=which,
            initial=jnp.asarray(initial, dtype),
        )  # fmt: skip
        assert found.bound.shape == (2, 2, 6)
        assert found.bound.dtype == dtype
        np.testing.assert_allclose(found.max_learning_rate, b1, rtol=10 * tol)
        np.testing.assert_allclose(found.b2, b2, rtol=10 * tol)
        expected = b2 * 0.9 * b1 * steps[..., None] * rho
        np.testing.assert_allclose(found.bound, expected, rtol=20 * tol)
        np.testing.assert_allclose(
            found.expected_energy, 4 * 0.7 * 1.3 * 0.3 ** np.arange(6), rtol=10 * tol
        )


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (4, 7, 2, 3)])
def test_the_bound_holds_for_the_scaled_convolution_as_trained(shape):
    """Both along ``gradient_descent`` and in closed form, from a start that is not 0."""
    num, seq_len, in_dim, out_dim = shape
    keys = jax.random.split(jax.random.key(1), 3)
    x = jax.random.normal(keys[0], (num, seq_len, in_dim))
    y = jax.random.normal(keys[1], (num, seq_len, out_dim))
    initial = jax.random.normal(keys[2], (seq_len, out_dim, in_dim))
    rho = nr.lag_weights(seq_len, **VARIANCES)
    rate = 0.99 * drift_bound((x, y), **VARIANCES, learning_rate=1e-9, steps=1).max_learning_rate
    conv = nr.ScaledConv(rho, out_dim)
    path = nr.gradient_descent(
        conv, conv.params_from(initial), (x, y), steps=200, learning_rate=float(rate)
    )
    kernel = nr.kernel_regression(rho, (x, y), initial=initial)
    bound = drift_bound(
        (x, y), **VARIANCES, learning_rate=rate, steps=path.step, initial=path.impulse_response[0]
    ).bound
    assert bound.shape == (201, seq_len)
    for responses in (path.impulse_response, kernel.impulse_response(path.step, rate)):
        drift = np.linalg.norm(np.asarray(responses - initial[None], float), axis=(2, 3))
        # One rounding of L, in float32, beside a drift that starts from 0.
        assert np.all(drift <= np.asarray(bound) * (1 + 1e-4) + 1e-5)
    # The bound is of use: with one lag, input and output the first step attains it.
    if shape == (1, 1, 1, 1):
        assert drift[1, 0] == pytest.approx(float(bound[1, 0]), rel=1e-3)


# Variances, one input sequence, the residuals at the start (the targets, as L^0 = 0), the number
# of steps, the ratio of the sides of (61), and the lag at which (60) itself fails with its ratio.
COUNTEREXAMPLES = [
    ((0.001, 0.01, 0.01), (1, -1), (6, 4), 21, 1.0906, (1, 1.0901)),
    ((0.01, 0.1, 0.1), (1, 2, 2, 0), (-6, 3, 0, -1), 800, 1.2663, (2, 1.1412)),
    (
        (0.3, 1.0, 1.0), (2, -1, -1, 1, 2, -1, -1, -2), (-6, -2, -2, 2, 2, 1, 1, -1),
        578, 1.1195, None,
    ),
]  # fmt: skip


@pytest.mark.parametrize("example", COUNTEREXAMPLES)
def test_the_constant_of_the_paper_fails_its_own_inequality(example):
    """``||u_l|| > eta l ||A^T b||`` with ``eta < B1``, against (61); the rigorous one holds."""
    (nu_w, nu_f, nu_c), x, b, step, ratio, lag = example
    seq_len = len(x)
    a, b = lagged(np.array(x, float)[None, :, None]), np.array(b, float)[:, None]
    rho, norm = lag_weights(seq_len, nu_w, nu_f, nu_c), np.linalg.norm(a, 2)
    rate = 0.99 / ((nu_c * (seq_len * nu_f + 1) + nu_f) * norm**2)
    u = descend(a, b, rho, rate, step)
    allowed = rate * step * np.linalg.norm(a.T @ b)
    assert np.linalg.norm(u[-1]) / allowed == pytest.approx(ratio, abs=1e-4)
    assert ratio > 1.05
    assert np.linalg.norm(u[-1]) <= rate * step * norm * np.linalg.norm(b)
    # u_l is what the theorem takes it to be: u_{l+1} = (I - eta A^T A D) u_l + eta A^T b.
    matrix = np.eye(seq_len) - rate * a.T @ a @ np.diag(rho)
    np.testing.assert_allclose(u[1:], matrix @ u[:-1] + rate * a.T @ b, rtol=1e-12, atol=1e-15)
    assert np.linalg.norm(matrix, 2) > 1
    if lag is not None:
        j, excess = lag
        drift = drifts(u, rho)[-1]
        assert drift[j] / (rho[j] * allowed) == pytest.approx(excess, abs=1e-4)
        assert excess > 1.05


def test_the_library_shows_that_failure():
    """The stored problem whose (60) fails, trained by the library in float32."""
    (nu_w, nu_f, nu_c), x, y, step, _, (lag, excess) = COUNTEREXAMPLES[1]
    data = tuple(jnp.asarray(s, jnp.float32)[None, :, None] for s in (x, y))
    given = {"nu_w": nu_w, "nu_f": nu_f, "nu_c": nu_c, "steps": step}
    rate = 0.99 * drift_bound(data, **given, learning_rate=1e-9).max_learning_rate
    kernel = nr.kernel_regression(nr.lag_weights(4, nu_w, nu_f, nu_c), data)
    drift = jnp.abs(kernel.impulse_response(step, rate))[:, 0, 0]
    paper = drift_bound(data, **given, learning_rate=rate, b2="paper")
    rigorous = drift_bound(data, **given, learning_rate=rate)
    assert drift[lag] / paper.bound[lag] == pytest.approx(excess, abs=1e-3)
    assert np.all(drift <= rigorous.bound)
    assert paper.b2 < rigorous.b2


def test_the_failure_grows_with_the_length():
    """No constant mends it: for ``x_t = (-1)^t`` and small variances about ``sqrt(T / 3)``."""
    worst = []
    for seq_len in (4, 16, 64):
        a = lagged((-1.0) ** np.arange(seq_len)[None, :, None])
        rho = lag_weights(seq_len, 1e-6, 1e-5, 1e-5)
        rate = 0.99 / (1e-5 * (seq_len * 1e-5 + 2) * np.linalg.norm(a, 2) ** 2)
        correlation = -(a.T @ a)[1:, 0] / (a.T @ a)[0, 0]
        size = np.linalg.norm(correlation)
        gradient = np.concatenate([[size], correlation / size])[:, None]
        b = np.linalg.solve(a.T, gradient)
        u = descend(a, b, rho, rate, 2000)[-1]
        worst.append(np.linalg.norm(u) / (rate * 2000 * np.linalg.norm(gradient)))
    assert np.all(np.array(worst) > 0.9 * np.sqrt(np.array([4, 16, 64]) / 3))


def test_expected_energy_of_the_wide_rnn():
    """Eq. 24, within 4 standard errors at every lag over 200 networks."""
    given = {"nu_w": 0.6, "nu_f": 0.5, "nu_c": 2.0}
    model = nr.LinearRNN(200, 2, **given)
    x, y = jnp.zeros((1, 6, 3)), jnp.zeros((1, 6, 2))

    def energy(key):
        return jnp.sum(nr.impulse_response(model.init(key, x), 6) ** 2, axis=(1, 2))

    keys = jax.random.split(jax.random.key(3), 200)
    energies = np.asarray(jax.lax.map(energy, keys), float)
    expected = drift_bound((x + 1, y), **given, learning_rate=1e-9, steps=0).expected_energy
    error = energies.std(axis=0, ddof=1) / np.sqrt(200)
    assert np.all(error < 0.1 * expected)
    assert np.all(np.abs(energies.mean(axis=0) - expected) <= 4 * error)


def test_compiles_and_differentiates():
    x, y = jnp.ones((2, 3, 1)), jnp.ones((2, 3, 1))

    @jax.jit
    def total(nu_w, rate):
        found = drift_bound((x, y), nu_w=nu_w, nu_f=1.0, nu_c=1.0, learning_rate=rate, steps=3)
        return found.bound.sum()

    slope = jax.grad(total)(0.3, 1e-3)
    difference = float(total(0.31, 1e-3) - total(0.29, 1e-3)) / 0.02
    assert float(slope) == pytest.approx(difference, rel=1e-2)


@pytest.mark.usefixtures("unannotated")
def test_learning_rates_are_taken_up_to_b1():
    data = (jnp.ones((2, 3, 1)), jnp.ones((2, 3, 2)))
    b1 = drift_bound(data, **VARIANCES, learning_rate=1e-3, steps=10).max_learning_rate
    drift_bound(data, **VARIANCES, learning_rate=0.999 * b1, steps=10)
    with pytest.raises(ValueError, match="learning_rate must be below B1 = "):
        drift_bound(data, **VARIANCES, learning_rate=b1, steps=10)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nu_w": 1.0}, r"nu_w must be below 1 for Theorem 4.1 \(drift_bound\), got 1"),
        ({"nu_w": -0.3}, "nu_w must be positive and finite, got -0.3"),
        ({"nu_c": np.nan}, "nu_c must be positive and finite, got nan"),
        ({"learning_rate": 0.5}, r"learning_rate must be below B1 = 0.0\d+ for Theorem 4.1, got"),
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite, got 0"),
        ({"steps": [3, -1]}, "steps must be at least 0, got -1"),
        ({"steps": 1.5}, "steps must be whole numbers, got 1.5"),
        ({"b2": "loose"}, 'b2 must be "rigorous" or "paper", got \'loose\''),
        ({"initial": jnp.ones((3, 1, 2))}, r"initial.shape .* got \(3, 1, 2\) and \(3, 2, 1\)"),
        ({"initial": jnp.full((3, 2, 1), np.nan)}, "initial must be finite, got 6 NaN"),
        ({"data": (jnp.ones((2, 3, 1)), jnp.ones((2, 4, 2)))}, "same number and length"),
        ({"data": (jnp.ones((2, 3, 1)) * np.inf, jnp.ones((2, 3, 2)))}, r"data\[0\] must be fin"),
        ({"data": (jnp.ones((2, 3)), jnp.ones((2, 3, 2)))}, r"data\[0\] must have shape"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    given = {
        "data": (jnp.ones((2, 3, 1)), jnp.ones((2, 3, 2))),
        **VARIANCES,
        "learning_rate": 1e-3,
        "steps": 10,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        drift_bound(given.pop("data"), **given)
