"""Neural tangent kernels: analytic, empirical, exact and sampled (Section 3, Appendix B)."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import ntk_rnn as nr
from ntk_rnn.power_law import fit_power_law
from ntk_rnn.reproduction.checks import outcome
from ntk_rnn.reproduction.checks.outcome import Outcome


def lag_weights(key: Array) -> Iterator[Outcome]:
    """Eqs. 21 and 22: the lag weights and their geometric bound."""
    nu = (0.6, 0.7, 1.3)
    rho = np.asarray(nr.lag_weights(30, *nu), float)
    poles = 2 * nu[0] * rho[1:-1] - nu[0] ** 2 * rho[:-2]
    yield outcome.equal(
        "eq. 21", "lag weights and the two-pole filter whose impulse response they are",
        rho[2:], poles,
    )  # fmt: skip
    yield Outcome(
        "eq. 22", "lag weights as a part of their geometric bound, the largest of 30",
        float(np.max(rho / np.asarray(nr.lag_weight_bound(30, *nu)))), 1.0, "of bound",
    )  # fmt: skip
    width, seeds, seq_len = 300, 100, 6
    model = nr.LinearRNN(width, 1, *nu)
    x = jnp.zeros((1, seq_len, 1))

    @jax.jit
    @jax.vmap
    def diagonal(key: Array) -> Array:
        return nr.finite_width_gram(model.init(key, x), seq_len).lag_weights()[0]

    found = np.asarray(diagonal(jax.random.split(key, seeds)), float)
    yield outcome.equal_on_average(
        "eq. 21", f"its mean over {seeds} RNNs of width {width}, largest of {seq_len}",
        found, rho[:seq_len], 4.0,
    )  # fmt: skip


def analytic(key: Array) -> Iterator[Outcome]:
    """Eqs. 17 and 20, and eq. 11 at finite width, against neural-tangents."""
    keys = jax.random.split(key, 3)
    x = jax.random.normal(keys[0], (3, 6, 2))
    rho = nr.lag_weights(6, 0.3, 1.0, 1.0)
    conv = nr.ScaledConv(rho, 2)
    yield outcome.equal(
        "eqs. 17, 20", "analytic kernel and neural-tangents' of the scaled convolution",
        nr.empirical_ntk(conv, conv.init(keys[1], x), x), nr.analytic_ntk(x, None, rho),
    )  # fmt: skip
    model = nr.LinearRNN(100, 2)
    params = jax.jit(model.init)(keys[2], x)
    exact = nr.finite_width_gram(params, 6).ntk(x, full=True)
    yield outcome.equal(
        "eq. 11", "exact kernel of an RNN of width 100 and neural-tangents'",
        exact, nr.empirical_ntk(model, params, x, trace_axes=()),
    )  # fmt: skip
    sampled = nr.monte_carlo_ntk(model, params, x, None, keys[1], 1000, full=True)
    yield Outcome(
        "Lemma B.1", "kernel from 1000 random directions and the exact one, largest entry",
        outcome.deviation(sampled.kernel, sampled.standard_error, exact),
        # The largest of 1,296 entries, half of them equal by symmetry.
        5.0, "standard errors",
    )  # fmt: skip


def infinite_width(key: Array) -> Iterator[Outcome]:
    """Theorem 3.3(b): the kernel of the RNN tends to the analytic one, as 1/sqrt(n)."""
    seq_len, seeds = 6, 16
    rho = nr.lag_weights(seq_len, 0.3, 1.0, 1.0)
    limit = jnp.diag(rho)
    x = jax.random.normal(key, (2, seq_len, 1))
    keys = jax.random.split(key, seeds)
    widths = np.array([32, 64, 128, 256, 512])
    distances, between = [], []
    for width in widths.tolist():
        model = nr.LinearRNN(width, 1)

        @jax.jit
        def one(key: Array, model: nr.LinearRNN = model) -> tuple[Array, Array]:
            gram = nr.finite_width_gram(model.init(key, x), seq_len)
            dense = gram.dense().reshape(seq_len, seq_len)
            distance = jnp.linalg.norm(dense - limit) / jnp.linalg.norm(limit)
            return distance, gram.ntk(x)[0, 1]

        found = jax.lax.map(one, keys)
        distances.append(np.asarray(found[0], float))
        between.append(np.asarray(found[1], float))
    law = fit_power_law(widths, np.stack(distances))
    yield Outcome(
        "Theorem 3.3(b)",
        f"distance of the RNN's kernel from the analytic one, slope in n {law.slope:.2f} and -1/2",
        outcome.slope_error(law, -0.5), outcome.SLOPE_ALLOWANCE, "slope",
    )  # fmt: skip
    off_diagonal = ~np.eye(seq_len, dtype=bool)
    expected = np.asarray(nr.analytic_ntk(x[:1], x[1:], rho), float)[0, 0]
    yield outcome.equal_on_average(
        "eqs. 51, 52", f"kernel between different times, mean of {seeds} RNNs of width 512",
        between[-1][:, off_diagonal], expected[off_diagonal],
        # The largest of 30, by Student's law with 15 degrees of freedom.
        5.5, "sums over lags at two times run to min(t, s)",
    )  # fmt: skip
