"""Corrections of the paper that have no test of their own elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np

import ntk_rnn as nr


def test_spectral_radius_is_the_root_of_the_variance():
    """It tends to sqrt(nu_W) by the circular law; at n = 400 it is 2 to 7 % above, not at nu_W."""
    for seed, nu_w in enumerate((0.09, 0.3, 0.8)):
        params = nr.LinearRNN(400, 1, nu_w=nu_w).init(jax.random.key(seed), jnp.zeros((1, 1, 1)))
        w = np.asarray(params["params"]["W"], float) / 20
        radius = np.max(np.abs(np.linalg.eigvals(w)))
        assert abs(radius / nu_w**0.5 - 1) < 0.1 < abs(radius / nu_w - 1)


def test_vandermonde_realization_needs_the_root_of_the_width():
    """Eq. 33 with ``W = diag(lambda)`` has lags that are off by the factor ``n^{-j/2}``."""
    response = jax.random.normal(jax.random.key(0), (5, 1, 1))
    params = nr.realize(response, "vandermonde")["params"]
    width = len(params["W"])
    without = {"params": {**params, "W": params["W"] / width**0.5}}
    np.testing.assert_allclose(nr.impulse_response({"params": params}, 5), response, atol=1e-4)
    expected = response * float(width) ** (-jnp.arange(5) / 2)[:, None, None]
    np.testing.assert_allclose(nr.impulse_response(without, 5), expected, atol=1e-4)


def test_lags_at_two_times_run_to_the_earlier_of_them():
    """Eqs. 51 and 52: against the mean kernel of 200 networks, within 4 standard errors."""
    x = jax.random.normal(jax.random.key(0), (1, 4, 1))
    rho = np.asarray(nr.lag_weights(4, 0.3, 1.0, 1.0), float)
    inputs = np.asarray(x, float)[0, :, 0]
    expected = np.zeros((4, 4))
    for t, s in np.ndindex(4, 4):
        lags = range(min(t, s) + 1)
        expected[t, s] = sum(rho[j] * inputs[t - j] * inputs[s - j] for j in lags)
    np.testing.assert_allclose(nr.analytic_ntk(x, None, rho)[0, 0], expected, rtol=1e-5)
    model = nr.LinearRNN(300, 1)

    def kernel(key):
        return nr.finite_width_gram(model.init(key, x), 4).ntk(x)[0, 0]

    kernels = jax.lax.map(jax.jit(kernel), jax.random.split(jax.random.key(1), 200))
    error = np.std(kernels, axis=0, ddof=1) / np.sqrt(200)
    assert np.all(np.abs(np.mean(kernels, axis=0) - expected) <= 4 * error)


def test_delayed_teacher_has_a_delayed_impulse_response():
    """Fig. 3: ``y_t = x_{t-delay}`` has as many outputs as inputs, a delayed teacher not."""
    x, y = nr.data.teacher(jax.random.key(0), 40, 8, in_dim=5, snr_db=None)
    flat = jnp.ones(8)
    fits = [
        nr.kernel_regression(flat, (x, t)).impulse_response(time=jnp.inf)
        for t in (y, nr.data.delay(y, 3))
    ]
    np.testing.assert_allclose(fits[1][:3], 0, atol=1e-4)
    np.testing.assert_allclose(fits[1][3:], fits[0][:-3], atol=1e-4)


def test_only_the_summed_loss_converges_within_the_figures():
    """At the rate 1e-4 of Figs. 1 and 2, in 1000 steps; the mean has a 250th of its gradient."""
    data = nr.data.teacher(jax.random.key(0), 50, 10)
    rho = nr.lag_weights(10, 0.3, 1.0, 1.0)
    steps = jnp.asarray([0, 1000])
    losses = {
        loss: nr.kernel_regression(rho, data, loss=loss).train_loss(steps, 1e-4)
        for loss in ("sum", "mean")
    }
    assert losses["sum"][1] < 0.05 * losses["sum"][0]
    assert losses["mean"][1] > 0.3 * losses["mean"][0]
