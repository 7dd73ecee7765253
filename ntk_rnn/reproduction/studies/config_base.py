"""What all configurations of studies have, and how they refuse numbers that are out of range."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Literal

from ntk_rnn._terminal import UserError

#: The activations that have a name, which the command line offers before JAX is loaded.
Named = Literal["identity", "relu", "leaky_relu", "abs", "erf", "gelu", "sin", "cos", "tanh"]

# More seeds would take years, and no axis of an array is longer.
_MOST_SEEDS, _LONGEST = 10**6, 2**31 - 1


class StudyConfig:
    """A configuration: sequences of some length, the variances of a linear RNN, and seeds.

    It is not a dataclass itself. Configurations declare their fields in the order in which the
    command line and ``config.json`` have them, and say what each means in their study.
    """

    seq_len: int
    nu_w: float
    nu_f: float
    nu_c: float
    seeds: int
    first_seed: int

    @property
    def nu(self) -> tuple[float, float, float]:
        """The variances, in the order in which all functions take them."""
        return self.nu_w, self.nu_f, self.nu_c

    @property
    def seed_list(self) -> list[int]:
        """The seeds, one after the other."""
        return list(range(self.first_seed, self.first_seed + self.seeds))

    def __post_init__(self) -> None:
        self._at_least_one("seeds")
        self._positive("nu_w", "nu_f", "nu_c")
        if self.seeds > _MOST_SEEDS:
            raise UserError(
                f"seeds must be at most {_MOST_SEEDS}, got {self.seeds}; the default is "
                f"{type(self).seeds}"
            )
        # JAX would not take others as they are.
        if not 0 <= self.first_seed < 2**31:
            raise UserError(f"first_seed must be from 0 to 2^31 - 1, got {self.first_seed}; e.g. 0")

    def _at_least_one(self, *names: str) -> None:
        """Refuses numbers below 1, and those that no array can be as long as."""
        for name in names:
            value = getattr(self, name)
            if not 1 <= value <= _LONGEST:
                wanted = "at least 1" if value < 1 else f"at most {_LONGEST}"
                raise UserError(
                    f"{name} must be {wanted}, got {value}; "
                    f"the default is {getattr(type(self), name)}"
                )

    def _positive(self, *names: str) -> None:
        """Refuses numbers that are not positive and finite."""
        for name in names:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(
                    f"{name} must be positive and finite, got {value:g}; "
                    f"the default is {getattr(type(self), name):g}"
                )

    def _fits(self, entries: Mapping[str, int]) -> None:
        """Refuses arrays for which this machine has too little memory.

        Args:
          entries: how many entries arrays have, by the names of the fields that say so.
        """
        if not hasattr(os, "sysconf"):  # Windows
            return
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        for names, number in entries.items():
            if 4 * number > memory:
                raise UserError(
                    f"{names} must give arrays that fit in memory, {memory / 1e9:.3g} GB, got one "
                    f"of {4 * number / 1e9:.3g} GB; take smaller ones"
                )

    def _different(self, name: str, least: int) -> None:
        """Refuses a tuple that is empty, repeats a number or has one that is out of range."""
        values = getattr(self, name)
        example = " ".join(map(str, getattr(type(self), name)[:3]))
        if not values:
            raise UserError(f"{name} must not be empty, got (); give at least one, e.g. {example}")
        for value in values:
            if not least <= value <= _LONGEST:
                wanted = f"at least {least}" if value < least else f"at most {_LONGEST}"
                raise UserError(f"{name} must be {wanted}, got {value}; e.g. {example}")
        if len(set(values)) < len(values):
            raise UserError(f"{name} must differ, got {values}; give each once")
