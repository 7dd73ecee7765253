"""The kernel of infinite width, against an einsum of Toeplitz matrices, and its mere writing."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Work

# Sequences, length, inputs.
_PROMISED = (200, 50, 1)
# Memory of more bytes is handed out anew by the system for every kernel.
_REUSED = 2**25
_PRODUCT = "Both are one product and a change of its layout. "
_BLAS = "OpenBLAS, which NumPy has, is faster at the product than XLA."
_PAGES = (
    "NumPy asks Linux for large pages of memory; with `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` XLA "
    "has them too, and takes half to two thirds of the time."
)
_SIZES = (
    _PROMISED, (25, 50, 1), (50, 50, 1), (100, 50, 1), (200, 10, 1), (200, 25, 1), (200, 50, 8),
)  # fmt: skip


def comparisons() -> list[Comparison]:
    """Numbers of sequences, lengths and numbers of inputs."""
    return [_comparison(size) for size in _SIZES]


def _comparison(size: tuple[int, ...]) -> Comparison:
    num, seq_len, in_dim = size
    kernel = 4.0 * (num * seq_len) ** 2
    lagged = 4.0 * num * seq_len**2 * in_dim
    # Within 3 times of the writing at the promised size: the writing takes a third of ours.
    within = 1 / 3 if size == _PROMISED else None
    return Comparison(
        "analytic_kernel", "", dict(zip(("N", "T", "n_x"), size, strict=True)),
        (
            Contender(
                "ntk_rnn", functools.partial(_ours, size), "ours", needs=2 * kernel + 2 * lagged
            ),
            Contender(
                "floor: writing the kernel", functools.partial(_writing, size), "floor",
                needs=kernel, at_least=within,
            ),
            # The product, its transposed copy, and the result that it is compared with.
            Contender(
                "NumPy, einsum of Toeplitz matrices", functools.partial(_numpy, size),
                needs=3 * kernel + 3 * lagged,
            ),
        ),
        tolerance=1e-5,
        flops=2.0 * (num * seq_len) ** 2 * seq_len * in_dim,
        moved=kernel + 4.0 * num * seq_len * in_dim, working_set=kernel,
        quick=size == _PROMISED, memory=size == _PROMISED,
        behind=_PRODUCT + (_PAGES if kernel > _REUSED else _BLAS),
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def _problem(size: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    return jax.random.normal(jax.random.key(0), size), nr.lag_weights(size[1], 0.3, 1.0, 1.0)


def _ours(size: tuple[int, ...]) -> Work:
    x, rho = _problem(size)
    program = jax.jit(lambda x, rho: nr.analytic_ntk(x, None, rho))
    return Work(lambda: nr.analytic_ntk(x, None, rho), lowered=lambda: program.lower(x, rho))


def _writing(size: tuple[int, ...]) -> Work:
    num, seq_len, _ = size
    write = jax.jit(lambda value: jnp.full((num, num, seq_len, seq_len), value))
    return Work(lambda: write(1.0))


def _numpy(size: tuple[int, ...]) -> Work:
    x, rho = map(np.asarray, _problem(size))
    delay = np.arange(size[1])[:, None] - np.arange(size[1])[None, :]

    def kernel() -> np.ndarray:
        # X[i, t, j] = x[i, t - j], a Toeplitz matrix for every sequence and input.
        matrices = np.where((delay >= 0)[None, :, :, None], x[:, np.maximum(delay, 0)], 0)
        # A view of the product, whose axes are in another order.
        view = np.einsum("itjq,j,ksjq->ikts", matrices, rho, matrices, optimize=True)
        return np.ascontiguousarray(view)

    return Work(kernel)
