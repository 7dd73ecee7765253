"""How much ``R^2`` would differ with other pieces of the recording, by a bootstrap over pieces."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Of as many draws the standard error is known to 2 %.
_DRAWS = 2000


def score_error(
    arrays: dict[str, np.ndarray], part: str, name: str, other: str | None = None
) -> Float[np.ndarray, " n_y"]:
    """The standard error of a model's final ``R^2``, or of how far it is ahead of another model.

    The held-out pieces of the recording are drawn with replacement (Efron 1979), because what is
    next to each other in time is not independent. It is that of one seed, in the mean of squared
    errors over seeds, and both models are scored on the same draw.

    Args:
      arrays: those of `decoding.training.run`.
      part: of which part of the data.
      name: the model.
      other: the model that it is compared with, if any.

    Returns:
      Shape ``(n_y,)``.
    """
    count, total, squares = arrays[f"{part}_moments"]
    pieces = len(count)
    drawn = np.random.default_rng(0).multinomial(pieces, np.full(pieces, 1 / pieces), size=_DRAWS)
    spread = drawn @ squares - (drawn @ total) ** 2 / (drawn @ count)

    def unexplained(model: str) -> Float[np.ndarray, "D n_y"]:
        return drawn @ arrays[f"{part}_{model}_errors"].mean(axis=0) / spread

    difference = unexplained(name) - (0.0 if other is None else unexplained(other))
    return np.std(difference, axis=0, ddof=1)
