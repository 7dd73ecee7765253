"""optax under the strictest settings of JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import optax

from ntk_rnn import _checks

Rule = optax.GradientTransformation | Callable[[Any], Any] | None


@contextmanager
def lenient_promotion() -> Iterator[None]:
    """For the code of optax, which promotes implicitly even where its user has forbidden it."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def check_rule(
    learning_rate: Any, optimizer: optax.GradientTransformation | None
) -> tuple[Rule, Any]:
    """What is compiled in (an optimizer, a schedule or nothing), and a learning rate apart.

    Raises:
      ValueError: if neither or both are given, or the learning rate is not positive.
    """
    if (learning_rate is None) == (optimizer is None):
        raise ValueError(
            "give either learning_rate or optimizer, got "
            f"learning_rate={learning_rate!r}, optimizer={optimizer!r}"
        )
    if optimizer is not None and not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(
            f"optimizer must be one of optax, as optax.adam(1e-3), got {optimizer!r}; a plain "
            "learning rate goes in as learning_rate"
        )
    if learning_rate is None or callable(learning_rate):
        # A schedule, like an optimizer, is compiled in, and found again if it is the same object.
        return learning_rate or optimizer, None
    _checks.positive("learning_rate", learning_rate)
    # A Python number traces without a type of its own, so it suits parameters of any type.
    return None, learning_rate if _checks.is_traced(learning_rate) else float(learning_rate)


def make_optimizer(rule: Rule, rate: Any) -> optax.GradientTransformationExtraArgs:
    """The optax optimizer of what ``check_rule`` returned."""
    if not isinstance(rule, optax.GradientTransformation):
        rule = optax.sgd(rate if rule is None else rule)
    return optax.with_extra_args_support(rule)
