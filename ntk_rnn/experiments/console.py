"""What a run shows: progress on stderr, tables on stdout."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.table import Table

from ntk_rnn.experiments.claims import Claim
from ntk_rnn.experiments.configs import Config
from ntk_rnn.experiments.registry import Study

if TYPE_CHECKING:
    from ntk_rnn.experiments.report import Entry
    from ntk_rnn.experiments.runner import Result
    from ntk_rnn.verification.outcome import Outcome


# The exit code of a program that SIGINT has ended, in shells.
INTERRUPTED = 130


def console(*, stderr: bool = False) -> Console:
    """A console; where it is not a terminal it is wide enough that tables keep their lines."""
    stream = sys.stderr if stderr else sys.stdout
    wide = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, width=180 if wide else None
    )


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


def table(*columns: str) -> Table:
    """An empty table with these columns, in which nothing is cut off."""
    empty = Table(header_style="")
    for column in columns:
        empty.add_column(column, overflow="fold")
    return empty


def print_claims(claims: list[tuple[str, Claim]]) -> None:
    """Prints a table of claims, each with the name of its study."""
    rows = table("study", "claim", "value", "bar", "verdict")
    for name, claim in claims:
        verdict = claim.verdict.upper() if claim.verdict == "does not hold" else claim.verdict
        rows.add_row(name, claim.statement, claim.value, claim.bar, verdict)
    console().print(rows)


def print_studies(entries: Sequence[Entry], left_out: Mapping[str, str], out: Path) -> None:
    """Prints a table of all studies, why some are left out, and where the report is."""
    from ntk_rnn.experiments import report

    rows = table("study", "run", *report.VERDICTS)
    for entry in entries:
        rows.add_row(entry.study.name, entry.run, *map(entry.tally, report.VERDICTS))
    screen = console()
    screen.print(rows)
    for line in report.reasons(left_out):
        screen.print(line, soft_wrap=True)
    screen.print(f"report: {out / report.MARKDOWN}, {out / report.PAGE}", soft_wrap=True)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Says on a terminal, for as long as that takes, that what computes is being loaded."""
    with console(stderr=True).status("loading"):
        yield


def note(line: str) -> None:
    """Tells one line on stderr."""
    console(stderr=True).print(line, soft_wrap=True)


def run_checks(topics: Sequence[str], seed: int, *, as_json: bool) -> bool:
    """Checks the results of the paper, a line each; returns whether all hold."""
    all_hold, screen = True, console()
    with console(stderr=True).status("loading JAX") as status, _interrupts() as check:
        from ntk_rnn.verification import results

        for outcome in results.verify(topics, seed):
            check()
            all_hold &= outcome.holds
            if as_json:
                found = {**outcome._asdict(), "holds": outcome.holds}
                # JSON has no NaN.
                found["error"] = outcome.error if math.isfinite(outcome.error) else None
                line = json.dumps(found)
            else:
                line = _checked(outcome)
            screen.print(line, soft_wrap=True)
            status.update(f"checking, after {outcome.result}")
    return all_hold


def _checked(outcome: Outcome) -> str:
    """A line: whether the result holds, its name, error and allowance, and what was compared."""
    verdict = "holds" if outcome.holds else "FAILS"
    measured = f"{outcome.error:.2g} <= {outcome.allowance:.2g} {outcome.unit}"
    line = f"{verdict}  {outcome.result:21} {measured:34} {outcome.compared}"
    return f"{line}; CORRECTED: {outcome.correction}" if outcome.correction else line


def run(study: Study, config: Config, out: Path, name: str) -> Result:
    """Runs a study and writes ``out/name``, telling on stderr how far it is."""
    screen = console(stderr=True)
    screen.print(f"{name}: {study.title}")
    with _progress(screen, name) as show, _interrupts() as check:

        def advance() -> None:
            check()
            show(total)

        # Imported under the progress bar, because this is what loads JAX.
        from ntk_rnn.experiments import runner

        total = study.load().units(config)
        result = runner.execute(study, config, out, name=name, advance=advance)
    screen.print(f"{name}: {result.seconds:.1f} s, written to {result.folder}", soft_wrap=True)
    return result


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """A function that raises ``KeyboardInterrupt`` if one was raised before, and got lost.

    Python drops exceptions that are raised in callbacks, such as those that JAX has run when
    garbage is collected; without this, Ctrl-C at such a moment would do nothing.
    """
    interrupted = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.default_int_handler(number, frame)

    def check() -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt

    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check  # someone else handles interrupts, or ignores them
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _progress(screen: Console, name: str) -> Iterator[Callable[[int], None]]:
    """A progress bar, gone when done. The first unit of work is the longest: it compiles."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(None), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    shown = screen.is_terminal
    with Progress(
        *columns, console=screen, transient=True, disable=not shown,
        redirect_stdout=False, redirect_stderr=shown,
    ) as progress:  # fmt: skip
        task = progress.add_task(f"{name}: loading, compiling", total=None)

        def advance(total: int) -> None:
            progress.update(task, description=name, total=total, advance=1)

        yield advance
