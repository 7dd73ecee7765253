"""Data sets, whole or as streams of batches, checked and in float64 on the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_rnn import _checks


class Batch(NamedTuple):
    """Some sequences, in float64 on the host.

    Attributes:
      inputs: shape ``(N, T, n_x)``.
      targets: shape ``(N, T, n_y)``.
      weights: of the targets, shape ``(N, T)``.
      dtype: the type that JAX has for inputs and targets, at least float32.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    dtype: np.dtype


def checked_batches(x: Any, y: Any = None, weights: Any = None) -> Iterator[Batch]:
    """The batches of a data set, which is one batch if it is given as arrays.

    Args:
      x: inputs ``(N, T, n_x)``, or an iterable of ``(x, y)`` or ``(x, y, weights)``.
      y: targets ``(N, T, n_y)``, finite where the weight is not 0.
      weights: at least 0, ``(N, T)``; 1 if ``None``.

    Raises:
      ValueError: if a batch is not as said, or has other ``(T, n_x, n_y)`` than the first.
    """
    first = None
    for where, arrays in raw_batches(x, y, weights):
        batch = _checked(where, *arrays)
        sizes = (*batch.inputs.shape[1:], batch.targets.shape[2])
        first = sizes if first is None else first
        if sizes != first:
            raise ValueError(
                f"x and y{where} must have the (T, n_x, n_y) = {first} of the batches before, got "
                f"{sizes}; pad shorter sequences to one length, with weights of 0 where padded"
            )
        yield batch


def raw_batches(x: Any, y: Any, weights: Any) -> Iterator[tuple[str, tuple[Any, Any, Any]]]:
    """Which batch it is, for error messages, and its ``(x, y, weights)``."""
    if y is not None:
        yield "", (x, y, weights)
        return
    if weights is not None or isinstance(x, np.ndarray | jax.Array) or not isinstance(x, Iterable):
        raise ValueError(
            "y must be given with arrays x and weights; without it x must be an iterable of "
            f"batches (x, y) or (x, y, weights) alone, got {type(x).__name__}"
        )
    for index, batch in enumerate(x):
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise ValueError(
                "x must be an iterable of batches (x, y) or (x, y, weights), got "
                f"{type(batch).__name__} as batch {index}; pass one data set as x and y"
            )
        yield f" of batch {index}", (batch[0], batch[1], batch[2] if len(batch) == 3 else None)


def _checked(where: str, x: Any, y: Any, weights: Any) -> Batch:
    x_name, y_name, weights_name = (f"{name}{where}" for name in ("x", "y", "weights"))
    inputs, x_dtype = _array(x_name, x, 3)
    targets, y_dtype = _array(y_name, y, 3)
    _checks.finite(x_name, inputs)
    _checks.same(
        f"shape[:2] of {x_name}", inputs.shape[:2], f"of {y_name}", targets.shape[:2],
        "number and length of sequences",
    )  # fmt: skip
    if weights is None:
        weights = np.ones(inputs.shape[:2])
    else:
        weights, _ = _array(weights_name, weights, 2)
        _checks.same(
            f"shape of {weights_name}", weights.shape, f"shape[:2] of {x_name}", inputs.shape[:2],
            "number and length of sequences",
        )  # fmt: skip
        _checks.finite(weights_name, weights)
        _checks.nonnegative(weights_name, weights)
    known_targets = np.where(weights[:, :, None] > 0, targets, 0)
    _checks.finite(
        y_name, known_targets, "remove or impute them, or give their times a weight of 0"
    )
    return Batch(inputs, targets, weights, np.promote_types(x_dtype, y_dtype))


def _array(name: str, value: Any, rank: int) -> tuple[np.ndarray, np.dtype]:
    """``value`` in float64 on the host, and the type of at least float32 that JAX has for it."""
    array, dtype = host_array(name, value)
    if array.ndim != rank or 0 in array.shape:
        axes = ", ".join(("sequences", "time steps", "features")[:rank])
        raise ValueError(
            f"{name} must have shape ({axes}) and not be empty, got shape {array.shape}"
        )
    return array, dtype


def host_rows(name: str, value: Any, remedy: str | None = None) -> tuple[np.ndarray, np.dtype]:
    """``value`` as ``host_array`` has it, shape ``(rows, features)``; ``(rows,)`` is one feature.

    Raises:
      ValueError: also if the shape is another one, or empty, or, where a remedy is given, an entry
        is not finite.
    """
    array, dtype = host_array(name, value)
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise ValueError(
            f"{name} must have shape (rows, columns) and not be empty, got shape {array.shape}; "
            "sequences (N, T, n) need no cutting"
        )
    if remedy is not None:
        _checks.finite(name, array, remedy)
    return array.reshape(len(array), -1), dtype


def host_array(name: str, value: Any) -> tuple[np.ndarray, np.dtype]:
    """``value`` in float64 on the host, and the type of at least float32 that JAX has for it.

    Raises:
      ValueError: if that would lose something: a tracer, masked, complex, text, dates, ragged.
    """
    if _checks.is_traced(value):
        raise ValueError(
            f"{name} must be concrete, got a tracer; compress data outside of what is compiled or "
            "differentiated, and pass the compressed data in"
        )
    array = _checks.numbers(name, value)
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    narrow = floating and array.dtype.itemsize <= 4
    dtype = np.dtype(np.float32) if narrow else jnp.result_type(float)
    return np.asarray(array, np.float64), dtype
