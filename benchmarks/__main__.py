"""The command line: ``python -m benchmarks [CASES ...]``.

Nothing heavy is imported until the arguments have been read.
"""

from __future__ import annotations

import datetime
import itertools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from benchmarks import cases
from ntk_rnn import _terminal
from ntk_rnn._terminal import UserError

if TYPE_CHECKING:
    from benchmarks.comparisons import Row

_DEVICES = ("auto", "cpu", "gpu", "tpu")

# Seconds that a comparison is timed for, in equal shares; one slow sample may take longer.
_BUDGET, _QUICK_BUDGET = 3.0, 1.0

_FLAG = (tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint=""))


@dataclass(frozen=True)
class Benchmarks:
    """Compare this library with what a user would otherwise run.

    Exit code: 0; 1 if a result differs, ours fails or a ratio falls; 2 for a mistake.
    """

    names: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar="[CASES ...]", help=f"Cases to run: {', '.join(cases.CASES)}.",
            help_behavior_hint="(default: all)",
        ),
    ] = ()  # fmt: skip
    quick: Annotated[bool, *_FLAG] = False
    """Fewer sizes and contenders, without startup: 2 minutes on 2 cores, not 20."""
    check: Annotated[bool, *_FLAG] = False
    """Compare ratios with those of baseline.json, allowing a factor of 2."""
    record: Annotated[bool, *_FLAG] = False
    """Write RESULTS.md, ratios.png and baseline.json beside this code; for the full sweep."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/benchmarks")
    """Folder of the tables and plots."""
    device: Annotated[str, tyro.conf.arg(metavar="{auto,cpu,gpu,tpu}")] = "auto"
    """What to run on."""

    def __call__(self) -> int:
        """Runs the cases; returns the exit code."""
        names = [cases.find(name) for name in dict.fromkeys(self.names or cases.CASES)]
        if self.device not in _DEVICES:
            raise UserError(f"device must be among {', '.join(_DEVICES)}, got {self.device!r}")
        if self.quick and "startup" in self.names:
            raise UserError("--quick starts no processes; leave it out for startup")
        if self.record and (self.quick or set(names) != set(cases.CASES)):
            raise UserError("--record is for the full sweep; leave out --quick and CASES")
        _choose(self.device)
        from benchmarks import baseline, fits, machine, plots, report, summary

        description = machine.describe()
        saved = baseline.read(description["device"]["platform"]) if self.check else {}
        rows, interrupted = _rows(names, self.quick)
        description["rates"] = machine.rates()
        exponents = fits.fit(rows)
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        report.write(self.out, rows, exponents, description, date)
        plots.save(self.out, rows)
        if self.record and not interrupted:
            text = report.markdown(rows, exponents, description, date)
            baseline.PATH.with_name("RESULTS.md").write_text(text, encoding="utf-8")
            summary.draw(summary.tasks(summary.lines(rows)), baseline.PATH.with_name("ratios.png"))
            baseline.write(rows, description)
        _print(rows, self.out)
        if interrupted:
            print("benchmarks: interrupted; these are the comparisons until then", file=sys.stderr)
            return _terminal.INTERRUPTED
        passed = True
        if self.check:
            verdict = baseline.check(rows, saved)
            passed = verdict.passed
            for line in (*verdict.fallen, *verdict.lost):
                print(line)
            print(f"{verdict.held} ratios hold, {len(verdict.fallen)} fell by more than a factor 2")
        return 0 if passed and all(row.well for row in rows) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    command = tyro.cli(Benchmarks, args=argv, prog="python -m benchmarks")
    try:
        return command()
    except UserError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks: interrupted before anything was compared", file=sys.stderr)
        return _terminal.INTERRUPTED


def _choose(device: str) -> None:
    """Makes JAX start on a device, and take its memory as it needs it, since PyTorch does too.

    Raises:
      ValueError: if there is no such device.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # All is counted and compared in float32, as by the processes that are started.
    os.environ["JAX_ENABLE_X64"] = "0"
    if device == "gpu":  # JAX takes one, of any make, if it is left to choose
        os.environ.pop("JAX_PLATFORMS", None)
    elif device != "auto":
        os.environ["JAX_PLATFORMS"] = device
    import jax

    try:
        jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS"))
        jax.devices(*(["gpu"] if device == "gpu" else []))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device must be one that JAX finds, got {device!r}: {reason}") from None


def _rows(names: Sequence[str], quick: bool) -> tuple[list[Row], bool]:
    """Rows of all comparisons, a line on stderr after each, and whether that was interrupted."""
    from benchmarks.comparing import compare

    rows: list[Row] = []
    screen = _terminal.console(stderr=True)
    with screen.status("") as status:
        try:
            for comparison in itertools.chain.from_iterable(
                cases.load(name).comparisons() for name in names
            ):
                if quick and not comparison.quick:
                    continue
                budget = _QUICK_BUDGET if quick else _BUDGET
                begun = time.perf_counter()
                rows += compare(comparison, budget=budget, quick=quick, tell=status.update)
                took = time.perf_counter() - begun
                screen.print(f"{comparison.case}, {comparison.label}: {took:.1f} s")
        except KeyboardInterrupt:
            if not rows:
                raise
            return rows, True
    return rows, False


def _print(rows: Sequence[Row], out: Path) -> None:
    """The table of ratios on stdout, and below it what is to be said of rows without a time."""
    table = _terminal.table("case", "sizes", "contender", "time", "ratio to ours")
    from benchmarks import report

    for line in report.ratio_lines(rows):
        table.add_row(*line)
    _terminal.console().print(table)
    for row in rows:
        if row.status != "timed":
            print(f"{row.key}: {row.status}: {row.note}")
    print(f"written to {out}")


if __name__ == "__main__":
    _terminal.leave(main())
