"""Several devices: split arrays, in one process and in two, and compressed data in parts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from ntk_rnn.compression.parts import merge_compressed
from ntk_rnn.compression.triangle import compress

SCRIPT = Path(__file__).with_name("sharded_problem.py")


def start(devices, *args, **others):
    count = f"--xla_force_host_platform_device_count={devices}"
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "PYTHONPATH": str(SCRIPT.parents[1]),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {count}",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(SCRIPT), *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | settings | others,
    )  # fmt: skip


def assert_end_well(*processes):
    try:
        for process in processes:
            output, _ = process.communicate()
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()
            process.stdout.close()
            process.wait()


def test_eight_devices_give_what_one_does():
    assert_end_well(start(8))


def test_two_processes_give_what_one_does():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # From the cache of compiled programs comes a program that is wrong on the CPUs of several
    # processes on a busy machine (jaxlib 0.10, Gloo): 11 losses of 40, and 0 of 40 without it.
    uncached = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    assert_end_well(*(start(4, rank, port, **uncached) for rank in range(2)))


def test_merged_parts_are_the_data_compressed_at_once(dtype, tol):
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(9, 4, k)).astype(dtype) for k in (3, 2))
    weights = rng.gamma(1.0, size=(9, 4)).astype(dtype)
    whole = compress(x, y, weights)
    # One part is smaller than its triangle, and leaves no constant.
    parts = [compress(x[i], y[i], weights[i]) for i in (slice(0, 1), slice(1, 4), slice(4, 9))]
    merged = merge_compressed(iter(parts))
    response = rng.normal(size=whole.shape).astype(dtype)

    @jax.jit
    def losses(data):
        value, gradient = jax.value_and_grad(data.loss)(response)
        return value, gradient, data.loss(response, "mean"), data.constant

    for actual, expected in zip(losses(merged), losses(whole), strict=True):
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, expected, rtol=tol, atol=tol)
    alone = merge_compressed([whole])
    np.testing.assert_allclose(losses(alone)[1], losses(whole)[1], rtol=tol, atol=tol)


def test_parts_that_are_too_much_together_are_refused():
    x = np.full((1, 1, 1), 1.5e38, np.float32)
    part = compress(x, np.zeros_like(x))
    with pytest.raises(ValueError, match=r"compressed, must be finite, .* rescale them to fit"):
        merge_compressed([part] * 9)


def test_parts_that_do_not_fit_are_refused(unannotated):
    x = np.ones((2, 3, 1))
    with pytest.raises(ValueError, match="at least one CompressedData"):
        merge_compressed([])
    with pytest.raises(ValueError, match=r"parts\[1\]\.shape .*\(2, 1, 1\) and \(3, 1, 1\)"):
        merge_compressed([compress(x, x), compress(x[:, :2], x[:, :2])])
