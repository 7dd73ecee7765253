"""A row of units directly below the names of columns, as loggers of measurements write it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ntk_rnn.data.cells import MISSING
from ntk_rnn.data.channels import channel

_PREFIX = "(?:da|[YZEPTGMkhdcm\u00b5\u03bcunpfazy])?"
_UNIT = (
    "(?:mol|cd|Hz|Pa|Ohm|ohm|Wb|lm|lx|Bq|Gy|Sv|eV|VA|Wh|bar|rad|min|dB|[gmsAKNJWCVFSTHLlhd\u03a9])"
)
_OTHER = (
    "(?:%|\u2030|\u00b0[CF]?|deg[CF]?|ppm|ppb|rpm|bpm|mmHg|psi|in|inch|ft|px|pixels?|sec|seconds?|"
    "minutes?|hours?|days?|counts?|spikes?|samples?|a\\.?u\\.?|1)"
)
_POWER = "(?:\\^?-?[1-9]|[\u00b2\u00b3]|\u207b[\u00b9\u00b2\u00b3])?"
_FACTOR = f"(?:{_OTHER}|{_PREFIX}{_UNIT}){_POWER}"
# Without brackets, only what is known as a unit is one: "off" may be a value.
_KNOWN = re.compile(f"(?!1$){_FACTOR}(?:[/*. \u00b7]{_FACTOR})*")
_IN_BRACKETS = re.compile(r"\[([^\[\]]*)\]|\(([^()]*)\)")


def with_units(names: Sequence[str], cells: Sequence[str]) -> list[str] | None:
    """The names of columns with the units below them; ``None`` if these are none.

    Each cell must be a unit, or say that there is none, as an empty cell does.
    """
    if len(cells) != len(names):
        return None
    units = [_unit(cell.strip()) for cell in cells]
    if None in units or not any(units):
        return None
    return [
        f"{name} [{unit}]" if unit and not channel(name).unit else name
        for name, unit in zip(names, units, strict=True)
    ]


def _unit(cell: str) -> str | None:
    """The unit in a cell; empty where there is none, and ``None`` where it is something else."""
    if cell in ("", "-", "[]", "[-]", "()", "(-)"):
        return ""
    within = _IN_BRACKETS.fullmatch(cell)
    if within is not None:
        return (within[1] or within[2] or "").strip()
    return cell if cell.lower() not in MISSING and _KNOWN.fullmatch(cell) else None
