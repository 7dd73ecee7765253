"""The machinery of the benchmarks, on toy contenders: what counts, what is told, what is guarded.

No time is looked at here: only whether there is one.
"""

import dataclasses
import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    __main__ as command,
    baseline,
    cases,
    fits,
    plots,
    report,
    summary,
    timing,
)
from benchmarks.cases import scaling
from benchmarks.comparing import compare, distance
from benchmarks.comparisons import Comparison, Contender, Missing, Row, Work
from ntk_rnn._terminal import UserError

RESULT = np.arange(1.0, 5.0)


def giving(result, calls=None):
    def call():
        if calls is not None:
            calls.append(1)
        return result

    return lambda: Work(call)


def raising(error):
    def make():
        raise error

    return make


def comparison(*contenders, tolerance=1e-3, **more):
    first = Contender("ours", giving(RESULT), "ours")
    return Comparison("toy", "", {"n": 3}, (first, *contenders), tolerance, **more)


def rows_of(*contenders, **more):
    return {row.contender: row for row in compare(comparison(*contenders, **more), budget=0.01)}


def test_peers_that_cannot_run_are_rows_and_the_rest_goes_on():
    late = iter([RESULT, RESULT])
    rows = rows_of(
        Contender("absent", raising(ModuleNotFoundError("No module named 'torch'"))),
        Contender("without device", raising(Missing("no CUDA"))),
        Contender("crashing", raising(RuntimeError("out of\nluck"))),
        Contender("crashing later", lambda: Work(lambda: next(late))),
        Contender("huge", giving(RESULT), needs=1e18),
        Contender("good", giving(RESULT)),
    )
    assert {name: row.status for name, row in rows.items()} == {
        "ours": "timed", "absent": "not installed", "without device": "not installed",
        "crashing": "failed", "crashing later": "failed", "huge": "too large", "good": "timed",
    }  # fmt: skip
    assert rows["absent"].note == "No module named 'torch'"
    assert rows["crashing"].note == "RuntimeError: out of luck"
    assert "1e+09 GB" in rows["huge"].note and "free" in rows["huge"].note
    assert rows["good"].ratio > 0 and rows["ours"].ratio == 1
    assert all(row.seconds is None for row in rows.values() if row.status != "timed")
    assert all(row.well for row in rows.values())


def test_a_result_that_differs_is_not_timed():
    calls = []
    off = RESULT * 1.01
    rows = rows_of(
        Contender("off", giving(off, calls)),
        Contender("not finite", giving(RESULT * np.nan)),
        Contender("of another shape", giving(RESULT[:2])),
        Contender("floor", giving(None), "floor"),
        Contender("close", giving(RESULT * (1 + 1e-4))),
    )
    for name in ("off", "not finite", "of another shape"):
        assert rows[name].status == "differs" and rows[name].seconds is None
        assert not rows[name].well
    assert len(calls) == 1 and rows["off"].error == pytest.approx(0.01)
    assert "1e-03 allowed" in rows["off"].note
    assert rows["floor"].status == rows["close"].status == "timed"
    assert rows["close"].error == pytest.approx(1e-4) and rows["floor"].error is None


def test_without_ours_nothing_is_timed():
    ours = Contender("ours", raising(ValueError("broken")), "ours")
    pair = Comparison("toy", "", {}, (ours, Contender("good", giving(RESULT))), 1e-3)
    first, second = compare(pair, budget=0.01)
    assert first.status == "failed" and not first.well
    assert second.status == "not compared" and second.note == "ours is failed"
    never = Contender("ours", giving(RESULT * np.nan), "ours")
    (row,) = compare(Comparison("toy", "", {}, (never,), 1e-3), budget=0.01)
    assert row.status == "failed" and "finite" in row.note


def test_quick_says_what_it_leaves_out():
    pair = comparison(Contender("slow", giving(RESULT), quick=False))
    statuses = [[row.status for row in compare(pair, budget=0.01, quick=q)] for q in (True, False)]
    assert statuses == [["timed", "left out"], ["timed", "timed"]]


def test_the_first_call_is_a_sample_where_it_is_like_any_other():
    calls = []

    def process():
        return Work(lambda: calls.append(1) or RESULT, warm=True)

    pair = comparison(Contender("process", process))
    _, row = compare(pair, budget=0.0, quick=True)
    assert len(calls) == row.samples == 1 and row.seconds > 0 and row.compile_seconds is None


def test_a_short_call_is_made_before_it_is_timed():
    calls = {"short": [], "long": []}
    samples = timing.interleaved(
        {"short": lambda: calls["short"].append(1),
         "long": lambda: calls["long"].append(time.sleep(0.5))},
        budget=0, least=1,
    )  # fmt: skip
    assert len(samples["short"]) == len(samples["long"]) == 1
    assert len(calls["short"]) > 1 and len(calls["long"]) == 1


def test_distance():
    assert distance([3.0, 4.0], [3.0, 0.0]) == pytest.approx(4 / 3)
    assert distance([0.0], [0.0]) == 0 and np.isnan(distance([1.0], None))


def row(contender, *, ratio=None, seconds=1.0, sizes=None, at_least=None, status="timed", note=""):
    sizes = {"n": 1} if sizes is None else sizes
    return Row(
        "toy", "", str(sizes), sizes, contender, "peer", status, note, seconds, seconds, seconds,
        ratio=ratio, at_least=at_least,
    )  # fmt: skip


def test_check_allows_a_factor_of_two(tmp_path):
    path = tmp_path / "baseline.json"
    description = {"device": {"platform": "cpu"}}
    measured = [
        row("a", ratio=10.0),
        row("b", ratio=10.0),
        row("c", ratio=10.0),
        row("d", ratio=3.0),
        row("e", ratio=3.0),
    ]
    baseline.write(measured, description, path)
    baseline.write([row("a", ratio=7.0)], {"device": {"platform": "gpu"}}, path)
    saved = baseline.read("cpu", path)
    assert saved == {r.key: r.ratio for r in measured}  # that of another device changes nothing
    now = [row("a", ratio=5.1), row("b", ratio=4.9), row("c", ratio=99.0), row("new", ratio=0.1),
           row("d", status="failed", note="why", seconds=None),
           row("e", status="left out", seconds=None)]  # fmt: skip
    verdict = baseline.check(now, saved)
    assert not verdict.passed and verdict.held == 2
    (fallen,), (lost,) = verdict.fallen, verdict.lost
    assert fallen.startswith("toy: {'n': 1}: b: 4.9 times ours, 10")
    assert "d: failed, why" in lost
    assert baseline.check(now[:1], saved).passed
    assert not baseline.check(now[3:4], saved).passed  # nothing was compared
    with pytest.raises(UserError, match=r"a tpu in baseline\.json, which has cpu, gpu"):
        baseline.read("tpu", path)


def test_report_and_plots(tmp_path):
    rows = compare(
        comparison(Contender("absent", raising(ImportError("no such thing")))), budget=0.01
    )
    rows += [row("peer", sizes={"n": n}, seconds=s) for n, s in ((10, 1.0), (20, 4.0))]
    rows += [row("bold", ratio=3.0, at_least=5.0), row("lost", at_least=1.0, status="failed")]
    description = {
        "device": {"platform": "cpu", "kind": "cpu", "count": 1}, "machine": "2 cores",
        "versions": {"jax": "1.2", "torch": None}, "rates": {"products": float("nan")},
    }  # fmt: skip
    report.write(tmp_path, rows, [], description, "2000-01-01")
    text = (tmp_path / "results.md").read_text()
    assert "| absent | **not installed**: no such thing |" in text and "torch not installed" in text
    assert "| bold | 5 | 3 | NO |" in text and "| lost | 1 | failed | cannot be told |" in text
    saved = json.loads((tmp_path / "results.json").read_text())
    assert [r["contender"] for r in saved["rows"]] == [r.contender for r in rows]
    assert saved["rates"] == {"products": None}
    written = plots.save(tmp_path, rows)
    assert [path.name for path in written] == ["toy.png", "toy.pdf"]
    assert all(path.stat().st_size > 1000 for path in written)


def test_the_fastest_other_of_each_task_is_told(tmp_path):
    """Floors and other ways of ours are no others, and only the first sizes are in the table."""
    ours = Row(
        "fit", "flat", "flat, n=1", {"n": 1}, "ours", "ours", "timed", seconds=2.0, ratio=1.0
    )
    later = {"label": "flat, n=2", "sizes": {"n": 2}}
    rows = [
        dataclasses.replace(ours, contender=name, role=role, ratio=ratio, seconds=2 * ratio, **more)
        for name, role, ratio, more in (
            ("ours", "ours", 1.0, {}), ("quick", "peer", 3.0, {}), ("slow", "peer", 8.0, {}),
            ("other way", "own", 2.0, {}), ("writing", "floor", 0.5, {}),
            ("ours", "ours", 1.0, later), ("quick", "peer", 0.25, {**later, "behind": "Small."}),
        )
    ]  # fmt: skip
    first, second = summary.lines(rows)
    assert (first.fastest.contender, first.fastest.ratio, first.ahead) == ("quick", 3.0, True)
    assert not second.ahead and summary.tasks([first, second]) == [first]
    description = {"device": {"platform": "cpu", "kind": "cpu", "count": 1}, "machine": "2 cores",
                   "versions": {}, "rates": {}}  # fmt: skip
    text = report.markdown(rows, [], description, "2000-01-01")
    assert "| n = 1 | 2 s | quick | 6 s | **3** |" in text
    assert "ahead in 1 of 2 comparisons. It is not in:" in text
    assert "n = 2: quick takes 0.25 of its time. Small." in text
    summary.draw([first], tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").stat().st_size > 1000


def test_exponents_are_fitted_along_each_axis():
    rows = [
        Row("scaling", "training step", "", {**scaling.BASE, "n": n}, "ntk_rnn", "ours",
            status="timed", seconds=1e-9 * n**2)
        for n in (1000, 2000, 4000)
    ]  # fmt: skip
    rows.append(dataclasses.replace(rows[0], sizes={"n": 8000, "N": 9, "T": 10}, seconds=1.0))
    (found,) = fits.fit(rows)
    assert (found.what, found.axis, found.values) == ("training step", "n", [1000, 2000, 4000])
    assert found.slope == pytest.approx(2) and found.last == pytest.approx(2)
    assert found.stderr == pytest.approx(0, abs=1e-6) and found.expected == 2


def test_every_case_has_comparisons_that_differ():
    for name in cases.CASES:
        found = cases.load(name).comparisons()
        assert {c.case for c in found} == {name}
        assert any(c.quick for c in found) == (name != "startup")
        keys = [(c.label, contender.name) for c in found for contender in c.contenders]
        assert len(set(keys)) == len(keys)
        assert all(c.contenders[0].role == "ours" for c in found)


# The program, which says so before it makes its second comparison, and does not make it.
STOPS = """
import sys, time
from benchmarks import comparing
from benchmarks.__main__ import _terminal, main

def stopping(*args, compare=comparing.compare, made=[], **kwargs):
    while made:
        print("in the middle", file=sys.stderr, flush=True)
        time.sleep(1000)
    made.append(1)
    return compare(*args, **kwargs)

comparing.compare = stopping
_terminal.leave(main())
"""


@pytest.mark.usefixtures("interruptible")
def test_what_was_compared_before_an_interrupt_is_kept(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", STOPS, "scaling", "--quick", "--out", str(tmp_path)],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1],
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            told = list(itertools.takewhile(lambda line: line != "in the middle\n", process.stderr))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
        finally:
            process.kill()
    assert told[0].startswith("scaling, analytic kernel, N=50 T=10: ") and len(told) == 1
    assert process.returncode == 130, err
    assert err.endswith("benchmarks: interrupted; these are the comparisons until then\n")
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert rows[0]["status"] == "timed" and rows[0]["label"] in out
    assert "analytic kernel, N=200" not in out


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["exact_ntq"], ["CASES", "'exact_ntq'", "did you mean 'exact_ntk'?"]),
        (["--device", "abacus"], ["device", "auto, cpu, gpu, tpu", "'abacus'"]),
        (["predictor", "--record"], ["--record", "CASES"]),
        (["startup", "--quick"], ["--quick", "startup"]),
    ],
)
def test_a_mistake_is_told_in_one_line(capsys, monkeypatch, tmp_path, args, parts):
    monkeypatch.chdir(tmp_path)
    assert command.main(args) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and not list(tmp_path.iterdir())
    assert err.startswith("benchmarks: error: ") and all(part in err for part in parts)
