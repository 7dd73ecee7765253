"""How far a network in a subspace is from the whole one: the whole one is evaluated."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn.objective import DataSet
from ntk_rnn.products.panels import ROUNDING, dot
from ntk_rnn.products.small import Small, scale_of
from ntk_rnn.training.subspace.basis import Basis, core_of, moved_to, padded, with_chains
from ntk_rnn.training.subspace.loop import Setting, evaluated
from ntk_rnn.training.subspace.network import Network


class Distances(NamedTuple):
    """How far a network in a subspace is from the whole one, relative to the latter.

    Attributes:
      response: of the impulse responses.
      gradient: of the gradients with respect to all parameters.
    """

    response: Float[Array, ""]
    gradient: Float[Array, ""]


def distances(
    setting: Setting, network: Network, basis: Basis, data: DataSet, small: Small
) -> Distances:
    """Compares a network in a subspace with the wide network at the same parameters.

    The wide one is evaluated in a subspace that both of its chains lie in, from lag to lag by
    products with ``W``.

    Args:
      setting: how the network is trained.
      network: before training.
      basis: the subspace. It is left as it is.
      data: training data.
      small: the network in it.
    """
    seq_len, scale = data.shape[0], scale_of(network.width, small.w.dtype)
    bound = ROUNDING * float(jnp.finfo(small.w.dtype).eps)
    p = basis.panels.basis
    starts = dot(p, small.f), dot(p, small.c.T)
    panels = with_chains(basis.panels, network, starts, small.w - basis.core, seq_len, bound)
    exact = moved_to(core_of(panels), small, basis.core)
    response, gradient = evaluated(setting, scale, data, small)
    expected, slope = evaluated(setting, scale, data, exact)
    return Distances(
        _relative(response, expected), _relative(padded(gradient, len(slope.w)), slope)
    )


@jax.jit
def _relative(found: Array | Small, expected: Array | Small) -> Float[Array, ""]:
    """The distance of two of a kind, relative to the size of the second."""
    squares = [
        (jnp.sum((a - b) ** 2), jnp.sum(b**2))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    ]
    gaps, sizes = zip(*squares, strict=True)
    gap, size = jnp.sqrt(sum(gaps)), jnp.sqrt(sum(sizes))
    return jnp.where(gap == 0, 0, gap / size)
