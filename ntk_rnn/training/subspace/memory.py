"""How much memory a subspace takes, and what to do where there is too little."""

from __future__ import annotations

from ntk_rnn._memory import free_bytes
from ntk_rnn.training.subspace.network import Network

# Beside the three panels of a subspace there are those of the smaller one that it grew from, or
# what is computed from them.
_PANELS = 6


def refuse_too_wide(network: Network, capacity: int) -> None:
    """Raises ``ValueError`` if the panels of a subspace do not fit into memory.

    Args:
      network: what is trained.
      capacity: number of columns of its panels.
    """
    columns, entry = _PANELS * capacity, network.f.dtype.itemsize
    needed, free = columns * entry * network.width, free_bytes()
    if needed > free:
        raise ValueError(
            f"params must be of a width whose subspace fits into memory, got {network.width}: "
            f"{columns} vectors of that length take {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB "
            f"are free; take a width of {free / columns / entry:.1e}, or a larger tolerance"
        )
