"""The learning rates that studies refuse, once they know the data."""

from __future__ import annotations

from ntk_rnn._terminal import UserError


def check_stable(learning_rate: float, largest: float) -> None:
    """Refuses a learning rate past ``largest``, the limit of stability on these data."""
    if learning_rate >= largest:
        raise UserError(
            f"learning_rate must be below {float(largest):.3g}, past which gradient descent "
            f"diverges on these data, got {learning_rate:g}"
        )


def check_converged(learning_rate: float, diverged_at: int | None, which: str = "") -> None:
    """Refuses a learning rate with which training, of ``which`` network, diverged at some step."""
    if diverged_at is not None:
        raise UserError(
            f"learning_rate must be smaller, got {learning_rate:g}, with which the training loss"
            f"{which} is not finite at step {diverged_at}"
        )
