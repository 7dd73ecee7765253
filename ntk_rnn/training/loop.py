"""The compiled loop of training, from record to record.

``gradient_descent`` compiles it from the first record to the last, ``train`` in chunks, between
which a run can be watched, interrupted and resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ntk_rnn.objective import DataSet, Sequences
from ntk_rnn.training.method import Method, Problem, updated
from ntk_rnn.training.records import Observation, observe

#: A state of training, which has at least the ``step`` and the ``order`` that ``State`` has.
S = TypeVar("S", bound=Any)


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
    loss, _ = jax.eval_shape(partial(observe, method, problem), params)
    return State(params, opt_state, jnp.asarray(step, jnp.int32), order, jnp.zeros((), loss.dtype))


def between_records(
    method: Method,
    problem: Problem,
    state: State,
    ends: Int[Array, " R"],
    recorded: Bool[Array, " R"],
) -> tuple[State, Observation]:
    """Trains up to each of ``ends``, and makes a record there.

    No further step is taken once a loss is not finite. What a step computes here does not depend
    on where records are made; ``every_step`` may differ from it by rounding.

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
    look, step = partial(observe, method, problem), partial(_step, method, problem)
    nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(look, state.params))

    def go_on(state: State, until: tuple[Array, Array]) -> tuple[State, Observation]:
        end, due = until
        state = steps_up_to(end, state, problem, method.batch_size, step, _unfinished)
        loss, record = lax.cond(due, look, lambda _: nothing, state.params)
        # With mini-batches the loss on all data may be the first one that is not finite.
        bad = due & ~jnp.isfinite(loss)
        return state._replace(loss=jnp.where(bad, loss, state.loss)), record

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
      The state, and a row of records for each step; those that are not reached are NaN.
    """
    look = partial(observe, method, problem)
    look_and_differentiate = jax.value_and_grad(partial(look, with_gradient=True), has_aux=True)

    nothing = jax.tree.map(
        partial(jnp.full_like, fill_value=jnp.nan), jax.eval_shape(look, state.params)[1]
    )

    def step(state: State) -> tuple[State, Observation]:
        (loss, record), gradient = look_and_differentiate(state.params)
        return _updated(method, problem, problem.data, state, loss, gradient), record

    def go_on(state: State, _: None) -> tuple[State, Observation]:
        # This is a condition in a loop over all rows, because a batched loop that ends by itself
        # would copy all rows at every step.
        return lax.cond(_unfinished(end, state), step, lambda state: (state, nothing), state)

    state, rows = lax.scan(go_on, state, length=count)
    _, last = look(state.params)
    return state, jax.tree.map(lambda rows, row: rows.at[end].set(row), rows, last)


def steps_up_to(
    end: Int[Array, ""],
    state: S,
    problem: Problem,
    batch_size: int | None,
    step: Callable[[DataSet, S], S],
    unfinished: Callable[[Int[Array, ""], S], Bool[Array, ""]],
) -> S:
    """Takes steps on all data, or on batch after batch in epochs.

    Args:
      end: the step to end at.
      state: where to go on; what it has as ``step`` and ``order`` says where in an epoch that is.
      problem: the data, and the key of their order.
      batch_size: sequences a step, or ``None`` for all.
      step: the state after a step on some of the data, or all.
      unfinished: whether a further step up to a given one is to be taken.
    """
    data = problem.data
    if batch_size is None or state.order is None or not isinstance(data, Sequences):
        return lax.while_loop(partial(unfinished, end), partial(step, data), state)
    num, steps_an_epoch = len(data.inputs), len(data.inputs) // batch_size

    def on_a_batch(state: S) -> S:
        first = state.step % steps_an_epoch * batch_size
        rows = lax.dynamic_slice_in_dim(state.order, first, batch_size)
        return step(data.batch(rows), state)

    def epoch(state: S) -> S:
        """Up to the end of the epoch, or to ``end``, in an order that follows from the key."""
        order = lax.cond(
            state.step % steps_an_epoch == 0,
            lambda: epoch_order(problem.key, state.step // steps_an_epoch, num),
            lambda: state.order,
        )
        # Steps are counted from here, because the end of an epoch may be past the largest number of
        # 32 bits.
        ahead = jnp.minimum(end - state.step, steps_an_epoch - state.step % steps_an_epoch)
        return lax.while_loop(
            partial(unfinished, state.step + ahead), on_a_batch, state._replace(order=order)
        )

    return lax.while_loop(partial(unfinished, end), epoch, state)


def _unfinished(end: Int[Array, ""], state: State) -> Bool[Array, ""]:
    """Whether step ``end`` has not been reached and all losses so far were finite."""
    return (state.step < end) & jnp.isfinite(state.loss)


def _step(method: Method, problem: Problem, data: DataSet, state: State) -> State:
    """The state after a step of gradient descent on some of the data, or all."""
    loss, gradient = jax.value_and_grad(partial(_loss, method, data))(state.params)
    return _updated(method, problem, data, state, loss, gradient)


def _updated(
    method: Method, problem: Problem, data: DataSet, state: State, loss: Array, gradient: Any
) -> State:
    """The state after a step whose loss and gradient are known."""
    params, opt_state = updated(
        method.optimizer, problem.rate, state.params, state.opt_state,
        partial(_loss, method, data), loss, gradient,
    )  # fmt: skip
    # A step whose loss is not finite does not count.
    step = state.step + jnp.isfinite(loss).astype(state.step.dtype)
    return state._replace(params=params, opt_state=opt_state, step=step, loss=loss)


def _loss(method: Method, data: DataSet, params: Any) -> Float[Array, ""]:
    """The loss on some of the data, or all."""
    return data.loss(method.apply_fn(params, data.inputs), method.loss)


@partial(jax.jit, static_argnums=2)
def epoch_order(key: Array, epoch: Any, num: int) -> Int[Array, " N"]:
    """The order in which an epoch goes through the sequences: a permutation of its own."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), num)
