"""Configurations of the studies of the S1 recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction.studies.config_base import StudyConfig


@dataclass(frozen=True)
class DecodingConfig(StudyConfig):
    """Decoding the velocity of the hand from the S1 recordings, by an RNN and by convolutions.

    Width, length, variances, batch size and learning rate are those of Fig. 5 and Table 1 of the
    paper.

    Raises:
      ValueError: if a number is out of range; names the field, the value and the remedy.
    """

    width: int = 1000
    """Number n of hidden units of the RNN."""
    seq_len: int = 15
    """Length T of the windows in bins of 50 ms."""
    nu_w: float = 0.3
    """Variance of the entries of W."""
    nu_f: float = 1.0
    """Variance of the entries of F."""
    nu_c: float = 1.0
    """Variance of the entries of C."""
    batch_size: int = 128
    """Number of windows a step."""
    learning_rate: float = 1e-4
    """Learning rate on the sum loss, 1/2 of the squared error summed over a batch."""
    epochs: int = 100
    """Number of epochs with all data; with limited data there are as many steps."""
    targets: Literal["last", "all"] = "last"
    """Whether the velocity is decoded at the last step of windows that begin at every bin, or at
    all steps of windows that follow each other."""
    limited_minutes: float = 4.5
    """How many minutes limited data are, from the start of the recording."""
    test_fraction: float = 0.2
    """The part of the recording that is held out, at its end."""
    seeds: int = 8
    """Number of seeds: of the RNN at the start and of the order of the windows."""
    rnn_seeds: int = 3
    """The RNN is trained for this many of them, or all if there are fewer."""
    first_seed: int = 0
    """The first seed; the others follow it."""
    data: str | None = None
    """Path of s1_data.mat or its folder; if None, NTK_RNN_DATA says it, or it is downloaded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("width", "seq_len", "batch_size", "epochs", "rnn_seeds")
        self._positive("learning_rate", "limited_minutes", "test_fraction")
        if self.test_fraction >= 1:
            raise UserError(f"test_fraction must be below 1, got {self.test_fraction:g}; e.g. 0.2")
        if self.targets not in ("last", "all"):
            raise UserError(f'targets must be "last" or "all", got {self.targets!r}')


@dataclass(frozen=True)
class ReadingsConfig(StudyConfig):
    """What Table 1 would be if what the paper leaves unsaid were read otherwise, in closed form.

    Raises:
      ValueError: if a number is out of range; names the field, the value and the remedy.
    """

    width: int = 1000
    """Number n of hidden units of the RNN from whose impulse response all models start."""
    seq_len: int = 15
    """Length T of the windows in bins of 50 ms."""
    nu_w: float = 0.3
    """Variance of the entries of W."""
    nu_f: float = 1.0
    """Variance of the entries of F."""
    nu_c: float = 1.0
    """Variance of the entries of C."""
    limited_minutes: float = 4.5
    """How many minutes each chunk of limited data has."""
    seeds: int = 8
    """Number of seeds: of the RNN at the start."""
    first_seed: int = 0
    """The first seed; the others follow it."""
    data: str | None = None
    """Path of s1_data.mat or its folder; if None, NTK_RNN_DATA says it, or it is downloaded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("width", "seq_len")
        self._positive("limited_minutes")
