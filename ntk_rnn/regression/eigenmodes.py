"""How far gradient descent has come along each eigenvector of a kernel.

Of what is to be learned along an eigenvector of eigenvalue ``lambda``, ``(1 - eta lambda)^l``
remains after ``l`` steps, and ``exp(-t lambda)`` after time ``t`` of gradient flow. What is gained
is computed apart from it: one minus what remains would lose the digits of the first steps.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ntk_rnn._types import AnyArray
from ntk_rnn.regression.host import compiled, namespace


@partial(compiled, static_argnums=1)
def reached(singular_values: Float[AnyArray, " k"], size: int) -> Bool[AnyArray, " k"]:
    """Which singular values of a matrix of at most ``size`` rows are not 0 but for rounding."""
    eps = np.finfo(singular_values.dtype).eps
    return singular_values > eps * size * singular_values[0]


@compiled
def descent(
    eigenvalues: Float[AnyArray, " k"],
    reached: Bool[AnyArray, " k"],
    steps: Shaped[AnyArray, "*steps"],
    rate: Float[AnyArray, ""],
) -> tuple[Float[AnyArray, "*steps k"], Float[AnyArray, "*steps k"]]:
    """Parts that remain and that are gained, after steps of gradient descent.

    Args:
      eigenvalues: ``lambda``, shape ``(k,)``.
      reached: which of them are not 0 but for rounding; the others stay where they are.
      steps: whole or infinite numbers of steps ``l``, any shape.
      rate: learning rate ``eta``, shape ``()``, below ``2 / lambda_max``.

    Returns:
      ``(1 - eta lambda)^l`` and one minus it, shape ``(*steps, k)``.
    """
    xp = namespace(eigenvalues)
    step_size = rate * eigenvalues
    # Beyond 1 a step overshoots, and what remains changes sign each time.
    overshoots = step_size > 1
    # log |1 - step_size|, accurate for small steps. At 1 all is gained in one step: there the
    # logarithm is that of the rounding error, so that its derivative exists.
    eps = xp.finfo(step_size.dtype).eps
    beyond = xp.log(xp.maximum(step_size - 1, eps))
    log_factor = xp.where(overshoots, beyond, xp.log1p(-xp.minimum(step_size, 1 - eps)))
    remaining, gained = _powers(log_factor, reached, steps.astype(step_size.dtype))
    # Odd or even is to be told before large numbers of steps are rounded.
    odd = (xp.mod(steps, 2) == 1)[..., None]
    negative = odd & xp.broadcast_to(overshoots, remaining.shape)
    return xp.where(negative, -remaining, remaining), xp.where(negative, 1 + remaining, gained)


@compiled
def flow(
    eigenvalues: Float[AnyArray, " k"],
    reached: Bool[AnyArray, " k"],
    times: Float[AnyArray, "*times"],
) -> tuple[Float[AnyArray, "*times k"], Float[AnyArray, "*times k"]]:
    """Parts that remain and that are gained, after times of gradient flow.

    Returns:
      ``exp(-t lambda)`` and one minus it, shape ``(*times, k)``.
    """
    return _powers(-eigenvalues, reached, times)


def _powers(
    logs: Float[AnyArray, " k"], reached: Bool[AnyArray, " k"], steps: Float[AnyArray, "*steps"]
) -> tuple[Float[AnyArray, "*steps k"], Float[AnyArray, "*steps k"]]:
    """``exp(steps * logs)`` and one minus it; 1 and 0 for ever where the data does not reach."""
    xp = namespace(logs)
    shape = (*steps.shape, *logs.shape)
    steps, logs, reached = (xp.broadcast_to(a, shape) for a in (steps[..., None], logs, reached))
    stays = (steps == 0) | ~reached
    over = xp.isinf(steps) & ~stays
    # What is not taken must be finite as well, or its derivative would be 0 * inf.
    exponent = xp.where(stays | over, 0, steps) * logs
    return xp.where(over, 0, xp.exp(exponent)), xp.where(over, 1, -xp.expm1(exponent))
