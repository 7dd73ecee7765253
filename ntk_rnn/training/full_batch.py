"""Gradient descent of any model, compiled as one loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from ntk_rnn import _checks
from ntk_rnn._functions import as_apply_fn
from ntk_rnn._types import AnyArray, ApplyFn
from ntk_rnn.kernels.finite_width import FiniteWidthGram, finite_width_gram
from ntk_rnn.loss import Loss, check_loss
from ntk_rnn.training.objective import (
    Data,
    check_linear_rnn,
    matching_data,
    response_shape,
    training_loss,
)
from ntk_rnn.training.optimizers import Rule, check_rule, lenient_promotion, make_optimizer
from ntk_rnn.training.records import Observation, observe, record_steps
from ntk_rnn.training.stability import max_learning_rate, refuse_unstable


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


def gradient_descent(
    apply_fn: ApplyFn | nn.Module,
    params: Any,
    data: Data,
    *,
    steps: int,
    learning_rate: float | Float[AnyArray, ""] | Callable[[Any], Any] | None = None,
    optimizer: optax.GradientTransformation | None = None,
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
      apply_fn: ``apply_fn(params, x) -> y``, as ``LinearRNN(...).apply``, or a Flax module;
        sequences must not depend on each other.
      params: where to start, any pytree of arrays. They are left as they are.
      data: training inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or both compressed
        (``compress``), for a causal linear model: then the time of a step
        does not depend on the number of sequences.
      steps: number of steps.
      learning_rate: ``eta``, or an optax schedule of it, for plain gradient descent.
      optimizer: any optax optimizer, instead of ``learning_rate``.
      test: test inputs and targets, of any number and length, or compressed ones.
      loss: ``"sum"`` for ``1/2 sum ||y_hat - y||^2`` (Appendix B.4), or ``"mean"`` for the mean
        squared error; a learning rate ``eta`` for the sum does what ``eta N T n_y / 2`` does for
        the mean.
      record_at: the steps at which to record, shape ``(R,)``, from 0 to ``steps``, which always
        is; every step if ``None``. A record costs one evaluation of the model beside the step.
      kernel_drift: whether to record how far the exact kernel of a linear RNN has moved, which is
        0 for ever in the limit of infinite width. It costs both chains of the impulse response
        and ``O((T^2 n_y n_x)^2)`` a record.
      allow_unstable: whether to take a learning rate past the largest that is stable at the start.
        It is looked for by 20 power iterations, so that a rate just past it may go unnoticed; not
        at all where the call is itself compiled or batched (``jax.jit``, ``jax.vmap``), and not for
        schedules and optimizers.

    Returns:
      The path. Should the training loss turn non-finite, a ``RuntimeWarning`` names the step and
      the largest stable learning rate, and the path ends one step before. Compiled or batched by
      the caller (``jax.jit``, ``jax.vmap``) the path is returned as it is.

    Raises:
      ValueError: if data are empty, not finite or do not match the model's outputs, or compressed
        for a model that is not causal and linear; if neither or both of ``learning_rate`` and
        ``optimizer`` are given, or the learning rate is not positive or not stable; if
        ``record_at`` is out of range, the loss is not finite to begin with, or ``kernel_drift`` is
        asked of a model that is not a ``LinearRNN``.

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
    apply_fn = as_apply_fn(apply_fn)
    steps = _checks.nonnegative_int("steps", steps)
    loss = check_loss(loss)
    records = record_steps(record_at, steps)
    data = matching_data("data", apply_fn, params, data)
    test = None if test is None else matching_data("test", apply_fn, params, test)
    rule, rate = check_rule(learning_rate, optimizer)
    if rate is not None and not allow_unstable:
        refuse_unstable(apply_fn, params, data, rate, loss)
    gram = None
    if kernel_drift:
        gram = finite_width_gram(params, response_shape(data)[0])
        check_linear_rnn(apply_fn, params, data)
    run = partial(_run, apply_fn, rule, loss, params, data, test, gram, rate)
    with jax.default_matmul_precision("highest"):
        path, taken, last_params = run(_gaps(records))
        diverged_at = _first_bad_step(records, path.train_loss, taken)
        if diverged_at == 0:
            raise ValueError(
                "params must give a finite training loss to start from, got one that is not; "
                "rescale the data or the parameters"
            )
        if diverged_at is not None:
            # Once more up to the last good step, by the same compiled loop: rather than a second
            # copy of the parameters, which every step of every run would pay for.
            records = np.minimum(records, diverged_at - 1)
            path, _, last_params = run(_gaps(records))
            records, first = np.unique(records, return_index=True)
            path = jax.tree.map(lambda a: a[first], path)
            largest = max_learning_rate(apply_fn, params, data, loss=loss)
            warnings.warn(
                f"training loss turned non-finite at step {diverged_at}; the path ends at step "
                f"{diverged_at - 1}. The largest stable learning rate of plain gradient descent "
                f"is {float(largest):.4g} at the start" + (f", got {rate:g}" if rate else ""),
                RuntimeWarning,
                stacklevel=2,
            )
    return TrainingPath(step=records, params=last_params, diverged_at=diverged_at, **path._asdict())


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(
    apply_fn: ApplyFn,
    rule: Rule,
    loss: Loss,
    params: Any,
    data: Data,
    test: Data | None,
    gram: FiniteWidthGram | None,
    rate: Any,
    gaps: Array,
) -> tuple[Observation, Array, Any]:
    """Takes ``gaps[r]`` steps and then makes record ``r``, for every ``r``.

    No further step is taken once the loss is not finite.

    Returns:
      The records, the number of steps taken, and the parameters.
    """
    optimizer = make_optimizer(rule, rate)

    def objective(p: Any) -> Array:
        return training_loss(apply_fn, p, data, loss)

    def take_step(state: tuple) -> tuple:
        p, opt_state, step, left, _ = state
        value, gradient = jax.value_and_grad(objective)(p)
        with lenient_promotion():
            updates, opt_state = optimizer.update(
                gradient, opt_state, p, value=value, grad=gradient, value_fn=objective
            )
        finite = jnp.isfinite(value)
        return (
            optax.apply_updates(p, updates),
            opt_state,
            step + finite.astype(step.dtype),
            left - 1,
            finite,
        )

    def more(state: tuple) -> Array:
        _, _, _, left, finite = state
        return (left > 0) & finite

    def record(carry: tuple, gap: Array) -> tuple:
        p, opt_state, step, finite = carry
        p, opt_state, step, _, finite = lax.while_loop(
            more, take_step, (p, opt_state, step, gap, finite)
        )
        return (p, opt_state, step, finite), observe(apply_fn, p, data, test, loss, gram)

    with lenient_promotion():
        opt_state = optimizer.init(params)
    start = (params, opt_state, jnp.asarray(0), jnp.asarray(True))
    (params, _, step, _), path = lax.scan(record, start, gaps)
    return path, step, params


def _first_bad_step(records: np.ndarray, train_loss: Array, taken: Array) -> int | None:
    """The first step with a non-finite training loss, or ``None``.

    Either a record shows it, or the loop saw it, and stopped, between two records.
    """
    if _checks.is_traced(taken):
        return None
    bad: list[int] = records[~np.isfinite(np.asarray(train_loss))].tolist()
    if taken < records[-1]:
        bad.append(int(taken))
    return min(bad, default=None)


def _gaps(records: np.ndarray) -> Array:
    return jnp.asarray(np.diff(records, prepend=0), jnp.int32)
