"""What is run, what is kept and what is left out."""

import dataclasses
import json
import re
import shutil

import pytest

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction import registry, runs
from ntk_rnn.reproduction.reproducing import reproduce
from ntk_rnn.reproduction.studies.configs import KernelsConfig

TINY = KernelsConfig(
    widths=(8, 16), seeds=2, num_sequences=1, seq_len=2, implementation="jacobian_contraction"
)


def started(out):
    """When and with what the results were made: another one each time they are."""
    return (out / "kernels" / "config.json").stat().st_ino


def report(out):
    return (out / "report.md").read_bytes(), (out / "report.html").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the results of one study, what it claims and its report."""
    out = tmp_path_factory.mktemp("out")
    claims = reproduce({"kernels": TINY}, out)
    return out, claims, report(out)


@pytest.fixture
def out(finished, tmp_path):
    """A copy of that folder, without its report."""
    shutil.copytree(finished[0] / "kernels", tmp_path / "out" / "kernels")
    return tmp_path / "out"


def test_what_is_finished_is_kept_unless_forced(finished, out, capsys):
    _, claims, expected = finished
    before = started(out)
    assert reproduce({"kernels": TINY}, out) == claims and len(claims) == 2
    assert started(out) == before and report(out) == expected
    kept = capsys.readouterr()
    assert kept.err == f"kernels: kept, {out / 'kernels'} (--force runs it again)\n"

    assert reproduce({"kernels": TINY}, out, force=True) == claims
    assert started(out) != before and report(out) == expected
    assert capsys.readouterr().out == kept.out


def test_results_of_other_circumstances_are_run_again(out):
    study = registry.find("kernels")
    path = out / "kernels" / "config.json"
    record = json.loads(path.read_text())
    assert runs.finished_before(study, TINY, out) is not None
    for other in (study.smoke, dataclasses.replace(TINY, first_seed=1)):
        assert runs.finished_before(study, other, out) is None
    versions = record["versions"] | {"ntk_rnn": "0.0.1"}
    for change in ({"versions": versions}, {"x64": not record["x64"]}, {"preset": "paper"}):
        path.write_text(json.dumps(record | change))
        assert runs.finished_before(study, TINY, out) is None
    path.write_text(json.dumps(record))
    assert runs.finished_before(study, TINY, out) is not None


@pytest.fixture
def recorded(monkeypatch):
    """A study that needs the S1 recordings, which are not there."""
    study = dataclasses.replace(registry.find("kernels"), name="recorded", needs_data=True)
    monkeypatch.setitem(registry.STUDIES, "recorded", study)
    monkeypatch.setenv("NTK_RNN_DATA", "/nowhere/s1_data.mat")


@pytest.mark.usefixtures("recorded")
def test_without_its_data_a_study_is_left_out(finished, out, capsys):
    assert reproduce({"recorded": TINY, "kernels": TINY}, out) == finished[1]
    assert not (out / "recorded").exists()
    told = capsys.readouterr().out
    line = next(line for line in told.splitlines() if line.startswith("recorded left out: "))
    assert "/nowhere/s1_data.mat" in line and "--data" in line
    assert re.search("│ recorded +│ left out", told)
    assert "| recorded |" in (out / "report.md").read_text()


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("how", ["by name", "--data", "wrong"])
def test_data_that_must_be_there(tmp_path, capsys, monkeypatch, how):
    """Found missing before anything is run, and told in one line by the command line."""
    wrong = tmp_path / "s1_data.mat"
    wrong.write_bytes(b"MATLAB 5.0")
    options = {
        "by name": {"asked_for": ("recorded",)},
        "--data": {"data": str(tmp_path / "no.mat")},
        "wrong": {},
    }[how]
    if how == "wrong":
        monkeypatch.setenv("NTK_RNN_DATA", str(wrong))
    with pytest.raises(UserError, match=r"s1_data.mat") as told:
        reproduce({"kernels": TINY, "recorded": TINY}, tmp_path / "out", **options)
    assert "\n" not in str(told.value) and not (tmp_path / "out").exists()
    assert capsys.readouterr() == ("", "")
