"""Memory of one call, as the resident set of a process that does nothing else.

``python -m benchmarks.memory CASE LABEL CONTENDERS ...`` is that process. It calls one contender
after the other, and prints bytes for each. What one keeps, the next may use, so ours is the first.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import cases, timing
from benchmarks.comparisons import Comparison

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

_SECONDS = 300.0

# What its lines begin with, among those that others may print.
_MARK = "peak of a call:"


def of_a_process(comparison: Comparison, contenders: Sequence[str]) -> dict[str, float]:
    """Bytes at the peak of a second call beyond those before it, of contenders that got so far."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.memory",
        comparison.case,
        comparison.label,
        *contenders,
    ]
    # Freed memory goes back to the system at once, or the next call would seem to need none.
    returned = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    try:
        done = subprocess.run(
            command, env={**os.environ, **returned}, capture_output=True, text=True,
            timeout=_SECONDS, cwd=Path(__file__).parents[1],
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}
    # One that fails ends the process: there are those before it.
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    peaks = [float(line.removeprefix(_MARK)) for line in lines]
    return dict(zip(contenders, peaks, strict=False))


def peak_of_second_call(comparison: Comparison, name: str) -> float:
    """Bytes at the peak of a call, once everything has been compiled, beyond those before it."""
    (contender,) = (c for c in comparison.contenders if c.name == name)
    work = contender.make()
    timing.once(work.call)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # the C library of most systems keeps some of what was freed
        trim(0)
    before = _kilobytes("VmRSS")
    _RESET.write_text("5", encoding="ascii")  # forgets the peak so far
    timing.once(work.call)
    return 1024.0 * max(0, _kilobytes("VmHWM") - before)


def _kilobytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{_STATUS} must list {field}")
    return int(found[1])


if __name__ == "__main__":
    case, label, *names = sys.argv[1:]
    (chosen,) = (c for c in cases.load(case).comparisons() if c.label == label)
    for contender_name in names:
        print(_MARK, peak_of_second_call(chosen, contender_name), flush=True)
