"""A model as a function of its trainable parameters alone, which are real floating arrays."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from flax.errors import FlaxError, InvalidRngError, ModifyScopeVariableError
from jax import lax

from ntk_rnn import _checks
from ntk_rnn._functions import as_apply_fn, is_nnx, module_of
from ntk_rnn._types import ApplyFn

# What becomes of an array among the variables of a model.
_Kind: TypeAlias = Literal["trained", "split", "held"]


@struct.dataclass
class Network:
    """A model as a function of its trainable parameters, from ``separated``.

    It is a pytree of what is held fixed, so that ``jax.jit`` takes it as an argument and compiles
    in only the function and the structure of its variables.

    Attributes:
      function: ``apply_fn(variables, x)`` of the user.
      structure: of all variables, as a tree.
      kinds: what becomes of each of them: it is trained, trained as a pair of its real and its
        imaginary part, or held fixed.
      held: those that are held fixed.
    """

    function: ApplyFn = struct.field(pytree_node=False)
    structure: Any = struct.field(pytree_node=False)
    kinds: tuple[_Kind, ...] = struct.field(pytree_node=False)
    held: list[Any]

    def __call__(self, params: Any, x: Any) -> Any:
        """Outputs at trainable parameters, which must be real."""
        try:
            outputs = self.function(self.joined(params), x)
        except (InvalidRngError, ModifyScopeVariableError) as error:
            raise ValueError(
                "apply_fn must be a function of its parameters and inputs alone, without dropout "
                f"and without changing its variables ({error}); call the module as for inference, "
                "as lambda p, x: model.apply(p, x, deterministic=True)"
            ) from error
        except FlaxError as error:
            raise ValueError(
                f"params must be what init of this module returned, or fit it ({error})"
            ) from error
        dtype = getattr(outputs, "dtype", jnp.float32)  # what is no array is refused elsewhere
        if not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(
                f"apply_fn must return real floating outputs, got dtype {dtype}; return the real "
                "part of complex ones, or the real and the imaginary part as two outputs"
            )
        return outputs

    def joined(self, params: Any) -> Any:
        """All variables in the form in which the user passed them, with these parameters."""
        given, held = iter(jax.tree.leaves(params)), iter(self.held)

        def variable(kind: _Kind) -> Any:
            if kind == "held":
                return next(held)
            return next(given) if kind == "trained" else lax.complex(next(given), next(given))

        return jax.tree.unflatten(self.structure, map(variable, self.kinds))


def separated(model: Any, params: Any) -> tuple[Network, Any]:
    """A model as a function of its trainable parameters, and those.

    Trained are the floating and complex arrays among ``params``. A complex one is trained as the
    pair of its real and its imaginary part, for it is by these that a real output can be
    differentiated. What is held fixed are integers, booleans and random keys; of the variables of
    a Linen module all collections but ``"params"``; and of those of an NNX module all that is no
    ``nnx.Param``.

    Args:
      model: a function ``apply_fn(params, x)``, or a Flax module.
      params: its variables, any pytree of arrays.

    Returns:
      The network; and the trainable parameters, in the tree of ``params``, with ``None`` where an
      array is held fixed and a pair where one is complex.

    Raises:
      ValueError: if ``model`` is no model; or if ``params`` hold nothing to be trained, something
        that is no array, or a parameter that is not finite.
    """
    function = as_apply_fn(model)
    if hasattr(params, "_instead"):  # a WideRNN, which this module may not import
        raise ValueError(f"params must have a W, got a {type(params).__name__}; {params._instead}")
    entries, structure = jax.tree_util.tree_flatten_with_path(params)
    if not entries:
        raise ValueError(
            f"params must hold at least one array, got {params!r}; pass what init returned, or "
            "what ntk_rnn.functional(module) gives of an NNX module"
        )
    names = [f"params{jax.tree_util.keystr(path)}" for path, _ in entries]
    arrays = [_array(name, leaf) for name, (_, leaf) in zip(names, entries, strict=True)]
    kinds: tuple[_Kind, ...] = tuple(
        _kind(array, is_param)
        for array, is_param in zip(arrays, _are_params(function, params), strict=True)
    )
    held, trees = [], []
    for name, kind, array in zip(names, kinds, arrays, strict=True):
        if kind == "held":
            held.append(array)
            trees.append(None)
            continue
        _checks.finite(name, array, "start from parameters that are")
        trees.append(array if kind == "trained" else (jnp.real(array), jnp.imag(array)))
    trainable = jax.tree.unflatten(structure, trees)
    if not sum(leaf.size for leaf in jax.tree.leaves(trainable)):
        found = ", ".join(
            f"{name} of dtype {array.dtype} and shape {array.shape}"
            for name, array in zip(names[:3], arrays, strict=False)
        )
        raise ValueError(
            f"params must hold at least one floating or complex number to be trained, got {found}; "
            "integers, booleans, random keys, and variables of NNX that are no nnx.Param are held "
            "fixed"
        )
    return Network(function, structure, kinds, held), trainable


def _array(name: str, leaf: Any) -> jax.Array:
    """An array of a type of its own, which no other array that it meets decides."""
    if not isinstance(leaf, jax.Array):  # random keys, which are no numbers, are
        leaf = _checks.fitting(name, _checks.numbers(name, leaf, or_complex=True))
    array = jnp.asarray(leaf)
    return lax.convert_element_type(array, array.dtype)


def _kind(array: jax.Array, is_param: bool) -> _Kind:
    if is_param and jnp.issubdtype(array.dtype, jnp.floating):
        return "trained"
    return "split" if is_param and jnp.issubdtype(array.dtype, jnp.complexfloating) else "held"


def _are_params(function: ApplyFn, params: Any) -> list[bool]:
    """Which of the variables of a model are parameters, by the conventions of Flax."""
    nnx: Any = sys.modules.get("flax.nnx")  # who has variables of NNX has imported it
    if nnx is not None:
        nodes = jax.tree.leaves(params, is_leaf=lambda node: isinstance(node, nnx.Variable))
        of_nnx = is_nnx(function) and isinstance(params, nnx.State)
        if of_nnx or any(isinstance(node, nnx.Variable) for node in nodes):
            return [isinstance(node, nnx.Param) for node in nodes for _ in jax.tree.leaves(node)]
    is_linen = isinstance(module_of(function), nn.Module)
    if is_linen and not (isinstance(params, Mapping) and "params" in params):
        found = list(params) if isinstance(params, Mapping) else type(params).__name__
        raise ValueError(
            f'params must be a mapping {{"params": ...}}, as init of the module returned it, got '
            f"{found}"
        )
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    # A function around a module, say with ``train=False``, is recognized by running statistics.
    if isinstance(params, Mapping) and (is_linen or {"params", "batch_stats"} <= params.keys()):
        return [path[0].key == "params" for path in paths]
    return [True] * len(paths)
