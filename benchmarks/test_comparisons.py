"""The contenders of ``--quick`` under pytest-benchmark, for its statistics and histories.

``pytest benchmarks -n 0`` runs them; the suite of the library does not. That contenders agree is
checked before any is timed, as in ``python -m benchmarks``.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import cases, comparing, machine, timing
from benchmarks.comparisons import Missing

pytest.importorskip("pytest_benchmark")

_NAMES = ("exact_ntk", "analytic_kernel", "training_step", "predictor")
_PAIRS = [
    pytest.param(comparison, contender, id=f"{comparison.case}-{comparison.label}-{contender.name}")
    for name in _NAMES
    for comparison in cases.load(name).comparisons()
    if comparison.quick
    for contender in comparison.contenders
    if contender.quick
]


@pytest.mark.parametrize(("comparison", "contender"), _PAIRS)
def test_contender(benchmark, comparison, contender):
    if contender.needs > machine.available_bytes():
        # Reason: a size that would swap times the disk, or ends the whole run.
        pytest.skip(f"takes about {contender.needs / 1e9:.3g} GB, which are not free")
    try:
        work = contender.make()
    except (ImportError, Missing) as missing:
        # Reason: peers are optional, and ours can be timed without them.
        pytest.skip(f"an optional peer is not installed: {missing}")
    output, _ = timing.once(work.call)
    if contender.role in ("own", "peer"):
        ours = comparison.contenders[0].make()
        expected = np.asarray(ours.result(timing.once(ours.call)[0]))
        assert comparing.distance(work.result(output), expected) <= comparison.tolerance
    benchmark.group = f"{comparison.case}, {comparison.label}"
    benchmark.extra_info["steps"] = comparison.steps
    benchmark.pedantic(lambda: timing.once(work.call), rounds=3)
