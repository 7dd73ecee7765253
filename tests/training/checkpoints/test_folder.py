"""Checkpoints: runs in parts, and folders that are damaged, full, in use or not of a run."""

import functools
import os
import resource
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import ntk_rnn as nr
from ntk_rnn._networks import separated
from ntk_rnn.objective import as_data_set
from ntk_rnn.training.checkpoints.fingerprints import configuration
from ntk_rnn.training.checkpoints.folder import Checkpoints
from ntk_rnn.training.checkpoints.snapshots import on_devices, take_snapshot
from ntk_rnn.training.chunks import Trainer
from ntk_rnn.training.long_runs import train
from ntk_rnn.training.method import Method, Problem
from ntk_rnn.training.records import Observation

STEPS = 200


@functools.cache
def problem():
    k1, k2, k3, k4 = jax.random.split(jax.random.key(0), 4)
    data = (
        jax.random.normal(k1, (10, 5, 2), "float32"),
        jax.random.normal(k2, (10, 5, 1), "float32"),
    )
    arguments = {
        "apply_fn": nr.causal_conv,
        "params": jax.random.normal(k3, (5, 1, 2), "float32"),
        "data": data,
        "batch_size": 3,
        "key": k4,
        "optimizer": optax.adam(optax.exponential_decay(1e-2, 10, 0.9)),
        "record_at": range(0, STEPS, 7),
    }
    return arguments


@functools.cache
def whole():
    return train(**problem(), steps=STEPS)


def assert_same_bits(path, other):
    jax.tree.map(np.testing.assert_array_equal, path, other)


def saved_steps(folder):
    return sorted(int(entry.name) for entry in Path(folder).glob("*") if entry.name.isdigit())


def test_a_run_in_parts_is_the_run(tmp_path):
    arguments = problem() | {"checkpoint": tmp_path}
    for steps in (6, 50, STEPS):
        arguments["record_at"] = range(0, steps, 7)
        path = train(**arguments, steps=steps, checkpoint_every=40)
        assert path.step[-1] == steps
    assert_same_bits(path, whole())
    # Checkpoints at multiples of 40 and at each end, of which the last three are kept.
    assert saved_steps(tmp_path) == [120, 160, 200]
    with pytest.raises(ValueError, match="steps must be at least the 200 that the checkpoint has"):
        train(**arguments | {"record_at": [0]}, steps=50)
    # What has ended is read off; fewer records will do, and others will not.
    some = train(**arguments | {"record_at": [7, 70]}, steps=STEPS)
    assert some.step.tolist() == [7, 70, STEPS]
    assert_same_bits(some.params, path.params)
    assert_same_bits(some.train_loss[:2], path.train_loss[np.array([1, 10])])
    with pytest.raises(ValueError, match=r"record_at must hold no steps .* without a .*, got 8"):
        train(**arguments | {"record_at": [7, 8]}, steps=STEPS)


def test_a_resumed_run_holds_one_state(tmp_path, monkeypatch):
    arguments = problem() | {"checkpoint": tmp_path, "record_at": [0]}
    train(**arguments, steps=6)
    held = []
    advance = Trainer.advance

    def counted(self, *args):
        end = advance(self, *args)
        held.append(sum(array.shape == (5, 1, 2) for array in jax.live_arrays()))
        return end

    before = sum(array.shape == (5, 1, 2) for array in jax.live_arrays())
    monkeypatch.setattr(Trainer, "advance", counted)
    train(**arguments, steps=12)
    assert max(held) - before <= 3  # the parameters, and two moments of each


@pytest.mark.usefixtures("interruptible")
def test_interrupted_run_returns_its_path_and_goes_on(tmp_path, monkeypatch):
    steps = 10**7
    arguments = problem() | {"record_at": [0, 8]}

    def save(*args, save=Checkpoints.save):
        if not saved_steps(tmp_path):  # once, when the first is to be written
            os.kill(os.getpid(), signal.SIGINT)
        save(*args)

    monkeypatch.setattr(Checkpoints, "save", save)
    with pytest.warns(RuntimeWarning, match=rf"interrupted at step \d+ of {steps}") as caught:
        path = train(**arguments, steps=steps, checkpoint=tmp_path, checkpoint_every=50)
    last = int(path.step[-1])
    assert f"at step {last} of" in str(caught[0].message)
    assert f"goes on from there, by the checkpoint in {tmp_path}" in str(caught[0].message)
    assert path.step.tolist() == [0, 8, last] and saved_steps(tmp_path)[-1] == last
    assert path.diverged_at is None
    assert_same_bits(path, train(**arguments, steps=last))
    more = train(**arguments, steps=last + 5, checkpoint=tmp_path)
    assert_same_bits(more, train(**arguments, steps=last + 5))


def test_snapshots_hold_random_keys():
    tree = {"key": jax.random.key(5), "a": jax.numpy.ones(3, "bfloat16")}
    snapshot = take_snapshot(0, tree, ())
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(snapshot.params))
    back = on_devices(snapshot.params, tree)
    assert jax.random.uniform(back["key"]) == jax.random.uniform(tree["key"])
    assert back["a"].dtype == "bfloat16"


RECORDS = Observation(np.ones(2), None, np.ones((2, 5, 1, 2)), None)


def store(folder, tx, optax_version=None):
    """A store of a run with an optimizer, and a snapshot of it; as of another version of optax."""
    params = np.ones((5, 1, 2), "float32")
    data = as_data_set("data", problem()["data"])
    network, start = separated(nr.causal_conv, params)
    method, run = Method(network, tx, "sum", None), Problem(data, None, None, None)
    about = configuration(method, run, start)
    if optax_version is not None:
        about["versions"]["optax"] = optax_version
    return Checkpoints(folder, about), take_snapshot(4, params, tx.init(params))


def test_functions_cannot_be_compared_across_versions(tmp_path):
    old, snapshot = store(tmp_path, optax.sgd(1e-3), "0.0.1")
    old.save(snapshot, np.array([0, 3]), RECORDS)
    old.close()
    new, template = store(tmp_path, optax.sgd(2e-3))
    said = rf"written by optax 0\.0\.1 \(now {optax.__version__}\); functions cannot be compared"
    with pytest.warns(RuntimeWarning, match=said):
        found = new.latest(template)
    assert_same_bits(found, (snapshot, np.array([0, 3]), RECORDS))
    new.close()
    # The state of another optimizer is another one in any version.
    for tx in (optax.adam(1e-3), optax.sgd(1e-3, momentum=0.9)):
        other, template = store(tmp_path, tx)
        with pytest.raises(ValueError, match=r"its optimizer_state is '', that .* is '\[0\]\.\w+ "):
            other.latest(template)
        other.close()
    assert saved_steps(tmp_path) == [4]
    assert not list(tmp_path.glob("damaged*"))


def test_other_numbered_folders_are_refused(tmp_path):
    (tmp_path / "2024").mkdir()
    (tmp_path / "2024" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"checkpoint must be .* where 2024 is none; choose"):
        train(**problem(), steps=STEPS, checkpoint=tmp_path)
    assert [entry.name for entry in tmp_path.rglob("*")] == ["2024", "thesis.txt"]


def test_what_the_system_cannot_read_is_left_as_it_is(tmp_path):
    writer, snapshot = store(tmp_path, optax.sgd(1e-3))
    writer.save(snapshot, np.array([0, 3]), RECORDS)
    writer.save(snapshot._replace(step=5), np.array([0, 3]), RECORDS)
    (tmp_path / "5" / "about" / "metadata").unlink()
    # A link to itself is a file that nobody can open, root or not; tensorstore raises ValueError.
    manifest = tmp_path / "4" / "state" / "manifest.ocdbt"
    content = manifest.read_bytes()
    manifest.unlink()
    manifest.symlink_to(manifest)
    with pytest.raises(OSError, match=r"step 4 .* could not be read .* left as it is"):
        writer.latest(snapshot)
    assert saved_steps(tmp_path) == [4, 5]
    manifest.unlink()
    manifest.write_bytes(content)
    # What is missing is damage.
    with pytest.warns(RuntimeWarning, match=r"damaged-5-0 .* goes on from step 4"):
        assert_same_bits(writer.latest(snapshot)[0], snapshot)
    assert saved_steps(tmp_path) == [4]


def test_one_run_at_a_time_uses_a_folder(tmp_path):
    arguments = problem() | {"checkpoint": tmp_path, "record_at": [0], "steps": 4}
    writer, _ = store(tmp_path, problem()["optimizer"])
    with pytest.raises(ValueError, match=r"one run at a time, but another one .* uses .*; wait"):
        train(**arguments)
    # The system says so of a process that was killed.
    writer.close()
    train(**arguments)
    assert saved_steps(tmp_path) == [4]


def test_a_kill_may_leave_part_of_an_old_checkpoint(tmp_path):
    arguments = problem() | {"checkpoint": tmp_path, "record_at": [0]}
    train(**arguments, steps=12, checkpoint_every=4)
    for part in ("state", "records"):
        shutil.rmtree(tmp_path / "4" / part)
    for entry in (tmp_path / "4").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        train(**arguments, steps=12)
    train(**arguments, steps=16, checkpoint_every=4)
    assert saved_steps(tmp_path) == [8, 12, 16]


def truncate(file):
    os.truncate(file, file.stat().st_size // 2)


def test_damaged_checkpoints_are_passed_over(tmp_path):
    arguments = problem() | {"checkpoint": tmp_path}
    train(**arguments | {"record_at": range(0, 60, 7)}, steps=60, checkpoint_every=20)
    assert saved_steps(tmp_path) == [20, 40, 60]
    truncate(tmp_path / "60" / "state" / "_METADATA")
    truncate(tmp_path / "40" / "about" / "metadata")
    with pytest.warns(RuntimeWarning, match=r"damaged.*damaged-60.*damaged-40.* from step 20"):
        path = train(**arguments, steps=STEPS, checkpoint_every=90)
    assert_same_bits(path, whole())
    assert saved_steps(tmp_path) == [90, 180, 200]
    # All of it can be read, but it is not what was written.
    for name, part in (("200", "state"), ("180", "records")):
        shutil.rmtree(tmp_path / name / part)
        shutil.copytree(tmp_path / "90" / part, tmp_path / name / part)
    about = tmp_path / "90" / "about" / "metadata"
    about.write_text(about.read_text().replace('"loss": "sum"', '"loss": "sun"'))
    with pytest.warns(RuntimeWarning, match=r"damaged.*; training starts anew"):
        path = train(**arguments, steps=STEPS)
    assert_same_bits(path, whole())


def test_folders_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"checkpoint must be a folder .*/file cannot .*; choose"):
        train(**problem(), steps=STEPS, checkpoint=tmp_path / "file")


def test_full_disk_loses_nothing(tmp_path):
    arguments = problem() | {"checkpoint": tmp_path}
    train(**arguments | {"record_at": range(0, 20, 7)}, steps=20)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(
        OSError, match=r"of step 40 could not be written .*that of step 20 is still"
    ):
        try:
            # No file may be longer: what a full disk is to those who write to it.
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
            train(**arguments, steps=STEPS, checkpoint_every=40)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved_steps(tmp_path) == [20]
    assert_same_bits(train(**arguments, steps=STEPS), whole())


def test_arrays_without_entries_are_stored(tmp_path):
    # And two whose names would be one, were they joined by dots.
    more = {"none": jax.numpy.zeros((0, 3)), "a": {"b": jax.numpy.ones(2)}, "a.b": np.ones(3)}
    params = {"L": problem()["params"], **more}
    arguments = problem() | {"apply_fn": of_dict, "params": params, "checkpoint": tmp_path}
    # There is no record either, up to the first checkpoint.
    train(**arguments | {"record_at": [5]}, steps=5, checkpoint_every=2)
    for step in (4, 5):
        shutil.rmtree(tmp_path / str(step))
    path = train(**arguments | {"record_at": [5]}, steps=5)
    once = train(**arguments | {"record_at": [5], "checkpoint": None}, steps=5)
    assert_same_bits(path, once)
    assert path.params["none"].shape == (0, 3)


def of_dict(p, x):
    return nr.causal_conv(p["L"], x)


def test_errors_that_are_not_of_the_disk_pass_unchanged(tmp_path):
    writer, snapshot = store(tmp_path, optax.sgd(1e-3))
    text = snapshot._replace(params=np.array(["a"]))  # a type that orbax cannot store
    with pytest.raises(ValueError, match="Unsupported data type"):
        writer.save(text, np.array([0, 3]), RECORDS)


def test_divergence_after_a_checkpoint(tmp_path):
    arguments = problem() | {"optimizer": None, "learning_rate": 1.0, "record_at": [0]}
    with pytest.warns(RuntimeWarning, match="non-finite"):
        once = train(**arguments, steps=STEPS)
    parts = arguments | {"checkpoint": tmp_path / "before"}
    # Resumed, it goes back no further than to the checkpoint, and finds the same.
    train(**parts, steps=once.diverged_at - 3)
    with pytest.warns(RuntimeWarning, match="non-finite"):
        assert_same_bits(train(**parts, steps=STEPS), once)
    # A checkpoint of the bad step itself, before it was found to be bad, is of no help.
    parts = arguments | {"checkpoint": tmp_path / "bad", "checkpoint_every": once.diverged_at}
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="non-finite"):
            assert_same_bits(train(**parts, steps=STEPS), once)
        assert saved_steps(tmp_path / "bad") == [once.diverged_at]
