"""From a fit to networks: a small RNN with its response, and what a wide one learns of its data."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ntk_rnn._types import AnyArray
from ntk_rnn.compression.blocks import Block
from ntk_rnn.compression.triangle import CompressedData, centred
from ntk_rnn.fitting.samples import Triangle
from ntk_rnn.hankel import hankel_singular_values
from ntk_rnn.kernels.infinite_width import lag_weights
from ntk_rnn.regression.solver import kernel_regression


def width_within(
    response: Float[np.ndarray, "T n_y n_x"], deviation: Float[np.ndarray, "T n_y n_x"]
) -> int:
    """The smallest width of an RNN that leaves out no more than is not known.

    That is compared in the Hankel matrix ``L_{i+j}``, in which lag ``j`` stands ``j + 1`` times:
    ``sum_{i > n} s_i^2 <= sum_j (j + 1) sum sd_j^2`` with its singular values ``s``.
    """
    values = hankel_singular_values(response, zeros_beyond=True)
    unknown = np.arange(1.0, len(response) + 1) @ np.sum(deviation**2, axis=(1, 2))
    left = np.append(np.cumsum(values[::-1] ** 2)[::-1], 0)
    return max(1, int(np.argmax(left <= unknown)))


def learned(
    triangle: Triangle,
    steps: Any,
    nu_w: float,
    nu_f: float,
    nu_c: float,
    learning_rate: float | None,
) -> Float[AnyArray, "*steps T n_y n_x"]:
    """The responses of a wide RNN that is trained on the data, by ``kernel_regression``."""
    rho = lag_weights(triangle.shape[0], nu_w, nu_f, nu_c)
    kernel = kernel_regression(np.asarray(rho), compressed(triangle), on_host=True)
    if learning_rate is None:
        learning_rate = float(kernel.max_learning_rate) / 2
    return kernel.impulse_response(steps, learning_rate)


def compressed(triangle: Triangle) -> CompressedData:
    """The data about their means, as ``compress`` gives them."""
    seq_len, out_dim, in_dim = triangle.shape
    rows = triangle.rows.reshape(-1, seq_len * in_dim)
    top = np.concatenate([rows, triangle.goal], axis=1)
    missing = max(seq_len * in_dim - len(top), 0)
    below = np.zeros((missing + out_dim, top.shape[1]))
    below[missing:, -out_dim:] = np.diag(np.sqrt(triangle.rest))
    sizes, dtype = (seq_len, in_dim, out_dim), np.dtype(np.float64)
    return centred(Block(np.concatenate([top, below]), sizes, triangle.num_samples, dtype))
