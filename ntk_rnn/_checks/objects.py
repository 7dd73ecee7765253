"""Checks of what is no number: types, functions, paths and random keys."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_rnn._checks.inspection import shown


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
