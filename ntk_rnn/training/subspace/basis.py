"""The subspace that training stays in, and how it grows where a chain leaves it."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn.products.panels import Panels, Source, dot, with_directions
from ntk_rnn.products.small import Leaks, Small, chains_of

# Directions that are added at once, at most, for each of both chains.
_AT_ONCE = 4

# A direction is added if more leaks into it than this part of what may.
_WORTH = 0.3


class Basis(NamedTuple):
    """A subspace, and what ``W`` is in it before training.

    Attributes:
      panels: the basis ``P``, and the products of ``W`` with it.
      core: ``P^T W P``, shape ``(R, R)``.
      leaks: what ``W`` makes of the subspace outside of it.
    """

    panels: Panels
    core: Float[Array, "R R"]
    leaks: Leaks


def basis_of(
    panels: Panels, source: Source, f: Float[Array, "n n_x"], c: Float[Array, "n_y n"]
) -> Basis:
    """The subspace that ``F``, ``C`` and what is known of ``W`` span.

    Args:
      panels: what is known of ``W``. They are left as they are.
      source: where products with ``W`` come from.
      f: ``F``, shape ``(n, n_x)``.
      c: ``C``, shape ``(n_y, n)``.
    """
    starts = jnp.concatenate([f, c.T], axis=1)
    panels = jax.tree.map(jnp.copy, panels)
    # Twice, for of nearly parallel columns the first time takes one.
    for _ in range(2):
        panels = with_directions(panels.with_room(starts.shape[1]), source, starts)
    return _described(panels)


@jax.jit
def network_in(basis: Basis, f: Float[Array, "n n_x"], c: Float[Array, "n_y n"]) -> Small:
    """The network before training, in the coordinates of a subspace."""
    p = basis.panels.basis
    return Small(basis.core, dot(p.T, f), dot(c, p))


def grown(basis: Basis, source: Source, small: Small, seq_len: int, tolerance: float) -> Basis:
    """A larger subspace, which less leaks from.

    Args:
      basis: the subspace so far. Its memory is reused.
      source: where products with ``W`` come from.
      small: the network in it, as trained so far.
      seq_len: number ``T`` of lags.
      tolerance: what may leak, relative to the starts of the chains.
    """
    candidates = _leaking(basis, small, len(basis.panels.basis), seq_len, tolerance)
    panels = basis.panels.with_room(candidates.shape[1])
    return _described(with_directions(panels, source, candidates))


def padded(matrices: Small, capacity: int) -> Small:
    """Matrices in the coordinates of a larger basis, which begins with the smaller one."""
    more = capacity - len(matrices.w)
    return Small(
        jnp.pad(matrices.w, ((0, more), (0, more))),
        jnp.pad(matrices.f, ((0, more), (0, 0))),
        jnp.pad(matrices.c, ((0, 0), (0, more))),
    )


@partial(jax.jit, static_argnums=(2, 3))
def _leaking(
    basis: Basis, small: Small, width: int, seq_len: int, tolerance: Float[Array, ""]
) -> Float[Array, "n k"]:
    """The directions into which most of the chains leaks."""
    chains = chains_of(small, width, seq_len)
    candidates = []
    for leak, panel, vectors in zip(
        basis.leaks.of(chains), basis.panels.leaks(), chains.in_columns(), strict=True
    ):
        _, values, right = jnp.linalg.svd(leak, full_matrices=False)
        worth = values[:_AT_ONCE] > _WORTH * tolerance
        most = jnp.where(worth[None], right[:_AT_ONCE].T, 0)
        candidates.append(dot(panel, dot(vectors, most)))
    return jnp.concatenate(candidates, axis=1)


@jax.jit
def _described(panels: Panels) -> Basis:
    """The basis with what is computed from its panels."""
    triangles = (jnp.linalg.qr(leak, mode="r") for leak in panels.leaks())
    return Basis(panels, panels.core() * len(panels.basis) ** 0.5, Leaks(*triangles))
