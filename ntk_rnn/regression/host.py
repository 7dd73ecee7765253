"""One source for JAX and for float64 on the host, whatever JAX's setting.

NumPy arrays stand for the host: what is computed from them stays in NumPy, in their precision.
Anything else is JAX's.
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
    """``jax.jit`` where the first argument is JAX's, and the function as it is on the host.

    Args:
      function: takes positional arguments.
      options: those of ``jax.jit``.
    """
    jitted = jax.jit(function, **options)

    @wraps(function)
    def either(*args: Any) -> Any:
        if namespace(args[0]) is jnp:
            return jitted(*args)
        with np.errstate(all="ignore"):  # of branches that are not taken, as in JAX
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


def lagged_inputs(x: Float[np.ndarray, "N T n_x"]) -> Float[np.ndarray, "N T T n_x"]:
    """``lagged_inputs``, on the host."""
    seq_len = x.shape[1]
    padded = np.pad(x, ((0, 0), (seq_len - 1, 0), (0, 0)))
    lag = np.arange(seq_len)
    return padded[:, lag[:, None] - lag[None, :] + seq_len - 1]


def causal_conv(
    impulse_response: Float[np.ndarray, "lags n_y n_x"], x: Float[np.ndarray, "N T n_x"]
) -> Float[np.ndarray, "N T n_y"]:
    """``causal_conv``, on the host and without a matrix of lagged inputs."""
    seq_len = x.shape[1]
    outputs = np.zeros((*x.shape[:2], impulse_response.shape[1]))
    for lag, response in enumerate(impulse_response[:seq_len]):
        outputs[:, lag:] += x[:, : seq_len - lag] @ response.T
    return outputs
