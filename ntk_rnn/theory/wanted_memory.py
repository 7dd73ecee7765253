"""What to change for a wanted memory: the parameter of a layer that has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, Scalar
from ntk_rnn.theory.lag_memory import remembered


def value_for_memory(
    lags: Scalar,
    weights: Callable[[float], Float[AnyArray, " T"]],
    between: tuple[float, float] = (0.01, 0.99),
) -> float:
    """The value of a parameter with which a layer remembers a given number of lags.

    ``LagMemory.lags`` of ``memory(weights(value))`` is ``lags``: so it finds which ``nu_w`` of a
    linear RNN (eq. 21), or which ring of an LRU, has a wanted memory among as many lags as
    ``weights`` returns.

    Args:
      lags: the effective memory, as in ``LagMemory``.
      weights: a function from a value to lag weights, shape ``(T,)``.
      between: the smallest and the largest value, with less memory and with more.

    Returns:
      The value.

    Raises:
      ValueError: if the memory at both ends is smaller or at both is larger, or ``weights`` does
        not return lag weights.

    Example:
      >>> import ntk_rnn as nr
      >>> nu_w = nr.value_for_memory(8.0, lambda nu_w: nr.lag_weights(50, nu_w, 1.0, 1.0))
      >>> print(f"{nu_w:.3f}")
      0.575
      >>> print(f"{nr.memory(nr.lag_weights(50, nu_w, 1.0, 1.0)).lags:.2f}")
      8.00
      >>> r_max = nr.value_for_memory(8.0, lambda r: nr.LRU(1, 1, r_max=r).lag_weights(50))
      >>> print(f"{r_max:.3f}")
      0.951
    """
    _checks.positive(lags=lags)
    _checks.function("weights", weights, "from a value to lag weights")
    low, high = _ends(between)

    def excess(value: float) -> float:
        found = np.asarray(_checks.weight_per_lag("weights(value)", weights(value)))
        return remembered(found) - float(lags)

    least, most = excess(low), excess(high)
    if least * most > 0:
        raise ValueError(
            f"lags must be between {least + lags:.4g} and {most + lags:.4g}, the memory for the "
            f"values {low:g} and {high:g}, got {float(lags):g}; take weights of more lags, or look "
            "between other values"
        )
    from scipy.optimize import root_scalar  # which takes a quarter of the time of all else here

    return float(root_scalar(excess, bracket=(low, high), xtol=1e-9).root)


def _ends(between: Any) -> tuple[float, float]:
    """The two ends, checked."""
    pair = between if isinstance(between, tuple | list) and len(between) == 2 else (math.nan,) * 2
    low, high = (_checks.number("between", end) for end in pair)
    if not -math.inf < low < high < math.inf:
        raise ValueError(
            "between must be a smaller and a larger number, both finite, got "
            f"{_checks.shown(between)}; e.g. (0.01, 0.99)"
        )
    return low, high
