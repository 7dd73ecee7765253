"""Gradient descent of a kernel regression written out in NumPy, which shares no code with it."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def lagged():
    """The matrix of lagged inputs, block by block."""

    def matrix(x):
        num, seq_len, in_dim = x.shape
        blocks = np.zeros((num, seq_len, seq_len, in_dim))
        for lag in range(seq_len):
            blocks[:, lag:, lag] = x[:, : seq_len - lag]
        return blocks.reshape(num * seq_len, seq_len * in_dim)

    return matrix


@pytest.fixture(scope="session")
def by_loop(lagged):
    """Gradient descent in float64, step by step: impulse responses and losses at all steps."""

    def descend(data, kernel, initial, steps, rate, beta=0.0, loss="sum"):
        x, y, kernel, initial = (np.asarray(a, float) for a in (*data, kernel, initial))
        shape, matrix, goal = initial.shape, lagged(x), y.reshape(-1, y.shape[2])
        scale = 1 if loss == "sum" else 2 / y.size
        now = before = initial
        path, losses = [], []
        for _ in range(steps + 1):
            flat = now.transpose(0, 2, 1).reshape(-1, shape[1])
            error = matrix @ flat - goal
            path.append(now)
            losses.append(scale / 2 * np.sum(error**2))
            gradient = (scale * matrix.T @ error).reshape(shape[0], shape[2], shape[1])
            gradient = gradient.transpose(0, 2, 1)
            if kernel.ndim == 1:
                change = kernel[:, None, None] * gradient
            else:
                change = np.tensordot(kernel, gradient, 3)
            now, before = now - rate * change + beta * (now - before), now
        return np.stack(path), np.asarray(losses)

    return descend
