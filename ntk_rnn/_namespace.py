"""One source for JAX and for NumPy in float64 on the host, whatever JAX's setting.

Functions written with these helpers compute with NumPy what they are given as NumPy arrays, in the
precision of these arrays. They compute anything else with JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntk_rnn._types import AnyArray


def namespace(array: Any) -> ModuleType:
    """The module whose functions take the array: ``numpy`` or ``jax.numpy``."""
    return np if isinstance(array, np.ndarray) else jnp


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """``jax.jit`` if the first argument is a JAX array, and the plain function if it is NumPy's.

    Args:
      function: takes positional arguments.
      options: those of ``jax.jit``.
    """
    jitted = jax.jit(function, **options)

    @wraps(function)
    def either(*args: Any) -> Any:
        if not isinstance(args[0], np.ndarray):
            return jitted(*args)
        # Branches that ``where`` does not select may overflow or divide by 0, as in JAX.
        with np.errstate(all="ignore"):
            return function(*args)

    return either


def einsum(subscripts: str, *operands: AnyArray) -> AnyArray:
    """``einsum`` in full precision of the operands' type."""
    if namespace(operands[0]) is np:
        return np.einsum(subscripts, *operands, optimize=True)
    return jnp.einsum(subscripts, *operands, precision="highest")


def float64(array: Any) -> Float[np.ndarray, ...]:
    """An array of any kind in float64 on the host."""
    return np.asarray(array, np.float64)
