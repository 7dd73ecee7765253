"""The path of gradient flow under the kernel of infinite width, and the limit of training.

Others are given the kernel, ready; ours starts from the sequences.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Work

_NUM_TIMES, _NUM_TEST = 10, 20

# Sequences and length.
_BASE = (200, 10)
_SIZES = (_BASE, (50, 10), (100, 10), (100, 20))


def comparisons() -> list[Comparison]:
    """The path over numbers of sequences, and its limit at the base."""
    return [*(_path(size) for size in _SIZES), _limit(_BASE)]


def _path(size: tuple[int, int]) -> Comparison:
    num, seq_len = size
    kernel = 4.0 * (num * seq_len) ** 2
    return Comparison(
        "predictor", "path", {"N": num, "T": seq_len},
        (
            Contender("ntk_rnn, kernel_regression", functools.partial(_ours, size), "ours"),
            Contender(
                "neural-tangents, gradient_descent_mse", functools.partial(_flow, size),
                # The kernel, its eigenvectors, what finds them, and products at all times.
                needs=5 * kernel + 4.0 * _NUM_TIMES * (num * seq_len) ** 2,
                at_least=100.0 if size == _BASE else None,
            ),
        ),
        tolerance=1e-3,
        # Householder's factorization of the lagged inputs, and the test outputs at all times.
        flops=2.0 * num * seq_len * seq_len**2 + 2.0 * _NUM_TIMES * _NUM_TEST * seq_len**2,
        moved=4.0 * num * seq_len * seq_len, working_set=4.0 * num * seq_len * seq_len,
        quick=size == _BASE, memory=size == _BASE,
    )  # fmt: skip


def _limit(size: tuple[int, int]) -> Comparison:
    num, seq_len = size
    return Comparison(
        "predictor", "limit", {"N": num, "T": seq_len},
        (
            Contender("ntk_rnn, kernel_regression", functools.partial(_ours_limit, size), "ours"),
            Contender(
                "scikit-learn, KernelRidge", functools.partial(_ridge, size),
                needs=3 * 8.0 * (num * seq_len) ** 2,
            ),
        ),
        tolerance=1e-4, quick=True, memory=True,
    )  # fmt: skip


class _Problem(NamedTuple):
    train: tuple[jax.Array, jax.Array]
    test: jax.Array
    rho: jax.Array
    times: np.ndarray


@functools.lru_cache(maxsize=1)
def _problem(size: tuple[int, int]) -> _Problem:
    num, seq_len = size
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (num, seq_len, 1))
    y = nr.causal_conv(jax.random.normal(keys[1], (seq_len, 1, 1)), x)
    y += 0.1 * jax.random.normal(keys[2], y.shape)
    test = jax.random.normal(keys[3], (_NUM_TEST, seq_len, 1))
    rho = nr.lag_weights(seq_len, 0.3, 1.0, 1.0)
    # From the first change along the fastest direction to where half of the lags are learned.
    largest = float(nr.kernel_regression(rho, (x, y)).eigenvalues[0])
    return _Problem((x, y), test, rho, np.geomspace(0.1, 100, _NUM_TIMES) / largest)


def _ours(size: tuple[int, int]) -> Work:
    problem = _problem(size)

    def path() -> Any:
        kernel = nr.kernel_regression(problem.rho, problem.train)
        return kernel.predict(problem.test, time=problem.times)

    return Work(path)


def _flow(size: tuple[int, int]) -> Work:
    from ntk_rnn import _neural_tangents

    nt = _neural_tangents.load()
    problem = _problem(size)
    x, y = problem.train
    total = y.size
    gram = _flat(nr.analytic_ntk(x, x, problem.rho))
    cross = _flat(nr.analytic_ntk(problem.test, x, problem.rho))
    start, start_test = jnp.zeros((total, 1)), jnp.zeros((len(cross), 1))
    # Its loss is the mean where ours is the sum: its time goes slower by the number of targets.
    times = jnp.asarray(problem.times * total, gram.dtype)

    def path() -> Any:
        # Made anew, because it keeps the eigenvectors, which are what takes its time.
        predict = nt.predict.gradient_descent_mse(gram, y.reshape(total, 1))
        return predict(times, start, start_test, cross)[1]

    return Work(path, lambda out: np.asarray(out).reshape(_NUM_TIMES, _NUM_TEST, -1, 1))


def _ours_limit(size: tuple[int, int]) -> Work:
    problem = _problem(size)

    def limit() -> Any:
        kernel = nr.kernel_regression(problem.rho, problem.train)
        return kernel.predict(problem.test, time=jnp.inf)

    return Work(limit)


def _ridge(size: tuple[int, int]) -> Work:
    ridge_regression: Any = importlib.import_module("sklearn.kernel_ridge").KernelRidge
    # In float64: the kernel is singular, and what makes it regular must be small.
    (x, y), test, rho, _ = jax.tree.map(lambda a: np.asarray(a, np.float64), _problem(size))
    lags, test_lags = _lagged(x), _lagged(test)
    gram, cross, targets = lags * rho @ lags.T, test_lags * rho @ lags.T, y.reshape(-1)
    alpha = 1e-9 * float(np.trace(gram)) / size[1]

    def limit() -> np.ndarray:
        ridge = ridge_regression(alpha=alpha, kernel="precomputed").fit(gram, targets)
        return ridge.predict(cross)

    return Work(limit, lambda out: out.reshape(_NUM_TEST, -1, 1))


def _lagged(x: np.ndarray) -> np.ndarray:
    """``x[i, t - j]`` of one input as a matrix, a row a pair (sequence, time)."""
    num, seq_len, _ = x.shape
    padded = np.concatenate([np.zeros((num, seq_len - 1)), x[:, :, 0]], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, seq_len, axis=1)
    return windows[:, :, ::-1].reshape(num * seq_len, seq_len)


def _flat(kernel: jax.Array) -> jax.Array:
    """``(N1, N2, T, T)`` as a matrix over pairs (sequence, time)."""
    num1, num2, seq_len, _ = kernel.shape
    return kernel.transpose(0, 2, 1, 3).reshape(num1 * seq_len, num2 * seq_len)
