"""What a column holds: the name of a quantity and its unit, as headers of tables write them."""

from __future__ import annotations

import re
import unicodedata
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
    """Where a name is among headers: written in full, or with its unit, or without it."""
    exact = [place for place, header in enumerate(headers) if header == name]
    found = [channel(header) for header in headers]
    same = [place for place, each in enumerate(found) if each.unit and each == channel(name)]
    return exact or same or [place for place, each in enumerate(found) if each.name == name]


def check_same(
    kind: str, given: Sequence[Channel], fitted: Sequence[Channel], where: str = ""
) -> None:
    """Raises ``ValueError`` where channels are known to be others than those of a fit.

    Their units may not differ, nor may the same names be in another order. What is not known is
    taken to be right, and a name may be another one.
    """
    if len(given) != len(fitted):  # also where nothing is known of one of them
        return
    if list(given) != list(fitted) and sorted(given) == sorted(fitted):
        raise ValueError(
            f"{kind} must be in the order of the fit, {', '.join(map(str, fitted))}, got "
            f"{', '.join(map(str, given))}{where}; name them in that order"
        )
    for one, other in zip(given, fitted, strict=True):
        if one.unit and other.unit and _written(one.unit) != _written(other.unit):
            raise ValueError(
                f"{kind} must be in the units of the fit, {str(other)!r}, got {str(one)!r}{where}; "
                "convert its values, or correct the unit that is written there"
            )


def _written(unit: str) -> str:
    """A unit with one way to write each sign: there are two for micro and for ohm."""
    return unicodedata.normalize("NFKC", unit).replace(" ", "")
