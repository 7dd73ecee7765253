"""What is recorded of a model while it trains, and when."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntk_rnn._types import ApplyFn
from ntk_rnn.kernels.finite_width import FiniteWidthGram, finite_width_gram
from ntk_rnn.loss import Loss
from ntk_rnn.objective import DataSet, Sequences

# Steps are counted in 32 bits.
MOST_STEPS = 2**31 - 2


class TrainingPath(NamedTuple):
    """A path of training, from ``gradient_descent`` or ``train``, recorded at ``R`` steps.

    Attributes:
      step: the steps, rising, shape ``(R,)``; step 0 is the start.
      train_loss: training loss before each of these steps is taken, shape ``(R,)``.
      test_loss: test loss, shape ``(R,)``; ``None`` without a test set.
      impulse_response: response to unit impulses, ``L`` of a causal linear model, shape
        ``(R, T, n_y, n_x)``.
      kernel_drift: ``||G^l - G^0||_F / ||G^0||_F`` of the finite-width Gram matrix, 0 at step 0,
        shape ``(R,)``; ``None`` if not asked for.
      params: the parameters at the last of these steps, which is the end.
      diverged_at: the first step with a non-finite training loss, or ``None``; the path then
        ends one step before it.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> model = nr.LinearRNN(width=50, out_dim=1)
      >>> params = model.init(jax.random.key(1), x)
      >>> path = nr.gradient_descent(
      ...     model, params, (x, y), steps=20, learning_rate=1e-3, record_at=[0, 10, 20]
      ... )
      >>> path.step.tolist(), path.impulse_response.shape
      ([0, 10, 20], (3, 5, 1, 1))
      >>> path.test_loss is None and path.diverged_at is None
      True
    """

    step: Int[np.ndarray, " R"]
    train_loss: Float[Array, " R"]
    test_loss: Float[Array, " R"] | None
    impulse_response: Float[Array, "R T n_y n_x"]
    kernel_drift: Float[Array, " R"] | None
    params: Any
    diverged_at: int | None


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


def evaluate(
    apply_fn: ApplyFn, params: Any, data: DataSet, test: DataSet | None, *, with_gradient: bool
) -> list[Array]:
    """Outputs on the training inputs, the test inputs and the unit impulses, in this order.

    Inputs of one length are evaluated at once: by its impulse response, a model takes as long for
    one set of sequences as for all of them.

    Args:
      apply_fn: the model.
      params: its parameters.
      data: training data. Where they are compressed, their inputs are the unit impulses.
      test: test data, or ``None``.
      with_gradient: whether the outputs on the training inputs are to be differentiated. A set of
        more sequences than they have is then evaluated apart from them, since it would cost more
        to differentiate with them than to evaluate again.
    """
    inputs = [data.inputs]
    if test is not None:
        inputs.append(test.inputs)
    if isinstance(data, Sequences):
        inputs.append(data.impulses)
    groups: dict[Any, list[int]] = {}
    for i, x in enumerate(inputs):
        apart = with_gradient and len(x) > len(inputs[0])
        groups.setdefault((x.shape[1:], x.dtype, apart), []).append(i)
    outputs: dict[int, Array] = {}
    for members in groups.values():
        sets = list(map(inputs.__getitem__, members))
        ends = np.cumsum(list(map(len, sets)))[:-1]
        parts = jnp.split(apply_fn(params, jnp.concatenate(sets)), ends)
        outputs |= zip(members, parts, strict=True)
    return list(map(outputs.__getitem__, range(len(inputs))))


def observation(
    outputs: list[Array],
    params: Any,
    data: DataSet,
    test: DataSet | None,
    loss: Loss,
    initial_gram: FiniteWidthGram | None,
) -> Observation:
    """What outputs of ``evaluate`` say of a model, and the drift of its kernel from that given."""
    impulses = outputs[-1] if isinstance(data, Sequences) else outputs[0]
    response, drift = impulses.transpose(1, 2, 0), None
    if initial_gram is not None:
        drift = finite_width_gram(params, len(response)).drift(initial_gram)
    return Observation(
        data.loss(outputs[0], loss),
        None if test is None else test.loss(outputs[1], loss),
        response,
        drift,
    )


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
