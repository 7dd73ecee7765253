"""Functions as keys, under which what was compiled for an equal one is found again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import jax

from ntk_rnn import _checks
from ntk_rnn._types import ApplyFn


@dataclass(frozen=True)
class _Method:
    """A bound method that equals another one if function and owner are equal."""

    function: Callable[..., Any]
    owner: Any

    def __call__(self, *args: Any) -> Any:
        return self.function(self.owner, *args)


@dataclass(frozen=True)
class _Merged:
    """An NNX module as a function of its state, from the graph that ``nnx.split`` returns."""

    graph: Any

    def __call__(self, state: Any, x: Any) -> Any:
        from flax import nnx  # whoever has such a module has imported it

        try:
            module = nnx.merge(self.graph, state)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                "params must be the whole state of the NNX module, "
                f"graph, params = nnx.split(module), got what does not fit it ({error})"
            ) from error
        before = jax.tree_util.tree_leaves_with_path(state)
        outputs = module(x)
        after = dict(jax.tree_util.tree_leaves_with_path(nnx.state(module)))
        changed = [path for path, value in before if after.get(path) is not value]
        if changed:  # by dropout or batch normalization: a step of training would lose it
            raise ValueError(
                "apply_fn must leave its variables as they are, got an NNX module that changes "
                f"{jax.tree_util.keystr(changed[0])} when it is called; call module.eval() first, "
                "which turns dropout off and batch normalization to running statistics, and give "
                "an nnx.RNN its initial_carry, for which it takes a random key otherwise"
            )
        return outputs


@dataclass(frozen=True, eq=False)
class _Itself:
    """A function without a hash, which equals itself alone, as a lambda does."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Itself) and other.function is self.function

    def __hash__(self) -> int:
        return id(self.function)


def as_apply_fn(model: Any) -> ApplyFn:
    """``model`` as ``apply_fn(params, x)``, which is the same for equal models.

    Python's bound methods are equal only if their owners are one object, so the ``apply`` of each
    ``LinearRNN(8, 1)`` would be compiled anew. Here equal owners give equal functions.

    Args:
      model: a function ``apply_fn(params, x)``; a Linen module, which stands for its ``apply``; or
        an NNX module, which stands for its call with the state ``params`` in place of its own.

    Raises:
      ValueError: if ``model`` is none of these.
    """
    nnx: Any = sys.modules.get("flax.nnx")
    if nnx is not None and isinstance(model, nnx.Module) and callable(model):
        return _hashable(_Merged(nnx.split(model)[0]))
    function = getattr(model, "apply", model)
    if isinstance(model, type) or not callable(function):
        what, remedy = type(model).__name__, ""
        if isinstance(model, type):
            what, remedy = f"the class {model.__name__}", "; pass an instance of it"
        raise ValueError(
            f"apply_fn must be a function apply_fn(params, x), or a Flax module, got {what}{remedy}"
        )
    if isinstance(function, MethodType):
        method = _Method(function.__func__, function.__self__)
        # A module with an array among its fields has no hash, but its methods are themselves.
        return method if _has_hash(method) else function
    return _hashable(function)


def module_of(function: ApplyFn) -> Any:
    """The object whose method a function is, as a rule a Flax module; ``None`` if it is none."""
    return getattr(function, "owner", getattr(function, "__self__", None))


def is_nnx(function: ApplyFn) -> bool:
    """Whether a function is the call of an NNX module."""
    return isinstance(function, _Merged)


def functional(module: Any) -> tuple[ApplyFn, Any]:
    """An NNX module as a pure function and its variables: ``apply_fn(params, x) = module(x)``.

    Both go wherever a function and its parameters go: into kernels, training and ``layer_gram``,
    which train the ``nnx.Param`` alone and hold other variables fixed. Functions of two modules
    that differ in their variables alone are equal, so what is compiled for one serves the other.
    Modules are not in the paper; what is computed of them is (eq. 11, Proposition 3.1).

    Args:
      module: an NNX module, called with ``x``. It must not change its variables when it is called:
        ``module.eval()`` turns dropout off, and batch normalization to running statistics.

    Returns:
      ``apply_fn``, and ``params``: the state of the module, a pytree of arrays. With
      ``graph, _ = flax.nnx.split(module)``, ``flax.nnx.merge(graph, params)`` is the module with
      other parameters, as those after training.

    Raises:
      ValueError: if ``module`` is no NNX module that can be called.

    Example:
      >>> import jax
      >>> from flax import nnx
      >>> import ntk_rnn as nr
      >>> apply_fn, params = nr.functional(nnx.Linear(2, 1, rngs=nnx.Rngs(0)))
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
      >>> nr.empirical_ntk(apply_fn, params, x).shape
      (3, 3, 5, 5)
    """
    nnx: Any = sys.modules.get("flax.nnx")
    if nnx is None or not isinstance(module, nnx.Module) or not callable(module):
        raise ValueError(
            "module must be an NNX module that can be called, got "
            f"{_checks.shown(module)}; a Linen module goes in as it is, with what init returned"
        )
    return as_apply_fn(module), nnx.split(module)[1]


def content(value: Any, within: tuple[Any, ...] = ()) -> Any:
    """What functions of optax are made of, equal for those that two equal calls returned.

    They compute the same if their code is the same, and so are the numbers and functions that they
    close over. All else is itself alone: functions of others, which may read names that change
    their meaning; what may change itself, as a list; and what is met again within itself.
    """
    if any(value is outer for outer in within):
        return id(value)
    inner = partial(content, within=(*within, value))
    if isinstance(value, FunctionType) and _of_optax(value):
        cells = value.__closure__ or ()
        parts = (value.__defaults__, tuple((value.__kwdefaults__ or {}).items()), cells)
        return value.__code__, *map(inner, parts)
    if isinstance(value, CellType):
        try:
            return inner(value.cell_contents)
        except ValueError:  # an empty cell
            return id(value)
    if isinstance(value, tuple):
        return type(value), *map(inner, value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return type(value), repr(value)
    return id(value)


def _of_optax(function: FunctionType) -> bool:
    return function.__globals__.get("__name__", "").partition(".")[0] == "optax"


def _hashable(function: Callable[..., Any]) -> ApplyFn:
    return function if _has_hash(function) else _Itself(function)


def _has_hash(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
