"""Imports neural-tangents, with the names it misses in JAX, and without what needs tensorflow."""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from jax.extend import core

from ntk_rnn._neural_tangents.adapting import adapt, adapt_predict


def _safe_map(fun: Callable[..., Any], *args: Any) -> list[Any]:
    return [fun(*values) for values in zip(*args, strict=True)]


def _safe_zip(*args: Any) -> list[tuple[Any, ...]]:
    return list(zip(*args, strict=True))


# What neural-tangents imports from JAX by names that some supported JAX no longer has.
_MOVED_NAMES: dict[str, dict[str, Any]] = {
    "jax.core": {
        "Jaxpr": core.Jaxpr,  # moved to jax.extend.core
        "JaxprEqn": core.JaxprEqn,  # moved to jax.extend.core
        "Literal": core.Literal,  # moved to jax.extend.core
        "Primitive": core.Primitive,  # moved to jax.extend.core
        "Var": core.Var,  # moved to jax.extend.core
        "Value": Any,  # an alias of Any, used in annotations only; removed
    },
    "jax.util": {  # the module itself was removed
        "safe_map": _safe_map,  # removed: `map` over sequences of equal length, as a list
        "safe_zip": _safe_zip,  # removed: a strict `zip`, as a list
    },
    "jax.interpreters.ad": {
        # Removed: no JAX since 0.4.24 has emitted this primitive. It is the key of a rule.
        "zeros_like_p": core.Primitive("zeros_like"),
    },
}

_LOCK = threading.RLock()
_EXPERIMENTAL = "neural_tangents.experimental"
_ADAPTED = "_ntk_rnn_adapted"


def load() -> types.ModuleType:
    """The module `neural_tangents`, imported when this is first called.

    Raises:
      ImportError: if neural-tangents is not installed or fails to import; says why.
    """
    with _LOCK:
        module = sys.modules.get("neural_tangents")
        if module is not None and hasattr(module, _ADAPTED):
            return module
        try:
            with _names_restored(), warnings.catch_warnings():
                # These are about names that JAX will remove next.
                warnings.simplefilter("ignore", DeprecationWarning)
                _defer_experimental()
                module = importlib.import_module("neural_tangents")
                empirical = importlib.import_module("neural_tangents._src.empirical")
            adapt(empirical)
            adapt_predict(importlib.import_module("neural_tangents._src.predict"))
        except Exception as error:
            raise ImportError(
                "empirical kernels need neural-tangents, which cannot be loaded "
                f"({type(error).__name__}: {error}); install it with "
                "`pip install neural-tangents`, or use analytic_ntk, which does without it"
            ) from error
        setattr(module, _ADAPTED, True)
        return module


@contextlib.contextmanager
def _names_restored() -> Iterator[None]:
    """Adds the names that are missing to JAX, and removes them again on leaving."""
    with contextlib.ExitStack() as undo:
        for module_name, names in _MOVED_NAMES.items():
            try:
                module = importlib.import_module(module_name)
            except ModuleNotFoundError:
                module = types.ModuleType(module_name)
                sys.modules[module_name] = module
                undo.callback(sys.modules.pop, module_name, None)
            for name, value in names.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    missing = not hasattr(module, name)
                if missing:
                    setattr(module, name, value)
                    undo.callback(delattr, module, name)
        yield


class _Deferred(types.ModuleType):
    """`neural_tangents.experimental`, executed when one of its names is first asked for."""

    def __getattr__(self, name: str) -> Any:
        # Python asks modules for names that they never had: for __warningregistry__ when it warns,
        # and for the name of an object that it pickles and that does not say where it is from.
        if name.startswith("__") or name not in self._source_names():
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _LOCK:  # other threads wait here until the module is complete
            if self.__dict__.get("_executing"):
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} yet")
            if type(self) is _Deferred:
                self._execute()
        return getattr(self, name)

    def _source_names(self) -> set[str]:
        """The words in its source, among which are the names it would define."""
        loader = self.__spec__ and self.__spec__.loader
        assert isinstance(loader, importlib.abc.InspectLoader)
        return set(re.findall(r"\w+", loader.get_source(self.__name__) or ""))

    def _execute(self) -> None:
        spec = self.__spec__
        assert spec is not None and spec.loader is not None
        self.__dict__["_executing"] = True
        try:
            spec.loader.exec_module(self)
            object.__setattr__(self, "__class__", types.ModuleType)
        except ImportError as error:
            raise ImportError(
                f"{_EXPERIMENTAL} needs tensorflow and tf2jax ({error}); install them with "
                "`pip install tensorflow tf2jax`"
            ) from error
        finally:
            del self.__dict__["_executing"]


def _defer_experimental() -> None:
    """Puts a lazy module where importing neural-tangents would import tensorflow."""
    package = importlib.util.find_spec("neural_tangents")
    if package is None or _EXPERIMENTAL in sys.modules:
        return
    spec = importlib.machinery.PathFinder.find_spec(
        _EXPERIMENTAL, package.submodule_search_locations
    )
    if spec is not None:
        module = importlib.util.module_from_spec(spec)
        module.__class__ = _Deferred
        sys.modules[_EXPERIMENTAL] = module
