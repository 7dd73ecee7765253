"""What a column holds: the name of a quantity and its unit, as headers of tables write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# "force [N]", "force (N)" and "force / N"; without spaces, a slash is part of a name.
_WITH_UNIT = re.compile(r"(?P<name>.*\S)\s*(\[(?P<a>[^\[\]]*)\]|\((?P<b>[^()]*)\)|\s/\s(?P<c>\S+))")


class Channel(NamedTuple):
    """One input or output of a recording.

    Attributes:
      name: what it is called.
      unit: the unit of its values; empty if none is known.

    Example:
      >>> import ntk_rnn as nr
      >>> str(nr.data.Channel("force", "N")), str(nr.data.Channel("trial"))
      ('force [N]', 'trial')
    """

    name: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.name} [{self.unit}]" if self.unit else self.name


def channel(header: str) -> Channel:
    """The name and the unit in the header of a column: ``force [N]``, ``force (N)``, ``force``."""
    found = _WITH_UNIT.fullmatch(header.strip())
    if found is None:
        return Channel(header.strip())
    unit = found["a"] or found["b"] or found["c"] or ""
    return Channel(found["name"], unit.strip())


def numbered(name: str, count: int) -> tuple[Channel, ...]:
    """Channels of an array that has one name: the name alone, or with numbers from 1."""
    only = channel(name)
    if count == 1:
        return (only,)
    return tuple(Channel(f"{only.name} {number}", only.unit) for number in range(1, count + 1))


def places(name: str, headers: Sequence[str]) -> list[int]:
    """Where a name is among headers: written in full, or else without the unit."""
    exact = [place for place, header in enumerate(headers) if header == name]
    return exact or [place for place, header in enumerate(headers) if channel(header).name == name]
