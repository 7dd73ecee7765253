"""Configuration of the study of short memory; nothing heavy is imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction.studies.config_base import Named, StudyConfig


@dataclass(frozen=True)
class BiasConfig(StudyConfig):
    """How soon a linear RNN, convolutions and networks with an activation learn each lag.

    Raises:
      ValueError: if a number is out of range; names the field, the value and the remedy.
    """

    width: int = 1000
    """Number n of hidden units of the RNN that is trained."""
    in_dim: int = 1
    """Number n_x of inputs."""
    out_dim: int = 1
    """Number n_y of outputs."""
    seq_len: int = 10
    """Length T of the sequences, and number of lags."""
    nu_w: float = 0.3
    """Variance of the entries of W."""
    nu_f: float = 1.0
    """Variance of the entries of F."""
    nu_c: float = 1.0
    """Variance of the entries of C."""
    num_train: int = 1000
    """Number of training sequences: many, so that white inputs at different lags differ."""
    learning_rate: float = 7e-6
    """Learning rate of gradient descent on the sum loss; below the B1 of Theorem 4.1."""
    steps: int = 2000
    """Number of steps of the RNN; the convolutions are solved until they learn the last lag."""
    changes: tuple[float, ...] = (0.1, 1.0)
    """How much of each lag the RNN is to learn, a Frobenius norm; convolutions learn in parts."""
    seeds: int = 20
    """Number of seeds: of the inputs, what is to be learned and the student together."""
    first_seed: int = 0
    """The first seed; the others follow it."""
    rnn_seeds: int = 6
    """The RNN is trained for this many of them, or all if there are fewer."""
    activations: tuple[Named, ...] = ("relu", "erf", "tanh")
    """Activations of networks of infinite width, with chi = nu_w; none if it is 1 or more."""
    activation_sequences: int = 800
    """Number of training sequences of those networks, which have one output each."""
    activation_seeds: int = 4
    """Those networks are solved for this many seeds, or all if there are fewer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("width", "in_dim", "out_dim", "num_train", "steps", "rnn_seeds")
        self._at_least_one("activation_sequences", "activation_seeds")
        self._positive("learning_rate")
        self._different("changes", 0)
        if not all(0 < size < math.inf for size in self.changes):
            raise UserError(f"changes must be positive and finite, got {self.changes}; e.g. 0.1 1")
        if len(set(self.activations)) < len(self.activations):
            raise UserError(f"activations must differ, got {self.activations}; give each once")
        if self.seq_len < 2:
            raise UserError(f"seq_len must be at least 2, to compare lags, got {self.seq_len}")
