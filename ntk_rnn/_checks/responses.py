"""Checks of impulse responses, and of weights of their lags."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ntk_rnn._checks.agreement import same
from ntk_rnn._checks.arrays import computed, not_empty, numbers, real
from ntk_rnn._checks.inspection import is_traced


def impulse_response(name: str, response: Any) -> jax.Array:
    """``response`` as an array of shape ``(lags, n_y, n_x)`` with nothing empty and all finite.

    It is of at least float32.
    """
    array = numbers(name, response)
    if array.ndim != 3:
        raise ValueError(f"{name} must have shape (lags, outputs, inputs), got shape {array.shape}")
    not_empty(name, array.shape)
    return computed(real(name, array))


def initial_response(initial: Any, shape: tuple[int, int, int], dtype: Any) -> jax.Array:
    """The argument ``initial``, ``L^0``, for data with responses of a shape; 0 if ``None``."""
    initial = impulse_response("initial", np.zeros(shape) if initial is None else initial)
    same("initial.shape", initial.shape, "(T, n_y, n_x) of data", shape, "shape")
    return initial.astype(dtype)


def weight_per_lag(name: str, weights: Any) -> Any:
    """``weights`` as a tuple of floats of at least 0 (or, where traced, as it is).

    A weight of 0 is allowed, because those of long lags underflow: such a lag never moves.
    """
    given = numbers(name, weights)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(
            f"{name} must have shape (lags,), one weight a lag, got shape {given.shape}"
        )
    if is_traced(given):
        return given
    array = np.asarray(given, np.float64)
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if bad.size:
        raise ValueError(
            f"{name} must be at least 0 and finite, got {array[bad[0]]:g} at lag {bad[0]}"
        )
    return tuple(array.tolist())
