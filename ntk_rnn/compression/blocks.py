"""Weighted rows of lagged inputs and targets, factorized block by block in float64."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import linalg
from scipy.linalg import lapack

# Most rows that are factorized at once, and most numbers in them, 8 MB: more leave the cache.
_CHUNK_ROWS, _CHUNK_ENTRIES = 2**14, 2**20

# Columns that LAPACK factorizes at once, of which 32 are fastest.
_PANEL = 32


class Block(NamedTuple):
    """Some rows of a least-squares problem.

    Attributes:
      rows: ``sqrt(w) [A b]``, without those of weight 0, shape ``(R, T n_x + n_y)``.
      sizes: ``(T, n_x, n_y)``.
      weight: sum of the weights.
      dtype: the type that JAX has for the data, at least float32.
    """

    rows: Float[np.ndarray, "R columns"]
    sizes: tuple[int, int, int]
    weight: float
    dtype: np.dtype


def rows_at_once(seq_len: int, in_dim: int, out_dim: int) -> int:
    """As many rows as are factorized fast: at least twice as many as the triangle has."""
    columns = seq_len * in_dim + out_dim
    return max(2 * columns, min(_CHUNK_ROWS, _CHUNK_ENTRIES // columns))


def factor_of(blocks: Iterable[Block], chunk_size: int | None = None) -> Block | None:
    """All blocks as one, whose rows are the triangle ``[R z; 0 S]`` of inputs and targets.

    Small blocks are collected until they make up a chunk.

    Args:
      blocks: all of the same ``sizes``.
      chunk_size: number of sequences of ``T`` rows in a chunk; ``rows_at_once`` if ``None``.

    Returns:
      The one block, or ``None`` if there is none.
    """
    triangle, pending, weight, dtype, sizes = None, [], 0.0, np.dtype(np.float32), None
    for block in blocks:
        sizes = block.sizes
        weight += block.weight
        dtype = np.promote_types(dtype, block.dtype)
        pending.append(block.rows)
        at_once = rows_at_once(*sizes) if chunk_size is None else chunk_size * sizes[0]
        if sum(map(len, pending)) >= at_once:
            triangle, pending = factorized(triangle, pending), []
    if sizes is None:
        return None
    return Block(factorized(triangle, pending), sizes, weight, dtype)


def factorized(triangle: np.ndarray | None, rows: list[np.ndarray]) -> np.ndarray:
    """The triangle of further rows below the triangle of those before; rows may be overwritten."""
    if triangle is not None and not rows:
        return triangle
    if triangle is None or len(triangle) < triangle.shape[1]:
        blocks = rows if triangle is None else [triangle, *rows]
        return r_factor(np.concatenate(blocks))
    # Made for rows below a triangle, which takes half the time of a factorization of all.
    below = rows[0] if len(rows) == 1 else np.concatenate(rows)
    panel = min(_PANEL, triangle.shape[1])
    (tpqrt,) = lapack.get_lapack_funcs(["tpqrt"], (triangle, below))
    factor, *_ = tpqrt(0, panel, triangle, below, overwrite_b=True)
    return np.triu(factor)


def r_factor(rows: np.ndarray) -> np.ndarray:
    """``R`` of ``rows = Q R``, of at most as many rows as columns; ``rows`` may be overwritten.

    By SciPy, as all that is made of it: the threads of NumPy's BLAS, which is another one, go on
    waiting for work, and on few cores small fits would take up to five times as long.
    """
    if not len(rows):  # which SciPy before 1.15 refuses
        return rows
    factors: Any = linalg.qr(rows, mode="raw", overwrite_a=True, check_finite=False)
    return factors[1]
