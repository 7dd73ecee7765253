"""The squared loss, as a sum (Appendix B.4 of the paper) or as a mean."""

from __future__ import annotations

from typing import Any, Literal

from ntk_rnn import _checks

Loss = Literal["sum", "mean"]


def check_loss(loss: str) -> Loss:
    """``loss``, if it is ``"sum"`` or ``"mean"``; raises ``ValueError`` otherwise."""
    if isinstance(loss, str) and (loss == "sum" or loss == "mean"):
        return loss
    raise ValueError(
        f'loss must be "sum" (1/2 of the summed squared error) or "mean" (mean squared error), '
        f"got {_checks.shown(loss)}"
    )


def loss_scale(loss: Loss, num_targets: Any) -> Any:
    """What the sum loss is multiplied by: 1, or ``2 / num_targets`` for the mean squared error.

    Args:
      loss: ``"sum"`` or ``"mean"``.
      num_targets: ``N T n_y``, or ``n_y`` times the sum of weights, as a number or an array.
    """
    return 1.0 if loss == "sum" else 2.0 / num_targets
