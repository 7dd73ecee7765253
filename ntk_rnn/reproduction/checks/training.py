"""Gradient descent of wide RNNs and its closed form (Proposition 3.1, Appendix B.4)."""

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
from ntk_rnn.reproduction.checks.outcome import SLOPE_ALLOWANCE, Outcome, rounding, slope_error

_SEQ_LEN, _STEPS = 8, 200


def closed_form(key: Array) -> Iterator[Outcome]:
    """Appendix B.4: gradient descent of the scaled convolution at any step, without training."""
    x, y = nr.data.teacher(key, 20, _SEQ_LEN)
    rho = nr.lag_weights(_SEQ_LEN, 0.3, 1.0, 1.0)
    conv = nr.ScaledConv(rho, 1)
    start = jax.random.normal(key, (_SEQ_LEN, 1, 1)) * 0.3 ** jnp.arange(_SEQ_LEN)[:, None, None]
    kernel = nr.kernel_regression(rho, (x, y), initial=start)
    yield Outcome(
        "Appendix B.4",
        f"largest gap of loss over {_STEPS} steps, convolution, trained, and closed form",
        _loss_gap(conv, conv.params_from(start), (x, y), kernel), rounding(), "relative",
    )  # fmt: skip


def linearization(key: Array) -> Iterator[Outcome]:
    """Proposition 3.1: the network linearized at the start is a kernel regression."""
    key_data, key_params = jax.random.split(key)
    x, y = nr.data.teacher(key_data, 10, _SEQ_LEN)
    model = nr.LinearRNN(100, 1)
    params = jax.jit(model.init)(key_params, x)
    kernel = nr.kernel_regression(
        nr.finite_width_gram(params, _SEQ_LEN).dense(),
        (x, y),
        initial=nr.impulse_response(params, _SEQ_LEN),
    )
    linearized = _neural_tangents.load().linearize(model.apply, params)
    yield Outcome(
        "Proposition 3.1",
        "largest gap of loss, neural-tangents' linearized RNN, trained, and closed form",
        _loss_gap(linearized, params, (x, y), kernel), rounding(), "relative",
    )  # fmt: skip


def laziness(key: Array) -> Iterator[Outcome]:
    """Proposition 3.1 and Theorem 3.3(b): as the width grows, training becomes that of a kernel."""
    widths, seeds, rate = np.array([64, 128, 256, 512]), 16, 2e-3
    data = nr.data.teacher(jax.random.fold_in(key, seeds), 20, _SEQ_LEN)
    rho = nr.lag_weights(_SEQ_LEN, 0.3, 1.0, 1.0)

    def one(key: Array, model: nr.LinearRNN) -> tuple[Array, Array, Array]:
        params = model.init(key, data[0])
        path = nr.gradient_descent(
            model, params, data, steps=_STEPS, learning_rate=rate,
            record_at=np.arange(0, _STEPS + 1, 20), kernel_drift=True,
        )  # fmt: skip
        gram = nr.finite_width_gram(params, _SEQ_LEN).dense()
        residual = data[1] - nr.causal_conv(path.impulse_response[0], data[0])
        gaps = []
        for kernel in (gram, rho):
            regression = nr.kernel_regression(kernel, data, initial=path.impulse_response[0])
            predicted = regression.impulse_response(path.step, rate)
            gap = _largest_gap(path.impulse_response, predicted, data[0])
            gaps.append(gap / jnp.linalg.norm(residual))
        return gaps[0], gaps[1], jnp.max(jnp.asarray(path.kernel_drift))

    found = []
    for width in widths.tolist():
        run = jax.jit(partial(one, model=nr.LinearRNN(width, 1)))
        found.append(jax.lax.map(run, jax.random.split(key, seeds)))
    from_line, from_conv, drift = (np.stack(a).astype(float) for a in zip(*found, strict=True))
    # The limit of the kernel is missed by 1/sqrt(n) from the start; the kernel of one network is
    # changed by training, at second order, by 1/n (Dyer and Gur-Ari, 2020, for other networks).
    for result, what, values, expected in (
        ("Proposition 3.1", "sup over steps of ||f_RNN - f_lin||", from_line, -1),
        ("Proposition 3.1", "drift of the RNN's kernel in training", drift, -1),
        ("Theorem 3.3(b)", "sup over steps of ||f_RNN - f_conv||", from_conv, -0.5),
    ):
        law = fit_power_law(widths, values)
        yield Outcome(
            result, f"{what}, slope in n {law.slope:.2f} +- {law.stderr:.2f} and {expected}",
            slope_error(law, expected), SLOPE_ALLOWANCE, "slope",
        )  # fmt: skip


def _loss_gap(model: Any, params: Any, data: tuple[Array, Array], kernel: Any) -> float:
    """The largest gap over steps of a model's loss, trained, and that of a kernel regression."""
    rate = 0.5 * float(kernel.max_learning_rate)
    path = nr.gradient_descent(model, params, data, steps=_STEPS, learning_rate=rate)
    gap = np.abs(path.train_loss - kernel.train_loss(path.step, rate))
    return float(gap.max() / path.train_loss[0])


def _largest_gap(found: Array, predicted: Array, x: Array) -> Array:
    """The largest distance over steps of the outputs of two paths."""
    outputs = jax.vmap(lambda response: nr.causal_conv(response, x))(found - predicted)
    return jnp.max(jnp.sqrt(jnp.sum(outputs**2, axis=(1, 2, 3))))
