"""Theorem 3.3(b): the kernel of the wide linear RNN is that of the scaled convolution.

The kernels are neural-tangents' own, of the models as they are applied; the analytic kernel
(eqs. 17 and 20) is what they are compared with.
"""

import jax
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.power_law import fit_power_law


def draw(dtype, shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def relative_error(kernel, expected):
    kernel, expected = np.asarray(kernel, float), np.asarray(expected, float)
    return np.linalg.norm(kernel - expected) / np.linalg.norm(expected)


# N, T, n_x, n_y, and nu_w
@pytest.mark.parametrize(
    ("shape", "nu_w"),
    [((1, 1, 1, 1), 0.3), ((2, 5, 3, 2), 0.3), ((2, 6, 2, 3), 1.2)],
)
def test_kernel_of_the_scaled_convolution_is_the_analytic_one(dtype, tol, shape, nu_w):
    """At any parameters: the convolution is linear in them."""
    num, seq_len, in_dim, out_dim = shape
    x1, x2 = draw(dtype, (num, seq_len, in_dim), 1), draw(dtype, (num + 1, seq_len, in_dim), 2)
    rho = nr.lag_weights(seq_len, nu_w, 1.5, 0.5)
    conv = nr.ScaledConv(rho, out_dim)
    params = {"params": {"theta": draw(dtype, (seq_len, out_dim, in_dim), 3)}}
    expected = np.asarray(nr.analytic_ntk(x1, x2, rho))
    if out_dim == 2:  # of the others, it is the trace of what follows
        assert relative_error(nr.empirical_ntk(conv, params, x1, x2), expected) <= tol
    full = nr.empirical_ntk(conv, params, x1, x2, trace_axes=())
    identity = np.eye(out_dim, dtype=dtype)
    assert relative_error(full, np.multiply.outer(expected, identity)) <= tol


def test_kernel_of_the_linear_rnn_tends_to_the_analytic_one():
    """The error falls as the root of the width, for all inputs and outputs at once."""
    widths, seeds = [32, 128, 512], 16
    x = draw(np.float32, (2, 5, 2))
    rho = nr.lag_weights(5, 0.3, 1.0, 1.0)
    expected = np.multiply.outer(np.asarray(nr.analytic_ntk(x, None, rho)), np.eye(2))

    def errors(width):
        model = nr.LinearRNN(width, 2)
        keys = jax.random.split(jax.random.key(0), seeds)
        for params in map(jax.jit(model.init), keys, [x] * seeds):
            kernel = nr.empirical_ntk(
                model, params, x, trace_axes=(), implementation="structured_derivatives"
            )
            yield relative_error(kernel, expected)

    law = fit_power_law(np.array(widths), np.array([list(errors(width)) for width in widths]))
    assert law.stderr < 0.05
    assert abs(law.slope + 0.5) <= 3 * law.stderr


def test_trained_rnn_follows_the_scaled_convolution():
    """The whole paths, not only the kernels: n = 400 here, n = 1000 in ``ntk-rnn reproduce``."""
    x, y = nr.data.teacher(jax.random.key(0), 40, 8)
    train, test = (x[:20], y[:20]), (x[20:], y[20:])
    rho = nr.lag_weights(8, 0.3, 1.0, 1.0)
    gaps = []
    model = nr.LinearRNN(400, 1)
    init = jax.jit(model.init)
    for seed in range(3):
        params = init(jax.random.key(seed), x)
        initial = nr.impulse_response(params, 8)
        kernel = nr.kernel_regression(rho, train, initial=initial, on_host=True)
        path = nr.gradient_descent(
            model, params, train, steps=300, learning_rate=5e-4, test=test,
            record_at=np.arange(0, 301, 30),
        )  # fmt: skip
        predicted = kernel.train_loss(path.step, 5e-4)
        gaps.append(np.max(np.abs(path.train_loss - predicted)) / path.train_loss[0])
        assert path.train_loss[-1] < 0.2 * path.train_loss[0]
    assert np.median(gaps) < 0.03
