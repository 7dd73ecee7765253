"""Studies that were interrupted go on where they stopped, and from nothing else."""

import os
import signal

import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn import cli
from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction import environment
from ntk_rnn.reproduction.registry import find
from ntk_rnn.reproduction.results import read
from ntk_rnn.reproduction.studies import table1
from ntk_rnn.reproduction.unfinished import FOLDER, Unfinished

ARGUMENTS = ["reproduce", "table1", "--smoke", "--seeds", "1", "--out"]


def recorded(path=None):
    """Of three neurons, as long as a smoke run needs."""
    rng = np.random.default_rng(0)
    spikes = rng.poisson(2.0, (7000, 3))
    velocity = spikes @ rng.standard_normal((3, 2)) + rng.standard_normal((7000, 2))
    return nr.data.S1(spikes, velocity, np.zeros((7000, 2)), np.array([0, 3000]))


@pytest.mark.usefixtures("interruptible")
def test_a_study_goes_on_where_it_was_interrupted(tmp_path, monkeypatch, capsys):
    """The closed form and one model are finished; the other models are trained by the next run."""
    monkeypatch.setattr(nr.data, "s1", recorded)
    out = tmp_path / "out"
    done = []

    def pressing(config, advance, unfinished, run=table1.run):
        """Presses Ctrl-C after two units of work."""

        def press():
            done.append(1)
            if len(done) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            advance()

        return run(config, press, unfinished)

    with monkeypatch.context() as patch:
        patch.setattr(table1, "run", pressing)
        assert cli.main([*ARGUMENTS, str(out)]) == 130
    assert not (out / "table1").exists()
    kept = sorted(path.name for path in (out / FOLDER).glob("*/*"))
    assert kept == ["full_closed.npz", "full_rnn_0.npz"]

    trained, train = [], nr.train
    monkeypatch.setattr(nr, "train", lambda *args, **how: trained.append(1) or train(*args, **how))
    assert cli.main([*ARGUMENTS, str(out)]) == 0
    assert len(trained) == 5
    assert "2 units of work that were finished before are taken up" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.md", "table1"]

    trained.clear()
    assert cli.main([*ARGUMENTS, str(tmp_path / "undisturbed")]) == 0
    assert len(trained) == 6 and "taken up" not in capsys.readouterr().err
    expected = read(tmp_path / "undisturbed" / "table1")[1]
    found = read(out / "table1")[1]
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, err_msg=name)


def test_a_training_that_is_interrupted_is_not_kept(tmp_path, monkeypatch):
    """Its path ends early, as that of half of the steps does."""
    monkeypatch.setattr(nr.data, "s1", recorded)
    train = nr.train

    def half(*args, steps, record_at, **how):
        return train(*args, steps=steps // 2, record_at=[0, steps // 2], **how)

    monkeypatch.setattr(nr, "train", half)
    assert cli.main([*ARGUMENTS, str(tmp_path / "out")]) == 130
    kept = [path.name for path in (tmp_path / "out" / FOLDER).glob("*/*")]
    assert kept == ["full_closed.npz"]


def finish(unfinished, work, value):
    """The value that a unit has, once it is asked for with this one."""
    units = unfinished.units(work, lambda: None)
    return float(units("unit", lambda: {"value": np.asarray(value)})["value"])


def test_only_what_is_the_same_is_taken_up(tmp_path, monkeypatch):
    assert finish(Unfinished(tmp_path), "this", 1.0) == 1
    assert finish(Unfinished(tmp_path), "this", 2.0) == 1
    assert finish(Unfinished(tmp_path), "that", 2.0) == 2
    with monkeypatch.context() as patch:
        patch.setattr(nr, "__version__", "0.0.1")
        assert finish(Unfinished(tmp_path), "this", 3.0) == 3
    with monkeypatch.context() as patch:
        patch.setattr(environment, "x64", lambda: "another precision")
        assert finish(Unfinished(tmp_path), "this", 4.0) == 4
    assert finish(Unfinished(tmp_path), "this", 5.0) == 1

    anew = Unfinished(tmp_path, anew=True)
    assert finish(anew, "this", 6.0) == 6
    assert finish(anew, "this", 7.0) == 6  # by another study of the same work
    assert finish(Unfinished(tmp_path), "that", 8.0) == 2
    anew.discard()
    assert len(list((tmp_path / FOLDER).iterdir())) == 3


def test_a_damaged_unit_is_computed_again(tmp_path):
    finish(Unfinished(tmp_path), "this", 1.0)
    (path,) = tmp_path.glob(f"{FOLDER}/*/*.npz")
    content = path.read_bytes()
    for damaged in (b"", b"other", content[:-30], content[:150] + b"?" + content[151:]):
        path.write_bytes(damaged)
        assert finish(Unfinished(tmp_path), "this", 2.0) == 2


def test_a_folder_that_cannot_be_written_is_the_users_mistake(tmp_path):
    (tmp_path / FOLDER).write_text("mine")
    with pytest.raises(UserError, match=r"out must be where results can be written, but .*unfin"):
        finish(Unfinished(tmp_path), "this", 1.0)


def test_studies_that_train_for_minutes_are_resumable():
    assert find("table1").resumable and find("fig5").resumable
