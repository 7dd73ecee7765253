"""What the commands show: progress on stderr, tables and lines on stdout."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ntk_rnn._terminal import console, interrupts, progress_bar, table
from ntk_rnn.reproduction import environment
from ntk_rnn.reproduction.claims import Claim
from ntk_rnn.reproduction.registry import Study
from ntk_rnn.reproduction.studies.configs import Config

if TYPE_CHECKING:
    from ntk_rnn.reproduction.checks.outcome import Outcome
    from ntk_rnn.reproduction.report import Entry
    from ntk_rnn.reproduction.runs import Run
    from ntk_rnn.reproduction.unfinished import Unfinished


def print_claims(claims: list[tuple[str, Claim]]) -> None:
    """Prints a table of claims, each with the name of its study."""
    rows = table("study", "claim", "value", "bar", "verdict")
    for name, claim in claims:
        verdict = claim.verdict.upper() if claim.verdict == "does not hold" else claim.verdict
        rows.add_row(name, claim.statement, claim.value, claim.bar, verdict)
    console().print(rows)


def print_studies(entries: Sequence[Entry], left_out: Mapping[str, str], out: Path) -> None:
    """Prints a table of all studies, why some are left out, and where the report is."""
    from ntk_rnn.reproduction import report

    rows = table("study", "run", *report.VERDICTS)
    for entry in entries:
        rows.add_row(entry.study.name, entry.run, *map(entry.tally, report.VERDICTS))
    screen = console()
    screen.print(rows)
    for line in report.reasons(left_out):
        screen.print(line, soft_wrap=True)
    screen.print(f"report: {out / report.MARKDOWN}, {out / report.PAGE}", soft_wrap=True)


def run_checks(topics: Sequence[str], seed: int, *, as_json: bool) -> bool:
    """Checks the results of the paper, a line each; returns whether all hold."""
    all_hold, screen = True, console()
    loading = console(stderr=True).status("loading JAX")
    with loading as status, interrupts(at_once=True) as interrupted:
        from ntk_rnn.reproduction.checks import catalogue

        for outcome in catalogue.verify(topics, seed):
            if interrupted():
                raise KeyboardInterrupt
            all_hold &= outcome.holds
            if as_json:
                found = {**outcome._asdict(), "holds": outcome.holds}
                # JSON has no NaN.
                found["error"] = outcome.error if math.isfinite(outcome.error) else None
                line = json.dumps(found)
            else:
                line = _outcome_line(outcome)
            screen.print(line, soft_wrap=True)
            status.update(f"checking, after {outcome.result}")
    return all_hold


def _outcome_line(outcome: Outcome) -> str:
    """A line: whether the result holds, its name, error and allowance, and what was compared."""
    verdict = "holds" if outcome.holds else "FAILS"
    measured = f"{outcome.error:.2g} <= {outcome.allowance:.2g} {outcome.unit}"
    line = f"{verdict}  {outcome.result:21} {measured:34} {outcome.compared}"
    return f"{line}; CORRECTED: {outcome.correction}" if outcome.correction else line


def start_jax() -> None:
    """Loads JAX, which takes seconds, as a terminal shows."""
    with console(stderr=True).status("loading JAX"):
        environment.start()


def run_study(study: Study, config: Config, out: Path, unfinished: Unfinished | None = None) -> Run:
    """Runs a study and writes its folder in ``out``, and shows on stderr how far it is.

    It goes on from ``unfinished`` units of work, if it can.
    """
    screen = console(stderr=True)
    screen.print(f"{study.name}: {study.title}")
    with (
        interrupts(at_once=True) as interrupted,
        # The bar is there from the start, since the first unit of work loads JAX and compiles.
        progress_bar("units", None, patience=0.0) as show,
    ):
        show(0, "loading, compiling")
        # Imported under the progress bar, because this is what loads the models.
        from ntk_rnn.reproduction import runs

        total, count = study.load().units(config), itertools.count(1)

        def advance() -> None:
            if interrupted():
                raise KeyboardInterrupt
            show(next(count), total=total)

        run = runs.execute(study, config, out, advance=advance, unfinished=unfinished)
    screen.print(f"{study.name}: {run.seconds:.1f} s, written to {run.folder}", soft_wrap=True)
    return run
