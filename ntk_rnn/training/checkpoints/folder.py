"""Checkpoints of a run in a folder, written by orbax and read back whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntk_rnn import _checks
from ntk_rnn._files import locked
from ntk_rnn.training.checkpoints.fingerprints import difference, digest, other_versions
from ntk_rnn.training.checkpoints.snapshots import Snapshot, restored, stored
from ntk_rnn.training.records import Observation

# How many checkpoints are kept: the newest, the one before in case it is damaged, and one more.
_KEPT = 3

# The names that a checkpoint may hold: its parts, each a subfolder, and notes of orbax.
_PARTS = {"state", "records", "about", "_CHECKPOINT_METADATA", "commit_success.txt"}

# Folders at the root that orbax takes for services.
_SERVERS = (("gs",), ("s3",), ("az",), ("hf",))

# The errors of the system that a damaged checkpoint may lead to.
_DAMAGE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Checkpoints:
    """The checkpoints of one run.

    Each is a subfolder named after its step, with the state (``params`` and ``optimizer``), the
    ``records`` up to there, and ``about``: the step, the configuration of the run and a hash of the
    arrays, by which damage shows. It is written under another name and renamed once complete.
    """

    def __init__(self, folder: str | Path, configuration: dict[str, Any]) -> None:
        import orbax.checkpoint as ocp  # takes seconds, so only for those who want checkpoints

        self._folder = _readable(folder)
        self._configuration = configuration
        self._saved: int | None = None
        self._args = ocp.args
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_KEPT, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        with ExitStack() as held:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(self._folder, wait=False))
                _refuse_others(self._folder)
                self._manager = ocp.CheckpointManager(self._folder, options=options)
            except BlockingIOError as error:
                raise ValueError(
                    f"checkpoint must be a folder of one run at a time, but another one that has "
                    f"not ended uses {self._folder}; wait for it, or choose another"
                ) from error
            except OSError as error:
                raise ValueError(
                    f"checkpoint must be a folder that can be written, but {self._folder} cannot "
                    f"({error.strerror or error}); choose another"
                ) from error
            self._held = held.pop_all()

    def close(self) -> None:
        """Ends the threads that orbax started, and leaves the folder to other runs."""
        with self._held:
            self._manager.close()

    def latest(self, template: Snapshot) -> tuple[Snapshot, np.ndarray, Observation] | None:
        """The newest checkpoint that can be read: its state and what was recorded, and when.

        Damaged ones are moved out of the way, with a ``RuntimeWarning`` that names them. Another
        warning says so if the versions under which it was written leave open whether it is of this
        run.

        Args:
          template: a snapshot of the same structure, shapes and types.

        Raises:
          ValueError: if the checkpoints are those of another configuration, or one has been renamed
            to another step. They are left as they are.
          OSError: if the system cannot read them, as without the right to do so.
        """
        damaged: dict[int, str] = {}
        found, changed = None, []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                about = self._about(step)
                found = self._restored(step, about, template)
            except _Refused as error:
                raise ValueError(str(error)) from None
            except MemoryError:
                raise
            except Exception as error:  # whatever a damaged file leads to
                cause = _os_error(error)
                if cause is not None and not isinstance(cause, _DAMAGE):
                    raise OSError(
                        cause.errno or errno.EIO,
                        f"the checkpoint of step {step} in {self._folder} could not be read "
                        f"({_first_line(error)}), and was left as it is",
                    ) from error
                damaged[step] = _first_line(error)
                continue
            changed = other_versions(about["configuration"], self._configuration)
            break
        if damaged:
            moved = [f"{self._moved_aside(step)} ({why})" for step, why in damaged.items()]
            self._manager.reload()
            goes_on = "starts anew" if found is None else f"goes on from step {found[0].step}"
            warnings.warn(
                f"checkpoint is damaged, and was moved to {', '.join(moved)}; training {goes_on}",
                RuntimeWarning,
                stacklevel=4,
            )
        if changed:
            warnings.warn(
                f"checkpoint in {self._folder} was written by {', '.join(changed)}; functions "
                "cannot be compared across versions, so make sure that apply_fn and the optimizer "
                "are those that it was written with",
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
        rows = _padded({"step": recorded_at, **_present(records)})
        state = stored(snapshot)
        about = _sealed(snapshot.step, self._configuration, state, rows)
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
        if _sealed(about["step"], saved)["seal"] != about["seal"]:
            raise ValueError("its configuration is not that which was written")
        if about["step"] != step:
            raise _Refused(
                "checkpoint must be a folder whose checkpoints have the names of their steps, but "
                f"{self._folder / str(step)} is that of step {about['step']}; rename it to that, "
                "or choose another folder"
            )
        if field := difference(saved, self._configuration):
            raise _Refused(
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
            step, args=self._args.Composite(state=read(stored(template)), records=read())
        )
        state, rows = content["state"], content["records"]
        if _sealed(step, self._configuration, state, rows)["arrays"] != about["arrays"]:
            raise ValueError("its arrays are not those that were written")
        rows = jax.tree.map(lambda padded: padded[1:], rows)
        records = Observation(**{name: rows.get(name) for name in Observation._fields})
        return restored(step, state, template), rows["step"], records

    def _moved_aside(self, step: int) -> Path:
        source, count = self._folder / str(step), 0
        while (target := self._folder / f"damaged-{step}-{count}").exists():
            count += 1
        source.rename(target)
        return target

    @contextmanager
    def _explained(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            cause = _os_error(error)
            if cause is None:
                raise
            kept = "there is none before it" if self._saved is None else (
                f"that of step {self._saved} is still there"
            )  # fmt: skip
            raise OSError(
                cause.errno or errno.EIO,
                f"the checkpoint of step {step} could not be written to {self._folder} "
                f"({_first_line(error)}); {kept}. Make room or mend the folder, and call train "
                "with the same arguments to go on from there",
            ) from error


class _Refused(Exception):
    """A checkpoint that is whole, but not one that this run can go on from."""


def _readable(folder: Any) -> Path:
    """The absolute path of a folder that orbax takes as it is.

    Orbax looks for its own files by patterns, so that it would not find again what it has written
    below a folder whose name is a pattern; and it takes some names for addresses of servers.

    Raises:
      ValueError: for any other path.
    """
    path = Path(os.path.expanduser(_checks.path("checkpoint", folder))).absolute()
    text, wrong = path.as_posix(), ""
    if signs := re.search(r"[*?\[\\]", text):
        wrong = f"that has no {signs[0]} in it, which patterns of names have"
    elif any(part.endswith(":") for part in path.parts) or path.parts[1:2] in _SERVERS:
        wrong = "that is no address of a server"
    elif re.search("[\ud800-\udfff]", text):  # bytes of a name that are not UTF-8
        wrong = "whose name is UTF-8"
    if wrong:
        raise ValueError(f"checkpoint must be a path {wrong}, got {str(path)!r}; choose another")
    return path


def _refuse_others(folder: Path) -> None:
    """Raises ``ValueError`` for what orbax would take for a checkpoint and would delete in time."""
    for entry in sorted(folder.iterdir()):
        if not (entry.name.isdecimal() and entry.is_dir()):
            continue
        # Parts may be missing if a checkpoint was being deleted when its run was killed.
        if not _PARTS.issuperset(os.listdir(entry)):
            raise ValueError(
                "checkpoint must be a folder whose numbered subfolders are checkpoints, got "
                f"{folder}, where {entry.name} is none; choose another folder, or move it away"
            )


def _sealed(step: int, configuration: dict[str, Any], *trees: Any) -> dict[str, Any]:
    """A step and a configuration with hashes of both and of arrays, which damage does not survive.

    The step is among them because the name of a folder can be changed.
    """
    text = json.dumps([step, configuration], sort_keys=True)
    return {
        "step": step,
        "configuration": configuration,
        "seal": hashlib.sha256(text.encode()).hexdigest(),
        "arrays": digest(jax.tree.leaves(trees)),
    }


def _padded(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays with a row of zeros in front, because orbax cannot store arrays without rows."""
    return {
        name: np.concatenate([np.zeros_like(array, shape=(1, *array.shape[1:])), array])
        for name, array in rows.items()
    }


def _present(records: Observation) -> dict[str, np.ndarray]:
    return {name: rows for name, rows in records._asdict().items() if rows is not None}


def _os_error(error: BaseException | None) -> OSError | None:
    """The error of the system that led to an exception, if one did.

    tensorstore, by which orbax writes, raises a ``ValueError`` with its number in the text.
    """
    while error is not None:
        if isinstance(error, OSError):
            return error
        if code := re.search(r"os[ _]error\D{0,8}(\d+)", str(error), re.IGNORECASE):
            return OSError(int(code[1]), os.strerror(int(code[1])))
        error = error.__cause__
    return None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
