"""A run that is killed is, resumed, the run.

Run as a script, with a folder as argument, this file is the process that is killed.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax

import ntk_rnn as nr
from ntk_rnn.training.long_runs import train

PACKAGE = str(Path(nr.__file__).parents[1])


def problem():
    k1, k2, k3, k4 = jax.random.split(jax.random.key(0), 4)
    return {
        "apply_fn": nr.causal_conv,
        "params": jax.random.normal(k1, (5, 1, 2), "float32"),
        "data": tuple(jax.random.normal(k, (10, 5, q), "float32") for k, q in ((k2, 2), (k3, 1))),
        "batch_size": 3,
        "key": k4,
        "optimizer": optax.adam(optax.exponential_decay(1e-2, 10, 0.9)),
        "record_at": range(0, 20, 7),
    }


def last_saved(folder):
    return max((int(entry.name) for entry in folder.glob("*") if entry.name.isdigit()), default=0)


def test_killed_run_is_the_run(tmp_path):
    with subprocess.Popen(
        [sys.executable, __file__, tmp_path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Killed, it must not leave half an entry in the cache of the suite.
        env=os.environ | {"PYTHONPATH": PACKAGE, "JAX_ENABLE_COMPILATION_CACHE": "false"},
    ) as process:  # fmt: skip
        try:
            while last_saved(tmp_path) < 20:  # which it is told by the folder only
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.01)
        finally:
            process.kill()
        output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert output == "orbax is not loaded\n"
    steps = last_saved(tmp_path) + 25
    resumed = train(**problem(), steps=steps, checkpoint=tmp_path)
    jax.tree.map(np.testing.assert_array_equal, resumed, train(**problem(), steps=steps))


if __name__ == "__main__":
    # Which takes a second or two is for those who want checkpoints.
    train(**problem(), steps=20)
    loaded = any(name.startswith("orbax") for name in sys.modules)
    print("orbax is", "loaded" if loaded else "not loaded", flush=True)
    # Killed before it gets there.
    train(**problem(), steps=10**6, checkpoint=sys.argv[1], checkpoint_every=10)
