"""Checkpoints: runs that are resumed, killed, interrupted, damaged or not the same.

Run as a script, with a folder as argument, this file is the process that is killed.
"""

import functools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import ntk_rnn as nr
from ntk_rnn.dynamics.checkpoints import Checkpoints
from ntk_rnn.dynamics.chunks import Problem, Trainer
from ntk_rnn.dynamics.fingerprints import _program, configuration
from ntk_rnn.dynamics.observation import Observation
from ntk_rnn.dynamics.optimizers import check_rule
from ntk_rnn.dynamics.runs import train
from ntk_rnn.dynamics.snapshots import take_snapshot, way_back

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


def test_snapshots_hold_random_keys():
    tree = {"key": jax.random.key(5), "a": jax.numpy.ones(3, "bfloat16")}
    snapshot = take_snapshot(0, tree, ())
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(snapshot.params))
    back = way_back(tree)(snapshot.params)
    assert jax.random.uniform(back["key"]) == jax.random.uniform(tree["key"])
    assert back["a"].dtype == "bfloat16"


def test_checkpoints_of_another_run_are_refused(tmp_path):
    arguments = problem() | {"steps": 10, "record_at": [0], "checkpoint": tmp_path}
    arguments |= {"optimizer": None, "learning_rate": 1e-3}
    train(**arguments)
    x, y = arguments["data"]
    params = arguments["params"]
    others = {
        "apply_fn": {"apply_fn": lambda p, x: nr.causal_conv(2 * p, x)},
        "learning_rate": {"learning_rate": 2e-3},
        "loss": {"loss": "mean"},
        "batch_size": {"batch_size": 5},
        "key": {"key": jax.random.key(8)},
        "params": {"params": params.at[0, 0, 0].add(1e-3)},
        "data": {"data": (x, y.at[-1, -1, -1].add(1e-3))},
        "test": {"test": (x, y)},
    }
    for field, other in others.items():
        with pytest.raises(ValueError, match=f"another run: its {field} is .*, that of this call"):
            train(**arguments | other)
    with pytest.raises(ValueError, match=r"learning_rate is 0.001, that of this call is 0.002"):
        train(**arguments | others["learning_rate"])
    # What optimizers have inside is told apart as well.
    inside = arguments | {"checkpoint": tmp_path / "inside", "learning_rate": None}
    train(**inside | {"optimizer": optax.sgd(optax.piecewise_constant_schedule(1e-3, {500: 0.1}))})
    with pytest.raises(ValueError, match="its optimizer is"):
        other = optax.piecewise_constant_schedule(1e-3, {600: 0.1})
        train(**inside | {"optimizer": optax.sgd(other)})
    assert saved_steps(tmp_path) == [10]


def scaled_in(place, table):
    """A model with a table in a function that JAX compiles, repeats, chooses or remembers."""

    def scaled(p, x):
        return nr.causal_conv(p, x) * table

    inner = jax.jit(scaled)
    return {
        "jit": lambda p, x: inner(p, x),
        "jit in jit": jax.jit(lambda p, x: inner(p, x) + inner(p, x)),
        "checkpoint": jax.checkpoint(lambda p, x: inner(p, x)),
        "scan": lambda p, x: jax.lax.scan(
            lambda y, _: (y + inner(p, x), None), 0 * x[..., :1], length=2
        )[0],
        "cond": lambda p, x: jax.lax.cond(p[0, 0, 0] > 0, inner, nr.causal_conv, p, x),
    }[place]


@pytest.mark.parametrize("place", ["jit", "jit in jit", "checkpoint", "scan", "cond"])
def test_programs_are_told_apart_by_arrays_within_compiled_functions(place):
    table = np.linspace(0, 1, 15, dtype="float32").reshape(3, 5, 1)
    args = problem()["params"], problem()["data"][0][:3]
    first, again, other = (
        _program(scaled_in(place, jax.numpy.asarray(t)), *args) for t in (table, table, table + 1)
    )
    assert first == again != other


def test_checkpoints_of_another_table_are_refused(tmp_path):
    arguments = problem() | {"steps": 2, "record_at": [0], "checkpoint": tmp_path}
    tables = jax.random.normal(jax.random.key(1), (2, 5, 1), "float32")
    train(**arguments | {"apply_fn": scaled_in("jit", tables[:1])})
    with pytest.raises(ValueError, match="another run: its apply_fn is"):
        train(**arguments | {"apply_fn": scaled_in("jit", tables[1:])})


RECORDS = Observation(np.ones(2), None, np.ones((2, 5, 1, 2)), None)


def store(folder, tx, optax_version=None):
    """A store of a run with an optimizer, and a snapshot of it; as of another version of optax."""
    params = np.ones((5, 1, 2), "float32")
    rule, rate = check_rule(None, tx)
    trainer = Trainer(
        nr.causal_conv, rule, "sum", None, Problem(problem()["data"], None, rate, None)
    )
    about = configuration(trainer, jax.numpy.asarray(params))
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
    # The state of another optimizer is another one in any version.
    for tx in (optax.adam(1e-3), optax.sgd(1e-3, momentum=0.9)):
        other, template = store(tmp_path, tx)
        with pytest.raises(ValueError, match=r"its optimizer_state is '', that .* is '\[0\]\.\w+ "):
            other.latest(template)
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
    params = {"L": problem()["params"], "none": jax.numpy.zeros((0, 3))}
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


def start(folder):
    """Trains in another process, and returns once it has written two more checkpoints."""
    before = max(saved_steps(folder), default=0)
    process = subprocess.Popen(
        [sys.executable, __file__, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(nr.__file__).parents[1])},
    )
    while max(saved_steps(folder), default=0) < before + 20:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    return process


def test_killed_and_interrupted_runs_are_the_run(tmp_path):
    process = start(tmp_path)
    time.sleep(np.random.default_rng(0).uniform(0, 0.2))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    told = json.loads(output)
    assert told["step"] == max(saved_steps(tmp_path)) < STEPS
    assert told["orbax_from_the_start"] is False
    assert f"interrupted at step {told['step']} of {STEPS}" in told["warning"]
    assert f"the same call goes on from there, by the checkpoint in {tmp_path}" in told["warning"]
    assert_same_bits(train(**problem(), steps=STEPS, checkpoint=tmp_path), whole())


def main():
    import warnings

    train(**problem(), steps=STEPS)
    loaded = any(name.startswith("orbax") for name in sys.modules)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = train(**problem(), steps=STEPS, checkpoint=sys.argv[1], checkpoint_every=10)
    told = {
        "step": int(path.step[-1]),
        "orbax_from_the_start": loaded,
        "warning": " ".join(str(w.message) for w in caught),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    # As in a terminal, wherever the tests run.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
