"""Configurations of the studies, with the paper's values as defaults.

Nothing heavy is imported here: the command line reads its options off these classes before JAX is
loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction.studies.bias_config import BiasConfig
from ntk_rnn.reproduction.studies.config_base import StudyConfig
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig, ReadingsConfig
from ntk_rnn.reproduction.studies.layers_config import LayersConfig

Implementation = Literal[
    "structured_derivatives", "ntk_vector_products", "jacobian_contraction", "auto"
]


@dataclass(frozen=True)
class TeacherConfig(StudyConfig):
    """Data from a small linear RNN, the teacher, and gradient descent of a student on them.

    Raises:
      ValueError: if a number is out of range; names the field, the value and the remedy.
    """

    teacher_width: int = 4
    """Number of hidden units of the RNN that makes the data."""
    in_dim: int = 1
    """Number n_x of inputs."""
    out_dim: int = 1
    """Number n_y of outputs."""
    seq_len: int = 10
    """Length T of the sequences."""
    nu_w: float = 0.3
    """Variance of the entries of W, for teacher and student."""
    nu_f: float = 1.0
    """Variance of the entries of F."""
    nu_c: float = 1.0
    """Variance of the entries of C."""
    snr_db: float = 20.0
    """Signal-to-noise ratio of the outputs in decibels."""
    num_train: int = 50
    """Number of training sequences."""
    num_test: int = 50
    """Number of test sequences."""
    learning_rate: float = 1e-4
    """Learning rate of gradient descent on the sum loss, 1/2 of the summed squared error."""
    seeds: int = 8
    """Number of seeds: of the teacher, the data and the student together."""
    first_seed: int = 0
    """The first seed; the others follow it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("teacher_width", "in_dim", "out_dim", "seq_len", "num_train", "num_test")
        self._positive("learning_rate")
        if not math.isfinite(self.snr_db):
            raise UserError(f"snr_db must be finite, got {self.snr_db}; e.g. 20")


@dataclass(frozen=True)
class DynamicsConfig(TeacherConfig):
    """Gradient descent of a wide linear RNN and of its equivalent scaled convolution.

    Defaults are those of Figs. 1 and 2 of the paper.
    """

    width: int = 1000
    """Number n of hidden units of the RNN that is trained."""
    steps: int = 1000
    """Number of steps; each sees all training sequences, so a step is an epoch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("width", "steps")


@dataclass(frozen=True)
class KernelsConfig(StudyConfig):
    """Neural tangent kernels of linear RNNs of rising width against that of infinite width.

    Raises:
      ValueError: if a number is out of range; names the field, the value and the remedy.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    """Widths n of the RNNs."""
    seeds: int = 8
    """Number of seeds, i.e. of draws of the parameters, at each width."""
    first_seed: int = 0
    """The first seed; the others follow it."""
    num_sequences: int = 4
    """Number N of input sequences, the same for all widths and seeds."""
    seq_len: int = 10
    """Length T of the sequences."""
    in_dim: int = 1
    """Number n_x of inputs."""
    out_dim: int = 1
    """Number n_y of outputs; the kernels between different outputs are compared as well."""
    nu_w: float = 0.3
    """Variance of the entries of W."""
    nu_f: float = 1.0
    """Variance of the entries of F."""
    nu_c: float = 1.0
    """Variance of the entries of C."""
    implementation: Implementation = "structured_derivatives"
    """How neural-tangents computes the kernels. The result is the same; only times differ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("num_sequences", "seq_len", "in_dim", "out_dim")
        self._different("widths", 1)
        # Up to a factor of seq_len, the largest lag weights (eq. 21), on whose squares errors are.
        size = math.log10(self.nu_f + self.nu_c + self.nu_f * self.nu_c)
        if not -15 < size + self.seq_len * max(0.0, math.log10(self.nu_w)) < 15:
            raise UserError(
                "nu_w, nu_f and nu_c must give kernels that are neither 0 nor infinite in float32, "
                f"got {self.nu_w:g}, {self.nu_f:g} and {self.nu_c:g} at {self.seq_len} steps; the "
                "defaults are 0.3, 1 and 1"
            )
        steps, widest = self.num_sequences * self.seq_len, max(self.widths)
        self._fits(
            {
                "widths": widest**2,
                "num_sequences, seq_len and out_dim": (steps * self.out_dim) ** 2,
                "num_sequences, seq_len and in_dim": steps * self.in_dim,
                "widths and in_dim": widest * self.in_dim,
                "widths and out_dim": widest * self.out_dim,
            }
        )


@dataclass(frozen=True)
class DelayConfig(TeacherConfig):
    """Test error against the delay of the task, of an RNN, a scaled and an unscaled convolution.

    Sizes are those of Fig. 3 of the paper, which gives neither steps nor learning rate nor seeds.
    The noise is added after the delay, and delays are from 0 to T - 1.
    """

    width: int = 1000
    """Number n of hidden units of the RNN that is trained."""
    target: Literal["teacher", "copy"] = "teacher"
    """What is delayed: the output of an RNN, or the first input."""
    in_dim: int = 15
    """Number n_x of inputs."""
    seq_len: int = 20
    """Length T of the sequences."""
    num_train: int = 10
    """Number of training sequences."""
    num_test: int = 10
    """Number of test sequences."""
    steps: tuple[int, ...] = (100, 1000, 10_000)
    """Numbers of steps to compare; infinitely many are added."""
    rnn_steps: int = 1000
    """The RNN is trained for those numbers of steps that are not above this one."""
    rnn_delays: tuple[int, ...] = (0, 2, 4, 6, 10, 19)
    """Delays for which the RNN is trained; the convolutions are solved for all."""
    seeds: int = 40
    """Number of seeds: of the teacher, the data and the student together."""
    rnn_seeds: int = 6
    """The RNN is trained for this many of them, or all if there are fewer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("width", "rnn_seeds")
        if self.out_dim != 1:
            raise UserError(f"out_dim must be 1, as one output is delayed, got {self.out_dim}")
        self._different("steps", 1)
        self._different("rnn_delays", 0)
        if min(self.steps) > self.rnn_steps:
            raise UserError(
                f"rnn_steps must be at least the smallest of steps, {min(self.steps)}, got "
                f"{self.rnn_steps}; the default is 1000"
            )
        if len(self.rnn_delays) < 2 or max(self.rnn_delays) >= self.seq_len:
            raise UserError(
                f"rnn_delays must be two or more below seq_len, {self.seq_len}, got "
                f"{self.rnn_delays}; e.g. 0 {self.seq_len - 1}"
            )


@dataclass(frozen=True)
class WidthConfig(TeacherConfig):
    """The distance of a linear RNN from its equivalent scaled convolution against its width.

    Data and learning rate are those of Figs. 1 and 2 of the paper, the teacher is that of Fig. 4.
    """

    widths: tuple[int, ...] = (10, 40, 200, 1000, 4000)
    """Widths n of the RNNs that are trained."""
    teacher_width: int = 20
    """Number of hidden units of the RNN that makes the data."""
    steps: int = 100
    """Number of steps."""
    seeds: int = 64
    """Number of seeds: as many as medians of neighbouring widths need to be in their order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("steps")
        self._different("widths", 1)
        if len(self.widths) < 2:
            raise UserError(f"widths must be two or more, got {self.widths}; e.g. 10 40 200")


@dataclass(frozen=True)
class WideConfig(WidthConfig):
    """Distances of a linear RNN from its limits, at widths for which no W fits in memory."""

    widths: tuple[int, ...] = (100, 1000, 10_000, 100_000)
    """Widths n of the RNNs that are trained; at 1000000, one takes 6 GB and some minutes."""
    seeds: int = 16
    """Number of seeds: of the teacher, the data and the student together."""


Config = TeacherConfig | KernelsConfig | BiasConfig | LayersConfig | DecodingConfig | ReadingsConfig
