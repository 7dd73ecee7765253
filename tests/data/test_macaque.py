"""The S1 recordings: what is refused, where they are looked for, and the file itself."""

import functools
import http.server
import io
import logging
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pooch
import pytest
import scipy.io

import ntk_rnn as nr
from ntk_rnn.data import macaque

ARRAYS = {
    "spikes": np.arange(12, dtype=np.uint8).reshape(4, 3),
    "vel": np.array([[1.0, 0], [1, 0], [1, 2], [1, 2]]),
    "pos": np.array([[0.0, 0], [0.05, 0], [5, 5], [5.05, 5.1]]),
}


def mat(**arrays):
    file = io.BytesIO()
    scipy.io.savemat(file, {name: array for name, array in arrays.items() if array is not None})
    return file.getvalue()


def test_parse():
    found = macaque.parse(mat(**ARRAYS), "file")
    np.testing.assert_array_equal(found.spikes, ARRAYS["spikes"])
    np.testing.assert_array_equal(found.velocity, ARRAYS["vel"])
    np.testing.assert_array_equal(found.position, ARRAYS["pos"])
    assert found.pieces.tolist() == [0, 2] and found.spikes.dtype == np.int64


def entry(name, value):
    array = ARRAYS[name].astype(float)
    array[1, 0] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"vel": None}, r"this file must hold spikes, vel and pos, got no vel"),
        ({"vel": ARRAYS["vel"].T}, r"vel in this file must have shape \(4, 2\), .* got \(2, 4\)"),
        ({"pos": ARRAYS["pos"][:3]}, r"pos in this file must have shape .* got \(3, 2\)"),
        ({"spikes": np.zeros((0, 3))}, r"spikes in .* not be empty, got \(0, 3\)"),
        ({"spikes": np.zeros((2, 3, 4))}, r"spikes in .* \(bins, channels\) .* got \(2, 3, 4\)"),
        ({"spikes": "abc"}, r"spikes in this file must be real numbers"),
        ({"vel": {"x": 1.0}}, r"vel in this file must be real numbers"),
        ({"pos": 1j * ARRAYS["pos"]}, r"pos in this file must be real numbers"),
        (entry("vel", np.nan), r"vel .* got 1 NaN or infinite of 8 .* index \(1, 0\); download"),
        (entry("pos", -np.inf), r"pos in this file must be finite"),
        (entry("spikes", np.inf), r"spikes in this file must be finite"),
        (entry("spikes", 0.5), r"spikes in this file must be counts"),
        (entry("spikes", -1), r"spikes in this file must be counts"),
    ],
)
def test_parse_refuses_other_arrays(changed, complaint):
    with pytest.raises(ValueError, match=complaint):
        macaque.parse(mat(**ARRAYS | changed), "this file")


class Trap:
    """An object that leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_parse_refuses_what_is_no_mat_file_and_unpickles_nothing(tmp_path):
    mark = tmp_path / "mark"
    whole = mat(**ARRAYS)
    for contents in (pickle.dumps(Trap(mark)), b"", b"text", whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match=r"this file must .*; download https://raw"):
            macaque.parse(contents, "this file")
    assert not mark.exists()


def test_another_file_is_refused_by_its_hash(tmp_path, monkeypatch):
    file = tmp_path / "s1_data.mat"
    monkeypatch.setenv("NTK_RNN_DATA", str(tmp_path))
    for contents, what in (
        (mat(**ARRAYS), r"got [\d,]{3,} bytes \(an incomplete or another one, with [0-9a-f]{8}"),
        (bytes(macaque.SIZE), r"got 1,423,448 bytes \(another one"),
        (bytes(macaque.SIZE + 9), r"got a larger file \(another one"),
    ):
        file.write_bytes(contents)
        for path in (file, tmp_path, str(file)):
            with pytest.raises(ValueError, match=rf"^path \(.*s1_data.mat\) must be .* {what}"):
                nr.data.s1(path)
        with pytest.raises(ValueError, match=rf"^NTK_RNN_DATA \({file}\) must be .*; download"):
            nr.data.s1()


def test_a_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("NTK_RNN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(nr.data.DataUnavailable, match=r"^NTK_RNN_DATA must .*nowhere.*; download"):
        nr.data.s1()
    with pytest.raises(nr.data.DataUnavailable, match=r"^path must .*s1_data.mat' cannot be read"):
        nr.data.s1(tmp_path)
    for path in ("~no such user/s1_data.mat", 300 * "a"):
        with pytest.raises(nr.data.DataUnavailable, match=r"(read \(.*\)|shorter one); download"):
            nr.data.s1(path)


@pytest.fixture
def server(tmp_path):
    """The address of a server of a folder with one file, which is not the recording."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "other.mat").write_bytes(mat(**ARRAYS))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    handler = functools.partial(Quiet, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_download_that_is_refused_is_not_kept(server, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    kept, told = tmp_path / "cache", io.StringIO()
    handler = logging.StreamHandler(told)
    pooch.get_logger().addHandler(handler)
    with pytest.raises(ValueError, match=r"must have SHA-256 f6bb.*, got another file, which is"):
        macaque.download(f"{server}/other.mat", kept)
    for address in (f"{server}/none.mat", "http://127.0.0.1:9/none.mat"):
        with pytest.raises(
            nr.data.DataUnavailable, match=r"could not be downloaded .*NTK_RNN_DATA"
        ):
            macaque.download(address, kept)
    pooch.get_logger().removeHandler(handler)
    assert not list(kept.iterdir()) and not told.getvalue()


def test_the_recording():
    path = os.environ.get("NTK_RNN_DATA")
    if not path or not Path(path).exists():
        # Reason: the recording is not in the repository, and tests do not download.
        pytest.skip("tests do not download s1_data.mat, and NTK_RNN_DATA does not say where it is")
    found = nr.data.s1()
    assert found.spikes.shape == (35129, 52)
    assert found.velocity.shape == found.position.shape == (35129, 2)
    rates = found.spikes.mean(axis=0) / macaque.BIN_WIDTH
    assert (round(rates.mean(), 2), round(np.median(rates), 2)) == (9.23, 6.43)
    assert len(found.pieces) == 426
