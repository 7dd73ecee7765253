"""What a run shows on a terminal, and how it is interrupted there."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

# The exit code of a program that SIGINT has ended, in shells.
INTERRUPTED = 130

# Work that ends before has no bar.
_PATIENCE_SECONDS = 2.0


class UserError(ValueError):
    """What a user asked for cannot be done. The message names the argument, value and remedy.

    The command line reports it in one line; any other exception is a defect and keeps its
    traceback.
    """


def console(*, stderr: bool = False) -> Console:
    """A console; where it is not a terminal it is wide enough that tables keep their lines."""
    stream = sys.stderr if stderr else sys.stdout
    wide = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, width=180 if wide else None
    )


def table(*columns: str) -> Table:
    """An empty table with these columns, in which nothing is cut off."""
    empty = Table(header_style="")
    for column in columns:
        empty.add_column(column, overflow="fold")
    return empty


def note(line: str) -> None:
    """Prints one line on stderr."""
    console(stderr=True).print(line, soft_wrap=True)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Says on a terminal, for as long as that takes, that what computes is being loaded."""
    with console(stderr=True).status("loading"):
        yield


@contextlib.contextmanager
def progress_bar(
    unit: str, total: int | None, *, wanted: bool = True, patience: float = _PATIENCE_SECONDS
) -> Iterator[Callable[..., None]]:
    """A bar on stderr, if that is a terminal, which is gone when the block ends.

    Yields ``show(done, note="", total=None)``: how many units are done, what else there is to say
    of the work, and how many units there are, where that is only known later.

    Args:
      unit: what is counted, as ``"steps"``.
      total: how many there are, or ``None`` if that is not known yet.
      wanted: whether to draw at all.
      patience: seconds for which nothing is drawn.
    """
    screen = console(stderr=True)
    if not (wanted and screen.is_terminal):
        yield lambda done, note="", total=None: None
        return
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(16), MofNCompleteColumn(), unit,
        TextColumn("{task.fields[note]}"), TimeElapsedColumn(), "left", TimeRemainingColumn(),
        console=screen, transient=True, redirect_stdout=False,
    )  # fmt: skip
    task = bar.add_task("", total=total, note="")
    begun = time.perf_counter()
    if not patience:
        bar.start()

    def show(done: int, note: str = "", total: int | None = None) -> None:
        bar.update(task, completed=done, note=note, total=total)
        if time.perf_counter() - begun > patience:
            bar.start()

    try:
        yield show
    finally:
        bar.stop()


@contextlib.contextmanager
def interrupts(*, at_once: bool) -> Iterator[Callable[[], bool]]:
    """Within the block Ctrl-C is noted; the function that is yielded says whether there was one.

    Python drops exceptions that are raised in callbacks, such as those that JAX has run when
    garbage is collected. What is noted is not lost.

    Signals belong to the main thread: in any other there is nothing to see, and where Ctrl-C is
    ignored, it stays so.

    Args:
      at_once: whether Ctrl-C does what it always did, beside being noted. Otherwise the first one
        is a request that the block sees to when it suits, and only the second one does.
    """
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    # Where Ctrl-C ends the process, it can be put off, but not noted before it does.
    known = callable(before) or (before is signal.SIG_DFL and not at_once)
    if threading.current_thread() is not threading.main_thread() or not known:
        yield asked.is_set
        return

    def note_it(number: int, frame: FrameType | None) -> None:
        asked.set()
        if at_once and callable(before):
            before(number, frame)
        else:
            signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note_it)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def leave(code: int) -> NoReturn:
    """Ends the process with an exit code.

    After an interrupt at once: JAX may be loading or computing in threads of its own, and Python,
    taking itself down below them, was seen to hang and to crash.
    """
    if code == INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
