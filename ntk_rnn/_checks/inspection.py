"""What can be known of a value: whether it is traced, and how messages show it."""

from __future__ import annotations

import itertools
import reprlib
from typing import Any

import jax
import numpy as np
from jax.core import Tracer


def is_traced(tree: Any) -> bool:
    """Whether ``tree``, or an array in it, is a tracer, whose entries cannot be looked at."""
    return any(map(isinstance, jax.tree.leaves(tree), itertools.repeat(Tracer)))


def shown(value: Any) -> str:
    """A value as messages show it: in one line, and an array by its type and shape."""
    if hasattr(value, "shape") and np.shape(value.shape) and hasattr(value, "dtype"):
        return f"{type(value).__name__} of {value.dtype} and shape {value.shape}"
    return " ".join(_SHORT.repr(value).split())


_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 60
