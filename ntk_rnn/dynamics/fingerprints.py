"""What a run is made of, in a few words, so that one can be told from another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import flax
import jax
import numpy as np
import optax

import ntk_rnn
from ntk_rnn.compression import CompressedData
from ntk_rnn.dynamics.chunks import Trainer, first_opt_state
from ntk_rnn.dynamics.objective import model_inputs, training_loss
from ntk_rnn.dynamics.optimizers import lenient_promotion, make_optimizer
from ntk_rnn.dynamics.snapshots import plain

# Functions are told apart by what JAX traces of them, which depends on versions.
_PROGRAMS = ("apply_fn", "optimizer")


def configuration(trainer: Trainer, params: Any) -> dict[str, Any]:
    """All that the states of a run follow from, apart from how long it is and what is recorded.

    Arrays are given by shape, type and hash; functions by a hash of the program that JAX traces,
    with all numbers in it.
    """
    apply_fn, rule, loss, batch_size, problem = trainer
    data = problem.data
    if not isinstance(data, CompressedData):
        data = data[0][:batch_size], data[1][:batch_size]

    def objective(p: Any) -> jax.Array:
        return training_loss(apply_fn, p, data, loss)

    def update(rate: Any, p: Any, state: Any) -> Any:
        with lenient_promotion():
            return make_optimizer(rule, rate).update(
                p, state, p, value=objective(p), grad=p, value_fn=objective
            )

    opt_state = jax.eval_shape(lambda p: first_opt_state(rule, problem.rate, p), params)
    return {
        "learning_rate": problem.rate,
        "loss": loss,
        "batch_size": batch_size,
        "key": None if problem.key is None else np.asarray(plain(problem.key)).tolist(),
        "params": described(params),
        "data": described(problem.data),
        "test": None if problem.test is None else described(problem.test),
        # What is told by programs comes last: they differ if what goes into them does.
        "apply_fn": _program(apply_fn, params, model_inputs(data)),
        "optimizer": _program(update, problem.rate, params, opt_state),
        "versions": {module.__name__: module.__version__ for module in (ntk_rnn, jax, flax, optax)},
    }


def difference(saved: dict[str, Any], current: dict[str, Any]) -> str | None:
    """The first field in which two configurations differ, or ``None``."""
    incomparable = _PROGRAMS if saved.get("versions") != current["versions"] else ()
    for field, value in current.items():
        if field not in ("versions", *incomparable) and saved.get(field) != value:
            return field
    return None


def described(tree: Any) -> str:
    """Shapes, types and a hash of the arrays of a pytree."""
    arrays = [np.asarray(plain(leaf)) for leaf in jax.tree.leaves(tree)]
    shapes = ", ".join(f"{a.dtype.name}{list(a.shape)}" for a in arrays)
    return f"{shapes} with hash {digest(arrays)}"


def digest(arrays: list[np.ndarray]) -> str:
    """A hash of the numbers in arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def _program(function: Callable[..., Any], *args: Any) -> str:
    """A hash of what JAX traces of a function, but for where it lies in memory."""
    traced = jax.make_jaxpr(function)(*args)
    text = re.sub(r" at 0x[0-9a-f]+", "", str(traced))
    constants = digest([np.asarray(plain(c)) for c in map(jax.numpy.asarray, traced.consts)])
    return hashlib.sha256((text + constants).encode()).hexdigest()[:16]
