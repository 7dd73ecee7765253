"""The subspace that training stays in, and how it grows where a chain leaves it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn.products.panels import (
    AT_ONCE,
    Panels,
    Source,
    dot,
    length,
    outside,
    spanning,
    with_directions,
)
from ntk_rnn.products.small import Leaks, Small, chains_of, scale_of
from ntk_rnn.training.subspace.memory import check_growth, refuse_too_wide
from ntk_rnn.training.subspace.network import Network

# Directions that are added at once for each of both chains.
_OF_EACH = AT_ONCE // 2

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


def basis_of(network: Network, seq_len: int, tolerance: float) -> Basis:
    """The subspace that both chains before training, and what is known of ``W``, span.

    Args:
      network: before training.
      seq_len: number ``T`` of lags.
      tolerance: what may leak, relative to the starts of the chains.
    """
    starts = network.f, network.c.T
    panels = spanning(network.known, network.source, jnp.concatenate(starts, axis=1))
    unchanged = jnp.zeros((0, 0), network.f.dtype)
    panels = with_chains(panels, network, starts, unchanged, seq_len, tolerance)
    check_growth(network, panels, 0)
    return _described(panels)


def with_chains(
    panels: Panels,
    network: Network,
    starts: tuple[Float[Array, "n n_x"], Float[Array, "n n_y"]],
    change: Float[Array, "r r"],
    seq_len: int,
    tolerance: float,
) -> Panels:
    """The panels with a basis that spans both chains of a network, too.

    Each chain is followed to where it has become so short that its rest is tolerated.

    Args:
      panels: what is known.
      network: before training.
      starts: of both chains, in the span of the basis.
      change: what training has added to ``P^T W P``, of the first ``r`` vectors of the basis.
      seq_len: number ``T`` of lags.
      tolerance: what may leak, relative to the starts of the chains.
    """
    ends = starts
    for _ in range(seq_len - 1):
        more = panels.capacity - len(change)
        padded_change = jnp.pad(change, ((0, more), (0, more)))
        ends, candidates = _following(panels, padded_change, starts, ends, tolerance)
        if jnp.any(candidates):
            refuse_too_wide(network, panels.room_for(candidates.shape[1]))
            panels = spanning(panels, network.source, candidates)
    return panels


@jax.jit
def _following(
    panels: Panels,
    change: Float[Array, "R R"],
    starts: tuple[Float[Array, "n n_x"], Float[Array, "n n_y"]],
    ends: tuple[Float[Array, "n n_x"], Float[Array, "n n_y"]],
    tolerance: Any,
) -> tuple[tuple[Float[Array, "n n_x"], Float[Array, "n n_y"]], Float[Array, "n k"]]:
    """The next lag of both chains, and what of it leaves the subspace by more than is tolerated."""
    following, found = [], []
    change = change * scale_of(len(panels.basis), panels.basis.dtype)
    for panel, changed, start, end in zip(
        panels[1:3], (change, change.T), starts, ends, strict=True
    ):
        inside = dot(panels.basis.T, end)
        vectors = dot(panel, inside)
        new = outside(panels.basis, vectors)
        following.append(vectors + dot(panels.basis, dot(changed, inside)))
        found.append(jnp.where(length(new) > tolerance * length(start), new, 0))
    return (following[0], following[1]), jnp.concatenate(found, axis=1)


@jax.jit
def network_in(basis: Basis, f: Float[Array, "n n_x"], c: Float[Array, "n_y n"]) -> Small:
    """The network before training, in the coordinates of a subspace."""
    p = basis.panels.basis
    return Small(basis.core, dot(p.T, f), dot(c, p))


def grown(basis: Basis, source: Source, candidates: Float[Array, "n k"]) -> Basis:
    """A larger subspace.

    Args:
      basis: the subspace so far. The memory of its panels is reused.
      source: where products with ``W`` come from.
      candidates: what it is to span too, from ``leaking``.
    """
    panels = basis.panels.with_room(AT_ONCE)
    return _described(with_directions(panels, source, candidates))


@jax.jit
def moved_to(core: Float[Array, "S S"], small: Small, before: Float[Array, "R R"]) -> Small:
    """A network that was trained in one subspace, in the coordinates of a larger one.

    Args:
      core: what ``W`` is in the larger one, whose basis begins with that of the smaller one.
      small: the network.
      before: what ``W`` is in the smaller one.
    """
    changed = padded(small._replace(w=small.w - before), len(core))
    return changed._replace(w=changed.w + core)


def padded(matrices: Small, capacity: int) -> Small:
    """Changes of matrices, in the coordinates of a larger basis, which begins with the smaller."""
    more = capacity - len(matrices.w)
    return Small(
        jnp.pad(matrices.w, ((0, more), (0, more))),
        jnp.pad(matrices.f, ((0, more), (0, 0))),
        jnp.pad(matrices.c, ((0, 0), (0, more))),
    )


@partial(jax.jit, static_argnums=2)
def leaking(
    basis: Basis, small: Small, seq_len: int, tolerance: Any
) -> tuple[Float[Array, "n k"], Float[Array, ""]]:
    """The directions into which most of the chains leaks, and the largest leak.

    Args:
      basis: the subspace.
      small: the network in it, as trained so far.
      seq_len: number ``T`` of lags.
      tolerance: what may leak, relative to the starts of the chains.
    """
    panels = basis.panels
    scale = scale_of(len(panels.basis), panels.basis.dtype)
    chains, found = chains_of(small, scale, seq_len), []
    if seq_len == 1:  # W is multiplied with nothing
        nothing = jnp.zeros((len(panels.basis), AT_ONCE), panels.basis.dtype)
        return nothing, basis.leaks.largest(chains)
    for gram, panel, vectors in zip(basis.leaks, panels[1:3], chains.relative(), strict=True):
        if vectors.shape[1] > len(vectors):  # as many, with the same sums of squares
            vectors = jnp.linalg.qr(vectors.T, mode="r").T
        squares, right = jnp.linalg.eigh(dot(vectors.T, dot(gram, vectors)))
        values = jnp.sqrt(jnp.maximum(squares[::-1], 0))[:_OF_EACH]
        right = right[:, ::-1][:, :_OF_EACH]
        # The largest one is, since many smaller ones together may be more than is tolerated.
        worth = values >= jnp.minimum(_WORTH * tolerance, values[0])
        # Their signs are left to rounding, and other directions would be those of another W.
        largest = jnp.argmax(jnp.abs(right), axis=0, keepdims=True)
        right *= jnp.sign(jnp.take_along_axis(right, largest, axis=0))
        most = jnp.where(worth[None], right, 0)
        found.append(outside(panels.basis, dot(panel, dot(vectors, most))))
    candidates = jnp.concatenate(found, axis=1)
    room = AT_ONCE - candidates.shape[1]
    return jnp.pad(candidates, ((0, 0), (0, room))), basis.leaks.largest(chains)


@jax.jit
def _leak(basis: Float[Array, "n R"], panel: Float[Array, "n R"]) -> Float[Array, "R R"]:
    """The Gram matrix of what a panel makes outside of the basis."""
    new = outside(basis, panel)
    return dot(new.T, new)


def _described(panels: Panels) -> Basis:
    """The basis with what is computed from its panels, one after the other for want of memory."""
    leaks = Leaks(*(_leak(panels.basis, panel) for panel in panels[1:3]))
    return Basis(panels, core_of(panels), leaks)


@jax.jit
def core_of(panels: Panels) -> Float[Array, "R R"]:
    """``P^T W P``."""
    return panels.core() * len(panels.basis) ** 0.5
