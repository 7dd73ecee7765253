"""Theorem 4.1: how far each lag can move in training, and where its proof is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import ntk_rnn as nr
from ntk_rnn.reproduction.checks.outcome import Outcome, equal

_NU = {"nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0}


def bound(key: Array) -> Iterator[Outcome]:
    """Eq. 60 with the rigorous constant, on random problems at every lag and step."""
    problems, seq_len, steps = 100, 7, np.unique(np.geomspace(1, 1000, 40).astype(int))
    rho = nr.lag_weights(seq_len, **_NU)

    def data(key: Array) -> tuple[Array, Array]:
        key_x, key_y = jax.random.split(key)
        x = jax.random.normal(key_x, (4, seq_len, 2))
        return x, jax.random.normal(key_y, (4, seq_len, 1))

    @jax.jit
    def largest_part(key: Array) -> Array:
        pair = data(key)
        given = {**_NU, "steps": steps}
        rate = 0.99 * nr.drift_bound(pair, **given, learning_rate=1e-9).max_learning_rate
        allowed = nr.drift_bound(pair, **given, learning_rate=rate).bound
        response = nr.kernel_regression(rho, pair).impulse_response(steps, rate)
        return jnp.max(jnp.linalg.norm(response, axis=(2, 3)) / allowed)

    parts = jax.lax.map(largest_part, jax.random.split(key, problems))
    yield Outcome(
        "Theorem 4.1, eq. 60",
        f"drift of each lag as a part of the bound, the largest in {problems} random problems",
        float(jnp.max(parts)), 1.0, "of bound",
        "B2 = ||A||_2 ||b|| in place of the paper's ||A^T b||",
    )  # fmt: skip
    pair = data(key)
    matrix = np.asarray(nr.lagged_inputs(pair[0]), float).reshape(28, 14)
    target = np.asarray(pair[1], float).reshape(28, 1)
    weights = np.diag(np.repeat(np.asarray(rho, float), 2))
    rate = float(0.5 / np.linalg.norm(matrix @ weights @ matrix.T, 2))
    contraction = np.eye(14) - rate * matrix.T @ matrix @ weights
    powers = sum(np.linalg.matrix_power(contraction, k) for k in range(30))
    by_sum = weights @ (rate * powers @ matrix.T @ target)
    conv = nr.ScaledConv(rho, 1)
    start = conv.params_from(jnp.zeros((seq_len, 1, 2)))
    path = nr.gradient_descent(conv, start, pair, steps=30, learning_rate=rate)
    yield equal(
        "eq. 59", "trained impulse response and eta D sum_{k<30} (I - eta A^T A D)^k A^T b",
        np.asarray(path.impulse_response[-1]).transpose(0, 2, 1).reshape(14, 1), by_sum,
        "brackets around I - eta A^T A D, which the paper lacks",
    )  # fmt: skip


def counterexample(key: Array) -> Iterator[Outcome]:
    """Eqs. 60 and 61 with the paper's constant, on a small problem of whole numbers."""
    del key  # nothing here is random
    x = jnp.asarray([1.0, 2.0, 2.0, 0.0])[None, :, None]
    y = jnp.asarray([-6.0, 3.0, 0.0, -1.0])[None, :, None]
    nu = {"nu_w": 0.01, "nu_f": 0.1, "nu_c": 0.1, "steps": 800}
    rate = 0.99 * nr.drift_bound((x, y), **nu, learning_rate=1e-9).max_learning_rate
    rho = nr.lag_weights(4, 0.01, 0.1, 0.1)
    response = nr.kernel_regression(rho, (x, y)).impulse_response(800, rate)[:, 0, 0]
    drift = np.abs(np.asarray(response, float))
    rigorous = nr.drift_bound((x, y), **nu, learning_rate=rate)
    paper = nr.drift_bound((x, y), **nu, learning_rate=rate, b2="paper")
    single = float(np.max(drift / np.asarray(paper.bound, float)))
    travelled = float(rate) * 800 * float(paper.b2)
    together = float(np.linalg.norm(drift / np.asarray(rho, float))) / travelled
    yield Outcome(
        "eqs. 60, 61", "drift as a part of the rigorous bound where the paper's fails, largest lag",
        float(np.max(drift / np.asarray(rigorous.bound, float))), 1.0, "of bound",
        f"with the paper's B2 the parts are {single:.2f} in (60) and {together:.2f} in (61)",
    )  # fmt: skip
