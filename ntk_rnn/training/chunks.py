"""A long run in compiled chunks, between which it can be watched, interrupted and resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
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
from ntk_rnn.training.checkpoints.folder import Checkpoints
from ntk_rnn.training.checkpoints.snapshots import Snapshot, on_devices, take_snapshot
from ntk_rnn.training.loop import State, between_records, epoch_order, start
from ntk_rnn.training.method import Method, Optimizer, Problem, initial_state, of_own_type
from ntk_rnn.training.records import Observation, TrainingPath
from ntk_rnn.training.stability import infinite_start

# Numbers that the records of one chunk may hold, and their number.
_BUFFER_ENTRIES, _BUFFER_LENGTH = 2**20, 256

# Seconds of a chunk, the time for which a run cannot be interrupted; and what none takes less than.
_CHUNK_SECONDS, _LEAST_SECONDS = 0.5, 1e-6

# Seconds between copies of the state, from which the last good step of a run is found again, and
# between checkpoints, unless they are asked for by number of steps.
_SNAPSHOT_SECONDS, _CHECKPOINT_SECONDS = 10.0, 60.0


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
        # One by one, for an optimizer may start from several names of one array.
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

        It ends before, with the last of ``records``, or where there is no room for more of them.
        How much room there is follows from the shapes of the data, so that no number of records is
        compiled for. What is computed at a step does not depend on where
        chunks begin and end.

        Args:
          state: where to go on. Its memory is reused.
          records: all steps to come at which to record.
          stop: the step to end at.

        Returns:
          The state, and what was recorded, on the host. Should the loss have turned non-finite,
          it did so at the step of the state, whose parameters are then of no use.
        """
        room = min(_BUFFER_LENGTH, max(1, _BUFFER_ENTRIES // math.prod(self.problem.data.shape)))
        stop = min(stop, int(records[-1] if len(records) <= room else records[room] - 1))
        some = records[records <= stop]
        # One end more than there is room for records, to go on to ``stop`` after the last of them.
        ends = np.full(room + 1, stop, np.int32)
        ends[: len(some)] = some
        recorded = np.arange(len(ends)) < len(some)
        state, made = _advance(self.method, state, self.problem, ends, recorded)
        step, made = jax.device_get((state.step, made))
        # Copied, lest a few rows keep the memory of all for which there was room.
        first = itemgetter(slice(int(np.sum(some <= step))))
        return state, jax.tree.map(np.copy, jax.tree.map(first, made))


def run_in_chunks(
    trainer: Trainer,
    params: Any,
    records: Int[np.ndarray, " R"],
    store: Checkpoints | None,
    checkpoint_every: int | None,
    interrupted: Callable[[], bool],
    show: Callable[[int, str], None],
) -> TrainingPath:
    """Trains up to the last of ``records``, or as far as it gets.

    Args:
      trainer: what is trained, and how.
      params: where to start.
      records: the steps at which to record.
      store: checkpoints to go on from and to add to, or ``None``.
      checkpoint_every: steps between checkpoints; if ``None``, they go by time.
      interrupted: whether to stop at the next opportunity.
      show: is told the step, and the loss in words, after every chunk.

    Raises:
      ValueError: if the loss is not finite to begin with, or the records or the configuration of
        the checkpoints do not suit.
    """
    state, step = trainer.start(params), 0
    first = state
    # The last state on the host from which a step was good; the first one can be made again from
    # the parameters. A newer one is not known to be good before a step has been taken from it.
    safe: Snapshot | None = None
    newer: Snapshot | None = None
    history: list[Observation] = []
    made = 0

    def back_to(snapshot: Snapshot | None) -> State:
        if snapshot is None:
            return trainer.start(params)
        copies = snapshot.params, snapshot.opt_state
        return trainer.state(snapshot.step, *on_devices(copies, (first.params, first.opt_state)))

    def save() -> None:
        assert store is not None
        snapshot = take_snapshot(step, state.params, state.opt_state)
        store.save(snapshot, records[:made], jax.tree.map(_joined, *history))

    def end_before(bad: int) -> TrainingPath:
        """The end one step before a bad one, with a record of it."""
        final, last, bad = _last_good(trainer, bad, safe, back_to)
        return end_at(bad - 1, final, last, bad)

    def end_at(at: int, final: State, last: Observation, bad: int | None) -> TrainingPath:
        before = int(np.sum(records < at))
        kept = jax.tree.map(itemgetter(slice(before)), jax.tree.map(_joined, *history))
        rows = jax.tree.map(_joined, kept, last)
        return TrainingPath(
            step=np.append(records[:before], at), params=final.params, diverged_at=bad,
            **jax.device_put(rows)._asdict(),
        )  # fmt: skip

    if store is not None:
        found = store.latest(take_snapshot(0, state.params, state.opt_state))
        if found is not None:
            safe, recorded_at, recorded = found
            history = [_asked_for(records, safe.step, recorded_at, recorded)]
            # Nothing is to hold on to the first state, for it would stay on the devices.
            state = first = back_to(safe)
            step, made = safe.step, len(history[0].train_loss)
    copied = saved = time.perf_counter()
    # The first chunk takes no step, but compiles, and makes the record of the start.
    length = 0
    while made < len(records):
        if checkpoint_every is not None:
            length = min(length, checkpoint_every - step % checkpoint_every)
        began, before = time.perf_counter(), step
        state, new = trainer.advance(state, records[made:], step + length)
        step, loss = int(state.step), float(state.loss)
        now = time.perf_counter()
        history.append(new)
        made += len(new.train_loss)
        if not np.isfinite(loss):
            return end_before(step)
        safe, newer = newer or safe, None
        # At most 4 times as many steps as before, lest one quick chunk lead to a slow one. A chunk
        # may take no time by a coarse clock.
        pace = (step - before) / max(now - began, _LEAST_SECONDS)
        length = max(1, min(4 * length, int(_CHUNK_SECONDS * pace)))
        show(step, f"loss {loss:.4g}" if step > before else "")
        if interrupted():
            if store is not None:
                save()
            final, last = trainer.advance(state, np.array([step]), step)
            if not np.isfinite(last.train_loss[0]):
                return end_before(step)
            return end_at(step, final, last, None)
        if checkpoint_every is None:
            due = now - saved > _CHECKPOINT_SECONDS
        else:
            due = step % checkpoint_every == 0 and step > before
        if due and store is not None:
            save()
            saved = time.perf_counter()
        if now - copied > _SNAPSHOT_SECONDS:
            newer = take_snapshot(step, state.params, state.opt_state)
            copied = time.perf_counter()
    if store is not None:
        save()
    rows = jax.device_put(jax.tree.map(_joined, *history))
    return TrainingPath(step=records, params=state.params, diverged_at=None, **rows._asdict())


def _last_good(
    trainer: Trainer,
    bad: int,
    safe: Snapshot | None,
    back_to: Callable[[Snapshot | None], State],
) -> tuple[State, Observation, int]:
    """The state one step before a bad one, its record, and the first bad step.

    The steps up to there are taken once more from the last copy, rather than keeping a second
    state, which every step of every run would pay for. If the loss on all data is not finite
    there, while that on the batch was, so much the earlier was the first bad step.
    """
    while bad > 0:
        near = safe if safe is not None and safe.step < bad else None
        state, record = trainer.advance(back_to(near), np.array([bad - 1]), bad - 1)
        if np.isfinite(float(state.loss)):
            return state, record, bad
        bad = int(state.step)
    raise infinite_start()


def _asked_for(
    records: np.ndarray, step: int, recorded_at: np.ndarray, recorded: Observation
) -> Observation:
    """Those records of a checkpoint that a run has asked for."""
    if step > records[-1]:
        raise ValueError(
            f"steps must be at least the {step} that the checkpoint has taken, got {records[-1]}; "
            "choose another folder, or as many steps"
        )
    needed = records[records <= step]
    missing = np.setdiff1d(needed, recorded_at)
    if missing.size:
        raise ValueError(
            f"record_at must hold no steps that the checkpoint has passed without a record, got "
            f"{missing[0]}, where the checkpoint of step {step} recorded at "
            f"{np.array2string(recorded_at, threshold=10)}; choose another folder, or the same "
            "records"
        )
    return jax.tree.map(lambda a: a[np.searchsorted(recorded_at, needed)], recorded)


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


def _joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
