"""What commands and long calls show on a terminal, and how they are interrupted there."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

# The exit code of a program that SIGINT has ended, in shells.
INTERRUPTED = 130

# Seconds for which no bar is drawn, because most work ends before.
_PATIENCE_SECONDS = 2.0

# The open blocks of `interrupts`, with the innermost at the end.
_open: list[threading.Event] = []


class UserError(ValueError):
    """What a user asked for cannot be done. The message names the argument, value and remedy.

    The command line reports it in one line; any other exception is a defect and keeps its
    traceback.
    """


class Unwritable(Exception):
    """What a command prints cannot be written to stdout; ``errno`` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.errno = error.errno


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
def progress_bar(
    unit: str, total: int | None, *, wanted: bool = True, patience: float = _PATIENCE_SECONDS
) -> Iterator[Callable[..., None]]:
    """A bar on stderr, if that is a terminal that can redraw a line, gone when the block ends.

    Yields ``show(done, note="", total=None)``, to be called with how many units are done, with a
    remark, and with how many units there are if that was not known before.

    Args:
      unit: what is counted, as ``"steps"``.
      total: how many there are, or ``None`` if that is not known yet.
      wanted: whether to draw at all.
      patience: seconds for which nothing is drawn.
    """
    if not (wanted and (screen := console(stderr=True)).is_interactive):
        yield lambda done, note="", total=None: None
        return
    known = total
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(16), TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(), console=screen, transient=True, redirect_stdout=False,
    )  # fmt: skip
    task = bar.add_task("", total=total, told=_told(unit, 0, total, 0.0, ""))
    begun = first = time.perf_counter()
    start: int | None = None
    if not patience:
        bar.start()

    def show(done: int, note: str = "", total: int | None = None) -> None:
        nonlocal first, start, known
        now, known = time.perf_counter(), known if total is None else total
        if start is None:  # a run that goes on from earlier has not done all of it now
            first, start = now, done
        speed = (done - start) / (now - first) if now > first else 0.0
        told = _told(unit, done, known, speed, note)
        bar.update(task, completed=done, total=known, told=told)
        if now - begun > patience:
            bar.start()

    try:
        yield show
    finally:
        bar.stop()


def _told(unit: str, done: int, total: int | None, speed: float, note: str) -> str:
    """What a bar says beside itself: nothing that is not known."""
    parts = [f"{done}{'' if total is None else f'/{total}'} {unit}", note]
    if speed > 0:
        parts.append(f"{speed:.3g} {unit}/s")
        if total is not None:
            parts.append(f"{timedelta(seconds=round((total - done) / speed))} left")
    return ", ".join(part for part in parts if part)


@contextlib.contextmanager
def interrupts(*, at_once: bool) -> Iterator[Callable[[], bool]]:
    """Within the block Ctrl-C is noted; the function that is yielded says whether there was one.

    Noting it matters even where it also raises KeyboardInterrupt: Python drops exceptions that are
    raised in callbacks, such as those that JAX runs when garbage is collected.

    Blocks may be nested. An interrupt that the innermost one takes as a request is noted by the
    others too, so that they do not go on with what it has ended early.

    Signals belong to the main thread, so in any other thread there is never an interrupt to see.
    Where Ctrl-C is ignored, it stays ignored.

    Args:
      at_once: whether Ctrl-C also does what it did before the block. Otherwise the first one is a
        request that the block sees to when it suits, and only the second does what it did before.
    """
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    # Where Ctrl-C ends the process, it can be put off, but not noted before the process ends.
    can_be_noted = callable(before) or (before is signal.SIG_DFL and not at_once)
    if threading.current_thread() is not threading.main_thread() or not can_be_noted:
        yield asked.is_set
        return

    def note_interrupt(number: int, frame: FrameType | None) -> None:
        for event in _open:
            event.set()
        if at_once and callable(before):
            before(number, frame)
        else:
            signal.signal(signal.SIGINT, before)

    _open.append(asked)
    signal.signal(signal.SIGINT, note_interrupt)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
        _open.remove(asked)


def leave(code: int) -> NoReturn:
    """Ends the process with an exit code.

    After an interrupt it ends without Python's own clean-up, which was seen to hang and to crash
    while threads of JAX were still loading or computing.
    """
    if code == INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, Unwritable):
                stream.flush()
        os._exit(code)
    sys.exit(code)
