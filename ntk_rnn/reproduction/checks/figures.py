"""What the captions of the figures say."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
from jaxtyping import Array

import ntk_rnn as nr
from ntk_rnn.reproduction.checks.outcome import Outcome, equal


def delay(key: Array) -> Iterator[Outcome]:
    """Fig. 3: a delay of the teacher's outputs is a delay of its impulse response."""
    steps = 3
    x, y = nr.data.teacher(key, 40, 10, in_dim=15, snr_db=None)
    delayed = nr.data.delay(y, steps)
    flat = jnp.ones(10)
    before, after = (nr.kernel_regression(flat, (x, t)) for t in (y, delayed))
    found, expected = (k.impulse_response(time=jnp.inf) for k in (after, before))
    shifted = jnp.concatenate([jnp.zeros_like(expected[:steps]), expected[:-steps]])
    yield equal(
        "Fig. 3, caption",
        f"impulse response fitted to outputs delayed by {steps} and the one delayed",
        found, shifted,
        "y_t = x_{t-delay} cannot have n_x = 15 and n_y = 1: the teacher's output is delayed",
        # The least-squares problem has a condition number of about 20.
        multiple=1000.0,
    )  # fmt: skip


def loss(key: Array) -> Iterator[Outcome]:
    """Figs. 1 and 2: what a learning rate of 1e-4 does to the summed and to the mean loss."""
    x, y = nr.data.teacher(key, 50, 10)
    rho, steps = nr.lag_weights(10, 0.3, 1.0, 1.0), jnp.asarray([0, 1000])
    left = {}
    for which in ("sum", "mean"):
        losses = nr.kernel_regression(rho, (x, y), loss=which).train_loss(steps, 1e-4)
        left[which] = float(losses[1] / losses[0])
    yield Outcome(
        "Figs. 1, 2: loss",
        "training loss after 1000 steps at rate 1e-4, summed, relative to the start",
        left["sum"], 0.1, "relative",
        f"with the mean squared error, as the paper says, {left['mean']:.2f} of it would be left",
    )  # fmt: skip
