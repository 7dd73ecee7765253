"""Configuration of the study of networks with an activation; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction.studies.config_base import Named
from ntk_rnn.reproduction.studies.configs import TeacherConfig


@dataclass(frozen=True)
class NonlinearConfig(TeacherConfig):
    """Recurrent networks of some activations against their limit, at rising widths.

    Activations are compared at equal ``chi``, the factor by which perturbations fade in a step.
    """

    activations: tuple[Named, ...] = ("relu", "erf", "tanh")
    """Activations of the networks."""
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    """Widths n of the networks whose kernels are computed."""
    trained_widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """Widths n of the networks that are trained."""
    in_dim: int = 2
    """Number n_x of inputs."""
    seq_len: int = 8
    """Length T of the sequences."""
    nu_w: float = 0.5
    """Variance of the entries of W of the teacher, and chi of every network; below 1."""
    num_kernel: int = 3
    """Number of training sequences between which kernels are computed."""
    num_train: int = 10
    """Number of training sequences."""
    num_test: int = 10
    """Number of new sequences."""
    learning_rate: float = 2e-3
    """Learning rate of gradient descent on the sum loss, 1/2 of the summed squared error."""
    steps: int = 100
    """Number of steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("steps", "num_kernel")
        for name in ("widths", "trained_widths"):
            self._different(name, 1)
            widths = getattr(self, name)
            if len(widths) < 2:
                raise UserError(f"{name} must be two or more, got {widths}; e.g. 64 128 256")
        if not self.activations or len(set(self.activations)) < len(self.activations):
            raise UserError(
                f"activations must be one or more, each once, got {self.activations}; e.g. relu erf"
            )
        if self.nu_w >= 1:
            raise UserError(
                f"nu_w must be below 1, so that perturbations fade, got {self.nu_w:g}; the default "
                "is 0.5"
            )
        if self.num_kernel > self.num_train:
            raise UserError(
                f"num_kernel must be at most num_train, {self.num_train}, got {self.num_kernel}"
            )
        steps, widest = self.num_kernel * self.seq_len, max(self.widths)
        self._fits({"widths, num_kernel and seq_len": widest**2 * steps * self.out_dim})
