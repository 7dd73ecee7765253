"""Training in compiled chunks, between which a run can be watched, interrupted and resumed."""

from __future__ import annotations

import math
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding
from jaxtyping import Array, Bool, Int

from ntk_rnn.objective import Sequences
from ntk_rnn.sharding import bound_together, split_like
from ntk_rnn.training.loop import State, between_records, epoch_order, start
from ntk_rnn.training.method import (
    Method,
    Optimizer,
    Problem,
    initial_state,
    of_own_type,
    refuse_traced,
)
from ntk_rnn.training.records import Observation

# How many numbers the records of one chunk may hold, and how many records there may be.
_BUFFER_ENTRIES, _BUFFER_LENGTH = 2**20, 256


class Trainer(NamedTuple):
    """A model, how it is trained and on what: all that is the same at every step.

    Attributes:
      method: the model and how it is trained.
      problem: what it is trained on.
    """

    method: Method
    problem: Problem

    def start(self, params: Any) -> State:
        """The state before the first step, with arrays of its own."""
        init = partial(first_opt_state, self.method.optimizer, self.problem.rate)
        opt_state = init(params, split_like(params, jax.eval_shape(init, params)))
        # One by one, because an optimizer may hold one array under several names.
        return self.state(0, *jax.tree.map(jnp.copy, (params, opt_state)))

    def state(self, step: int, params: Any, opt_state: Any) -> State:
        """The state at a step, of arrays that ``advance`` may overwrite."""
        data, size, order = self.problem.data, self.method.batch_size, None
        if size is not None and isinstance(data, Sequences):
            num = len(data.inputs)
            order = epoch_order(self.problem.key, step // (num // size), num)
        state = start(self.method, self.problem, params, opt_state, step, order)
        return bound_together(state, self.problem)

    def advance(
        self, state: State, records: Int[np.ndarray, " R"], stop: int
    ) -> tuple[State, Observation]:
        """Trains up to step ``stop``, or the first loss that is not finite.

        It ends earlier with the last of ``records``, or where there is no room for more of them.
        How much room there is follows from the shapes of the data, so that no number of records is
        compiled for. What is computed at a step does not depend on where chunks begin and end.

        Args:
          state: where to go on. Its memory is reused.
          records: all steps to come at which to record.
          stop: the step to end at.

        Returns:
          The state, and what was recorded, on the host. If the loss turned non-finite, it did so at
          the step of the state, and its parameters are of no use.
        """
        room = min(_BUFFER_LENGTH, max(1, _BUFFER_ENTRIES // math.prod(self.problem.data.shape)))
        stop = min(stop, int(records[-1] if len(records) <= room else records[room] - 1))
        some = records[records <= stop]
        # One end more than there is room for records, to go on to ``stop`` after the last of them.
        ends = np.full(room + 1, stop, np.int32)
        ends[: len(some)] = some
        recorded = np.arange(len(ends)) < len(some)
        state, made = _advance(self.method, state, self.problem, ends, recorded)
        refuse_traced((state, made))
        step, made = jax.device_get((state.step, made))
        # Copied, because a view of a few rows would keep the memory of all for which there was
        # room.
        first = itemgetter(slice(int(np.sum(some <= step))))
        return state, jax.tree.map(np.copy, jax.tree.map(first, made))


@partial(jax.jit, static_argnums=(0, 3))
def first_opt_state(
    optimizer: Optimizer,
    rate: Any,
    params: Any,
    places: tuple[NamedSharding | None, ...] = (),
) -> Any:
    """The state of the optimizer before the first step, its arrays split as ``places`` says."""
    leaves, structure = jax.tree.flatten(initial_state(optimizer, rate, params))
    for i, place in enumerate(places):
        if place is not None:
            leaves[i] = lax.with_sharding_constraint(leaves[i], place)
    return jax.tree.unflatten(structure, leaves)


@partial(jax.jit, donate_argnums=1)
def _advance(
    method: Method,
    state: State,
    problem: Problem,
    ends: Int[Array, " R"],
    recorded: Bool[Array, " R"],
) -> tuple[State, Observation]:
    state, made = between_records(method, problem, state, ends, recorded)
    return jax.tree.map(of_own_type, state), made
