"""Kernels in blocks on disk: the same kernel at once, after a kill as well, in little memory."""

import errno
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.kernels.on_disk import write_ntk


def sequences(dtype, num, seed=0):
    return np.random.default_rng(seed).normal(size=(num, 4, 2)).astype(dtype)


def plain_kernel(x1, x2):
    """Not of a network, but with every axis in its place, and without a compiler."""
    return np.einsum("it,ks->ikts", x1.sum(axis=2), x2.sum(axis=2))


def scaled_kernel(factor):
    return lambda x1, x2: np.float32(factor) * plain_kernel(x1, x2)


def counted(kernel_fn):
    calls = []

    def count(x1, x2):
        calls.append((len(x1), len(x2)))
        return kernel_fn(x1, x2)

    return count, calls


def test_blocks_make_up_the_kernel(dtype, tol, tmp_path):
    x1, x2 = sequences(dtype, 7), sequences(dtype, 5, seed=1)
    kernel_fn, calls = counted(jax.jit(partial(nr.analytic_ntk, rho=np.array([1, 0.5, 0.2]))))
    expected = nr.analytic_ntk(x1, x2, np.array([1, 0.5, 0.2]))
    kernel = write_ntk(tmp_path / "k.npy", kernel_fn, x1, x2, block_size=4)
    np.testing.assert_allclose(kernel, expected, rtol=tol, atol=tol)
    assert kernel.dtype == dtype and not kernel.flags.writeable
    assert calls == [(4, 4)] * 4
    np.testing.assert_array_equal(np.load(tmp_path / "k.npy"), kernel)
    # Once complete only the first block is looked at.
    calls.clear()
    again = write_ntk(tmp_path / "k.npy", kernel_fn, x1, x2, block_size=4)
    np.testing.assert_array_equal(again, kernel)
    assert len(calls) == 1


@pytest.mark.parametrize("block_size", [1, 3, 4, None])
def test_half_of_a_symmetric_kernel_is_computed(tmp_path, block_size):
    x = sequences(np.float32, 7)

    def full(x1, x2):  # (n1, n2, T, T, n_y, n_y), not symmetric in any one pair of axes
        factors = [np.stack([x.sum(axis=2), np.cumsum(x[..., 0], axis=1)], -1) for x in (x1, x2)]
        return np.einsum("itp,ksr->iktspr", *factors)

    kernel_fn, calls = counted(full)
    kernel = write_ntk(tmp_path / "k.npy", kernel_fn, x, block_size=block_size)
    np.testing.assert_array_equal(kernel, full(x, x))
    blocks = 1 if block_size is None else -(-7 // block_size)
    assert len(calls) == blocks * (blocks + 1) / 2 and len(set(calls)) == 1


def test_blocks_are_as_even_as_they_can_be(tmp_path):
    """Of 1000 steps, 4 sequences a side at most give blocks of 64 MB; 5 make two of 3."""
    kernel_fn, calls = counted(lambda x1, x2: np.zeros((len(x1), len(x2), 1, 1)))
    write_ntk(tmp_path / "k.npy", kernel_fn, np.zeros((5, 1000, 1), np.float32))
    assert calls == [(3, 3)] * 3


KILLED = """
import os, pathlib, signal, sys
import numpy as np
from ntk_rnn.kernels.on_disk import write_ntk

calls, status = 0, pathlib.Path("/proc/self/status")

def most_memory():
    lines = status.read_text().splitlines() if status.exists() else ["VmHWM: 0 kB"]
    return [int(line.split()[1]) for line in lines if line.startswith("VmHWM")][0]

def kernel_fn(x1, x2):
    global calls, before
    if calls == 2:
        before = most_memory()
    if calls == 27:
        print(most_memory() - before, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    calls += 1
    return np.einsum("it,ks->ikts", x1[:, :, 0], x2[:, :, 0])

write_ntk(sys.argv[1], kernel_fn, np.load(sys.argv[2]), block_size=32)
"""


def test_a_killed_call_is_taken_up_and_takes_little_memory(tmp_path):
    """Killed with 90 of 127 MB on disk, of which no more than 30 MB were ever in memory."""
    x = np.random.default_rng(2).normal(size=(256, 22, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    path = tmp_path / "k.npy"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path, tmp_path / "x.npy"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert int(done.stdout) < 30_000  # kB

    kernel_fn, calls = counted(lambda a, b: np.einsum("it,ks->ikts", a[:, :, 0], b[:, :, 0]))
    kernel = write_ntk(path, kernel_fn, x, block_size=32)
    assert len(calls) == 36 - 27 + 1  # the first one is computed anew
    np.testing.assert_array_equal(kernel, kernel_fn(x, x))


def test_a_file_of_another_kernel_is_refused(tmp_path, unannotated):
    x, y = sequences(np.float32, 6), sequences(np.float32, 6, seed=1)
    path = tmp_path / "k.npy"
    write_ntk(path, plain_kernel, x, y, block_size=3)
    before = path.read_bytes(), (tmp_path / "k.npy.json").read_bytes()
    record = json.loads(before[1])
    for field, call in {
        "shape": lambda: write_ntk(path, plain_kernel, x[:5], y, block_size=3),
        "x1": lambda: write_ntk(path, plain_kernel, y, y, block_size=3),
        "x2": lambda: write_ntk(path, plain_kernel, x, x, block_size=3),
        "block_size": lambda: write_ntk(path, plain_kernel, x, y, block_size=2),
        "dtype": lambda: write_ntk(
            path, lambda a, b: plain_kernel(a, b).astype(float), x, y, block_size=3
        ),
    }.items():
        with pytest.raises(ValueError, match=f"with {field} ") as error:
            call()
        assert str(record[field]) in str(error.value)
    with pytest.raises(ValueError, match="begun with another kernel_fn"):
        write_ntk(path, scaled_kernel(1.0001), x, y, block_size=3)
    assert before == (path.read_bytes(), (tmp_path / "k.npy.json").read_bytes())
    # What rounding may do is not another kernel.
    write_ntk(path, scaled_kernel(1 + 1e-6), x, y, block_size=3)

    (tmp_path / "k.npy.json").unlink()
    with pytest.raises(ValueError, match=r"no record k\.npy\.json of its blocks; move it"):
        write_ntk(path, plain_kernel, x, y, block_size=3)


def interrupted_after(calls, kernel_fn):
    count = iter(range(calls))

    def kernel(x1, x2):
        if next(count, None) is None:
            raise KeyboardInterrupt
        return kernel_fn(x1, x2)

    return kernel


def test_another_kernel_is_told_where_the_first_block_is_0(tmp_path):
    x = sequences(np.float32, 4)
    x[0] = 0
    with pytest.raises(KeyboardInterrupt):
        write_ntk(tmp_path / "k.npy", interrupted_after(6, plain_kernel), x, block_size=1)
    with pytest.raises(ValueError, match="begun with another kernel_fn"):
        write_ntk(tmp_path / "k.npy", scaled_kernel(2), x, block_size=1)
    kernel_fn, calls = counted(plain_kernel)
    np.testing.assert_array_equal(
        write_ntk(tmp_path / "k.npy", kernel_fn, x, block_size=1), plain_kernel(x, x)
    )
    assert len(calls) == 10 - 6 + 2


def test_blocks_unlike_the_first_are_refused(tmp_path, unannotated):
    x = sequences(np.float32, 4)
    first = interrupted_after(1, plain_kernel)

    def then(change):
        def kernel(x1, x2):
            try:
                return first(x1, x2)
            except KeyboardInterrupt:
                return change(plain_kernel(x1, x2))

        return kernel

    with pytest.raises(ValueError, match=r"same shape and type .* float64 after .* and float32"):
        write_ntk(tmp_path / "k.npy", then(lambda k: k.astype(float)), x, block_size=2)
    with pytest.raises(ValueError, match="what kernel_fn returns must be finite, got 64 NaN"):
        write_ntk(tmp_path / "k.npy", lambda a, b: np.nan * plain_kernel(a, b), x, block_size=2)


def test_half_precision(tmp_path, unannotated):
    x = jax.numpy.asarray(sequences(np.float32, 4), "bfloat16")

    def kernel_fn(x1, x2):
        return plain_kernel(np.asarray(x1, "float32"), np.asarray(x2, "float32"))

    kernel = write_ntk(tmp_path / "k.npy", kernel_fn, x)
    np.testing.assert_array_equal(kernel, kernel_fn(x, x))
    with pytest.raises(ValueError, match=r"a type that \.npy files have, .* got bfloat16"):
        write_ntk(tmp_path / "b.npy", lambda a, b: kernel_fn(a, b).astype(a.dtype), x)


def test_one_call_at_a_time_writes_to_a_file(tmp_path, unannotated):
    x = sequences(np.float32, 4)
    path, refused = tmp_path / "k.npy", []

    def kernel_fn(x1, x2):
        if refused or not path.exists():
            return plain_kernel(x1, x2)
        with pytest.raises(ValueError, match="another one that has not ended writes to") as error:
            write_ntk(path, plain_kernel, x, block_size=2)
        refused.append(error)
        return plain_kernel(x1, x2)

    np.testing.assert_array_equal(write_ntk(path, kernel_fn, x, block_size=2), plain_kernel(x, x))
    assert refused
    write_ntk(path, plain_kernel, x, block_size=2)


def test_damaged_files_are_refused(tmp_path, unannotated):
    x = sequences(np.float32, 4)
    path, record = tmp_path / "k.npy", tmp_path / "k.npy.json"
    write_ntk(path, plain_kernel, x)
    saved = record.read_text()
    no_blocks = json.dumps(json.loads(saved) | {"blocks": ""})
    for damaged in ("[]", saved.replace("blocks", "b"), saved[:-9], no_blocks, '{"blocks": 3}'):
        record.write_text(damaged)
        with pytest.raises(ValueError, match=r"no record k\.npy\.json of its blocks; move it"):
            write_ntk(path, plain_kernel, x)
    record.write_text(saved)
    for size in (200, 0):
        os.truncate(path, size)
        with pytest.raises(ValueError, match=r"k\.npy is damaged \(.*\); delete it"):
            write_ntk(path, plain_kernel, x)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_byte_that_changed_in_any_finished_block_is_noticed(tmp_path, symmetric):
    x = sequences(np.float32, 5)
    other = None if symmetric else sequences(np.float32, 5, seed=1)
    path = tmp_path / "k.npy"
    expected = np.array(write_ntk(path, plain_kernel, x, other, block_size=2))
    whole, offset = path.read_bytes(), np.load(path, mmap_mode="r").offset
    for row, column in ((0, 0), (1, 0), (1, 3), (4, 4), (4, 0)):
        entry = (row * 5 + column) * 16 + 7
        changed = bytearray(whole)
        changed[offset + 4 * entry] ^= 1
        path.write_bytes(changed)
        kernel_fn, calls = counted(plain_kernel)
        with pytest.warns(RuntimeWarning, match=r"path is damaged: 1 blocks in .*k\.npy are not"):
            again = write_ntk(path, kernel_fn, x, other, block_size=2)
        np.testing.assert_array_equal(again, expected)
        assert path.read_bytes() == whole and len(calls) <= 2
    # A record that lists what is not there.
    record = tmp_path / "k.npy.json"
    saved = record.read_text()
    with pytest.raises(KeyboardInterrupt):
        part = tmp_path / "part.npy"
        write_ntk(part, interrupted_after(2, plain_kernel), x, other, block_size=2)
    (tmp_path / "part.npy.json").write_text(saved)
    with pytest.warns(RuntimeWarning, match=rf"damaged: {4 if symmetric else 7} blocks in"):
        again = write_ntk(part, plain_kernel, x, other, block_size=2)
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("path", ["", 3, True, b"k.npy", "a\0b", "x" * 300, None])
def test_what_is_no_path_is_refused(tmp_path, monkeypatch, unannotated, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"path must be a path, got .*; ") as told:
        write_ntk(path, plain_kernel, sequences(np.float32, 2))
    assert "\n" not in str(told.value) and not list(tmp_path.iterdir())


def test_files_that_cannot_be_written(tmp_path, unannotated, monkeypatch):
    x = sequences(np.float32, 4)

    def refused(path, message):
        with pytest.raises(ValueError, match=message) as told:
            write_ntk(path, plain_kernel, x)
        assert str(told.value).startswith("path must ") and "\n" not in str(told.value)

    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", r"can be written, but .*folder cannot \(.*\); choose another")
    refused(tmp_path / ("x" * 253), r"can be written, but .* cannot \(.*\); choose another")
    np.savez(tmp_path / "k.npz", a=np.ones(3))
    refused(tmp_path / "k.npz", r"no record k\.npz\.json of its blocks; move it")
    # A file of other contents in the place of the kernel, and a record that is a folder.
    path = tmp_path / "k.npy"
    write_ntk(path, plain_kernel, x)
    content = path.read_bytes()
    path.write_bytes((tmp_path / "k.npz").read_bytes())
    refused(path, r"k\.npy is damaged \(.*\); delete it")
    path.write_bytes(content)
    # As of a file that is read-only; this process may have the right to write to any.
    opened = Path.open

    def open_file(self, mode="r", *args, **kwargs):
        if self == path and mode == "r+b":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return opened(self, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_file)
        refused(path, r"can be written, but .*k\.npy cannot \(Permission denied\); choose another")
    np.testing.assert_array_equal(write_ntk(path, plain_kernel, x), plain_kernel(x, x))
    (tmp_path / "k.npy.json").unlink()
    (tmp_path / "k.npy.json").mkdir()
    refused(path, r"can be written, but .*k\.npy\.json cannot \(.*\); choose another")


def test_bad_input_is_refused_and_nothing_written(tmp_path, unannotated):
    x = sequences(np.float32, 6)
    path = tmp_path / "k.npy"
    for size in (0, -2, 1.5):
        with pytest.raises(ValueError, match=f"block_size must be a positive integer, got {size}"):
            write_ntk(path, plain_kernel, x, block_size=size)
    with pytest.raises(ValueError, match="kernel_fn must return the shape"):
        write_ntk(path, lambda a, b: plain_kernel(a, b)[:1], x)
    with pytest.raises(ValueError, match="folder that exists"):
        write_ntk(tmp_path / "no" / "k.npy", plain_kernel, x)
    many = np.zeros((100_000, 1), np.float32)  # and 80 million GB
    with pytest.raises(ValueError, match=r"GB free, .* got .* GB in .*; choose another disk"):
        write_ntk(path, lambda a, b: np.zeros((1, 1, 1000, 1000)), many, block_size=1)
    assert not list(tmp_path.iterdir())
