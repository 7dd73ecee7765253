"""Corrections of the paper that no test of a theorem shows.

The others are in the tests of the results that they belong to, and ``ntk-rnn theory``, which
``.ci/run`` runs, checks them all.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr


@pytest.mark.parametrize(("seed", "nu_w"), [(0, 0.09), (1, 0.3), (2, 0.8)])
def test_spectral_radius_is_not_the_variance(seed, nu_w):
    """It tends to sqrt(nu_W) by the circular law; at n = 400 it is 2 to 7 % above, not at nu_W."""
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
    expected = response * float(width) ** (-jnp.arange(5) / 2)[:, None, None]
    np.testing.assert_allclose(nr.impulse_response(without, 5), expected, atol=1e-4)


def test_only_the_summed_loss_converges_within_the_figures():
    """At the rate 1e-4 of Figs. 1 and 2, in 1000 steps; the mean has a 250th of its gradient."""
    data = nr.data.teacher(jax.random.key(0), 50, 10)
    rho, left = nr.lag_weights(10, 0.3, 1.0, 1.0), {}
    for loss in ("sum", "mean"):
        start, end = nr.kernel_regression(rho, data, loss=loss).train_loss(
            jnp.array([0, 1000]), 1e-4
        )
        left[loss] = end / start
    assert left["sum"] < 0.05 and left["mean"] > 0.3
