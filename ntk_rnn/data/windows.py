"""Windows of recordings that have gaps, split in time and standardized without looking ahead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from ntk_rnn import _checks
from ntk_rnn.compression.batches import host_rows
from ntk_rnn.compression.recordings import piece_rows
from ntk_rnn.data.units import Units, training_units


class Windows(NamedTuple):
    """Windows of ``T`` bins that follow each other in the recording.

    Attributes:
      x: inputs, shape ``(N, T, n_x)``.
      y: targets, shape ``(N, T, n_y)``.
      start: the first bin of each window, rising, shape ``(N,)``.
      units: the units of ``x`` and ``y``, in terms of those of the recording.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 1))
      >>> train, test = nr.data.chronological_split(x, y, np.array([0]), seq_len=10)
      >>> train.x.shape, test.x.shape, int(test.start[0])
      ((71, 10, 1), (11, 10, 1), 80)
    """

    x: Float[np.ndarray, "N T n_x"]
    y: Float[np.ndarray, "N T n_y"]
    start: Int[np.ndarray, " N"]
    units: Units


def piece_starts(
    position: Float[np.ndarray, "B d"],
    velocity: Float[np.ndarray, "B d"],
    *,
    bin_width: float,
    tolerance: float = 0.3,
) -> Int[np.ndarray, " P"]:
    """The bins with which contiguous pieces of a recording begin.

    A piece ends where the change of position is not the integral of the velocity,
    ``|p_{t+1} - p_t - bin_width (v_{t+1} + v_t) / 2| > tolerance`` in some coordinate.

    Args:
      position: shape ``(B, d)``.
      velocity: in units of position a second, shape ``(B, d)``.
      bin_width: seconds from a bin to the next.
      tolerance: in units of position.

    Returns:
      Shape ``(P,)``, rising; the first is 0.

    Raises:
      ValueError: if shapes differ, an entry is not finite, or a width or tolerance is not
        positive.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> position = np.array([0.0, 1.0, 2.0, 9.0, 10.0])[:, None]  # with a jump
      >>> nr.data.piece_starts(position, np.ones((5, 1)), bin_width=1.0).tolist()
      [0, 3]
    """
    _checks.positive(bin_width=bin_width, tolerance=tolerance)
    remedy = "remove these bins before; a jump beside them could not be seen"
    position, _ = host_rows("position", position, remedy)
    velocity, _ = host_rows("velocity", velocity, remedy)
    _checks.same("position.shape", position.shape, "velocity.shape", velocity.shape, "shape")
    integral = bin_width * (velocity[1:] + velocity[:-1]) / 2
    jumps = np.any(np.abs(np.diff(position, axis=0) - integral) > tolerance, axis=1)
    return np.concatenate([[0], np.flatnonzero(jumps) + 1])


def window_starts(
    pieces: Int[np.ndarray, " P"], seq_len: int, first: int, last: int, *, stride: int = 1
) -> Int[np.ndarray, " N"]:
    """The first bins of all windows that lie within one piece, and within ``[first, last)``.

    A window begins at every bin that at least ``seq_len - 1`` others of its piece follow, so
    windows overlap; or at each ``stride``-th such bin of a piece.

    Args:
      pieces: the bins with which pieces begin, rising from 0, shape ``(P,)``.
      seq_len: length ``T`` of the windows.
      first: the first bin that a window may hold.
      last: the first bin that no window may hold any more.
      stride: how many bins it is from a window of a piece to the next; ``seq_len`` for windows that
        follow each other.

    Returns:
      Shape ``(N,)``, rising; empty where no window fits.

    Raises:
      ValueError: if pieces are not bins that rise from 0, ``seq_len`` or ``stride`` is not
        positive, or ``first`` or ``last`` is negative.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> nr.data.window_starts(np.array([0, 4]), seq_len=3, first=0, last=8).tolist()
      [0, 1, 4, 5]
      >>> nr.data.window_starts(np.array([0, 5]), seq_len=2, first=0, last=8, stride=2).tolist()
      [0, 2, 5]
    """
    seq_len, stride = _checks.integer("seq_len", seq_len), _checks.integer("stride", stride)
    first, last = (
        _checks.integer(name, value, least=0) for name, value in (("first", first), ("last", last))
    )
    pieces = piece_rows(pieces)
    starts = np.arange(first, last - seq_len + 1)
    # A window lies in one piece if none begins after its first bin and up to its last one.
    before, within = (np.searchsorted(pieces, starts + k, side="right") for k in (0, seq_len - 1))
    begin = np.maximum(pieces[before - 1], first)
    return starts[(before == within) & ((starts - begin) % stride == 0)]


def chronological_split(
    inputs: Shaped[np.ndarray, "B ..."],
    targets: Shaped[np.ndarray, "B ..."],
    pieces: Int[np.ndarray, " P"],
    seq_len: int,
    *,
    test_fraction: float = 0.2,
    num_train: int | None = None,
    stride: int = 1,
) -> tuple[Windows, Windows]:
    """Windows for training, and later ones for test, which share no bin with them.

    Each window is a sequence that begins at rest, with targets at all of its bins, as the paper's
    decoders take them; ``Recording.split`` is for a recording that is fitted as it is.

    Inputs and targets are standardized, each channel by its mean and standard deviation over the
    bins for training alone; one that is constant there is only centred.

    Args:
      inputs: shape ``(B, n_x)``, or ``(B,)`` for one input.
      targets: shape ``(B, n_y)``, or ``(B,)`` for one target.
      pieces: the bins with which contiguous pieces begin, rising from 0, shape ``(P,)``; no window
        has bins of two.
      seq_len: length ``T`` of the windows.
      test_fraction: the part of the bins that is for test, the last of them.
      num_train: how many of the other bins are for training, the first of them; all if ``None``.
      stride: how many bins it is from a window of a piece to the next, as in ``window_starts``.

    Returns:
      Windows for training and for test, each with the units that they are in.

    Raises:
      ValueError: if the numbers of bins differ, pieces do not rise from 0, the fraction is not
        between 0 and 1, ``num_train`` is not between 1 and what is left, an entry for training is
        not finite, ``stride`` is not positive, or no window fits into either part.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 1))
      >>> train, test = nr.data.chronological_split(x, y, np.array([0]), seq_len=10)
      >>> bool(train.start[-1] + 10 <= test.start[0])  # no bin is in both
      True
    """
    recording = [host_rows("inputs", inputs)[0], host_rows("targets", targets)[0]]
    bins = len(recording[0])
    _checks.same("len(inputs)", bins, "len(targets)", len(recording[1]), "number of bins")
    pieces = piece_rows(pieces, bins)
    test_fraction = _checks.fraction("test_fraction", test_fraction)
    end = bins - round(test_fraction * bins)
    used = end if num_train is None else _checks.integer("num_train", num_train)
    if used > end:
        raise ValueError(
            f"num_train must be at most {end}, the bins that are not for test, got {used}; leave "
            "it out for all of them"
        )
    for name, array in zip(("inputs", "targets"), recording, strict=True):
        _checks.finite(name, array[:used], "fill them in, or leave out the piece that has them")
    units = training_units(*(array[None, :used] for array in recording))
    x, y = units.standardize(*recording)
    parts = []
    for name, (first, last) in {"training": (0, used), "test": (end, bins)}.items():
        start = window_starts(pieces, seq_len, first, last, stride=stride)
        if not len(start):
            raise ValueError(
                f"seq_len must leave windows for {name}, got {seq_len} and no piece that is as "
                f"long among bins {first} to {last}; take shorter windows or more bins"
            )
        rows = start[:, None] + np.arange(seq_len)
        parts.append(Windows(x[rows], y[rows], start, units))
    return parts[0], parts[1]
