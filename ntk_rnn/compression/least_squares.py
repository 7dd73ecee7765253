"""What an impulse response leaves to be learned, as a triangular least-squares problem.

With the lagged inputs ``A = Q R`` and an impulse response ``L^0``, the sum loss (Appendix B.4) is
``1/2 ||A L - y||^2 = 1/2 ||R (L - L^0) - Q^T (y - A L^0)||^2 + remaining``.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from ntk_rnn._namespace import einsum, float64, namespace
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.blocks import factorized
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.sequences import convolved, lagged

# The host factorizes at least so many rows of the matrix of lagged inputs at once.
_CHUNK_ROWS = 2**14


class NormalEquations(NamedTuple):
    """The same problem as ``1/2 L^T H L - g^T L + loss``, in ``L - L^0``: smooth in the data.

    A triangle has no derivative where columns of ``A`` depend on each other, and this has all.

    Attributes:
      curvature: ``H = A^T A``, shape ``(T, n_x, T, n_x)``.
      gradient: ``g = A^T (y - A L^0)``, shape ``(T, n_x, n_y)``.
      loss: sum loss of ``L^0``, shape ``()``.
    """

    curvature: Float[AnyArray, "T n_x T n_x"]
    gradient: Float[AnyArray, "T n_x n_y"]
    loss: Float[AnyArray, ""]


class Triangular(NamedTuple):
    """The least-squares problem that is left by an impulse response ``L^0``.

    Attributes:
      triangle: ``R``, shape ``(K, T, n_x)``.
      residual: ``Q^T (y - A L^0)``, shape ``(K, n_y)``.
      remaining: sum loss that no impulse response removes, shape ``()``.
      num_targets: what the mean loss divides by.
      rounded_to: type to which the triangle was rounded before it was computed with in float64 on
        the host; ``None`` if it was not.
      normal: what derivatives in the data go through; ``None`` where the triangle has them itself.
    """

    triangle: Float[AnyArray, "K T n_x"]
    residual: Float[AnyArray, "K n_y"]
    remaining: Float[AnyArray, ""]
    num_targets: int | Float[AnyArray, ""]
    rounded_to: np.dtype | None = None
    normal: NormalEquations | None = None


def of_compressed(data: CompressedData, initial: Float[AnyArray, "T n_y n_x"]) -> Triangular:
    """The problem of compressed data, in float64 if ``initial`` is on the host."""
    rounded_to, leaves = None, jax.tree.leaves(data)
    if namespace(initial) is np:
        rounded_to, leaves = data.triangle.dtype, map(float64, leaves)
    triangle, centre, residual, constants, num_targets = leaves
    outputs = einsum("ktq,tpq->kp", triangle, initial - centre)
    return Triangular(triangle, residual - outputs, constants.sum(), num_targets, rounded_to)


def of_sequences(
    x: Float[AnyArray, "N T n_x"],
    y: Float[AnyArray, "N T n_y"],
    initial: Float[AnyArray, "T n_y n_x"],
) -> Triangular:
    """The problem of sequences; in NumPy if they are NumPy arrays, some sequences at a time."""
    if namespace(x) is np:
        return _of_sequences_on_host(*map(np.asarray, (x, y, initial)))
    lags, _, in_dim = initial.shape
    rows, targets = _rows_and_targets(x, y, initial)
    normal = None
    if rows.shape[0] > rows.shape[1]:
        basis, triangle = jnp.linalg.qr(lax.stop_gradient(rows))
        normal = NormalEquations(
            einsum("rp,rq->pq", rows, rows).reshape(2 * (lags, in_dim)),
            einsum("rp,rb->pb", rows, targets).reshape(lags, in_dim, -1),
            jnp.sum(targets**2) / 2,
        )
    else:
        # The basis is complete, so it may be a fixed one: JAX has no derivative of this one.
        basis = jnp.linalg.qr(lax.stop_gradient(rows))[0]
        triangle = einsum("rk,rp->kp", basis, rows)
    residual = einsum("rk,rb->kb", basis, targets)
    beyond = targets - einsum("rk,kb->rb", basis, residual)
    remaining = jnp.sum(beyond**2) / 2
    triangle = triangle.reshape(-1, lags, in_dim)
    return Triangular(triangle, residual, remaining, y.size, normal=normal)


def _of_sequences_on_host(
    x: Float[np.ndarray, "N T n_x"],
    y: Float[np.ndarray, "N T n_y"],
    initial: Float[np.ndarray, "T n_y n_x"],
) -> Triangular:
    """The problem by ``[A (y - A L^0)] = Q [R z; 0 S]``, of which ``R`` and ``z`` are given."""
    lags, _, in_dim = initial.shape
    columns, factor = lags * in_dim, None
    size = -(-max(_CHUNK_ROWS, 4 * columns) // lags)
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        factor = factorized(
            factor, [np.concatenate(_rows_and_targets(x[part], y[part], initial), axis=1)]
        )
    factor = np.asarray(factor)
    remaining = np.asarray(np.sum(factor[columns:, columns:] ** 2) / 2)
    top = factor[:columns]
    triangle = top[:, :columns].reshape(-1, lags, in_dim)
    return Triangular(triangle, top[:, columns:], remaining, y.size)


def _rows_and_targets(
    x: Float[AnyArray, "N T n_x"],
    y: Float[AnyArray, "N T n_y"],
    initial: Float[AnyArray, "T n_y n_x"],
) -> tuple[Float[AnyArray, "R P"], Float[AnyArray, "R n_y"]]:
    """The matrix ``A`` of lagged inputs and ``y - A L^0``."""
    lags, out_dim, in_dim = initial.shape
    targets = y - convolved(initial, x)
    return lagged(x, lags).reshape(-1, lags * in_dim), targets.reshape(-1, out_dim)
