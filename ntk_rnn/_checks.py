"""Checks of arguments, each raising an error that names the argument, the value and the remedy.

Shapes and types are known while JAX traces, so they are always checked. Values are checked
where they are concrete; traced ones pass, so that checked functions can be compiled,
differentiated and batched.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def is_traced(tree: Any) -> bool:
    """Whether ``tree``, or an array in it, is a tracer, whose entries cannot be looked at."""
    return any(map(isinstance, jax.tree.leaves(tree), itertools.repeat(Tracer)))


def integer(name: str, value: Any, *, least: Literal[0, 1] = 1) -> int:
    """``value`` as an ``int`` of at least ``least``; raises ``ValueError`` for anything else."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        what = "a positive integer" if least else "an integer of at least 0"
        raise ValueError(f"{name} must be {what}, got {value!r}")
    return number


def one_of(name: str, value: Any, *choices: str) -> None:
    """Raises ``ValueError`` unless ``value`` is one of the choices."""
    if value not in choices:
        *others, last = (f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}")


def positive(**named: Any) -> None:
    """Raises ``ValueError`` for the first that is no finite positive scalar (or traced)."""
    for name, value in named.items():
        if is_traced(value):
            continue
        try:
            number = (
                None if isinstance(value, str | bytes) or np.iscomplexobj(value) else float(value)
            )
        except (TypeError, ValueError):
            number = None
        if number is None:
            raise ValueError(f"{name} must be a positive number, got {value!r}")
        if not np.isfinite(number) or number <= 0:
            raise ValueError(f"{name} must be positive and finite, got {number:g}")


def finite(name: str, value: Any, remedy: str = "remove or impute the affected entries") -> None:
    """Raises ``ValueError`` if an array has NaN or infinite entries, saying how many and where."""
    if is_traced(value):
        return
    if isinstance(value, jax.Array) and len(value.sharding.device_set) > 1:
        # Spread over devices: looked at where it is, and over processes none can say where.
        if jnp.all(jnp.isfinite(value)):
            return
        if not value.is_fully_addressable:
            raise ValueError(f"{name} must be finite, got NaN or infinite entries; {remedy}")
    array = np.asarray(value)
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite, got {int(bad.sum())} NaN or infinite of {array.size} entries, "
            f"the first at index {first}; {remedy}"
        )


def finite_leaves(name: str, tree: Any) -> None:
    """Raises ``ValueError`` if a floating array in a pytree has NaN or infinite entries."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        dtype = getattr(leaf, "dtype", None)
        if dtype is not None and jnp.issubdtype(dtype, jnp.inexact):
            where = name + jax.tree_util.keystr(path)
            finite(where, leaf, "take those of an earlier step")


def nonnegative(name: str, value: Any, *, whole: bool = False) -> None:
    """Raises ``ValueError`` if an entry of ``value`` is negative or NaN (infinity is allowed).

    If ``whole``, it also does for a finite entry that is no whole number.
    """
    if is_traced(value):
        return
    array = numbers(name, value)
    bad = array[~(array >= 0)]
    if bad.size:
        raise ValueError(f"{name} must be at least 0, got {bad.flat[0]:g}")
    broken = array[np.isfinite(array) & (array != np.round(array))] if whole else bad
    if broken.size:
        raise ValueError(f"{name} must be whole numbers, got {broken.flat[0]:g}")


def numbers(name: str, value: Any) -> np.ndarray:
    """``value`` as an array of float64; raises ``ValueError`` for what is no real numbers."""
    try:
        if not np.iscomplexobj(value) and np.asarray(value).dtype.kind not in "SUMm":
            return np.asarray(value, float)
    except (TypeError, ValueError):
        pass  # ragged, or of objects
    raise ValueError(f"{name} must be a real number or an array of them, got {value!r:.60}")


def sequences(name: str, x: Any) -> jax.Array:
    """``x`` as a floating array of shape ``(N, T, features)`` with nothing empty.

    Raises:
      ValueError: if the rank is not 3, a dimension is 0, or concrete entries are not finite.
    """
    shape = np.shape(x)
    if len(shape) != 3:
        raise ValueError(
            f"{name} must have shape (sequences, time steps, features), got shape {shape}; "
            f"add the missing axis, e.g. {name}[..., None] for one feature"
        )
    if 0 in shape:
        raise ValueError(f"{name} must not be empty, got shape {shape}")
    return real(name, x)


def real(name: str, value: Any) -> jax.Array:
    """``value`` as a floating array, whose entries must be finite in its own type."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers, got {value!r}") from None
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{name} must be real, got dtype {array.dtype}; pass its real part")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    finite(name, array)
    return array


def computed(array: jax.Array) -> jax.Array:
    """An array in the type that is computed in, at least float32: sums of halves overflow."""
    return array.astype(np.promote_types(array.dtype, np.float32))


def batch(name: str, x: Any) -> jax.Array:
    """``x`` as a batch of inputs of any kind, none of its axes empty and all of it finite."""
    shape = np.shape(x)
    if len(shape) < 2:
        raise ValueError(
            f"{name} must have a batch axis and at least one more, got shape {shape}; for a "
            f"single input pass {name}[None]"
        )
    if 0 in shape:
        raise ValueError(f"{name} must not be empty, got shape {shape}")
    finite(name, x)
    return jnp.asarray(x)


def both_sequences(x1: Any, x2: Any) -> tuple[jax.Array, jax.Array]:
    """The arguments ``x1`` and ``x2`` of a kernel as sequences that match; ``x1`` twice if one.

    They may differ in length, and are of at least float32.
    """
    x1 = sequences("x1", x1)
    x2 = x1 if x2 is None else sequences("x2", x2)
    same("x1.shape[2]", x1.shape[2], "x2.shape[2]", x2.shape[2], "number of inputs")
    return computed(x1), computed(x2)


def same(name1: str, value1: Any, name2: str, value2: Any, what: str) -> None:
    """Raises ``ValueError`` unless two quantities that must agree are equal."""
    if value1 != value2:
        raise ValueError(
            f"{name1} and {name2} must have the same {what}, got {value1} and {value2}"
        )


def one_dtype(name: str, **arrays: jax.Array) -> None:
    """Raises ``ValueError`` unless the named arrays are of one type."""
    if len(set(map(jnp.result_type, arrays.values()))) > 1:
        found = ", ".join(f"{array.dtype} for {each}" for each, array in arrays.items())
        raise ValueError(f"{name} must be of one dtype, got {found}")


def random_key(name: str, key: Any) -> None:
    """Raises ``ValueError`` unless ``key`` is one random key, typed or of raw ``uint32``."""
    if isinstance(key, jax.Array):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if key.ndim == 0 if typed else key.ndim == 1 and key.dtype == jnp.uint32:
            return
        found = f"{key.dtype} of shape {key.shape}"
    else:
        found = f"{type(key).__name__} {key!r}"
    raise ValueError(
        f"{name} must be a single random key, as of jax.random.key(0), got {found}; pass "
        "jax.random.key(seed)"
    )


def impulse_response(name: str, response: Any) -> jax.Array:
    """``response`` as an array of shape ``(lags, n_y, n_x)`` with nothing empty and all finite.

    It is of at least float32.
    """
    shape = np.shape(response)
    if len(shape) != 3:
        raise ValueError(f"{name} must have shape (lags, outputs, inputs), got shape {shape}")
    if 0 in shape:
        raise ValueError(f"{name} must not be empty, got shape {shape}")
    return computed(real(name, response))


def initial_response(initial: Any, shape: tuple[int, int, int], dtype: Any) -> jax.Array:
    """The argument ``initial``, ``L^0``, for data whose responses have a shape; 0 if ``None``."""
    initial = impulse_response("initial", np.zeros(shape) if initial is None else initial)
    same("initial.shape", initial.shape, "(T, n_y, n_x) of data", shape, "shape")
    return initial.astype(dtype)


def data_set(name: str, data: Any) -> tuple[jax.Array, jax.Array]:
    """``data`` as a pair of sequences ``x (N, T, n_x)`` and ``y (N, T, n_y)`` that match."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(
            f"{name} must be a pair (inputs, targets), got {type(data).__name__}"
            + (f" of length {len(data)}" if isinstance(data, tuple | list) else "")
        )
    x, y = sequences(f"{name}[0]", data[0]), sequences(f"{name}[1]", data[1])
    same(
        f"{name}[0].shape[:2]", x.shape[:2], f"{name}[1].shape[:2]", y.shape[:2],
        "number and length of sequences",
    )  # fmt: skip
    dtype = jnp.promote_types(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype)


def weight_per_lag(name: str, weights: Any) -> Any:
    """``weights`` as a tuple of floats of at least 0 (or, where traced, as it is).

    A weight of 0 is allowed, because those of long lags underflow: such a lag never moves.
    """
    shape = np.shape(weights)
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(f"{name} must have shape (lags,), one weight a lag, got shape {shape}")
    if is_traced(weights) or any(is_traced(w) for w in weights):
        return weights
    array = numbers(name, weights)
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if bad.size:
        raise ValueError(
            f"{name} must be at least 0 and finite, got {array[bad[0]]:g} at lag {bad[0]}"
        )
    return tuple(array.tolist())


def symmetric_semidefinite(
    name: str, matrix: Any, remedy: str = "symmetrize it and set negative eigenvalues to 0"
) -> None:
    """Raises ``ValueError`` unless a square matrix is positive semi-definite (or traced).

    Its rows and columns may be split into the same axes each, as in shape ``(H, d, H, d)``.
    """
    if is_traced(matrix) or not np.size(matrix):
        return
    array = np.asarray(matrix, float)
    array = array.reshape(math.isqrt(array.size), -1)
    values = np.linalg.eigvalsh((array + array.T) / 2)
    asymmetry = np.max(np.abs(array - array.T))
    semidefinite_error(name, asymmetry, values[0], np.max(np.abs(values)), remedy)


def semidefinite_error(
    name: str, asymmetry: float, smallest: float, largest: float, remedy: str
) -> None:
    """Raises ``ValueError`` for a matrix that is far from symmetric and positive semi-definite.

    Rounding leaves far less than 1e-3 of the largest eigenvalue; what was estimated from samples
    may be further off, and is better repaired knowingly.

    Args:
      name: of the matrix.
      asymmetry: its largest difference from its transpose.
      smallest: its smallest eigenvalue.
      largest: the largest absolute value of its eigenvalues.
      remedy: what to do about it.
    """
    if asymmetry > 1e-3 * largest or smallest < -1e-3 * largest:
        raise ValueError(
            f"{name} must be symmetric and positive semi-definite, got an asymmetry of "
            f"{asymmetry:.2g} and a smallest eigenvalue of {smallest:.2g} beside a largest of "
            f"{largest:.2g}; {remedy}"
        )
