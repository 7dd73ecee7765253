"""How far a kernel regression has come, by whichever rule it descends."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.regression import eigenmodes as modes
from ntk_rnn.regression.host import namespace
from ntk_rnn.regression.momentum import heavy_ball


def progress(
    eigenvalues: Float[AnyArray, " k"],
    reached: Bool[AnyArray, " k"],
    step: Any,
    learning_rate: Any,
    momentum: Any,
    time: Any,
) -> tuple[Float[AnyArray, "*steps k"], Float[AnyArray, "*steps k"]]:
    """The parts of the targets that remain and that are gained, at each step or time.

    Args:
      eigenvalues: ``lambda``, falling, shape ``(k,)``.
      reached: which of them are not 0 but for rounding.
      step: numbers of steps, or ``None``.
      learning_rate: ``eta`` of these steps.
      momentum: ``beta`` of these steps; 0 for plain gradient descent.
      time: times of gradient flow, or ``None``.

    Raises:
      ValueError: if neither or both of step and time are given, or a value is not as said.
    """
    _check_momentum(momentum)
    without_steps = learning_rate is None and (_checks.is_traced(momentum) or momentum == 0)
    if (step is None) == (time is None) or (time is not None and not without_steps):
        raise ValueError(
            f"give either step and learning_rate, or time, got step={step!r}, "
            f"learning_rate={learning_rate!r}, momentum={momentum!r}, time={time!r}"
        )
    xp, dtype = namespace(eigenvalues), eigenvalues.dtype
    if time is not None:
        _checks.nonnegative("time", time)
        return modes.flow(eigenvalues, reached, xp.asarray(time, dtype))
    _checks.nonnegative("step", step)
    _checks.whole("step", step)
    _check_learning_rate(learning_rate, momentum, eigenvalues[0])
    rate, steps = xp.asarray(learning_rate, dtype), _numbers(step, xp)
    if not _checks.is_traced(momentum) and momentum == 0:
        return modes.descent(eigenvalues, reached, steps, rate)
    return heavy_ball(eigenvalues, reached, steps, rate, xp.asarray(momentum, dtype))


def _numbers(step: Any, xp: ModuleType) -> Shaped[AnyArray, "*steps"]:
    """Steps as integers, or as floats if one is beyond integers, which would wrap around.

    By then a direction whose sign changes with every step has arrived, so nothing depends on
    whether such a number is odd.
    """
    if _checks.is_traced(step):
        return step
    numbers = np.asarray(step, float)
    integer = xp.result_type(int)
    if np.any(numbers >= float(np.iinfo(integer).max)):
        return xp.asarray(numbers)
    return xp.asarray(np.asarray(step).astype(integer))


def _check_momentum(momentum: Any) -> None:
    if _checks.is_traced(momentum):
        return
    number = np.asarray(momentum)
    if number.ndim or number.dtype.kind not in "biuf" or not 0 <= number < 1:
        raise ValueError(f"momentum must be at least 0 and below 1, got {momentum!r}")


def _check_learning_rate(learning_rate: Any, momentum: Any, largest: Any) -> None:
    """Raises ``ValueError`` unless ``eta < 2 (1 + beta) / lambda_max``."""
    bound = math.inf
    if not any(map(_checks.is_traced, (momentum, largest))) and largest > 0:
        bound = 2 * (1 + float(momentum)) / float(largest)
    if learning_rate is None:
        raise ValueError(
            "learning_rate must be given with step; it must be below 2 (1 + momentum) / "
            f"lambda_max = {bound:.4g}"
        )
    _checks.positive("learning_rate", learning_rate)
    if not _checks.is_traced(learning_rate) and learning_rate >= bound:
        raise ValueError(
            f"learning_rate must be below 2 (1 + momentum) / lambda_max = {bound:.4g}, past which "
            f"gradient descent with this kernel and data diverges, got {float(learning_rate):g}"
        )
