"""Gradient descent of any model on all data, compiled as one loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from ntk_rnn import _checks
from ntk_rnn._networks import separated
from ntk_rnn._types import AnyArray, ApplyFn
from ntk_rnn.kernels.finite_width import finite_width_gram
from ntk_rnn.loss import Loss, check_loss
from ntk_rnn.objective import Data, check_linear_rnn, matching_data
from ntk_rnn.training.loop import State, between_records, every_step, start
from ntk_rnn.training.method import Method, Problem, check_optimizer, initial_state
from ntk_rnn.training.records import Observation, TrainingPath, record_steps
from ntk_rnn.training.reverse_mode import forward_only
from ntk_rnn.training.stability import divergence_warning, infinite_start, refuse_unstable


def gradient_descent(
    apply_fn: ApplyFn | nn.Module,
    params: Any,
    data: Data,
    *,
    steps: int,
    learning_rate: float | Float[AnyArray, ""] | Callable[[Any], Any] | None = None,
    optimizer: optax.GradientTransformation | optax.MultiSteps | None = None,
    test: Data | None = None,
    loss: Loss = "sum",
    record_at: Sequence[int] | Int[np.ndarray, " R"] | None = None,
    kernel_drift: bool = False,
    allow_unstable: bool = False,
) -> TrainingPath:
    """Full-batch gradient descent: ``params <- params - eta grad(loss)``, ``steps`` times.

    The loop is one compiled computation. A second call with the same functions and shapes, and
    any learning rate, number of steps between records or data, compiles nothing.

    Args:
      apply_fn: ``apply_fn(params, x) -> y``, as ``LinearRNN(...).apply``; or a Flax module, of
        Linen with what ``init`` returned as ``params``, of NNX with its state. Sequences must not
        depend on each other.
      params: where to start, any pytree of arrays: floating ones, and complex ones by their real
        and imaginary parts. What else there is is held fixed: integers, booleans, random keys;
        collections of a Linen module other than ``"params"``; variables of an NNX module other than
        ``nnx.Param``. They are left as they are.
      data: training inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or of another shape
        ``(N, ...)`` if the outputs of the model have it, as those at the last step alone; or both
        compressed (``compress``), for a causal linear model: then the time of a step does not
        depend on the number of sequences.
      steps: number of steps.
      learning_rate: ``eta``, or an optax schedule of it, for plain gradient descent.
      optimizer: any optax optimizer, instead of ``learning_rate``.
      test: test inputs and targets, of any number and length, or compressed ones.
      loss: ``"sum"`` for ``1/2 sum ||y_hat - y||^2`` (Appendix B.4), or ``"mean"`` for the mean
        squared error; a learning rate ``eta`` for the sum does what ``eta N T n_y / 2`` does for
        the mean.
      record_at: the steps at which to record, shape ``(R,)``, from 0 to ``steps``, which always
        is; every step if ``None``. A record costs one evaluation of the model beside the step.
        Reverse-mode derivatives (``jax.grad``) are there with a record at every step alone.
      kernel_drift: whether to record how far the exact kernel of a linear RNN has moved, which is
        0 for ever in the limit of infinite width. It costs both chains of the impulse response
        and ``O((T^2 n_y n_x)^2)`` a record.
      allow_unstable: whether to take a learning rate past the largest that is stable at the start.
        It is estimated by 20 power iterations, so a rate just past it may go unnoticed. Nothing is
        refused where the call is itself compiled or batched (``jax.jit``, ``jax.vmap``), nor for
        schedules and optimizers.

    Returns:
      The path. If the training loss turns non-finite, a ``RuntimeWarning`` names the step and the
      largest stable learning rate, and the path ends one step before. Compiled or batched by the
      caller (``jax.jit``, ``jax.vmap``) the path is returned as it is.

    Raises:
      ValueError: if data are empty, not finite or do not match the model's outputs, or compressed
        for a model that is not causal and linear; if neither or both of ``learning_rate`` and
        ``optimizer`` are given, or the learning rate is not positive or not stable; if
        ``record_at`` is out of range or its records do not fit into memory, the loss is not finite
        to begin with, or ``kernel_drift`` is asked of a model that is not a ``LinearRNN``.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> model = nr.LinearRNN(width=50, out_dim=1)
      >>> params = model.init(jax.random.key(1), x)
      >>> path = nr.gradient_descent(
      ...     model, params, (x, y), steps=20, learning_rate=1e-3, record_at=[0, 10, 20]
      ... )
      >>> bool(path.train_loss[-1] < path.train_loss[0])
      True
    """
    network, params = separated(apply_fn, params)
    steps = _checks.integer("steps", steps, least=0)
    checked = matching_data("data", network, params, data)
    checked_test = None if test is None else matching_data("test", network, params, test)
    records = record_steps(record_at, steps, checked)
    compiled_in, rate = check_optimizer(learning_rate, optimizer)
    _checks.flag("kernel_drift", kernel_drift)
    _checks.flag("allow_unstable", allow_unstable)
    method = Method(network, compiled_in, check_loss(loss), None)
    if rate is not None and not allow_unstable:
        refuse_unstable(method, params, checked, rate)
    gram = None
    if kernel_drift:
        check_linear_rnn(network, params, checked)
        gram = finite_width_gram(params, checked.shape[0])
    problem = Problem(checked, checked_test, rate, None, gram)
    every = len(records) == steps + 1
    with jax.default_matmul_precision("highest"):
        end, made = _descend(method, every, problem, params, jnp.asarray(records, jnp.int32))
        diverged_at = _first_bad_step(records, made.train_loss, end.step)
        if diverged_at is not None:
            if diverged_at == 0:
                raise infinite_start()
            # The run is repeated up to the last good step, by the same compiled loop. A second copy
            # of the parameters would make every step of every run slower.
            records = np.minimum(records, diverged_at - 1)
            end, made = _descend(method, every, problem, params, jnp.asarray(records, jnp.int32))
            records, first = np.unique(records, return_index=True)
            made = jax.tree.map(lambda rows: rows[first], made)
            text = divergence_warning(method, problem, params, diverged_at)
            warnings.warn(text, RuntimeWarning, stacklevel=2)
    final = network.joined(end.params)
    return TrainingPath(step=records, params=final, diverged_at=diverged_at, **made._asdict())


@partial(jax.jit, static_argnums=1)
def _descend(
    method: Method, every: bool, problem: Problem, params: Any, records: Int[Array, " R"]
) -> tuple[State, Observation]:
    """The state at the last of the records, and all of them.

    Args:
      method: the model and how it is trained.
      every: whether there is a record at every step.
      problem: what it is trained on.
      params: where to start.
      records: the steps at which to record, not falling.
    """
    opt_state = initial_state(method.optimizer, problem.rate, params)
    state = start(method, problem, params, opt_state)
    if every:
        return every_step(method, problem, state, len(records), records[-1])
    return forward_only(
        between_records(method, problem, state, records, jnp.ones(len(records), bool))
    )


def _first_bad_step(
    records: Int[np.ndarray, " R"], train_loss: Float[Array, " R"], reached: Int[Array, ""]
) -> int | None:
    """The first step with a non-finite training loss, or ``None``.

    Either a record shows it, or the loop saw it between two records and stopped.
    """
    if _checks.is_traced((train_loss, reached)):
        return None
    bad: list[int] = records[~np.isfinite(np.asarray(train_loss))].tolist()
    if int(reached) < records[-1]:
        bad.append(int(reached))
    return min(bad, default=None)
