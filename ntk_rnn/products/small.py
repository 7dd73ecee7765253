"""The wide network in the coordinates of a subspace: its response, gradients and leaks.

With an orthonormal basis ``P (n, r)`` whose span holds ``F``, ``C^T`` and what both chains reach,
the network of ``P^T W P``, ``P^T F`` and ``C P``, with the scale ``1 / sqrt(n)`` of the wide one,
has the same impulse response, and its gradients are those of the wide network in these coordinates.
The scale is an argument like any other, so what is compiled for one width serves for all.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn.products.panels import dot, length

# Lags up to which a loop over them is unrolled, for a turn of a loop outlasts a small product.
_UNROLLED = 32

#: The smallest leak, relative to the start of a chain, whose square is told from rounding, in parts
#: of the root of the unit of rounding.
LEAST_LEAK = 3.0

einsum = partial(jnp.einsum, precision="highest")


class Small(NamedTuple):
    """A linear RNN in the coordinates of a subspace.

    Attributes:
      w: ``P^T W P``, shape ``(R, R)``.
      f: ``P^T F``, shape ``(R, n_x)``.
      c: ``C P``, shape ``(n_y, R)``.
    """

    w: Float[Array, "R R"]
    f: Float[Array, "R n_x"]
    c: Float[Array, "n_y R"]


class Chains(NamedTuple):
    """Both chains of the impulse response.

    Attributes:
      columns: ``B_j = (W / sqrt(n))^j F``, shape ``(T, R, n_x)``.
      rows: ``A_j = C (W / sqrt(n))^j``, shape ``(T, n_y, R)``.
    """

    columns: Float[Array, "T R n_x"]
    rows: Float[Array, "T n_y R"]

    def relative(self) -> tuple[Float[Array, "R k"], Float[Array, "R m"]]:
        """All vectors that ``W``, and its transpose, are multiplied with: not the last lags.

        They are relative to the size of the start of their chain.
        """
        size = self.columns.shape[1]
        columns = self.columns[:-1].transpose(1, 0, 2).reshape(size, -1)
        rows = self.rows[:-1].reshape(-1, size).T
        # From a start of zero nothing leaks.
        starts = length(self.columns[0]), length(self.rows[0])
        by_columns, by_rows = (jnp.where(start > 0, start, 1) for start in starts)
        return columns / by_columns, rows / by_rows


class Leaks(NamedTuple):
    """What ``W`` makes of the subspace outside of it.

    For ``b`` in the subspace, ``|(I - P P^T) W P b|^2 / n = b^T forward b``, and so for the
    transpose of ``W`` and ``backward``. As squares they hold half of the digits, which is enough
    for leaks of ``LEAST_LEAK`` and more.

    Attributes:
      forward: of ``W``, shape ``(R, R)``.
      backward: of its transpose, shape ``(R, R)``.
    """

    forward: Float[Array, "R R"]
    backward: Float[Array, "R R"]

    def largest(self, chains: Chains) -> Float[Array, ""]:
        """The length of the longest part of a chain's vector that leaves the subspace.

        All inputs, or outputs, of a lag count together, as their starts do.
        """
        lags = len(chains.columns) - 1
        if lags == 0:
            return jnp.zeros((), chains.rows.dtype)
        squares = [
            jnp.sum((vectors * dot(gram, vectors)).reshape(len(gram), lags, -1), axis=(0, 2))
            for gram, vectors in zip(self, chains.relative(), strict=True)
        ]
        return jnp.sqrt(jnp.maximum(jnp.max(jnp.stack(squares)), 0))


def scale_of(width: int, dtype: Any) -> Float[Array, ""]:
    """``1 / sqrt(n)``."""
    return jnp.asarray(width**-0.5, dtype)


def chains_of(small: Small, scale: Float[Array, ""], seq_len: int) -> Chains:
    """Both chains of the impulse response, in the subspace."""
    w = small.w * scale

    def step(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Chains]:
        column, row = dot(w, ends[0]), dot(ends[1], w)
        return (column, row), Chains(column, row)

    first = small.f, small.c
    _, following = lax.scan(step, first, length=seq_len - 1, unroll=seq_len <= _UNROLLED)
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), Chains(*first), following)


def response_of(small: Small, chains: Chains, scale: Float[Array, ""]) -> Float[Array, "T n_y n_x"]:
    """The impulse response (eq. 9): ``L_j = C B_j / sqrt(n)``."""
    return einsum("pr,jrq->jpq", small.c, chains.columns) * scale


def gradient_of(chains: Chains, slope: Float[Array, "T n_y n_x"], scale: Float[Array, ""]) -> Small:
    """The gradient of a loss, of which the derivative by the impulse response is known.

    ``d loss = sum_j <slope_j, dL_j>`` with ``dL_j = (A_j dF + dC B_j) / sqrt(n) + sum_{a+b=j-1}
    A_a dW B_b / n``.

    Args:
      chains: both chains at the parameters.
      slope: ``d loss / d L``, shape ``(T, n_y, n_x)``.
      scale: ``1 / sqrt(n)``.
    """
    columns, rows = chains
    seq_len = len(slope)
    # later[a, b] = slope_{a+b+1}, and 0 past the last lag.
    ahead = jnp.concatenate([slope, jnp.zeros_like(slope)])
    later = ahead[jnp.arange(seq_len)[:, None] + jnp.arange(seq_len)[None] + 1]
    return Small(
        einsum("apr,abpq,bsq->rs", rows, later, columns) * scale**2,
        einsum("jpr,jpq->rq", rows, slope) * scale,
        einsum("jpq,jrq->pr", slope, columns) * scale,
    )
