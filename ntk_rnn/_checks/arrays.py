"""Checks of arrays of numbers: what counts as one, and the type that it is computed in."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_rnn._checks.entries import finite
from ntk_rnn._checks.inspection import is_traced, shown


def numbers(name: str, value: Any, *, or_complex: bool = False) -> np.ndarray | jax.Array:
    """``value`` as an array of real numbers, of which nothing is lost.

    Arrays of JAX, traced ones too, are taken as they are, and all else becomes an array of NumPy in
    the byte order of the machine. Entries may be infinite or NaN.

    Args:
      name: what errors call it.
      value: what a user passed.
      or_complex: whether complex numbers are allowed.

    Raises:
      ValueError: if it is no array of numbers, has masked entries, or is complex.
    """
    if isinstance(value, list | tuple) and is_traced(value):
        value = jnp.asarray(value)
    unmasked(name, value)
    array: Any = value
    if not isinstance(value, jax.Array):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(
                f"{name} must be one array, got {type(value).__name__} of unequal lengths, "
                f"{shown(value)}; pad or cut its parts to one length"
            ) from None
    if array.dtype == object and array.size and all(type(entry) is int for entry in array.flat):
        with contextlib.suppress(OverflowError):
            array = array.astype(np.float64)  # integers of more than 64 bits
    if jnp.issubdtype(array.dtype, jnp.complexfloating) and not or_complex:
        raise ValueError(f"{name} must be real, got dtype {array.dtype}; pass its real part")
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
        what, found = "be an array of numbers", shown(value)
        if array.ndim:
            what, found = "hold real numbers", f"dtype {array.dtype}"
        raise ValueError(
            f"{name} must {what}, got {found}; convert it, e.g. by np.asarray({name}, float)"
        )
    if isinstance(array, np.ndarray):
        native = array.dtype.newbyteorder("=")
        array = array.astype(np.float64 if native == np.longdouble else native, copy=False)
    return array


def unmasked(name: str, value: Any) -> None:
    """Raises ``ValueError`` for masked entries: a plain array would have what is below the mask."""
    masked = _masked(value)
    if masked:
        raise ValueError(
            f"{name} must not be masked, got {masked} masked entries; fill them in, or leave their "
            "rows out (where weights are taken, give them weights of 0)"
        )


def _masked(value: Any) -> int:
    """The number of masked entries of an array, or of those in lists."""
    if isinstance(value, np.ma.MaskedArray):
        return int(np.ma.count_masked(value))
    if isinstance(value, list | tuple):
        return sum(map(_masked, value))
    return 0


def nonnegative(name: str, value: Any, *, whole: bool = False) -> np.ndarray | jax.Array:
    """``value`` in float64 on the host, or as it is where it is traced.

    Raises:
      ValueError: if an entry is negative or NaN (infinity is allowed), or, if ``whole``, a finite
        one is no whole number.
    """
    given = numbers(name, value)
    if is_traced(given):
        return given
    array = np.asarray(given, np.float64)
    bad = array[~(array >= 0)]
    if bad.size:
        raise ValueError(f"{name} must be at least 0, got {bad.flat[0]:g}")
    broken = array[np.isfinite(array) & (array != np.round(array))] if whole else bad
    if broken.size:
        raise ValueError(f"{name} must be whole numbers, got {broken.flat[0]:g}")
    return array


def fitting(name: str, array: np.ndarray | jax.Array) -> np.ndarray | jax.Array:
    """An array of numbers in the type that JAX has for it, on the host if it is there.

    Raises:
      ValueError: if an entry is out of the range of that type, or all of them vanish in it.
    """
    if isinstance(array, jax.Array):
        return array
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    with np.errstate(over="ignore"):
        rounded = array.astype(dtype)
    if rounded.dtype != array.dtype and array.size:
        if jnp.issubdtype(dtype, jnp.integer):
            lost = rounded != array
        else:
            # Numbers that are too large become infinite, those that are too small 0.
            lost = np.isfinite(array) & ~np.isfinite(rounded)
            if not rounded.any():
                lost |= array != 0
        if lost.any():
            raise ValueError(
                f"{name} must fit {dtype}, got {array[lost].flat[0]:g}; rescale it, or enable "
                'float64 by jax.config.update("jax_enable_x64", True)'
            )
    return rounded


def not_empty(name: str, shape: tuple[int, ...]) -> None:
    """Raises ``ValueError`` if an axis has no entries."""
    if 0 in shape:
        raise ValueError(f"{name} must not be empty, got shape {shape}")


def real(name: str, value: Any) -> jax.Array:
    """``value`` as a floating array, whose entries must be finite in its own type."""
    array = numbers(name, value)
    finite(name, array)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        # Through NumPy's float64, for integers of JAX may have fewer bits than those given.
        if isinstance(array, jax.Array):
            return array.astype(jnp.result_type(float))
        array = array.astype(np.float64)
    return jnp.asarray(fitting(name, array))


def computed(array: jax.Array) -> jax.Array:
    """An array in the type that is computed in, at least float32: sums of halves overflow."""
    return array.astype(np.promote_types(array.dtype, np.float32))


def batch(name: str, x: Any) -> jax.Array:
    """``x`` as a batch of inputs of any kind, none of its axes empty and all of it finite."""
    array = numbers(name, x, or_complex=True)
    if array.ndim < 2:
        raise ValueError(
            f"{name} must have a batch axis and at least one more, got shape {array.shape}; for a "
            f"single input pass {name}[None]"
        )
    not_empty(name, array.shape)
    finite(name, array)
    return jnp.asarray(fitting(name, array))
