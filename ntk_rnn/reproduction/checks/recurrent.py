"""Recurrent networks with an activation: their kernel, its limit and training (Proposition 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import ntk_rnn as nr
from ntk_rnn import _neural_tangents
from ntk_rnn.power_law import fit_power_law
from ntk_rnn.reproduction.checks.outcome import (
    SLOPE_ALLOWANCE,
    Outcome,
    deviation,
    equal,
    slope_error,
)
from ntk_rnn.theory.evolution.problem import GaussianRows

_ERF: dict[str, Any] = {"activation": "erf", "nu_w": 1.5, "nu_f": 0.7, "nu_c": 1.3}
_RELU: dict[str, Any] = {"activation": "relu", "nu_w": 1.0, "nu_f": 1.0, "nu_c": 1.0}


def special_cases(key: Array) -> Iterator[Outcome]:
    """The kernel without activation is that of eq. 20; of one step, that of one hidden layer."""
    x = jax.random.normal(key, (3, 6, 2))
    nu: dict[str, Any] = {"nu_w": 0.6, "nu_f": 0.7, "nu_c": 1.3}
    yield equal(
        "eq. 20", "kernel of recurrent networks with the identity and the analytic one",
        nr.recurrent_ntk(x, activation="identity", **nu),
        nr.analytic_ntk(x, None, nr.lag_weights(6, **nu)),
    )  # fmt: skip
    stax = _neural_tangents.load().stax
    # Variances of 1: in neural-tangents a kernel has a variance for every derivative, too.
    layers = stax.Dense(1, W_std=2**0.5), stax.Relu(), stax.Dense(1)
    _, _, kernel_fn = stax.serial(*layers)
    yield equal(
        "Proposition 3.1", "kernel of one step, ReLU, and neural-tangents' of one hidden layer",
        nr.recurrent_ntk(x[:, :1], **_RELU)[:, :, 0, 0], kernel_fn(x[:, 0], None, "ntk"),
    )  # fmt: skip


def infinite_width(key: Array) -> Iterator[Outcome]:
    """The kernel of a network with an activation tends to the recurrent one, as 1/sqrt(n)."""
    key_x, key_params = jax.random.split(key)
    x = jax.random.normal(key_x, (2, 5, 3))
    limit, widths = nr.recurrent_ntk(x, **_ERF), np.array([32, 128, 512])
    distances = []
    for width in widths.tolist():
        model = nr.RNN(width, 1, **_ERF)

        @jax.jit
        def one(key: Array, model: nr.RNN = model) -> Array:
            kernel = nr.empirical_ntk(model, model.init(key, x), x)
            return jnp.linalg.norm(kernel - limit) / jnp.linalg.norm(limit)

        found = jax.lax.map(one, jax.random.split(key_params, 16))
        distances.append(np.asarray(found, float))
    law = fit_power_law(widths, np.stack(distances))
    yield Outcome(
        "Proposition 3.1",
        f"distance of the erf network's kernel from its limit, slope in n {law.slope:.2f} and -1/2",
        slope_error(law, -0.5), SLOPE_ALLOWANCE, "slope",
    )  # fmt: skip


def training(key: Array) -> Iterator[Outcome]:
    """Training of a network with an activation tends to regression with its limiting kernel."""
    widths, seeds, steps, rate = np.array([32, 96, 288]), 32, np.arange(0, 101, 10), 4e-3
    data = nr.data.teacher(jax.random.fold_in(key, seeds), 10, 6, in_dim=2)
    kernel_fn = partial(nr.recurrent_ntk, **_RELU)

    def one(key: Array, model: nr.RNN) -> Array:
        params = model.init(key, data[0])
        path = nr.gradient_descent(
            model, params, data, steps=100, learning_rate=rate, record_at=steps
        )
        predictor = nr.kernel_regression(kernel_fn, data, initial=partial(model.apply, params))
        gap = jnp.abs(path.train_loss - predictor.train_loss(steps, rate))
        return jnp.max(gap) / path.train_loss[0]

    gaps = []
    for width in widths.tolist():
        run = jax.jit(partial(one, model=nr.RNN(width, 1, **_RELU)))
        gaps.append(np.asarray(jax.lax.map(run, jax.random.split(key, seeds)), float))
    law = fit_power_law(widths, np.stack(gaps))
    yield Outcome(
        "Proposition 3.1",
        f"largest gap of loss, trained ReLU network and its limit, slope in n {law.slope:.2f} +- "
        f"{law.stderr:.2f} and -1/2",
        slope_error(law, -0.5), SLOPE_ALLOWANCE, "slope",
    )  # fmt: skip


def states(key: Array) -> Iterator[Outcome]:
    """Lemma C.1 gives the covariance within the kernel; two sequences are two columns of it."""
    key_x, key_paths = jax.random.split(key)
    num, seq_len = 2, 4
    x = jax.random.normal(key_x, (num, seq_len, 2))
    inner = jnp.einsum("atq,bsq->tasb", x, x, precision="highest")
    # q_t = W h_{t-1} / sqrt(n) and u_t = F x_t, so that h_t = phi(q_t + u_t).
    inputs = GaussianRows(jnp.zeros((seq_len, num)), _ERF["nu_f"] * inner)
    start = GaussianRows(jnp.zeros(num), jnp.zeros((num, num)))
    found = nr.state_evolution(
        (_erf,), (_ERF["nu_w"],), start, inputs, horizon=seq_len, key=key_paths
    )
    outputs = nr.recurrent_nngp(x, **_ERF).transpose(2, 0, 3, 1)
    yield Outcome(
        "Lemma C.1",
        "state evolution with erf, two sequences, and covariance within their recurrent kernel",
        deviation(found.covariance, found.standard_error, _ERF["nu_w"] / _ERF["nu_c"] * outputs),
        # The largest of 36, by Student's law with 15 degrees of freedom.
        5.5, "standard errors",
    )  # fmt: skip


def _erf(q: Array, u: Array) -> Array:
    return jax.scipy.special.erf(q + u)
