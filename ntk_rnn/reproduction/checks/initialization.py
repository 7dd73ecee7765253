"""The wide RNN before training is a Gaussian process (Theorem 3.3a, Appendix A)."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import ntk_rnn as nr
from ntk_rnn.power_law import fit_power_law
from ntk_rnn.reproduction.checks.outcome import Outcome, deviation, equal_on_average, slope_error


def impulse_response(key: Array) -> Iterator[Outcome]:
    """Theorem 3.3(a) and eq. 24: entries of ``L_j`` are independent Gaussians."""
    width, lags, seeds = 500, 8, 200
    nu = (0.3, 0.5, 2.0)
    found = nr.impulse_response_moments(key, width, lags, 2, 2, *nu, num_seeds=seeds)
    limit = nr.gaussian_limit(lags, *nu)
    off_diagonal = ~np.eye(lags, dtype=bool)
    where = f"over {seeds} RNNs of width {width}, largest of"
    yield Outcome(
        "Theorem 3.3(a)", f"variance of L_j {where} {lags} lags",
        deviation(found.variance, found.variance_error, limit), 4.0, "standard errors",
    )  # fmt: skip
    yield Outcome(
        "Theorem 3.3(a)",
        f"mean, correlation between lags, kurtosis of L_j {where} {2 * lags + lags * (lags - 1)}",
        max(
            deviation(found.mean, found.mean_error, 0),
            deviation(found.correlation[off_diagonal], found.correlation_error[off_diagonal], 0),
            deviation(found.kurtosis, found.kurtosis_error, 3),
        ),
        4.0, "standard errors",
    )  # fmt: skip


def hidden_state(key: Array) -> Iterator[Outcome]:
    """Appendix A: rows of the hidden state tend to a Gaussian law in Wasserstein distance."""
    seeds, seq_len = 32, 5
    x = jax.random.normal(key, (1, seq_len, 2))
    limit = nr.hidden_state_limit(x, 0.3, 1.5).reshape(seq_len, seq_len)
    widths = np.array([32, 128, 512])
    distances, covariances = [], []
    for width in widths.tolist():
        model = nr.LinearRNN(width, 1, nu_w=0.3, nu_f=1.5)

        @jax.jit
        def one(key: Array, model: nr.LinearRNN = model) -> tuple[Array, Array]:
            covariance = nr.hidden_state_covariance(model.init(key, x), x)
            covariance = covariance.reshape(seq_len, seq_len)
            return nr.gaussian_wasserstein(covariance, limit), covariance

        distance, covariance = jax.lax.map(one, jax.random.split(key, seeds))
        distances.append(np.asarray(distance, float))
        covariances.append(np.asarray(covariance, float))
    yield equal_on_average(
        "eqs. 43, 49", f"covariance of h_t, mean of {seeds} RNNs of width 512, largest of 25",
        covariances[-1], limit, 4.5,
    )  # fmt: skip
    law = fit_power_law(widths, np.stack(distances))
    yield Outcome(
        "eq. 32",
        f"Wasserstein-2 distance of h_t from its limit, slope in n {law.slope:.2f} and -1/2",
        slope_error(law, -0.5), 0.15, "slope",
    )  # fmt: skip


def energy(key: Array) -> Iterator[Outcome]:
    """Eq. 24: the expected energy of each lag of a wide RNN."""
    seeds, lags = 200, 6
    nu_w, nu_f, nu_c = 0.6, 0.5, 2.0
    model = nr.LinearRNN(200, 2, nu_w, nu_f, nu_c)
    x, y = jnp.ones((1, lags, 3)), jnp.zeros((1, lags, 2))

    @jax.jit
    def one(key: Array) -> Array:
        return jnp.sum(nr.impulse_response(model.init(key, x), lags) ** 2, axis=(1, 2))

    found = np.asarray(jax.lax.map(one, jax.random.split(key, seeds)), float)
    limit = nr.drift_bound((x, y), nu_w=nu_w, nu_f=nu_f, nu_c=nu_c, learning_rate=1e-9, steps=0)
    yield equal_on_average(
        "Theorem 4.1, eq. 24",
        f"energy of L_j, mean of {seeds} RNNs of width 200, largest of {lags}",
        found, limit.expected_energy, 4.0,
    )  # fmt: skip
