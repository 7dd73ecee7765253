"""What is recorded of a model while it trains, and when."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntk_rnn import _checks
from ntk_rnn._memory import free_bytes
from ntk_rnn.kernels.finite_width import finite_width_gram
from ntk_rnn.models import LinearRNN, ScaledConv
from ntk_rnn.objective import DataSet, Sequences
from ntk_rnn.sequences import unit_impulses
from ntk_rnn.training.method import Method, Problem

# Sets of more numbers than this are evaluated apart, for to copy them into one takes longer than to
# evaluate a wide model on unit impulses again.
_MANY_NUMBERS = 2**20


class TrainingPath(NamedTuple):
    """A path of training, from ``gradient_descent`` or ``train``, recorded at ``R`` steps.

    Attributes:
      step: the steps, rising, shape ``(R,)``; step 0 is the start.
      train_loss: training loss before each of these steps is taken, shape ``(R,)``.
      test_loss: test loss, shape ``(R,)``; ``None`` without a test set.
      impulse_response: response to unit impulses, ``L`` of a causal linear model, shape
        ``(R, T, n_y, n_x)``, or ``(R, ..., n_x)`` for outputs of shape ``(N, ...)``.
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


def observe(
    method: Method, problem: Problem, params: Any, *, with_gradient: bool = False
) -> tuple[Float[Array, ""], Observation]:
    """The training loss of a model, and a record of it.

    The model is evaluated on the training inputs, the test inputs and the unit impulses, on those
    of one length at once, since by its impulse response a model takes as long for one set of
    sequences as for all of them, unless a set is so large that copying it would outlast that.

    Args:
      method: the model and its loss.
      problem: the data. Where they are compressed, their inputs are the unit impulses.
      params: the parameters.
      with_gradient: whether the training loss is to be differentiated. Only a linear model of this
        library is then evaluated on all inputs at once: what is evaluated along with the training
        inputs adds 0 to the gradient, but NaN where a model has no derivative, as a norm has none
        at the zeros that follow an impulse. A set of more sequences than the training data is
        evaluated apart too, because it costs less to evaluate a model again than to differentiate
        it there.
    """
    data, test = problem.data, problem.test
    inputs = [data.inputs]
    if test is not None:
        inputs.append(test.inputs)
    if isinstance(data, Sequences):
        _, seq_len, in_dim = inputs[0].shape
        inputs.append(unit_impulses(seq_len, in_dim, inputs[0].dtype))
    groups: dict[Any, list[int]] = {}  # by what sets that are evaluated at once have in common
    linear = isinstance(getattr(method.apply_fn.function, "owner", None), LinearRNN | ScaledConv)
    for i, x in enumerate(inputs):
        apart = with_gradient and i > 0 and (len(x) > len(inputs[0]) or not linear)
        alone = i if x.size > _MANY_NUMBERS else None
        groups.setdefault((x.shape[1:], x.dtype, apart, alone), []).append(i)
    outputs: dict[int, Array] = {}
    for members in groups.values():
        sets = list(map(inputs.__getitem__, members))
        ends = np.cumsum(list(map(len, sets)))[:-1]
        parts = jnp.split(method.apply_fn(params, jnp.concatenate(sets)), ends)
        outputs |= zip(members, parts, strict=True)
    response, drift = outputs[len(inputs) - 1 if isinstance(data, Sequences) else 0], None
    response = jnp.moveaxis(response, 0, -1)
    if problem.initial_gram is not None:
        drift = finite_width_gram(params, len(response)).drift(problem.initial_gram)
    train_loss = data.loss(outputs[0], method.loss)
    test_loss = None if test is None else test.loss(outputs[1], method.loss)
    return train_loss, Observation(train_loss, test_loss, response, drift)


def record_steps(
    record_at: Any, steps: int, data: DataSet, every: int = 1, *, name: str = "record_at"
) -> np.ndarray:
    """The steps at which to record, rising: those asked for, and the last.

    Args:
      record_at: what a user asked for, or ``None``.
      steps: the last step.
      data: what is trained on, whose shape says how large a record is.
      every: steps from one record to the next if ``record_at`` is ``None``.
      name: what errors call the argument.

    Raises:
      ValueError: if ``record_at`` is no list of steps up to ``steps``, or there is no memory for so
        many records.
    """
    asked = None if record_at is None else np.asarray(_checks.numbers(name, record_at))
    count = steps // every + 1 if asked is None else asked.size
    # An impulse response and two losses, and the step itself.
    needed = count * ((math.prod(data.shape) + 2) * data.inputs.dtype.itemsize + 8)
    if needed > free_bytes():
        given = "None" if asked is None else f"{count} steps"
        raise ValueError(
            f"{name} must be steps whose records fit into memory, got {given}: {count} records "
            f"of shape {data.shape} take {needed / 1e9:.3g} GB, and {free_bytes() / 1e9:.3g} GB "
            f"are free; pass fewer, as record_at=range(0, {steps}, {max(1, steps // 1000)})"
        )
    if asked is None:
        return np.unique([*range(0, steps, every), steps]) if every > 1 else np.arange(steps + 1)
    if asked.ndim > 1:
        raise ValueError(
            f"{name} must have shape (records,), got shape {asked.shape}; pass one list of steps"
        )
    if asked.size and not np.issubdtype(asked.dtype, np.integer):
        raise ValueError(f"{name} must hold whole numbers of steps, got {_checks.shown(record_at)}")
    records = np.unique([*asked.ravel().astype(int), steps])
    if records[0] < 0 or records[-1] > steps:
        raise ValueError(
            f"{name} must lie between 0 and steps = {steps}, got {records[0]} to {records[-1]}"
        )
    return records
