"""Linear RNNs are causal convolutions, and the other way round (Section 2)."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import ntk_rnn as nr
from ntk_rnn.reproduction.checks.outcome import Outcome, equal, relative


def convolution(key: Array) -> Iterator[Outcome]:
    """Eqs. 1, 5 and 9: the recurrence is the convolution with the impulse response."""
    key_x, key_params = jax.random.split(key)
    x = jax.random.normal(key_x, (5, 12, 2))
    model = nr.LinearRNN(100, 3, evaluation="scan")
    params = jax.jit(model.init)(key_params, x)
    response = nr.impulse_response(params, 12)
    y = model.apply(params, x)
    compared = "outputs step by step and by the impulse response"
    yield equal("eqs. 1, 4, 9", compared, nr.causal_conv(response, x), y)
    by_matrix = np.asarray(nr.toeplitz(response, 12)) @ np.asarray(x[0]).reshape(-1)
    compared = "outputs step by step and by the block Toeplitz matrix"
    yield equal("eq. 5", compared, by_matrix.reshape(12, 3), y[0])
    rho = nr.lag_weights(12, 0.3, 1.0, 1.0)
    conv = nr.ScaledConv(rho, 3)
    compared = "outputs of the RNN and of the scaled convolution of its impulse response"
    yield equal("eqs. 7, 8", compared, conv.apply(conv.params_from(response), x), y)


def realization(key: Array) -> Iterator[Outcome]:
    """Proposition 2.1(b): any impulse response is that of some linear RNN."""
    response = jax.random.normal(key, (100, 1, 1))
    yield equal(
        "Proposition 2.1(b)", "100 random lags and those of the shift register that realizes them",
        nr.impulse_response(nr.realize(response), 100), response,
    )  # fmt: skip
    few = response[:6]
    params = nr.realize(few, "vandermonde")
    width = len(params["params"]["W"])
    without = {"params": {**params["params"], "W": params["params"]["W"] / width**0.5}}
    off = relative(nr.impulse_response(without, 6), few)
    yield equal(
        "eq. 33", "6 random lags and those of the paper's Vandermonde realization",
        nr.impulse_response(params, 6), few,
        f"W = sqrt(n) diag(lambda); the paper has no sqrt(n), which is off by {off:.2g}",
        multiple=2e4,  # its condition number is near 2.4^6
    )  # fmt: skip
    teacher = nr.impulse_response(nr.LinearRNN(4, 1).init(key, jnp.zeros((1, 1, 1))), 20)
    small = nr.realize(teacher, "balanced")
    compared = f"20 lags of a 4-state RNN and the {len(small['params']['W'])}-state one found"
    yield equal("Proposition 2.1(b)", compared, nr.impulse_response(small, 20), teacher)


def stability(key: Array) -> Iterator[Outcome]:
    """Section 2: when the recurrence is stable."""
    width, nu_w = 500, 0.3
    w = np.sqrt(nu_w) * np.asarray(jax.random.normal(key, (width, width)), float)
    radius = float(np.max(np.abs(np.linalg.eigvals(w / np.sqrt(width)))))
    yield Outcome(
        "Section 2, stability",
        f"spectral radius {radius:.2f} of W/sqrt(n), n = {width}, and sqrt(nu_W) = {nu_w**0.5:.2f}",
        abs(radius / nu_w**0.5 - 1), 0.1, "relative",
        f"the paper has nu_W = {nu_w}; its condition nu_W < 1 stands",
    )  # fmt: skip
