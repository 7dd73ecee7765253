"""Recordings of macaque somatosensory cortex during reaching, as the paper's Fig. 5 and Table 1.

The file is found or downloaded. It is parsed only if it has the expected hash.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ntk_rnn import _checks
from ntk_rnn.data.windows import piece_starts

#: Where the file is looked for if no path is given: itself, or a folder that holds it.
VARIABLE = "NTK_RNN_DATA"
FILE_NAME = "s1_data.mat"
URL = (
    "https://raw.githubusercontent.com/KordingLab/spykesML/"
    "ff2b1830ae07909e5f1a0811445ca3fd5732dc6f/data/s1_data.mat"
)
SHA256 = "f6bbe27135636b944e0b715778dadae41dccf043c26cb880d0191665ca9e7dde"
SIZE = 1_423_448

#: Width of a time bin in seconds.
BIN_WIDTH = 0.05

_REMEDY = (
    f"download {URL} and give its path, as --data on the command line, as the argument path or in "
    f"the environment variable {VARIABLE}"
)


class DataUnavailable(ValueError):
    """Data are not where they were said to be, or cannot be downloaded.

    Example:
      >>> import ntk_rnn as nr
      >>> try:
      ...     nr.data.s1("a folder that does not exist")
      ... except nr.data.DataUnavailable:
      ...     print("left out")
      left out
    """


class S1(NamedTuple):
    """A recording of ``B`` time bins of 50 ms, from `s1`.

    Attributes:
      spikes: number of spikes of each neuron, shape ``(B, n_x)``.
      velocity: velocity of the hand, shape ``(B, 2)``; apparently in cm/s.
      position: position of the hand, shape ``(B, 2)``; apparently in cm.
      pieces: the first bins of its contiguous pieces, rising from 0, shape ``(P,)``.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> hand = np.zeros((100, 2))
      >>> recording = nr.data.S1(np.zeros((100, 52), int), hand, hand, pieces=np.array([0, 60]))
      >>> np.diff([*recording.pieces, len(recording.spikes)]).tolist()  # lengths of the pieces
      [60, 40]
    """

    spikes: Int[np.ndarray, "B n_x"]
    velocity: Float[np.ndarray, "B 2"]
    position: Float[np.ndarray, "B 2"]
    pieces: Int[np.ndarray, " P"]


def s1(path: str | Path | None = None) -> S1:
    """Spikes of 52 neurons of macaque primary somatosensory cortex (S1), and the hand's velocity.

    The file ``data/s1_data.mat`` of https://github.com/KordingLab/spykesML, which its authors
    publish under the MIT licence: 35,129 bins of 50 ms, or 29.3 minutes, in 426 contiguous pieces
    that are put end to end. The paper has 51 minutes, of what is by its number of neurons and its
    rates the same recording; this is the part that is public in this form.

    It is downloaded only if neither ``path`` nor the environment variable ``NTK_RNN_DATA`` says
    where it is, and then kept in the user's cache folder. Whatever its source, nothing of a file
    with another SHA-256 is parsed or kept.

    Args:
      path: the file, or a folder that holds it under the name ``s1_data.mat``. If ``None``, the
        environment variable is used, and if that is not set or empty, the download.

    Returns:
      The recording: ``spikes (35129, 52)``, ``velocity (35129, 2)``, ``position (35129, 2)``,
      ``pieces (426,)``.

    Raises:
      DataUnavailable: if there is no such file, or it cannot be downloaded.
      ValueError: if it is another file.

    Example:
      >>> import ntk_rnn as nr
      >>> recording = nr.data.s1()  # doctest: +SKIP
      >>> recording.spikes.shape  # doctest: +SKIP
      (35129, 52)
    """
    if path is not None:
        try:
            file = _checks.path("path", path)
        except ValueError as error:
            raise DataUnavailable(f"{error}; {_REMEDY}") from None
        source, contents = _read("path", file)
    elif os.environ.get(VARIABLE):
        source, contents = _read(VARIABLE, os.environ[VARIABLE])
    else:
        source, contents = f"download from {URL}", download(URL)
    check_hash(contents, source)
    return parse(contents, source)


def check_hash(contents: bytes, source: str) -> None:
    """Raises ``ValueError`` unless these are the bytes of the one file that is known.

    Of a larger one, the first ``SIZE + 1`` are enough.
    """
    found = hashlib.sha256(contents).hexdigest()
    if found != SHA256:
        size = f"{len(contents):,} bytes" if len(contents) <= SIZE else "a larger file"
        what = "an incomplete or another one" if len(contents) < SIZE else "another one"
        raise ValueError(
            f"{source} must be {FILE_NAME} of KordingLab/spykesML, of {SIZE:,} bytes with SHA-256 "
            f"{SHA256}, got {size} ({what}, with {found[:8]}...); {_REMEDY}"
        )


def parse(contents: bytes, source: str) -> S1:
    """The recording in a MATLAB 5 file with arrays ``spikes``, ``vel`` and ``pos``.

    Args:
      contents: the file.
      source: what errors call it.

    Raises:
      ValueError: if it is no such file, an array is missing, shapes do not match, an entry is not
        finite, or counts are not whole numbers of at least 0.
    """
    import scipy.io

    try:
        # Only these arrays are read, so no objects or functions of MATLAB are built.
        found = scipy.io.loadmat(io.BytesIO(contents), variable_names=["spikes", "vel", "pos"])
    except Exception as error:  # what loadmat raises for other files is not documented
        raise ValueError(
            f"{source} must be a MATLAB 5 file, got {len(contents):,} bytes that are not read as "
            f"one ({error}); {_REMEDY}"
        ) from error
    spikes, velocity, position = (_array(source, found, name) for name in ("spikes", "vel", "pos"))
    bins = len(spikes)
    for name, array in (("vel", velocity), ("pos", position)):
        if array.shape != (bins, 2):
            raise ValueError(
                f"{name} in {source} must have shape ({bins}, 2), two coordinates for each bin of "
                f"spikes, got {array.shape}; {_REMEDY}"
            )
    if np.any(spikes < 0) or np.any(spikes != np.round(spikes)):
        raise ValueError(f"spikes in {source} must be counts, got others; {_REMEDY}")
    pieces = piece_starts(position, velocity, bin_width=BIN_WIDTH)
    return S1(spikes.astype(np.int64), velocity, position, pieces)


def download(url: str, folder: str | Path | None = None) -> bytes:
    """The file at ``url``, which is kept in ``folder``, the user's cache if ``None``.

    Raises:
      DataUnavailable: if it cannot be downloaded or kept.
      ValueError: if it is another file, which is then not kept.
    """
    import pooch

    folder = pooch.os_cache("ntk_rnn") if folder is None else folder
    log = pooch.get_logger()
    level = log.level
    log.setLevel("WARNING")  # pooch would print where it downloads to
    try:
        kept = pooch.retrieve(url, f"sha256:{SHA256}", fname=FILE_NAME, path=folder)
        return Path(kept).read_bytes()
    except OSError as error:  # errors of the network are among these
        raise DataUnavailable(
            f"the S1 recordings could not be downloaded from {url} to {folder} "
            f"({type(error).__name__}); {_REMEDY}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"download from {url} must have SHA-256 {SHA256}, got another file, which is not "
            f"kept; {_REMEDY}"
        ) from error
    finally:
        log.setLevel(level)


def _read(name: str, path: str | Path) -> tuple[str, bytes]:
    """What errors call a file that is named by the user, and its bytes."""
    file = Path(path)
    try:
        file = file.expanduser()
        file = file / FILE_NAME if file.is_dir() else file
        # One byte more than expected is enough to recognize a larger file, however large it is.
        with file.open("rb") as stream:
            return f"{name} ({file})", stream.read(SIZE + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ and a user who does not exist
        reason = getattr(error, "strerror", None) or error
        raise DataUnavailable(
            f"{name} must be {FILE_NAME} or a folder that holds it, got {str(path)!r}, where "
            f"{str(file)!r} cannot be read ({reason}); {_REMEDY}"
        ) from error


def _array(source: str, found: dict[str, Any], name: str) -> np.ndarray:
    if name not in found:
        raise ValueError(f"{source} must hold spikes, vel and pos, got no {name}; {_REMEDY}")
    array = found[name]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"{name} in {source} must be real numbers, got {array!r:.40}; {_REMEDY}")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"{name} in {source} must have shape (bins, channels) and not be empty, got "
            f"{array.shape}; {_REMEDY}"
        )
    _checks.finite(f"{name} in {source}", array, _REMEDY)
    return array.astype(np.float64)
