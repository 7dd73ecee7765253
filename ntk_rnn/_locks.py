"""Locks on files and folders, by which processes keep out of each other's way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: processes are not kept from each other
    fcntl = None

# Whether there are locks at all, so that a file which is not locked is one nobody uses.
LOCKS = fcntl is not None


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock on a file or folder that exists.

    The system releases it when the process ends, however it does. Some network file systems have
    no locks; there, processes are not told apart.

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
