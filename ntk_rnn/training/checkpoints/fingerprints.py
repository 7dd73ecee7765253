"""What a run is made of, in a few words, so that one can be told from another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import flax
import jax
import numpy as np
import optax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ntk_rnn.objective import Sequences
from ntk_rnn.training.checkpoints.snapshots import plain
from ntk_rnn.training.method import Method, Problem, initial_state, refuse_traced, updated

# Functions are told apart by what JAX traces of them, which depends on versions.
_PROGRAMS = ("apply_fn", "optimizer")


def configuration(method: Method, problem: Problem, params: Any) -> dict[str, Any]:
    """All that the states of a run depend on, without its length and what it records.

    Arrays are given by shape, type and hash; functions by a hash of the program that JAX traces,
    with all numbers in it.
    """
    apply_fn, optimizer, loss, batch_size = (
        method.apply_fn, method.optimizer, method.loss, method.batch_size
    )  # fmt: skip
    data = problem.data
    if batch_size is not None and isinstance(data, Sequences):
        data = data.batch(slice(batch_size))

    def objective(p: Any) -> jax.Array:
        return data.loss(apply_fn(p, data.inputs), loss)

    def update(rate: Any, p: Any, state: Any) -> Any:
        return updated(optimizer, rate, p, state, objective, objective(p), p)

    opt_state = jax.eval_shape(partial(initial_state, optimizer, problem.rate), params)
    return {
        "learning_rate": problem.rate,
        "loss": loss,
        "batch_size": batch_size,
        "key": None if problem.key is None else _key(problem.key),
        "params": described(apply_fn.joined(params)),
        "data": described(problem.data.given),
        "test": None if problem.test is None else described(problem.test.given),
        # Programs come last, because they differ whenever what goes into them does.
        "apply_fn": _program(apply_fn, params, data.inputs),
        "optimizer": _program(update, problem.rate, params, opt_state),
        # Unlike programs, it can be compared across versions.
        "optimizer_state": _layout(opt_state),
        "versions": {
            "ntk_rnn": version("ntk_rnn"),
            **{module.__name__: module.__version__ for module in (jax, flax, optax)},
        },
    }


def difference(saved: dict[str, Any], current: dict[str, Any]) -> str | None:
    """The first field in which two configurations differ, or ``None``."""
    incomparable = _PROGRAMS if saved.get("versions") != current["versions"] else ()
    for field, value in current.items():
        if field not in ("versions", *incomparable) and saved.get(field) != value:
            return field
    return None


def other_versions(saved: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """The packages whose versions differ in two configurations, with both versions."""
    before = saved.get("versions", {})
    return [
        f"{name} {before.get(name)} (now {version})"
        for name, version in current["versions"].items()
        if before.get(name) != version
    ]


def described(tree: Any) -> str:
    """Names, types, shapes and a hash of the arrays of a pytree."""
    arrays = [np.asarray(plain(leaf)) for leaf in jax.tree.leaves(tree)]
    return f"{_layout(tree)} with hash {digest(arrays)}"


def _key(key: jax.Array) -> str:
    """The numbers of a random key, and which generator they are for."""
    numbers = np.asarray(plain(key))
    typed = key if plain(key) is not key else jax.random.wrap_key_data(key)
    return f"{jax.random.key_impl(typed)} {numbers.tolist()}"


def _layout(tree: Any) -> str:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return ", ".join(
        f"{jax.tree_util.keystr(path)} {leaf.dtype.name}{list(leaf.shape)}".lstrip()
        for path, leaf in leaves
    )


def digest(arrays: list[np.ndarray]) -> str:
    """A hash of the numbers in arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def _program(function: Callable[..., Any], *args: Any) -> str:
    """A hash of what JAX traces of a function, without addresses in memory."""
    traced = jax.make_jaxpr(function)(*args)
    refuse_traced(traced.consts)
    text = re.sub(r" at 0x[0-9a-f]+", "", str(traced))
    return hashlib.sha256((text + _numbers(traced, {})).encode()).hexdigest()[:16]


def _numbers(part: Any, known: dict[int, str]) -> str:
    """A hash of all arrays in a part of a program, whose text has their shapes at best.

    Functions that are compiled by themselves keep the arrays that they close over to themselves,
    so all programs within are gone through.

    Args:
      part: a program, an array, or anything that a program holds.
      known: hashes of programs by identity, since one may be called at many places.
    """
    if isinstance(part, ClosedJaxpr | Jaxpr):
        if id(part) not in known:
            inner = getattr(part, "jaxpr", part)  # from JAX 0.12 on, both are one type
            ends = [*inner.outvars, *(v for equation in inner.eqns for v in equation.invars)]
            literals = [v.val for v in ends if isinstance(v, Literal)]
            arrays = [_host(array) for array in (*getattr(part, "consts", ()), *literals)]
            params = [value for equation in inner.eqns for value in equation.params.values()]
            known[id(part)] = digest(arrays) + _numbers(params, known)
        return known[id(part)]
    if isinstance(part, tuple | list):
        parts = "".join(f"({_numbers(value, known)})" for value in part)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]
    return digest([_host(part)]) if isinstance(part, np.ndarray | jax.Array) else ""


def _host(array: Any) -> np.ndarray:
    return np.asarray(plain(array) if isinstance(array, jax.Array) else array)
