"""Checks of arguments, each raising an error that names the argument, the value and the remedy.

Shapes and types are known while JAX traces, so they are always checked. Values are checked
where they are concrete; traced ones pass, so that checked functions can be compiled,
differentiated and batched.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import operator
import os
import reprlib
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

# Entries of an array that is not copied from its device in order to look at it.
_LARGE = 2**20


def is_traced(tree: Any) -> bool:
    """Whether ``tree``, or an array in it, is a tracer, whose entries cannot be looked at."""
    return any(map(isinstance, jax.tree.leaves(tree), itertools.repeat(Tracer)))


def shown(value: Any) -> str:
    """A value as messages show it: in one line, and an array by its type and shape."""
    if np.shape(getattr(value, "shape", ())) and hasattr(value, "dtype"):
        return f"{type(value).__name__} of {value.dtype} and shape {value.shape}"
    return " ".join(_SHORT.repr(value).split())


_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 60


# Sizes and steps are counted in 32 bits, and one more step than there are must be, too.
_MOST = 2**31 - 2


def integer(name: str, value: Any, *, least: Literal[0, 1] = 1, most: int = _MOST) -> int:
    """``value`` as an ``int`` from ``least`` to ``most``; ``ValueError`` for anything else."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        what = "a positive integer" if least else "an integer of at least 0"
        raise ValueError(f"{name} must be {what}, got {shown(value)}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}, got {shown(number)}; take a smaller one")
    return number


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


def number_type(name: str, dtype: Any) -> np.dtype:
    """``dtype`` as a type of numbers; raises ``ValueError`` if it is none."""
    try:
        found = np.dtype(dtype) if isinstance(dtype, str | type | np.dtype) else None
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.number):
        raise ValueError(f"{name} must be a type of numbers, as np.float32, got {shown(dtype)}")
    return found


def function(name: str, value: Any, signature: str) -> Any:
    """``value`` if it can be called; raises ``ValueError`` otherwise."""
    if not callable(value):
        raise ValueError(f"{name} must be a function {signature}, got {shown(value)}")
    return value


# Of a file or folder, on all common file systems.
_LONGEST_NAME = 255


def path(name: str, value: Any) -> Path:
    """``value`` as a path that the system can look at, whether or not there is anything.

    Raises:
      ValueError: if it is none: of another type, empty, too long or with a null character.
    """
    problem = ""
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        problem = "pass a string or a pathlib.Path"
    elif not os.fspath(value):
        problem = 'pass "." for the current folder'
    elif "\0" in os.fspath(value):
        problem = "take the null character out"
    elif any(len(part) > _LONGEST_NAME for part in Path(value).parts):
        problem = "take a shorter one"
    else:
        try:
            os.lstat(value)
        except UnicodeEncodeError:
            problem = "take characters that the file system has"
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                problem = "take a shorter one"
    if problem:
        raise ValueError(f"{name} must be a path, got {shown(value)}; {problem}")
    return Path(value)


def finite(name: str, value: Any, remedy: str = "remove or impute the affected entries") -> None:
    """Raises ``ValueError`` if an array has NaN or infinite entries, saying how many and where."""
    if is_traced(value):
        return
    spread = isinstance(value, jax.Array) and not value.is_fully_addressable
    if isinstance(value, jax.Array) and (len(value.sharding.device_set) > 1 or value.size > _LARGE):
        # Looked at where it is, also while something else is traced.
        with jax.ensure_compile_time_eval():
            if jnp.all(jnp.isfinite(value)):
                return
    if spread:  # over processes, none of which can say where
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


def sequences(name: str, x: Any) -> jax.Array:
    """``x`` as a floating array of shape ``(N, T, features)`` with nothing empty.

    Raises:
      ValueError: if the rank is not 3, a dimension is 0, or concrete entries are not finite.
    """
    array = numbers(name, x)
    if array.ndim != 3:
        raise ValueError(
            f"{name} must have shape (sequences, time steps, features), got shape {array.shape}; "
            f"add the missing axis, e.g. {name}[..., None] for one feature"
        )
    not_empty(name, array.shape)
    return real(name, array)


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


def both_sequences(x1: Any, x2: Any) -> tuple[jax.Array, ...]:
    """The arguments ``x1`` and ``x2`` of a kernel as sequences that match; ``x1`` twice if one.

    They may differ in length, and are of one type of at least float32.
    """
    x1 = sequences("x1", x1)
    x2 = x1 if x2 is None else sequences("x2", x2)
    same("x1.shape[2]", x1.shape[2], "x2.shape[2]", x2.shape[2], "number of inputs")
    same_devices(x1=x1, x2=x2)
    return common_type(computed(x1), computed(x2))


def common_type(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Arrays in the one type that holds them all, also where JAX is told not to promote."""
    dtype = arrays[0].dtype
    for array in arrays[1:]:
        dtype = jnp.promote_types(dtype, array.dtype)
    return tuple(array.astype(dtype) for array in arrays)


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


def same_devices(**named: Any) -> None:
    """Raises ``ValueError`` if arrays among the named arguments are bound to different devices.

    Those that nobody has placed go to where the others are, as do traced ones and NumPy's.
    """
    first, place = "", frozenset[Any]()
    for name, tree in named.items():
        for leaf in jax.tree.leaves(tree):
            if not isinstance(leaf, jax.Array) or is_traced(leaf) or not leaf.committed:
                continue
            devices = frozenset(leaf.sharding.device_set)
            if first and devices != place:
                here, there = (", ".join(sorted(map(str, each))) for each in (place, devices))
                raise ValueError(
                    f"{first} and {name} must be on the same devices, got {here:.60} and "
                    f"{there:.60}; split parameters by shard_params and sequences by "
                    "shard_sequences over one mesh, or move one by jax.device_put"
                )
            first, place = name, devices


def random_key(name: str, key: Any) -> jax.Array:
    """``key`` if it is one random key, typed or of raw ``uint32``; raises ``ValueError`` if not."""
    if isinstance(key, np.ndarray) and key.dtype == np.uint32:  # a raw key that was stored
        key = jnp.asarray(key)
    if isinstance(key, jax.Array):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            good = key.ndim == 0
        else:
            raw = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
            good = (key.shape, key.dtype) == (raw.shape, raw.dtype)
        if good:
            return key
        found = f"{key.dtype} of shape {key.shape}"
    else:
        found = f"{type(key).__name__} {shown(key)}"
    raise ValueError(
        f"{name} must be a single random key, as of jax.random.key(0), got {found}; pass "
        "jax.random.key(seed)"
    )


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


def pair(name: str, data: Any) -> tuple[Any, Any]:
    """``data`` if it is a pair; raises ``ValueError`` for anything else."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(
            f"{name} must be a pair (inputs, targets), got {type(data).__name__}"
            + (f" of length {len(data)}" if isinstance(data, tuple | list) else "")
            + "; pass (x, y)"
        )
    return data[0], data[1]


def inputs_and_targets(name: str, data: Any) -> tuple[jax.Array, jax.Array]:
    """``data`` as a pair of sequences ``x (N, T, n_x)`` and ``N`` targets of any shape."""
    given_x, given_y = pair(name, data)
    x, y = sequences(f"{name}[0]", given_x), real(f"{name}[1]", given_y)
    same(
        f"len({name}[0])", len(x), f"len({name}[1])", y.shape[0] if y.ndim else 0,
        "number of sequences",
    )  # fmt: skip
    same_devices(**{f"{name}[0]": x, f"{name}[1]": y})
    inputs, targets = common_type(x, y)
    return inputs, targets


def data_set(name: str, data: Any) -> tuple[jax.Array, jax.Array]:
    """``data`` as a pair of sequences ``x (N, T, n_x)`` and ``y (N, T, n_y)`` that match."""
    given_x, given_y = pair(name, data)
    x, y = sequences(f"{name}[0]", given_x), sequences(f"{name}[1]", given_y)
    same(
        f"{name}[0].shape[:2]", x.shape[:2], f"{name}[1].shape[:2]", y.shape[:2],
        "number and length of sequences",
    )  # fmt: skip
    same_devices(**{f"{name}[0]": x, f"{name}[1]": y})
    inputs, targets = common_type(x, y)
    return inputs, targets


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
    may be farther off, and its user should decide how to repair it.

    Args:
      name: name of the matrix.
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
