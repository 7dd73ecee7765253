"""Checkpoints of a run in a folder, written by orbax and read back whole or not at all."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntk_rnn.dynamics.fingerprints import difference, digest
from ntk_rnn.dynamics.observation import Observation
from ntk_rnn.dynamics.snapshots import Snapshot

# The newest, one before it that may be damaged as well, and one for peace of mind.
_KEPT = 3


class Checkpoints:
    """The checkpoints of one run.

    Each is a subfolder named after its step, with the state (``params`` and ``optimizer``), the
    ``records`` up to there, and ``about``: the configuration of the run and a hash of the arrays,
    by which damage shows. It is written under another name and renamed once complete.
    """

    def __init__(self, folder: str | Path, configuration: dict[str, Any]) -> None:
        import orbax.checkpoint as ocp  # seconds, which only those who want checkpoints pay

        self._folder = Path(folder).expanduser().absolute()
        self._configuration = configuration
        self._saved: int | None = None
        self._args = ocp.args
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_KEPT, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(self._folder, options=options)
        except OSError as error:
            raise ValueError(
                f"checkpoint must be a folder that can be written, but {self._folder} cannot "
                f"({error.strerror or error}); choose another"
            ) from error

    def close(self) -> None:
        """Ends the threads that orbax started."""
        self._manager.close()

    def latest(self, template: Snapshot) -> tuple[Snapshot, np.ndarray, Observation] | None:
        """The newest checkpoint that can be read: its state and what was recorded, and when.

        Damaged ones are moved out of the way, with a ``RuntimeWarning`` that names them.

        Args:
          template: a snapshot of the same structure, shapes and types.

        Raises:
          ValueError: if the checkpoints are those of another configuration.
        """
        damaged: list[str] = []
        found = None
        while found is None and (step := self._manager.latest_step()) is not None:
            try:
                about = self._about(step)
                found = self._restored(step, about, template)
            except _Foreign as error:
                raise ValueError(str(error)) from None
            except Exception as error:  # whatever a damaged file leads to
                damaged.append(f"{self._moved_aside(step)} ({_first_line(error)})")
        if damaged:
            goes_on = "starts anew" if found is None else f"goes on from step {found[0].step}"
            warnings.warn(
                f"checkpoint is damaged, and was moved to {', '.join(damaged)}; training {goes_on}",
                RuntimeWarning,
                stacklevel=4,
            )
        self._saved = None if found is None else found[0].step
        return found

    def save(self, snapshot: Snapshot, recorded_at: np.ndarray, records: Observation) -> None:
        """Writes a checkpoint, and then deletes the oldest.

        Raises:
          OSError: if it cannot be written; those before it are still there.
        """
        if snapshot.step == self._saved:
            return
        rows = {"step": recorded_at, **_present(records)}
        state = _as_tree(snapshot)
        about = _sealed(self._configuration, state, rows)
        save = self._args.StandardSave
        with self._explained(snapshot.step):
            self._manager.save(
                snapshot.step,
                args=self._args.Composite(
                    state=save(state), records=save(rows), about=self._args.JsonSave(about)
                ),
            )
            self._manager.wait_until_finished()
        self._saved = snapshot.step

    def _about(self, step: int) -> dict[str, Any]:
        read = self._args.Composite(about=self._args.JsonRestore())
        about = self._manager.restore(step, args=read)["about"]
        saved = about["configuration"]
        if _sealed(saved)["seal"] != about["seal"]:
            raise ValueError("its configuration is not that which was written")
        if field := difference(saved, self._configuration):
            raise _Foreign(
                f"checkpoint in {self._folder} is of another run: its {field} is "
                f"{saved.get(field)!r}, that of this call is {self._configuration[field]!r}; "
                "choose another folder, or the same arguments"
            )
        return about

    def _restored(
        self, step: int, about: dict[str, Any], template: Snapshot
    ) -> tuple[Snapshot, np.ndarray, Observation]:
        read = self._args.StandardRestore
        content = self._manager.restore(
            step, args=self._args.Composite(state=read(_as_tree(template)), records=read())
        )
        state, rows = content["state"], content["records"]
        if _sealed(self._configuration, state, rows)["arrays"] != about["arrays"]:
            raise ValueError("its arrays are not those that were written")
        leaves = [state["optimizer"][name] for name in sorted(state["optimizer"])]
        opt_state = jax.tree.unflatten(jax.tree.structure(template.opt_state), leaves)
        records = Observation(**{name: rows.get(name) for name in Observation._fields})
        return Snapshot(step, state["params"], opt_state), rows["step"], records

    def _moved_aside(self, step: int) -> Path:
        source, count = self._folder / str(step), 0
        while (target := self._folder / f"damaged-{step}-{count}").exists():
            count += 1
        source.rename(target)
        self._manager.reload()
        return target

    @contextmanager
    def _explained(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of the file system, in the words of several libraries
            kept = "there is none before it" if self._saved is None else (
                f"that of step {self._saved} is still there"
            )  # fmt: skip
            raise OSError(
                f"the checkpoint of step {step} could not be written to {self._folder} "
                f"({_first_line(error)}); {kept}. Make room or mend the folder, and call train "
                "with the same arguments to go on from there"
            ) from error


class _Foreign(Exception):
    """A checkpoint of another configuration."""


def _sealed(configuration: dict[str, Any], *trees: Any) -> dict[str, Any]:
    """A configuration with hashes of itself and of arrays, which damage does not survive."""
    return {
        "configuration": configuration,
        "seal": hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest(),
        "arrays": digest(jax.tree.leaves(trees)),
    }


def _as_tree(snapshot: Snapshot) -> dict[str, Any]:
    """Parameters as they are; the optimizer's by number, since orbax cannot store every type."""
    leaves = jax.tree.leaves(snapshot.opt_state)
    return {
        "params": snapshot.params,
        "optimizer": {f"{index:04d}": leaf for index, leaf in enumerate(leaves)},
    }


def _present(records: Observation) -> dict[str, np.ndarray]:
    return {name: rows for name, rows in records._asdict().items() if rows is not None}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
