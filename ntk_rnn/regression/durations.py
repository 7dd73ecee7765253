"""How long descent goes on: steps or times as users give them, checked."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from ntk_rnn import _checks
from ntk_rnn._namespace import namespace
from ntk_rnn._types import AnyArray


class Duration(NamedTuple):
    """How long gradient descent or gradient flow goes on.

    Attributes:
      steps: whole or infinite numbers of steps, any shape; ``None`` for gradient flow.
      rate: learning rate of these steps.
      momentum: of these steps; ``None`` for none.
      times: times of gradient flow, any shape; ``None`` for steps.
    """

    steps: Shaped[AnyArray, "*steps"] | None = None
    rate: Float[AnyArray, ""] | None = None
    momentum: Float[AnyArray, ""] | None = None
    times: Float[AnyArray, "*steps"] | None = None


def duration(
    eigenvalues: Float[AnyArray, " k"],
    step: Any,
    learning_rate: Any,
    momentum: Any,
    time: Any,
) -> Duration:
    """What a user says about steps or times, checked.

    Args:
      eigenvalues: ``lambda``, falling, shape ``(k,)``.
      step: numbers of steps, or ``None``.
      learning_rate: ``eta`` of these steps; not needed if all of them are infinite.
      momentum: ``beta`` of these steps; 0 for plain gradient descent.
      time: times of gradient flow, or ``None``.

    Raises:
      ValueError: if neither or both of step and time are given, or a value is out of range.
    """
    _checks.fraction("momentum", momentum, with_zero=True)
    without_steps = learning_rate is None and (_checks.is_traced(momentum) or momentum == 0)
    if (step is None) == (time is None) or (time is not None and not without_steps):
        raise ValueError(
            f"give either step and learning_rate, or time, got step={_checks.shown(step)}, "
            f"learning_rate={_checks.shown(learning_rate)}, momentum={_checks.shown(momentum)}, "
            f"time={_checks.shown(time)}"
        )
    xp, dtype = namespace(eigenvalues), eigenvalues.dtype
    if time is not None:
        _checks.nonnegative("time", time)
        return Duration(times=xp.asarray(time, dtype))
    _checks.nonnegative("step", step, whole=True)
    if learning_rate is None and not _checks.is_traced(step) and np.all(np.isinf(step)):
        return Duration(times=xp.asarray(step, dtype))  # the end, which is that of any rate
    _check_learning_rate(learning_rate, momentum, eigenvalues[0])
    rate, steps = xp.asarray(learning_rate, dtype), _whole_numbers(step, xp)
    if not _checks.is_traced(momentum) and momentum == 0:
        return Duration(steps, rate)
    return Duration(steps, rate, xp.asarray(momentum, dtype))


def refuse_infinity(name: str, until: Duration, lags: int) -> None:
    """Raises ``ValueError`` for the end of a path that cannot be followed to it."""
    given = until.steps if until.times is None else until.times
    if not _checks.is_traced(given) and np.any(np.isinf(np.asarray(given, float))):
        raise ValueError(
            f"{name} must be finite here, got infinity: the weights of lags from {lags} on are "
            "below rounding beside the first ones, so the least-squares fit is out of reach; pass "
            'on_host=True and method="dense" to kernel_regression, or fewer lags'
        )


def _check_learning_rate(learning_rate: Any, momentum: Any, largest: Any) -> None:
    """Raises ``ValueError`` unless ``eta < 2 (1 + beta) / lambda_max``."""
    bound = math.inf
    if not _checks.is_traced((momentum, largest)) and largest > 0:
        bound = 2 * (1 + float(momentum)) / float(largest)
    if learning_rate is None:
        raise ValueError(
            "learning_rate must be given with step; it must be below 2 (1 + momentum) / "
            f"lambda_max = {bound:.4g}"
        )
    _checks.positive(learning_rate=learning_rate)
    if not _checks.is_traced(learning_rate) and learning_rate >= bound:
        raise ValueError(
            f"learning_rate must be below 2 (1 + momentum) / lambda_max = {bound:.4g}, past which "
            f"gradient descent with this kernel and data diverges, got {float(learning_rate):g}"
        )


def _whole_numbers(step: Any, xp: ModuleType) -> Shaped[AnyArray, "*steps"]:
    """Steps as integers, or as floats if one is beyond integers, which would wrap around.

    By then a direction whose sign changes with every step has converged, so nothing depends on
    whether such a number is odd.
    """
    if _checks.is_traced(step):
        return step
    numbers = np.asarray(step, float)
    integer = xp.result_type(int)
    if np.any(numbers >= float(np.iinfo(integer).max)):
        return xp.asarray(numbers)
    return xp.asarray(np.asarray(step).astype(integer))
