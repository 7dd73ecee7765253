"""What can be differentiated in forward mode alone, and says so in reverse mode."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_identity = Primitive("forward_only")
_identity.def_impl(lambda array: array)
_identity.def_abstract_eval(lambda array: array)
batching.defvectorized(_identity)
mlir.register_lowering(_identity, lambda context, array: [array])


def forward_only(tree: Any) -> Any:
    """``tree``, whose floating arrays raise a ``ValueError`` where they are differentiated back.

    A loop of an open number of turns has no derivative in reverse mode. JAX finds that out after
    the function that has the loop has returned, and does not name it.
    """
    return jax.tree.map(
        lambda array: _identity.bind(array) if jnp.issubdtype(array.dtype, jnp.floating) else array,
        tree,
    )


def _refuse(cotangent: Any, array: Any) -> Any:
    raise ValueError(
        "record_at must be left out where gradient_descent is differentiated in reverse mode "
        "(jax.grad, jax.jacrev), which takes a record at every step; leave it out, or take "
        "jax.jacfwd"
    )


ad.deflinear2(_identity, _refuse)
