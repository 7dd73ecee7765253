"""Names of checkpoints: folders that orbax takes for something else, and renamed checkpoints."""

import os
import shutil

import jax
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.training.long_runs import train


def arguments(folder, steps):
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    return {
        "apply_fn": nr.causal_conv,
        "params": jax.random.normal(k1, (5, 1, 2), "float32"),
        "data": tuple(jax.random.normal(k, (4, 5, q), "float32") for k, q in ((k2, 2), (k3, 1))),
        "learning_rate": 1e-3,
        "record_at": [0],
        "steps": steps,
        "checkpoint": folder,
        "checkpoint_every": 10,
    }


@pytest.mark.parametrize(
    "name",
    ["run[1]", "run[1]/below", "a*", "a?/below", "a\\b", "gs:/b", "a/xgs:", os.fsdecode(b"\xff")],
)
def test_names_that_orbax_reads_otherwise_are_refused_before_training(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for folder in (name, tmp_path / name):
        with pytest.raises(ValueError, match=r"checkpoint must be a path .*; choose another") as e:
            train(**arguments(folder, 30))
        assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())
    # The folder that a relative path starts from is part of the name.
    (tmp_path / "[x]").mkdir()
    monkeypatch.chdir(tmp_path / "[x]")
    with pytest.raises(ValueError, match=r"has no \[ in it"):
        train(**arguments("run", 30))
    assert not list((tmp_path / "[x]").iterdir())


@pytest.mark.parametrize("name", ["a b", "é日本", "a{b}", "a]", "~none/x", "%20#$", "s3", "C:x"])
def test_other_names_are_names(tmp_path, name):
    """What was written there is found again, and the run goes on from it."""
    first = train(**arguments(tmp_path / name, 10))
    on = train(**arguments(tmp_path / name, 20))
    whole = train(**arguments(tmp_path / "whole", 20))
    jax.tree.map(np.testing.assert_array_equal, on, whole)
    assert first.step[-1] == 10
    assert sorted(os.listdir(tmp_path / name)) == ["10", "20"]


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("folder", ["", 3, True, b"run", "a\0b", "x" * 300, ["run"]])
def test_what_is_no_path_is_refused(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint must be a path, got .*; ") as told:
        train(**arguments(folder, 30))
    assert "\n" not in str(told.value) and not list(tmp_path.iterdir())


def test_a_renamed_checkpoint_is_not_of_another_step(tmp_path):
    train(**arguments(tmp_path, 30))
    shutil.rmtree(tmp_path / "10")
    shutil.rmtree(tmp_path / "20")
    for name in ("25", "40"):
        (tmp_path / "30").rename(tmp_path / name)
        with pytest.raises(ValueError, match=rf"/{name} is that of step 30; rename it to that"):
            train(**arguments(tmp_path, 50))
        assert os.listdir(tmp_path) == [name]  # and nothing has happened to it
        (tmp_path / name).rename(tmp_path / "30")
    train(**arguments(tmp_path, 40))
    assert sorted(os.listdir(tmp_path)) == ["30", "40"]
