"""Training in chunks of any number of steps, by one compiled loop."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int, Shaped

from ntk_rnn._types import ApplyFn
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.loss import Loss
from ntk_rnn.training.batches import epoch_order, take_batch
from ntk_rnn.training.objective import Data, response_shape, training_loss
from ntk_rnn.training.optimizers import Rule, lenient_promotion, make_optimizer
from ntk_rnn.training.placement import beside, settled
from ntk_rnn.training.records import Observation, observe

# Numbers that the records of one chunk may hold, and their number.
_BUFFER_ENTRIES = 2**20
_BUFFER_LENGTH = 256

# A step that is never reached.
_NEVER = np.iinfo(np.int32).max


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


class Problem(NamedTuple):
    """What is trained on, apart from functions.

    Attributes:
      data: training inputs and targets.
      test: test inputs and targets, or ``None``.
      rate: the learning rate, if it is a number.
      key: of the order of the data; ``None`` without mini-batches.
    """

    data: Data
    test: Data | None
    rate: Any
    key: Shaped[Array, "*key"] | None


class Trainer(NamedTuple):
    """A model, how it is trained and on what: all that is the same at every step.

    Attributes:
      apply_fn: the model.
      rule: what is compiled in of the optimizer.
      loss: ``"sum"`` or ``"mean"``.
      batch_size: sequences a step, or ``None`` for all.
      problem: data and settings.
    """

    apply_fn: ApplyFn
    rule: Rule
    loss: Loss
    batch_size: int | None
    problem: Problem

    def start(self, params: Any) -> State:
        """The state before the first step, with arrays of its own."""
        rule, rate = self.rule, self.problem.rate
        shapes = jax.eval_shape(lambda p: first_opt_state(rule, rate, p), params)
        opt_state = first_opt_state(rule, rate, params, beside(params, shapes))
        # One by one, for an optimizer may start from several names of one array.
        own = [jnp.array(a, dtype=a.dtype, copy=True) for a in jax.tree.leaves((params, opt_state))]
        return self.state(0, *jax.tree.unflatten(jax.tree.structure((params, opt_state)), own))

    def state(self, step: int, params: Any, opt_state: Any) -> State:
        """The state at a step, of arrays that ``advance`` may overwrite."""
        data, order = self.problem.data, None
        if self.batch_size is not None and not isinstance(data, CompressedData):
            epoch = step // (len(data[0]) // self.batch_size)
            order = epoch_order(self.problem.key, epoch, len(data[0]))
        value = jax.eval_shape(lambda p: training_loss(self.apply_fn, p, data, self.loss), params)
        loss = jnp.zeros((), value.dtype)
        state = State(params, opt_state, jnp.asarray(step, jnp.int32), order, loss)
        return settled(state, self.problem)

    def reach(self, records: np.ndarray) -> int:
        """The last step to which one chunk can go that is to make the first of ``records``."""
        return int(records[-1] if len(records) <= self._room else records[self._room] - 1)

    def advance(self, state: State, records: np.ndarray, stop: int) -> tuple[State, Observation]:
        """Trains up to step ``stop``, or the first loss that is not finite.

        What is computed at a step does not depend on where chunks begin and end.

        Args:
          state: where to go on. Its memory is reused.
          records: all steps to come at which to record.
          stop: the step to end at, at most ``reach`` of these.

        Returns:
          The state, and what was recorded, on the host. Should the loss have turned non-finite,
          it did so at the step of the state, whose parameters are then of no use.
        """
        padded = np.full(self._room + 1, _NEVER, np.int32)
        some = records[: self._room]
        padded[: len(some)] = some
        state, made, count = _advance(
            self.apply_fn, self.rule, self.loss, self.batch_size, state, self.problem, padded,
            np.int32(stop),
        )  # fmt: skip
        made, count = jax.device_get((made, count))
        return state, jax.tree.map(lambda rows: rows[:count].copy(), made)

    @property
    def _room(self) -> int:
        """How many records a chunk may make.

        It follows from the shapes of the data, so that no number of records is compiled for.
        """
        entries = math.prod(response_shape(self.problem.data))
        return min(_BUFFER_LENGTH, max(1, _BUFFER_ENTRIES // entries))


@partial(jax.jit, static_argnums=(0, 3))
def first_opt_state(
    rule: Rule, rate: Any, params: Any, places: tuple[NamedSharding | None, ...] | None = None
) -> Any:
    """The state of the optimizer before the first step, its arrays split as ``places`` says."""
    with lenient_promotion():
        state = _without_weak_types(make_optimizer(rule, rate).init(params))
    leaves, structure = jax.tree.flatten(state)
    for i, place in enumerate(places or ()):
        if place is not None:
            leaves[i] = lax.with_sharding_constraint(leaves[i], place)
    return jax.tree.unflatten(structure, leaves)


@partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnums=4)
def _advance(
    apply_fn: ApplyFn,
    rule: Rule,
    loss: Loss,
    batch_size: int | None,
    state: State,
    problem: Problem,
    records: Any,
    stop: Any,
) -> tuple[State, Observation, Int[Array, ""]]:
    """Trains up to ``stop``; ``records`` has a row more than there is room for, never reached.

    Returns:
      The state, the records, and how many of them were made.
    """
    num = 0 if isinstance(problem.data, CompressedData) else len(problem.data[0])
    epoch_steps = 1 if batch_size is None else num // batch_size
    optimizer = make_optimizer(rule, problem.rate)

    def take_step(state: State) -> State:
        data = problem.data
        if not (batch_size is None or state.order is None or isinstance(data, CompressedData)):
            data = take_batch(data, state.order, state.step % epoch_steps, batch_size)

        def objective(params: Any) -> Array:
            return training_loss(apply_fn, params, data, loss)

        return _step(optimizer, objective, state)

    def stretch(carry: tuple) -> tuple:
        """Up to the next record, the end of the epoch or of the chunk."""
        state, made, count = carry
        end = jnp.minimum(records[count], stop)
        if batch_size is not None:
            state = _renew_order(state, problem.key, epoch_steps, num)
            # Counted from here, for the end of an epoch may be past the largest number of 32 bits.
            ahead = jnp.minimum(end - state.step, epoch_steps - state.step % epoch_steps)
            end = state.step + ahead
        state = lax.while_loop(lambda s: (s.step < end) & jnp.isfinite(s.loss), take_step, state)
        due = (state.step == records[count]) & jnp.isfinite(state.loss)
        record = lax.cond(due, look, lambda _: nothing, state.params)
        # What is no record is overwritten by the next one.
        made = jax.tree.map(lambda rows, row: rows.at[count].set(row), made, record)
        bad = due & ~jnp.isfinite(record.train_loss)
        state = state._replace(loss=jnp.where(bad, record.train_loss, state.loss))
        return state, made, count + due.astype(count.dtype)

    def more(carry: tuple) -> Array:
        state, _, count = carry
        return ((state.step < stop) | (state.step == records[count])) & jnp.isfinite(state.loss)

    def look(params: Any) -> Observation:
        return observe(apply_fn, params, problem.data, problem.test, loss)

    shapes = jax.eval_shape(look, state.params)
    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    made = jax.tree.map(lambda a: jnp.zeros((len(records) - 1, *a.shape), a.dtype), shapes)
    state, made, count = lax.while_loop(more, stretch, (state, made, jnp.zeros((), jnp.int32)))
    return _without_weak_types(state), made, count


def _step(optimizer: Any, objective: Any, state: State) -> State:
    value, gradient = jax.value_and_grad(objective)(state.params)
    with lenient_promotion():
        updates, opt_state = optimizer.update(
            gradient, state.opt_state, state.params,
            value=value, grad=gradient, value_fn=objective,
        )  # fmt: skip
        params = optax.apply_updates(state.params, updates)
    step = state.step + jnp.isfinite(value).astype(state.step.dtype)
    return state._replace(params=params, opt_state=opt_state, step=step, loss=value)


def _renew_order(state: State, key: Any, epoch_steps: int, num: int) -> State:
    order = lax.cond(
        state.step % epoch_steps == 0,
        lambda: epoch_order(key, state.step // epoch_steps, num),
        lambda: state.order,
    )
    return state._replace(order=order)


def _without_weak_types(tree: Any) -> Any:
    """``tree`` as it is stored and read again: with types of its own, which fit any later call."""
    return jax.tree.map(lambda a: lax.convert_element_type(a, a.dtype), tree)
