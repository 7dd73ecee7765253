"""Kernels of recurrent networks of any activation, of sequences split over two devices."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np

ROOT = Path(__file__).parents[2]
DEVICES = "--xla_force_host_platform_device_count=2"


def test_two_devices_give_what_one_does():
    """In a process of its own, because the number of devices is fixed when JAX starts."""
    settings = {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {DEVICES}",  # with those of the suite
    }
    process = subprocess.run(
        [sys.executable, "-W", "error", __file__],
        capture_output=True, text=True, env=os.environ | settings,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr


def check():
    import ntk_rnn as nr

    assert len(jax.devices()) == 2
    mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
    x = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
    split = nr.shard_sequences(x, mesh)
    lengths = np.array([5, 4, 3, 2, 1, 5])
    network = {"nu_w": 1.5, "nu_f": 1.0, "nu_c": 1.0, "lengths1": lengths}
    for activation, output in (("relu", "all"), ("erf", "last"), ("tanh", "mean")):
        kernel = partial(nr.recurrent_ntk, activation=activation, output=output, **network)
        expected = np.asarray(kernel(x))
        program = jax.jit(kernel).lower(split).compile()
        # What is in closed form is the same program compiled as a whole; tanh is an expansion here.
        found = kernel(split) if activation == "tanh" else program(split)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * expected.max())
        assert found.addressable_shards[0].data.size == expected.size // 2
        # No device holds the whole kernel, not even on the way.
        assert f"f32[{','.join(map(str, expected.shape))}]" not in program.as_text(), activation


if __name__ == "__main__":
    check()
