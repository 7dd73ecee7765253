"""The course of a long run: when it stops, what it has recorded and what it can go back to."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from ntk_rnn.training.checkpoints.folder import Checkpoints
from ntk_rnn.training.checkpoints.snapshots import Snapshot, on_devices, take_snapshot
from ntk_rnn.training.chunks import Trainer
from ntk_rnn.training.loop import State
from ntk_rnn.training.records import Observation, TrainingPath
from ntk_rnn.training.stability import infinite_start

# Seconds that a chunk should take, because a run cannot be interrupted within it, and the fewest
# that a chunk is taken to last.
_CHUNK_SECONDS, _LEAST_SECONDS = 0.5, 1e-6

# Seconds between copies of the state, from which the last good step of a run is found again, and
# between checkpoints, unless they are asked for by number of steps.
_SNAPSHOT_SECONDS, _CHECKPOINT_SECONDS = 10.0, 60.0


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
    course = _Course(trainer, params, records, store)
    copied = saved = time.perf_counter()
    # The first chunk takes no step, but compiles, and makes the record of the start.
    length = 0
    while not course.complete:
        if checkpoint_every is not None:
            length = min(length, checkpoint_every - course.step % checkpoint_every)
        began, before = time.perf_counter(), course.step
        loss = course.advance(length)
        now, step = time.perf_counter(), course.step
        if not np.isfinite(loss):
            return course.end_before(step)
        # At most 4 times as many steps as before, so that one quick chunk does not lead to a slow
        # one. By a coarse clock, a chunk may take no time.
        pace = (step - before) / max(now - began, _LEAST_SECONDS)
        length = max(1, min(4 * length, int(_CHUNK_SECONDS * pace)))
        show(step, f"loss {loss:.4g}" if step > before else "")
        if interrupted():
            course.save()
            return course.end_here()
        if checkpoint_every is None:
            due = now - saved > _CHECKPOINT_SECONDS
        else:
            due = step % checkpoint_every == 0 and step > before
        if due:
            course.save()
            saved = time.perf_counter()
        if now - copied > _SNAPSHOT_SECONDS:
            course.copy()
            copied = time.perf_counter()
    course.save()
    return course.path(course.state.params)


class _Course:
    """The state of a run, its records, and copies of the state to go back to.

    The run continues from the last checkpoint, if there is one.

    Attributes:
      state: the state, of arrays that the next chunk overwrites.
      step: number of steps taken.
    """

    def __init__(
        self,
        trainer: Trainer,
        params: Any,
        records: Int[np.ndarray, " R"],
        store: Checkpoints | None,
    ) -> None:
        self._trainer, self._params, self._records, self._store = trainer, params, records, store
        self.state, self.step = trainer.start(params), 0
        self._like = self.state.params, self.state.opt_state
        # The last copy from which a step was good, the start if it is None, and a newer copy, which
        # is not known to be good before a step has been taken from it.
        self._safe: Snapshot | None = None
        self._newer: Snapshot | None = None
        self._history: list[Observation] = []
        self._made = 0
        found = None if store is None else store.latest(self._snapshot())
        if found is not None:
            self._safe, recorded_at, recorded = found
            self.step = self._safe.step
            self._history = [_asked_for(records, self.step, recorded_at, recorded)]
            self._made = len(self._history[0].train_loss)
            # The first state is dropped, because it would stay on the devices.
            self.state = self._back_to(self._safe)
            self._like = self.state.params, self.state.opt_state

    @property
    def complete(self) -> bool:
        """Whether all records are made."""
        return self._made == len(self._records)

    def advance(self, steps: int) -> float:
        """Takes some steps, fewer where the records say so, and returns the last loss."""
        self.state, new = self._trainer.advance(
            self.state, self._records[self._made :], self.step + steps
        )
        self.step, loss = int(self.state.step), float(self.state.loss)
        self._history.append(new)
        self._made += len(new.train_loss)
        if np.isfinite(loss):
            self._safe, self._newer = self._newer or self._safe, None
        return loss

    def copy(self) -> None:
        """Keeps a copy of the state on the host."""
        self._newer = self._snapshot()

    def save(self) -> None:
        """Adds a checkpoint, where checkpoints are wanted."""
        if self._store is not None:
            self._store.save(self._snapshot(), self._records[: self._made], self._recorded())

    def path(self, params: Any) -> TrainingPath:
        """The whole path, with the parameters at its end."""
        rows = jax.device_put(self._recorded())
        return TrainingPath(step=self._records, params=params, diverged_at=None, **rows._asdict())

    def end_here(self) -> TrainingPath:
        """The path up to now, with a record of where it ends."""
        final, last = self._trainer.advance(self.state, np.array([self.step]), self.step)
        if not np.isfinite(last.train_loss[0]):
            return self.end_before(self.step)
        return self._end_at(self.step, final, last, None)

    def end_before(self, bad: int) -> TrainingPath:
        """The path up to one step before a bad one, with a record of where it ends.

        The steps up to there are taken once more from the last copy, rather than keeping a second
        state, which every step of every run would pay for. If the loss on all data is not finite
        there although that on the batch was, the first bad step was earlier.
        """
        while bad > 0:
            near = self._safe if self._safe is not None and self._safe.step < bad else None
            state, last = self._trainer.advance(self._back_to(near), np.array([bad - 1]), bad - 1)
            if np.isfinite(float(state.loss)):
                return self._end_at(bad - 1, state, last, bad)
            bad = int(state.step)
        raise infinite_start()

    def _end_at(self, step: int, final: State, last: Observation, bad: int | None) -> TrainingPath:
        before = int(np.sum(self._records < step))
        kept = jax.tree.map(itemgetter(slice(before)), self._recorded())
        rows = jax.device_put(jax.tree.map(_joined, kept, last))
        return TrainingPath(
            step=np.append(self._records[:before], step), params=final.params, diverged_at=bad,
            **rows._asdict(),
        )  # fmt: skip

    def _snapshot(self) -> Snapshot:
        return take_snapshot(self.step, self.state.params, self.state.opt_state)

    def _back_to(self, snapshot: Snapshot | None) -> State:
        """The state of a copy, or the start, which can be made again from the parameters."""
        if snapshot is None:
            return self._trainer.start(self._params)
        copies = snapshot.params, snapshot.opt_state
        return self._trainer.state(snapshot.step, *on_devices(copies, self._like))

    def _recorded(self) -> Observation:
        return jax.tree.map(_joined, *self._history)


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


def _joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
