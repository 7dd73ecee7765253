"""Ctrl-C as a request that a run can see to when it suits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Within the block, the first Ctrl-C is noted, and the second one does what it always did.

    Yields a function that says whether there was one. Signals belong to the main thread: in any
    other there is nothing to see, and where Ctrl-C is ignored, it stays so.
    """
    asked: list[bool] = []
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and before not in (
        None,
        signal.SIG_IGN,
    )

    def note(*_: Any) -> None:
        asked.append(True)
        signal.signal(signal.SIGINT, before)

    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
