"""The checks of ``ntk-rnn theory``: how they judge, and the command as its user runs it.

What is checked has tests of its own, named after the results; ``.ci/run`` runs all checks.
"""

import json

import numpy as np
import pytest

from ntk_rnn import cli
from ntk_rnn.power_law import PowerLaw
from ntk_rnn.reproduction.checks.catalogue import CHECKS
from ntk_rnn.reproduction.checks.outcome import Outcome, deviation, relative, slope_error
from ntk_rnn.reproduction.checks.topics import TOPICS


@pytest.mark.parametrize(
    ("error", "holds"), [(0.5, True), (1.0, True), (1.1, False), (np.nan, False), (-np.inf, False)]
)
def test_a_result_holds_within_its_allowance(error, holds):
    assert Outcome("eq. 0", "", error, 1.0, "relative").holds is holds


def test_errors_are_what_their_unit_says():
    assert relative(np.array([3.0, 0.0]), np.array([0.0, 4.0])) == pytest.approx(5 / 4)
    with pytest.raises(ValueError, match=r"found must have shape \(2,\), got \(1,\)"):
        relative(np.ones(1), np.ones(2))
    assert deviation(np.array([1.0, 3.0, 2.0]), np.array([1.0, 0.5, 0.0]), 2.0) == 2.0
    # Without spread or finite numbers nothing is shown, and what is wrong is wrong.
    assert deviation(np.array([7.0, 2.0]), np.array([0.0, 0.5]), 2.0) == np.inf
    assert np.isnan(deviation(np.array([np.nan, 2.0]), np.array([0.1, 0.5]), 2.0))
    assert slope_error(PowerLaw(-0.6, 0.0, 0.1), -0.5) == pytest.approx(0.1)
    assert np.isnan(slope_error(PowerLaw(-0.5, 0.0, 0.2), -0.5))


def test_what_fails_is_told(capsys, monkeypatch):
    def wrong(key):
        yield Outcome("eq. 0", "something and nothing", np.nan, 0.1, "relative")

    monkeypatch.setitem(CHECKS, "figures", (wrong,))
    assert cli.main(["theory", "figures"]) == 1
    assert capsys.readouterr().out.startswith("FAILS  eq. 0")
    assert cli.main(["theory", "figures", "figures", "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["error"] is None and json.loads(line)["holds"] is False


def test_seeds_are_those_of_jax(capsys):
    assert cli.main(["theory", "--seed", str(10**21)]) == 2
    assert "seed must be from 0 to 2^32 - 1" in capsys.readouterr().err


def test_topics_are_those_that_the_command_names():
    assert tuple(CHECKS) == TOPICS


def test_json_has_one_line_a_result(capsys):
    assert cli.main(["theory", "drift", "--json", "--seed", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["result"] for row in rows] == ["Theorem 4.1, eq. 60", "eq. 59", "eqs. 60, 61"]
    assert all(row["holds"] and row["error"] <= row["allowance"] for row in rows)
    assert all(row["correction"] for row in rows)


def test_lines_say_what_was_corrected(capsys):
    assert cli.main(["theory", "drift"]) == 0
    line, *_ = capsys.readouterr().out.splitlines()
    assert line.startswith("holds  Theorem 4.1, eq. 60") and "; CORRECTED: " in line


def test_unknown_topic_is_a_mistake_of_the_user(capsys):
    assert cli.main(["theory", "everything"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert all(part in line for part in ("invalid choice", "'everything'", "'drift'"))
