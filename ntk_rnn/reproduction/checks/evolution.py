"""State evolution: recursions through fixed random matrices (Lemma C.1)."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import ntk_rnn as nr
from ntk_rnn.reproduction.checks.outcome import Outcome, equal, equal_on_average, relative
from ntk_rnn.theory.evolution.problem import GaussianRows
from ntk_rnn.theory.evolution.simulation import simulate_evolution

_HORIZON = 3


def _sum(q: Array, u: Array) -> Array:
    return q + u


def _shifted_tanh(q: Array, u: Array) -> Array:
    return jnp.tanh(q + u + 0.5)


def gaussian_limit(key: Array) -> Iterator[Outcome]:
    """Lemma C.1 for two matrices, a linear and a non-linear map of non-zero mean."""
    maps, variances, width = (_sum, _shifted_tanh), (0.4, 1.2), 2000
    initial = GaussianRows(jnp.full(1, 0.3), jnp.eye(1))
    covariance = 0.25 * jnp.eye(_HORIZON)[:, None, :, None]
    law = (initial, GaussianRows(jnp.full((_HORIZON, 1), 0.2), covariance))
    forms = [
        nr.state_evolution(maps, variances, *law, horizon=_HORIZON, form=form)
        for form in ("covariance", "innovations")
    ]
    limit = np.asarray(forms[0].covariance, float).reshape(_HORIZON, _HORIZON)
    yield equal(
        "Lemma C.1", "covariance form and innovations form, two matrices, one map not linear",
        forms[1].covariance, forms[0].covariance,
    )  # fmt: skip
    seeds = 8

    def sample(key: Array) -> Array:
        q = simulate_evolution(key, maps, variances, *law, width=width, horizon=_HORIZON)
        return jnp.einsum("tnd,snd->ts", q[1:], q[1:], precision="highest") / width

    found = np.stack([np.asarray(sample(k), float) for k in jax.random.split(key, seeds)])
    first = nr.state_evolution(maps, (variances[0],) * 2, *law, horizon=_HORIZON).covariance
    off = relative(np.asarray(first).reshape(_HORIZON, _HORIZON), limit)
    yield equal_on_average(
        "Lemma C.1, eq. 70",
        f"covariance of q_1..q_3, mean of {seeds} runs at n = {width}, largest",
        found, limit,
        # The largest of 6, by Student's law with 7 degrees of freedom.
        7.0, f"nu_l in (70f), (74), (98); the paper has nu_W or none, which is off by {off:.2g}",
    )  # fmt: skip


def hidden_state(key: Array) -> Iterator[Outcome]:
    """Eq. 49: the recursion of the hidden state is a special case."""
    x = jax.random.normal(key, (1, 5, 2))
    inner = jnp.einsum("itq,isq->ts", x, x, precision="highest")
    inputs = GaussianRows(jnp.zeros((5, 1)), 1.5 * inner[:, None, :, None])
    start = GaussianRows(jnp.zeros(1), jnp.zeros((1, 1)))
    # q_t = W h_{t-1} / sqrt(n) and u_t = F x_t, so that h_t = q_t + u_t.
    found = nr.state_evolution((_sum,), (0.3,), start, inputs, horizon=5).covariance[:, 0, :, 0]
    states = nr.hidden_state_limit(x, 0.3, 1.5)[0, :, 0]
    compared = "state evolution of the hidden state and its closed form"
    yield equal("eq. 49", compared, found, 0.3 * states)
