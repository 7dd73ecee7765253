"""How far a long run is, on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# Runs that end before have no bar.
_PATIENCE_SECONDS = 2.0


@contextmanager
def progress_bar(wanted: bool, steps: int) -> Iterator[Callable[[int, float], None]]:
    """Yields ``show(step, loss)``, which draws a bar on stderr if that is a terminal.

    Args:
      wanted: whether to draw at all.
      steps: number of steps of the whole run.
    """
    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield lambda step, loss: None
        return
    bar = Progress(
        BarColumn(16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.3g} steps/s, loss {task.fields[loss]:.4g}"),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task("", total=steps, rate=0.0, loss=0.0)
    first: tuple[int, float] | None = None

    def show(step: int, loss: float) -> None:
        nonlocal first
        now = time.perf_counter()
        first = first or (step, now)
        elapsed = now - first[1]
        rate = (step - first[0]) / elapsed if elapsed else 0.0
        bar.update(task, completed=step, loss=loss, rate=rate)
        if elapsed > _PATIENCE_SECONDS:
            bar.start()

    try:
        yield show
    finally:
        bar.stop()
