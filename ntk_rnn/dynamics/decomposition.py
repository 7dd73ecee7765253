"""The singular directions of a kernel on data, along which gradient descent decouples."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntk_rnn import sequences
from ntk_rnn._types import AnyArray
from ntk_rnn.compression import CompressedData
from ntk_rnn.dynamics import host
from ntk_rnn.dynamics.host import einsum, namespace
from ntk_rnn.dynamics.loss import Loss, loss_scale


class Decomposition(NamedTuple):
    """``A G^{1/2} = U S V^T`` and what is to be learned; :class:`KernelRegression` has the rest.

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


def decompose(
    half: Float[AnyArray, "T a n_x P"],
    data: tuple[AnyArray, AnyArray] | CompressedData,
    initial: Float[AnyArray, "T n_y n_x"],
    loss: Loss,
) -> Decomposition:
    """The directions by QR, then by singular values: on the host if ``half`` is there.

    Args:
      half: ``G^{1/2}``, with ``a = 1`` if it is the same for every output.
      data: inputs and targets, or both compressed.
      initial: ``L^0``.
      loss: whose directions and losses these are.
    """
    if namespace(half) is jnp:
        return _compiled(half, data, initial, loss)
    return _decompose(half, data, initial, loss)


def _decompose(
    half: Float[AnyArray, "T a n_x P"],
    data: tuple[AnyArray, AnyArray] | CompressedData,
    initial: Float[AnyArray, "T n_y n_x"],
    loss: Loss,
) -> Decomposition:
    xp, a = namespace(half), half.shape[1]
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

    features = einsum("rtq,taqk->rak", triangle, half)
    features, goal = (m.reshape(len(triangle) * a, -1) for m in (features, goal))
    u, s, vt = xp.linalg.svd(features, full_matrices=False)
    directions = einsum("taqe,ke->taqk", half, vt)
    targets = einsum("rk,rb->kb", u, goal)
    unreached = goal - einsum("rk,kb->rb", u, targets)
    irreducible = scale * beyond + xp.sum(unreached**2) / 2
    return Decomposition(s, directions, targets, xp.asarray(irreducible))


_compiled = partial(jax.jit, static_argnames="loss")(_decompose)


def _triangular(
    x: Float[AnyArray, "N T n_x"],
    y: Float[AnyArray, "N T n_y"],
    initial: Float[AnyArray, "T n_y n_x"],
) -> tuple[Float[AnyArray, "K T n_x"], Float[AnyArray, "K n_y"], Float[AnyArray, ""]]:
    """``R`` and ``Q^T (y - A L^0)`` with ``A = Q R``, and the loss that ``Q`` does not span."""
    xp = namespace(x)
    convolution: Any = host if xp is np else sequences
    lags, _, in_dim = initial.shape
    design = convolution.lagged_inputs(x).reshape(-1, lags * in_dim)
    residual = (y - convolution.causal_conv(initial, x)).reshape(len(design), -1)
    basis, triangle = xp.linalg.qr(design)
    goal = einsum("rk,rb->kb", basis, residual)
    beyond = residual - einsum("rk,kb->rb", basis, goal)
    return triangle.reshape(-1, lags, in_dim), goal, xp.asarray(xp.sum(beyond**2) / 2)
