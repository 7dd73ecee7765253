"""The compiled loop of training, from record to record.

``gradient_descent`` compiles it from the first record to the last, ``train`` in chunks, between
which a run can be watched, interrupted and resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Shaped

from ntk_rnn._types import ApplyFn
from ntk_rnn.kernels.finite_width import FiniteWidthGram
from ntk_rnn.loss import Loss
from ntk_rnn.objective import DataSet, Sequences
from ntk_rnn.training.optimizers import Optimizer, updated
from ntk_rnn.training.records import Observation, evaluate, observation


class Method(NamedTuple):
    """A model, and how it is trained: what is compiled in.

    Attributes:
      apply_fn: the model.
      optimizer: what is compiled in of the optimizer.
      loss: ``"sum"`` or ``"mean"``.
      batch_size: sequences a step, or ``None`` for all.
    """

    apply_fn: ApplyFn
    optimizer: Optimizer
    loss: Loss
    batch_size: int | None


class Problem(NamedTuple):
    """What a model is trained on, and what is recorded: what is not compiled in.

    Attributes:
      data: training data.
      test: test data, or ``None``.
      rate: the learning rate, if it is a number.
      key: of the order of the data; ``None`` without mini-batches.
      initial_gram: the Gram matrix at the start, if the drift from it is to be recorded.
    """

    data: DataSet
    test: DataSet | None
    rate: Any
    key: Shaped[Array, "*key"] | None
    initial_gram: FiniteWidthGram | None = None


class State(NamedTuple):
    """All that the steps to come depend on.

    Attributes:
      params: the parameters.
      opt_state: the state of the optimizer.
      step: number of steps taken, shape ``()``.
      order: the order of the data in the epoch of ``step``, shape ``(N,)``; ``None`` without
        mini-batches.
      loss: the last loss seen, shape ``()``; training stops where it is not finite.
    """

    params: Any
    opt_state: Any
    step: Int[Array, ""]
    order: Int[Array, " N"] | None
    loss: Float[Array, ""]


def start(
    method: Method, problem: Problem, params: Any, opt_state: Any, step: int = 0, order: Any = None
) -> State:
    """The state at a step with these parameters."""
    loss = jax.eval_shape(partial(_loss, method, problem.data), params)
    return State(params, opt_state, jnp.asarray(step, jnp.int32), order, jnp.zeros((), loss.dtype))


def between_records(
    method: Method,
    problem: Problem,
    state: State,
    ends: Int[Array, " R"],
    recorded: Bool[Array, " R"],
) -> tuple[State, Observation]:
    """Trains up to each of ``ends``, and makes a record there.

    No further step is taken once a loss is not finite. What a step computes does not depend on
    where records are made.

    Args:
      method: the model and how it is trained.
      problem: what it is trained on.
      state: where to go on.
      ends: steps, not falling.
      recorded: at which of them to make a record.

    Returns:
      The state, and a row of records for each end. Where the loss is not finite, rows are of the
      state at which training stopped; where no record is made, they are 0.
    """
    observe = partial(_observe, method, problem)
    nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(observe, state.params))

    def go_on(state: State, until: tuple[Array, Array]) -> tuple[State, Observation]:
        end, due = until
        state = _steps(method, problem, state, end)
        record = lax.cond(due, observe, lambda _: nothing, state.params)
        # With mini-batches the loss on all data may be the first one that is not finite.
        bad = due & ~jnp.isfinite(record.train_loss)
        return state._replace(loss=jnp.where(bad, record.train_loss, state.loss)), record

    return lax.scan(go_on, state, (ends, recorded))


def every_step(
    method: Method, problem: Problem, state: State, count: int, end: Int[Array, ""]
) -> tuple[State, Observation]:
    """Trains up to ``end`` with a record before each full-batch step, and one at the end.

    A record takes what its step computes: the model is evaluated once for both.

    Args:
      method: the model and how it is trained.
      problem: what it is trained on.
      state: where to start, at step 0.
      count: for how many records there is room, more than ``end``.
      end: the last step.

    Returns:
      The state, and a row of records for each step; those past ``end`` are 0.
    """
    data, test = problem.data, problem.test

    def evaluated(params: Any) -> tuple[Array, list[Array]]:
        outputs = evaluate(method.apply_fn, params, data, test, with_gradient=True)
        return data.loss(outputs[0], method.loss), outputs

    def step(index: Array, carry: tuple[State, Observation]) -> tuple[State, Observation]:
        state, made = carry
        (loss, outputs), gradient = jax.value_and_grad(evaluated, has_aux=True)(state.params)
        record = observation(outputs, state.params, data, test, method.loss, problem.initial_gram)
        made = jax.tree.map(partial(_with_row, index), made, record)
        return _updated(method, problem, data, state, loss, gradient), made

    last = partial(_observe, method, problem)
    shapes = jax.eval_shape(last, state.params)
    room = jax.tree.map(lambda a: jnp.zeros((count, *a.shape), a.dtype), shapes)
    state, made = lax.fori_loop(jnp.zeros_like(end), end, step, (state, room))
    return state, jax.tree.map(partial(_with_row, end), made, last(state.params))


def _with_row(index: Array, rows: Array, row: Array) -> Array:
    return rows.at[index].set(row)


def _observe(method: Method, problem: Problem, params: Any) -> Observation:
    """A record of the model with these parameters."""
    data, test = problem.data, problem.test
    outputs = evaluate(method.apply_fn, params, data, test, with_gradient=False)
    return observation(outputs, params, data, test, method.loss, problem.initial_gram)


def _steps(method: Method, problem: Problem, state: State, end: Int[Array, ""]) -> State:
    """Trains up to step ``end``, or the first loss that is not finite."""
    size, data = method.batch_size, problem.data
    if size is None or state.order is None or not isinstance(data, Sequences):
        return _while_finite(end, partial(_step, method, problem, data), state)
    num, steps_an_epoch = len(data.inputs), len(data.inputs) // size

    def on_a_batch(state: State) -> State:
        assert state.order is not None
        rows = lax.dynamic_slice_in_dim(state.order, state.step % steps_an_epoch * size, size)
        return _step(method, problem, data.batch(rows), state)

    def epoch(state: State) -> State:
        """Up to the end of the epoch, or to ``end``, in an order that follows from the key."""
        order = lax.cond(
            state.step % steps_an_epoch == 0,
            lambda: epoch_order(problem.key, state.step // steps_an_epoch, num),
            lambda: state.order,
        )
        # Counted from here, for the end of an epoch may be past the largest number of 32 bits.
        ahead = jnp.minimum(end - state.step, steps_an_epoch - state.step % steps_an_epoch)
        return _while_finite(state.step + ahead, on_a_batch, state._replace(order=order))

    return _while_finite(end, epoch, state)


def _while_finite(end: Int[Array, ""], advance: Callable[[State], State], state: State) -> State:
    """Advances up to step ``end``, or the first loss that is not finite."""
    return lax.while_loop(lambda s: (s.step < end) & jnp.isfinite(s.loss), advance, state)


def _step(method: Method, problem: Problem, data: DataSet, state: State) -> State:
    """The state after a step of gradient descent on some of the data, or all."""
    loss, gradient = jax.value_and_grad(partial(_loss, method, data))(state.params)
    return _updated(method, problem, data, state, loss, gradient)


def _updated(
    method: Method, problem: Problem, data: DataSet, state: State, loss: Array, gradient: Any
) -> State:
    """The state after a step, of which the loss and its gradient are known."""
    params, opt_state = updated(
        method.optimizer, problem.rate, state.params, state.opt_state,
        partial(_loss, method, data), loss, gradient,
    )  # fmt: skip
    # From the first loss that is not finite on, no step counts.
    loss = jnp.where(jnp.isfinite(state.loss), loss, state.loss)
    step = state.step + jnp.isfinite(loss).astype(state.step.dtype)
    return state._replace(params=params, opt_state=opt_state, step=step, loss=loss)


def _loss(method: Method, data: DataSet, params: Any) -> Float[Array, ""]:
    """The loss on some of the data, or all."""
    return data.loss(method.apply_fn(params, data.inputs), method.loss)


@partial(jax.jit, static_argnums=2)
def epoch_order(key: Array, epoch: Any, num: int) -> Int[Array, " N"]:
    """The order in which an epoch goes through the sequences: a permutation of its own."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), num)
