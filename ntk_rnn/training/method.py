"""What is trained, on which data and how, and the optimizers of optax that do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Shaped

from ntk_rnn import _checks
from ntk_rnn._functions import content
from ntk_rnn._networks import Network
from ntk_rnn.kernels.finite_width import FiniteWidthGram
from ntk_rnn.loss import Loss
from ntk_rnn.objective import DataSet

#: What is compiled in of an optimizer: one of optax, or ``None`` where it is plain gradient descent
#: whose learning rate is a number.
Optimizer: TypeAlias = optax.GradientTransformation | None


@dataclass(frozen=True)
class _Made:
    """An optimizer that equals another one of the same content."""

    content: Any
    optimizer: optax.GradientTransformation = field(compare=False)


@lru_cache(maxsize=64)
def _first_of(made: _Made) -> optax.GradientTransformation:
    """The first of all optimizers that equal this one, for which some may have been compiled.

    So what was compiled for ``optax.adam(1e-3)`` is found again by a call that makes another one.
    """
    return made.optimizer


@struct.dataclass
class Method:
    """A model, and how it is trained: all that is compiled in, with what the model holds fixed.

    Attributes:
      apply_fn: the model, as a function of its trainable parameters.
      optimizer: what is compiled in of the optimizer.
      loss: ``"sum"`` or ``"mean"``.
      batch_size: sequences a step, or ``None`` for all.
    """

    apply_fn: Network
    optimizer: Optimizer = struct.field(pytree_node=False)
    loss: Loss = struct.field(pytree_node=False)
    batch_size: int | None = struct.field(pytree_node=False)


class Problem(NamedTuple):
    """What a model is trained on, and what is recorded: what is not compiled in.

    Attributes:
      data: training data.
      test: test data, or ``None``.
      rate: the learning rate, if it is a number.
      key: random key of the order of the data; ``None`` without mini-batches.
      initial_gram: the Gram matrix at the start, if the drift from it is to be recorded.
    """

    data: DataSet
    test: DataSet | None
    rate: Any
    key: Shaped[Array, "*key"] | None
    initial_gram: FiniteWidthGram | None = None


def check_optimizer(
    learning_rate: Any, optimizer: optax.GradientTransformation | optax.MultiSteps | None
) -> tuple[Optimizer, Any]:
    """What is compiled in of an optimizer, and the learning rate, if it is a number.

    Raises:
      ValueError: if neither or both are given, or the learning rate is not positive.
    """
    if (learning_rate is None) == (optimizer is None):
        raise ValueError(
            "give either learning_rate or optimizer, got "
            f"learning_rate={_checks.shown(learning_rate)}, optimizer={_checks.shown(optimizer)}"
        )
    if isinstance(optimizer, optax.MultiSteps):
        optimizer = optimizer.gradient_transformation()
    if optimizer is not None and not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(
            f"optimizer must be one of optax, as optax.adam(1e-3), got "
            f"{_checks.shown(optimizer)}; a plain learning rate goes in as learning_rate"
        )
    if optimizer is None and callable(learning_rate):
        _check_schedule(learning_rate)
        optimizer, learning_rate = optax.sgd(cast(Any, learning_rate)), None
    if optimizer is not None:
        return _first_of(_Made(content(tuple(optimizer)), optimizer)), None
    _checks.positive(learning_rate=learning_rate)
    # A Python number traces without a type of its own, so it suits parameters of any type.
    return None, learning_rate if _checks.is_traced(learning_rate) else float(learning_rate)


def _check_schedule(schedule: Callable[[Any], Any]) -> None:
    """Raises ``ValueError`` unless a schedule gives one real number for a step."""
    try:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            rate = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
    except Exception as error:  # whatever a user's function raises
        reason = " ".join(str(error).split())
        raise ValueError(
            "learning_rate must be a number or a schedule, step -> rate, that JAX can compile, got "
            f"{_checks.shown(schedule)}, which raises {type(error).__name__}: {reason:.80}"
        ) from error
    leaves = jax.tree.leaves(rate)
    if len(leaves) != 1 or leaves[0] is not rate or rate.shape or jnp.iscomplexobj(rate):
        raise ValueError(
            "learning_rate must be a number or a schedule, step -> rate, of one number, got "
            f"{_checks.shown(schedule)}, which returns shape {jax.tree.map(jnp.shape, rate)}"
        )


def initial_state(optimizer: Optimizer, rate: Any, params: Any) -> Any:
    """The state of an optimizer before the first step, in arrays that have types of their own."""
    # optax promotes implicitly, even where its user has forbidden it.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return jax.tree.map(of_own_type, _transformation(optimizer, rate).init(params))


def updated(
    optimizer: Optimizer,
    rate: Any,
    params: Any,
    opt_state: Any,
    objective: Callable[[Any], Float[Array, ""]],
    value: Float[Array, ""],
    gradient: Any,
) -> tuple[Any, Any]:
    """The parameters and the state of an optimizer after one step.

    Args:
      optimizer: what ``check_optimizer`` returned.
      rate: the learning rate, if it is a number.
      params: the parameters before the step.
      opt_state: the state of the optimizer before the step.
      objective: the loss as a function of the parameters, for searches along a line.
      value: the loss at the parameters.
      gradient: its gradient there.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, opt_state = _transformation(optimizer, rate).update(
            gradient, opt_state, params, value=value, grad=gradient, value_fn=objective
        )
        return optax.apply_updates(params, updates), opt_state


def _transformation(optimizer: Optimizer, rate: Any) -> optax.GradientTransformationExtraArgs:
    return optax.with_extra_args_support(optax.sgd(rate) if optimizer is None else optimizer)


def refuse_traced(tree: Any, caller: str = "train") -> None:
    """Raises ``ValueError`` if what a function is given, or has computed, is traced."""
    if _checks.is_traced(tree):
        raise ValueError(
            f"{caller} cannot be compiled, differentiated or batched, got traced arguments, or a "
            "function that closes over traced arrays; use gradient_descent there"
        )


def of_own_type(array: Array) -> Array:
    """An array as it is stored and read again: of a type of its own, which fits any later call."""
    return lax.convert_element_type(array, array.dtype)
