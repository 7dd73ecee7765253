"""A run from chunk to chunk: when it stops, what it keeps, and where it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from ntk_rnn.training.checkpoints.folder import Checkpoints
from ntk_rnn.training.checkpoints.snapshots import Snapshot, take_snapshot, way_back
from ntk_rnn.training.loop import State, Trainer
from ntk_rnn.training.records import Observation

# Seconds of a chunk, the time for which a run cannot be interrupted.
_CHUNK_SECONDS = 0.5

# What no chunk takes less than.
_LEAST_SECONDS = 1e-6

# Seconds between copies of the state, from which the last good step of a run is found again.
_SNAPSHOT_SECONDS = 10.0

# Seconds between checkpoints, unless they are asked for by number of steps.
_CHECKPOINT_SECONDS = 60.0


class End(NamedTuple):
    """Where a run ended.

    Attributes:
      step: steps of the records, the last of which is the end, shape ``(R,)``.
      records: what was recorded at them.
      params: the parameters at the end.
      diverged_at: the first step with a loss that is not finite, or ``None``.
    """

    step: Int[np.ndarray, " R"]
    records: Observation
    params: Any
    diverged_at: int | None


def drive(
    trainer: Trainer,
    params: Any,
    records: Int[np.ndarray, " R"],
    store: Checkpoints | None,
    checkpoint_every: int | None,
    interrupted: Callable[[], bool],
    show: Callable[[int, str], None],
) -> End:
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
    to_device = way_back((state.params, state.opt_state))
    # The last state on the host from which a step was good; the first one can be made again from
    # the parameters. A newer one is not known to be good before a step has been taken from it.
    safe: Snapshot | None = None
    newer: Snapshot | None = None
    history: list[Observation] = []

    def back_to(snapshot: Snapshot | None) -> State:
        if snapshot is None:
            return trainer.start(params)
        return trainer.state(snapshot.step, *to_device((snapshot.params, snapshot.opt_state)))

    def made() -> int:
        return sum(len(part.train_loss) for part in history)

    def save() -> None:
        if store is not None:
            store.save(_snapshot(state, step), records[: made()], _joined(history))

    def ended(bad: int | None) -> End:
        """The end at ``step``, or before the step ``bad``, with a record of it."""
        if bad is None:
            final, last = trainer.advance(state, np.array([step]), step)
            at = step
            if not np.isfinite(last.train_loss[0]):
                return ended(step)
        else:
            final, last, bad = _last_good(trainer, bad, safe, back_to)
            at = bad - 1
        before = int(np.sum(records < at))
        kept = jax.tree.map(lambda a: a[:before], _joined(history))
        return End(np.append(records[:before], at), _joined([kept, last]), final.params, bad)

    found = None if store is None else store.latest(_snapshot(state, 0))
    if found is not None:
        safe, recorded_at, recorded = found
        history = [_asked_for(records, safe.step, recorded_at, recorded)]
        state, step = back_to(safe), safe.step
    copied = saved = time.perf_counter()
    # The first chunk takes no step, but compiles, and makes the record of the start.
    length = 0
    while made() < len(records):
        if checkpoint_every is not None:
            length = min(length, checkpoint_every - step % checkpoint_every)
        ahead = records[made() :]
        began, before = time.perf_counter(), step
        state, new = trainer.advance(state, ahead, min(step + length, trainer.reach(ahead)))
        step, loss = int(state.step), float(state.loss)
        now = time.perf_counter()
        history.append(new)
        if not np.isfinite(loss):
            return ended(step)
        safe, newer = newer or safe, None
        # At most 4 times as many steps as before, lest one quick chunk lead to a slow one. A chunk
        # may take no time by a coarse clock.
        pace = (step - before) / max(now - began, _LEAST_SECONDS)
        length = max(1, min(4 * length, int(_CHUNK_SECONDS * pace)))
        show(step, f"loss {loss:.4g}")
        if interrupted():
            save()
            return ended(None)
        if checkpoint_every is None:
            due = now - saved > _CHECKPOINT_SECONDS
        else:
            due = step % checkpoint_every == 0 and step > before
        if due:
            save()
            saved = time.perf_counter()
        if now - copied > _SNAPSHOT_SECONDS:
            newer, copied = _snapshot(state, step), time.perf_counter()
    save()
    return End(records, _joined(history), state.params, None)


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
    raise ValueError(
        "params must give a finite training loss to start from, got one that is not; "
        "rescale the data or the parameters"
    )


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


def _snapshot(state: State, step: int) -> Snapshot:
    return take_snapshot(step, state.params, state.opt_state)


def _joined(history: list[Observation]) -> Observation:
    return jax.tree.map(lambda *parts: np.concatenate(parts), *history)
