"""Files and folders that are replaced whole or not at all, and locks on them.

New content is written beside the target under another name, and renamed once it is complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows, processes are not kept from each other
    fcntl = None


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock on a file or folder that exists.

    The system releases it when the process ends, however it ends. Some network file systems have
    no locks; there, processes are not kept from each other.

    Raises:
      BlockingIOError: if someone else holds it and this one is not to wait.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file by one with this content, once the content has reached the disk."""
    begun = path.parent / f".{path.name}.new"
    try:
        with begun.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        begun.replace(path)
    except BaseException:  # also where the user interrupts it
        begun.unlink(missing_ok=True)
        raise


@contextmanager
def replaced_folder(target: Path, check: Callable[[], None]) -> Iterator[Path]:
    """An empty folder, to become ``target`` if the block ends well and to vanish if it does not.

    It is ``.NAME.new-*`` beside the target. Once complete, what is at the target is renamed to
    ``.NAME.old-*`` and the new folder takes its place. Of the old one, files of other names than
    the new ones go to the new one, since they are of others, and the rest is deleted. What a
    killed process leaves behind is put right by the next one (`recover`).

    Args:
      target: the folder to replace. The one that it is in is made if there is none.
      check: called before the folder is made, and again before it is renamed; it raises an
        exception if what is at the target must not be replaced.
    """
    around = target.parent
    around.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as alive:
        with locked(around):
            recover(target)
            check()
            staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=around))
            alive.callback(shutil.rmtree, staging, ignore_errors=True)
            staging.chmod(0o777 & ~_umask())
            # This lock shows `recover` that the process which owns the folder is alive. It is taken
            # before another process can look.
            alive.enter_context(locked(staging))
        yield staging
        with locked(around):
            check()
            _swap(staging, target)


def recover(target: Path) -> None:
    """Restores what killed processes had moved away, and removes what they had begun.

    The caller must hold a lock on the folder that the target is in.
    """
    for old in sorted(target.parent.glob(f".{target.name}.old-*")):
        if os.path.lexists(target):
            _retire(old, target)
        else:
            old.rename(target)
    for staging in target.parent.glob(f".{target.name}.new-*"):
        # A folder that is locked belongs to a process that is alive.
        with contextlib.suppress(BlockingIOError), locked(staging, wait=False):
            if fcntl is not None:
                shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, target: Path) -> None:
    if not os.path.lexists(target):
        staging.rename(target)
        return
    old = target.with_name(staging.name.replace(".new-", ".old-", 1))
    target.rename(old)
    try:
        staging.rename(target)
    except BaseException:
        old.rename(target)
        raise
    _retire(old, target)


def _retire(old: Path, new: Path) -> None:
    """Moves what only the old folder has to the new one, and deletes the rest of it."""
    if old.is_symlink():
        old.unlink()
        return
    for entry in sorted(old.iterdir()):
        if not os.path.lexists(new / entry.name):
            entry.rename(new / entry.name)
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
