"""What all configurations of studies have, and how they refuse numbers that are out of range."""

from __future__ import annotations

import math

from ntk_rnn._terminal import UserError


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
        # JAX would not take others as they are.
        if not 0 <= self.first_seed < 2**31:
            raise UserError(f"first_seed must be from 0 to 2^31 - 1, got {self.first_seed}; e.g. 0")

    def _at_least_one(self, *names: str) -> None:
        """Refuses numbers below 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise UserError(
                    f"{name} must be at least 1, got {getattr(self, name)}; "
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

    def _different(self, name: str, least: int) -> None:
        """Refuses a tuple that is empty, repeats a number or has one below ``least``."""
        values = getattr(self, name)
        example = " ".join(map(str, getattr(type(self), name)[:3]))
        if not values:
            raise UserError(f"{name} must not be empty, got (); give at least one, e.g. {example}")
        for value in values:
            if value < least:
                raise UserError(f"{name} must be at least {least}, got {value}; e.g. {example}")
        if len(set(values)) < len(values):
            raise UserError(f"{name} must differ, got {values}; give each once")
