"""One comparison, from contenders to rows: first whether they agree, then how long they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import machine, memory, timing
from benchmarks.comparisons import Comparison, Contender, Missing, Row, Work, one_line


def compare(
    comparison: Comparison,
    *,
    budget: float,
    quick: bool = False,
    room: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Rows of all contenders, in their order. Whatever one of them does, the others are compared.

    Args:
      comparison: the contenders.
      budget: seconds to time them for.
      quick: whether to leave out what ``--quick`` does: some contenders, memory, the counts of XLA,
        and all but one sample of those that use up their share of the budget with it.
      room: bytes that are free; found out if ``None``.
      tell: is told what is being done.
    """
    rows: dict[str, Row] = {}
    ready: dict[str, Work] = {}
    expected: Any = None
    ours = comparison.contenders[0].name
    contenders = {contender.name: contender for contender in comparison.contenders}
    for contender in comparison.contenders:
        tell(f"{comparison.case}, {comparison.label}: {contender.name}")
        if quick and not contender.quick:
            rows[contender.name] = _row(comparison, contender, status="left out", note="by --quick")
            continue
        row, work, found = _tried(comparison, contender, room, expected)
        if contender.name == ours:
            expected = found
        elif ours not in ready:
            # What is to be compared with is not there, so nothing is timed either.
            row, work = _row(comparison, contender, note=f"{ours} is {rows[ours].status}"), None
        rows[contender.name] = row
        if work is not None:
            ready[contender.name] = work
    tell(f"{comparison.case}, {comparison.label}: timing")
    first: dict[str, float] = {}
    for name, work in ready.items():
        begun = rows[name].compile_seconds
        if work.warm and begun is not None:
            first[name] = begun
            rows[name] = replace(rows[name], compile_seconds=None)
    measured = timing.interleaved(
        {name: work.call for name, work in ready.items()},
        budget=budget, least=1 if quick else 3, first=first,
    )  # fmt: skip
    for name, samples in measured.items():
        rows[name] = _timed(rows[name], samples, comparison)
    for name, row in rows.items():
        unit = rows[ours].seconds
        if row.seconds is not None and unit is not None:
            rows[name] = row = replace(row, ratio=row.seconds / unit)
        if row.status == "timed" and row.role != "floor":
            rows[name] = row = _counted(row, comparison, None if quick else ready[name].lowered)
    if comparison.memory and not quick and machine.memory_is_resident():
        tell(f"{comparison.case}, {comparison.label}: memory")
        asked = [
            name for name, row in rows.items()
            if row.status == "timed" and row.role != "floor" and contenders[name].quick
        ]  # fmt: skip
        for name, peak in memory.of_a_process(comparison, asked).items():
            rows[name] = replace(rows[name], peak_bytes=peak)
    return list(rows.values())


def _row(comparison: Comparison, contender: Contender, **more: Any) -> Row:
    return Row(
        comparison.case, comparison.variant, comparison.label, dict(comparison.sizes),
        contender.name, contender.role, at_least=contender.at_least,
        tolerance=None if contender.role == "floor" else comparison.tolerance,
        behind=comparison.behind, **more,
    )  # fmt: skip


def _tried(
    comparison: Comparison, contender: Contender, room: float | None, expected: Any
) -> tuple[Row, Work | None, Any]:
    """A row so far; the work, if it may be timed; and the result, if it is ours."""
    free = machine.available_bytes() if room is None else room
    if contender.needs > free:
        need, have = contender.needs / 1e9, free / 1e9
        note = f"estimated {need:.3g} GB, {have:.3g} GB free"
        return _row(comparison, contender, status="too large", note=note), None, None
    try:
        work = contender.make()
        before = machine.device_memory()
        output, first = timing.once(work.call)
        peak = machine.peak_since(before)
        compared = comparison.tolerance is not None and contender.role != "floor"
        found = np.asarray(work.result(output)) if compared else None
        del output
        row = _row(comparison, contender, compile_seconds=first, peak_bytes=peak)
        if not compared or contender.role == "ours":
            sound = found is None or bool(np.isfinite(found).all())
            row = row if sound else replace(row, status="failed", note="result is not finite")
            return row, work if sound else None, found
        error = distance(found, expected)
    except (ImportError, Missing) as missing:
        note = str(missing).splitlines()[0]
        return _row(comparison, contender, status="not installed", note=note), None, None
    except Exception as error:
        row = _row(comparison, contender, status="failed", note=one_line(error))
        return row, None, None
    row = replace(row, error=error)
    allowed = comparison.tolerance or 0.0
    if not error <= allowed:
        note = f"{error:.2g} from ours, {allowed:.0e} allowed: not timed"
        return replace(row, status="differs", note=note), None, None
    return row, work, None


def distance(found: Any, expected: Any) -> float:
    """Relative Frobenius distance; NaN if shapes differ or ``expected`` is not there."""
    if expected is None or np.shape(found) != np.shape(expected):
        return float("nan")
    size = float(np.linalg.norm(np.ravel(expected)))
    apart = float(np.linalg.norm(np.ravel(np.subtract(found, expected))))
    return apart / size if size else apart


def _timed(row: Row, samples: list[float] | Exception, comparison: Comparison) -> Row:
    if isinstance(samples, Exception):
        return replace(row, status="failed", note=one_line(samples))
    low, median, high = (
        float(v) / comparison.steps for v in np.quantile(samples, (0.25, 0.5, 0.75))
    )
    beyond = row.compile_seconds
    if beyond is not None:
        beyond = max(0.0, beyond - median * comparison.steps)
    return replace(
        row, status="timed", seconds=median, low=low, high=high, samples=len(samples),
        compile_seconds=beyond,
    )  # fmt: skip


def _counted(row: Row, comparison: Comparison, lowered: Callable[[], Any] | None) -> Row:
    """Operations and bytes, by hand for ours and by XLA where there is a program to ask."""
    if row.role == "ours" and comparison.flops is not None and comparison.moved is not None:
        floor = machine.floor_seconds(comparison.flops, comparison.moved, comparison.working_set)
        share = floor / row.seconds if row.seconds else None
        row = replace(row, flops=comparison.flops, moved=comparison.moved, floor_share=share)
    if lowered is None:
        return row
    try:
        costs: Any = lowered().compile().cost_analysis()
    except Exception as error:  # not every backend counts
        return replace(row, note=f"no cost analysis: {one_line(error)}")
    costs = costs[0] if isinstance(costs, list) else costs
    return replace(row, xla_flops=costs.get("flops"), xla_bytes=costs.get("bytes accessed"))
