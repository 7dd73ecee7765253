"""Checks of one number, flag or choice."""

from __future__ import annotations

import math
import operator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ntk_rnn._checks.inspection import is_traced, shown

# Sizes and steps are counted in 32 bits, and one more step than there are must be, too.
_MOST = 2**31 - 2


def integer(name: str, value: Any, *, least: Literal[0, 1] = 1, most: int = _MOST) -> int:
    """``value`` as an ``int`` from ``least`` to ``most``; ``ValueError`` for anything else."""
    try:
        found = operator.index(value)
    except TypeError:
        found = None
    if found is None or isinstance(value, bool) or found < least:
        what = "a positive integer" if least else "an integer of at least 0"
        raise ValueError(f"{name} must be {what}, got {shown(value)}")
    if found > most:
        raise ValueError(f"{name} must be at most {most}, got {shown(found)}; take a smaller one")
    return found


def flag(name: str, value: Any) -> bool:
    """``value`` as a ``bool``; raises ``ValueError`` for anything but true and false."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def one_of(name: str, value: Any, *choices: str) -> None:
    """Raises ``ValueError`` unless ``value`` is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        *others, last = (f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {shown(value)}")


def number(name: str, value: Any, what: str = "a number") -> Any:
    """``value`` as a ``float``, or as it is where it is traced.

    Raises:
      ValueError: if it is no real number, or an array with axes.
    """
    kinds = int | float | np.integer | np.floating | np.ndarray | jax.Array
    wrong = isinstance(value, bool | np.ma.MaskedArray) or not isinstance(value, kinds)
    if isinstance(value, np.ndarray | jax.Array):
        wrong |= value.ndim > 0 or not (
            jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)
        )
    if wrong:
        raise ValueError(f"{name} must be {what}, got {shown(value)}")
    if is_traced(value):
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def positive(**named: Any) -> None:
    """Raises ``ValueError`` for the first that is not a finite positive scalar (or traced)."""
    for name, value in named.items():
        found = number(name, value, "a positive number")
        if not is_traced(found) and not (math.isfinite(found) and found > 0):
            raise ValueError(f"{name} must be positive and finite, got {found:g}")


def variance(**named: Any) -> None:
    """Raises ``ValueError`` for the first that is not positive, or out of the range of JAX."""
    positive(**named)
    limits = jnp.finfo(jnp.result_type(float))
    least, most = float(limits.tiny), float(limits.max)
    for name, value in named.items():
        if not is_traced(value) and not least <= float(value) <= most:
            raise ValueError(
                f"{name} must be between {least:.2g} and {most:.2g}, the range of {limits.dtype}, "
                f"got {float(value):g}; rescale the model"
            )


def fraction(name: str, value: Any, *, with_zero: bool = False) -> Any:
    """``value`` as a number between 0 and 1, or as it is where it is traced.

    Raises:
      ValueError: if it is none; 1 is none, and 0 only if ``with_zero``.
    """
    what = "at least 0 and below 1" if with_zero else "between 0 and 1"
    found = number(name, value, what)
    if not is_traced(found) and not (0 <= found < 1 if with_zero else 0 < found < 1):
        raise ValueError(f"{name} must be {what}, got {shown(value)}; e.g. 0.2")
    return found
