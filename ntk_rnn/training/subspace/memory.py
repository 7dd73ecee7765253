"""How large a subspace may be: how much memory it takes, and how much of the whole space."""

from __future__ import annotations

from ntk_rnn._memory import free_bytes
from ntk_rnn.products.panels import Matrix, Panels
from ntk_rnn.training.subspace.network import Network

# Past this part of the width, a step in the subspace saves too little over one with W.
PART_OF_THE_WIDTH = 4

# Beside the three panels of a subspace there are those of the smaller one that it grew from, or
# what is computed from them.
_PANELS = 6


class RankTooLarge(Exception):
    """The subspace would take up so much of the whole space that a step there saves little."""


def check_growth(network: Network, panels: Panels, columns: int) -> None:
    """Raises an error if a subspace is not to grow.

    Args:
      network: what is trained.
      panels: the subspace so far.
      columns: how many directions are to be added at most.

    Raises:
      RankTooLarge: if it takes up a quarter of the width, and there is a ``W`` to train with.
      ValueError: if it does not fit into memory.
    """
    if isinstance(network.source, Matrix) and PART_OF_THE_WIDTH * int(panels.rank) > network.width:
        raise RankTooLarge
    refuse_too_wide(network, panels.room_for(columns))


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
