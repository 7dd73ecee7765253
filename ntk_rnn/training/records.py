"""What is recorded of a model while it trains, and when."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn._types import ApplyFn
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.kernels.finite_width import FiniteWidthGram, finite_width_gram
from ntk_rnn.loss import Loss
from ntk_rnn.sequences import unit_impulses
from ntk_rnn.training.objective import Data, loss_of_outputs, model_inputs

# Steps are counted in 32 bits.
MOST_STEPS = 2**31 - 2


class Observation(NamedTuple):
    """What is recorded at one step, or, with a leading axis, at several.

    Attributes:
      train_loss: training loss, shape ``()``.
      test_loss: test loss, shape ``()``; ``None`` without a test set.
      impulse_response: response to unit impulses, shape ``(T, n_y, n_x)``.
      kernel_drift: how far the Gram matrix has moved, shape ``()``; ``None`` if not asked for.
    """

    train_loss: Float[Array, "*R"]
    test_loss: Float[Array, "*R"] | None
    impulse_response: Float[Array, "*R T n_y n_x"]
    kernel_drift: Float[Array, "*R"] | None


def observe(
    apply_fn: ApplyFn,
    params: Any,
    data: Data,
    test: Data | None,
    loss: Loss,
    initial_gram: FiniteWidthGram | None = None,
) -> Observation:
    """The model at ``params``; its kernel too, if that at the start is given."""
    x = model_inputs(data)
    inputs = [x] if test is None else [x, model_inputs(test)]
    if not isinstance(data, CompressedData):  # whose inputs are the unit impulses
        inputs.append(unit_impulses(x.shape[1], x.shape[2], x.dtype))
    outputs = _evaluate(apply_fn, params, inputs)
    impulses = outputs[0] if isinstance(data, CompressedData) else outputs[-1]
    response = impulses.transpose(1, 2, 0)
    drift = None
    if initial_gram is not None:
        drift = finite_width_gram(params, len(response)).drift(initial_gram)
    return Observation(
        loss_of_outputs(outputs[0], data, loss),
        None if test is None else loss_of_outputs(outputs[1], test, loss),
        response,
        drift,
    )


def _evaluate(apply_fn: ApplyFn, params: Any, inputs: list[Array]) -> list[Array]:
    """The model on several sets of sequences.

    Sets of one length go at once: by its impulse response, a model takes as long for one as for
    all.
    """
    if len({(a.shape[1:], a.dtype) for a in inputs}) > 1:
        return [apply_fn(params, a) for a in inputs]
    ends = np.cumsum([a.shape[0] for a in inputs])[:-1]
    return jnp.split(apply_fn(params, jnp.concatenate(inputs)), ends)


def record_steps(record_at: Any, steps: int) -> np.ndarray:
    """The steps at which to record, rising: those asked for, or all, and the last."""
    if steps > MOST_STEPS:
        raise ValueError(f"steps must be at most {MOST_STEPS}, got {steps}")
    if record_at is None:
        return np.arange(steps + 1)
    asked = np.asarray(record_at)
    if asked.size and not np.issubdtype(asked.dtype, np.integer):
        raise ValueError(f"record_at must hold whole numbers of steps, got {record_at!r}")
    records = np.unique([*asked.ravel().astype(int), steps])
    if records[0] < 0 or records[-1] > steps:
        raise ValueError(
            f"record_at must lie between 0 and steps = {steps}, got {records[0]} to {records[-1]}"
        )
    return records
