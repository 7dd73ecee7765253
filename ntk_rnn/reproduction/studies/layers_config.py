"""Configuration of the study of causal linear layers; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction.studies.config_base import StudyConfig

#: Causal linear layers, by the names that the command line has for them.
Layer = Literal["gaussian", "orthogonal", "diagonal", "lru", "s4d-lin", "s4d-inv"]

# Of the states of S4D, so many belong to a feature.
_ORDER = 32


@dataclass(frozen=True)
class LayersConfig(StudyConfig):
    """What causal linear layers remember, and how they learn a delay.

    Raises:
      ValueError: if a number is out of range; names the field, the value and the remedy.
    """

    layers: tuple[Layer, ...] = ("gaussian", "orthogonal", "diagonal", "lru", "s4d-lin", "s4d-inv")
    """Which layers."""
    widths: tuple[int, ...] = (128, 512, 2048)
    """Widths n of the layers, numbers of states."""
    seq_len: int = 20
    """Length T of the sequences, and number of lags."""
    nu_w: float = 0.5
    """Variance of the entries of W, for gaussian and orthogonal."""
    nu_f: float = 1.0
    """Variance of the entries of F, or B."""
    nu_c: float = 1.0
    """Variance of the entries of C."""
    r_min: float = 0.0
    """Inner radius of the ring of eigenvalues, for diagonal and lru."""
    r_max: float = 1.0
    """Outer radius of that ring."""
    delay: int = 6
    """The task is to return the input of so many steps ago."""
    num_train: int = 20
    """Number of training sequences."""
    steps: int = 200
    """Number of steps of gradient descent, at half of the largest stable rate of each layer."""
    seeds: int = 8
    """Number of seeds: of the inputs and the layer together."""
    first_seed: int = 0
    """The first seed; the others follow it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("steps", "num_train")
        self._different("widths", 1)
        if len(self.widths) < 2:
            raise UserError(f"widths must be two or more, got {self.widths}; e.g. 128 512 2048")
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise UserError(
                f"layers must be one or more, each once, got {self.layers}; e.g. gaussian lru"
            )
        uneven = [width for width in self.widths if width % _ORDER]
        if uneven and any(layer.startswith("s4d") for layer in self.layers):
            raise UserError(
                f"widths must be multiples of {_ORDER} for s4d, which has so many states a "
                f"feature, got {uneven[0]}; e.g. {_ORDER * max(1, round(uneven[0] / _ORDER))}"
            )
        if not 0 <= self.r_min <= self.r_max <= 1 or self.r_max == 0:
            raise UserError(
                "r_min and r_max must be between 0 and 1 in this order, and r_max positive, got "
                f"{self.r_min:g} and {self.r_max:g}; e.g. 0.9 0.999"
            )
        if not 0 <= self.delay < self.seq_len:
            raise UserError(
                f"delay must be from 0 to seq_len - 1, {self.seq_len - 1}, got {self.delay}"
            )
        if self.seq_len < 2:
            raise UserError(f"seq_len must be at least 2, to compare lags, got {self.seq_len}")
