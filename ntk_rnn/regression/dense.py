"""The singular directions of a kernel on data, along which gradient descent decouples."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntk_rnn import sequences
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData, factorized
from ntk_rnn.loss import Loss, loss_scale
from ntk_rnn.regression import host
from ntk_rnn.regression.host import einsum, namespace

# Rows of the matrix of lagged inputs that are factorized at once on the host, at least.
_CHUNK_ROWS = 2**14


class Decomposition(NamedTuple):
    """``A G^{1/2} = U S V^T`` and what is to be learned; ``KernelRegression`` has the rest.

    Attributes:
      singular_values: ``S``, falling, shape ``(k,)``.
      directions: ``G^{1/2} V``, shape ``(T, a, n_x, k)``.
      targets: ``U^T (y - A L^0)``, shape ``(k, b)``.
      irreducible: the loss that remains for ever, shape ``()``.
    """

    singular_values: Float[AnyArray, " k"]
    directions: Float[AnyArray, "T a n_x k"]
    targets: Float[AnyArray, "k b"]
    irreducible: Float[AnyArray, ""]


@partial(host.compiled, static_argnames="loss")
def decompose(
    root: Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x P"],
    data: tuple[AnyArray, AnyArray] | CompressedData,
    initial: Float[AnyArray, "T n_y n_x"],
    loss: Loss,
) -> Decomposition:
    """The directions by QR, then by singular values: on the host if ``root`` is there.

    Args:
      root: ``sqrt(rho)``, one a lag, or ``G^{1/2}`` of a Gram matrix.
      data: inputs and targets, or both compressed.
      initial: ``L^0``.
      loss: whose directions and losses these are.
    """
    xp, of_lags = namespace(root), root.ndim == 1
    if isinstance(data, CompressedData):
        parts = data.triangle, data.centre, data.residual, data.constant, data.num_targets
        if xp is np:
            parts = [host.float64(part) for part in parts]
        triangle, centre, residual, beyond, num_targets = parts
        goal = residual - einsum("ktq,tpq->kp", triangle, initial - centre)
        scale = loss_scale(loss, num_targets)
    else:
        triangle, goal, beyond = _triangular(*data, initial)
        scale = loss_scale(loss, data[1].size)
    # The mean loss of the data is the sum loss of data scaled by the root of its factor.
    triangle, goal = scale**0.5 * triangle, scale**0.5 * goal

    if of_lags:
        features = (triangle * root[None, :, None]).reshape(len(triangle), -1)
    else:
        features = einsum("rtq,taqk->rak", triangle, root).reshape(goal.size, -1)
        goal = goal.reshape(-1, 1)
    if xp is np and isinstance(data, CompressedData):
        features = _without_rounding(np.asarray(features), data.triangle.dtype)
    u, s, vt = xp.linalg.svd(features, full_matrices=False)
    if of_lags:
        directions = vt.T.reshape(len(root), 1, -1, len(s)) * root[:, None, None, None]
    else:
        directions = einsum("taqe,ke->taqk", root, vt)
    targets = einsum("rk,rb->kb", u, goal)
    unreached = goal - einsum("rk,kb->rb", u, targets)
    irreducible = scale * beyond + xp.sum(unreached**2) / 2
    return Decomposition(s, directions, targets, xp.asarray(irreducible))


def _without_rounding(
    features: Float[np.ndarray, "K P"], stored: np.dtype
) -> Float[np.ndarray, "K P"]:
    """Features without the directions that are there but for the rounding of data as stored.

    Rounding is relative in every column, whose weights may differ by orders of magnitude.
    """
    norms = np.linalg.norm(features, axis=0)
    norms = np.where(norms > 0, norms, 1)
    u, s, vt = np.linalg.svd(features / norms, full_matrices=False)
    kept = s > np.finfo(stored).eps * max(features.shape) * s[0]
    return (u[:, kept] * s[kept]) @ (vt[kept] * norms)


def _triangular(
    x: Float[AnyArray, "N T n_x"],
    y: Float[AnyArray, "N T n_y"],
    initial: Float[AnyArray, "T n_y n_x"],
) -> tuple[Float[AnyArray, "K T n_x"], Float[AnyArray, "K n_y"], Float[AnyArray, ""]]:
    """``R`` and ``Q^T (y - A L^0)`` with ``A = Q R``, and the loss that ``Q`` does not span."""
    lags, _, in_dim = initial.shape
    if namespace(x) is np:
        return _triangular_on_host(*map(np.asarray, (x, y, initial)))
    design = sequences.lagged_inputs(x).reshape(-1, lags * in_dim)
    residual = (y - sequences.causal_conv(initial, x)).reshape(len(design), -1)
    basis, triangle = jnp.linalg.qr(design)
    goal = einsum("rk,rb->kb", basis, residual)
    beyond = residual - einsum("rk,kb->rb", basis, goal)
    return triangle.reshape(-1, lags, in_dim), goal, jnp.sum(beyond**2) / 2


def _triangular_on_host(
    x: Float[np.ndarray, "N T n_x"],
    y: Float[np.ndarray, "N T n_y"],
    initial: Float[np.ndarray, "T n_y n_x"],
) -> tuple[Float[np.ndarray, "K T n_x"], Float[np.ndarray, "K n_y"], Float[np.ndarray, ""]]:
    """As ``[A (y - A L^0)] = Q [R z; 0 S]``, some sequences at a time."""
    lags, _, in_dim = initial.shape
    columns, triangle = lags * in_dim, None
    size = -(-max(_CHUNK_ROWS, 4 * columns) // lags)
    for start in range(0, len(x), size):
        inputs, targets = x[start : start + size], y[start : start + size]
        design = host.lagged_inputs(inputs).reshape(-1, columns)
        residual = (targets - host.causal_conv(initial, inputs)).reshape(len(design), -1)
        triangle = factorized(triangle, [np.concatenate([design, residual], axis=1)])
    factor = np.asarray(triangle)
    beyond = np.sum(factor[columns:, columns:] ** 2) / 2
    top = factor[:columns]
    return top[:, :columns].reshape(-1, lags, in_dim), top[:, columns:], np.asarray(beyond)
