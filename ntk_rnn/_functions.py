"""Functions as keys, under which what was compiled for an equal one is found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

from ntk_rnn._types import ApplyFn


@dataclass(frozen=True)
class _Method:
    """A bound method that equals another one if function and owner are equal."""

    function: Callable[..., Any]
    owner: Any

    def __call__(self, *args: Any) -> Any:
        return self.function(self.owner, *args)


def as_apply_fn(model: Any) -> ApplyFn:
    """``model`` as ``apply_fn(params, x)``, which is the same for equal models.

    Python's bound methods are equal only if their owners are one object, so the ``apply`` of each
    ``LinearRNN(8, 1)`` would be compiled anew. Here equal owners give equal functions.

    Args:
      model: a function ``apply_fn(params, x)`` or a Flax module, which stands for its ``apply``.

    Raises:
      ValueError: if ``model`` is neither.
    """
    function = getattr(model, "apply", model)
    if not callable(function):
        raise ValueError(
            "apply_fn must be a function apply_fn(params, x), or a Flax module, got "
            f"{type(model).__name__}"
        )
    if isinstance(function, MethodType):
        method = _Method(function.__func__, function.__self__)
        try:
            hash(method)
        except TypeError:  # a module with an array among its fields
            return function
        return method
    return function
