"""Continuous recordings as they are: each output explained by the inputs before it.

A recording that is cut into sequences has each of them begin at rest, so that the first lags of
each are fitted to inputs of 0 that were never there. Nothing needs to be cut: row ``t`` of the
least-squares problem holds ``x_t, ..., x_{t - T + 1}``, wherever these rows of the recording are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.batches import host_array, host_rows, raw_batches
from ntk_rnn.compression.blocks import Block, factor_of, rows_at_once
from ntk_rnn.compression.gram import rows_for_gram, triangle_by_gram
from ntk_rnn.compression.triangle import CompressedData, centred


def compress_recording(
    x: Float[AnyArray, "rows ..."] | Iterable[Any],
    y: Float[AnyArray, "rows ..."] | None = None,
    weights: Float[AnyArray, " rows"] | None = None,
    *,
    seq_len: int,
    pieces: Sequence[int] | Int[AnyArray, " P"] | None = None,
) -> CompressedData:
    """Compresses a continuous recording, each target explained by the ``T`` inputs up to it.

    The model is ``y_t = sum_{j < T} L_j x_{t-j}`` (eq. 5), which needs ``T`` rows of inputs: the
    first ``T - 1`` targets of each continuous piece are left out, and all others are used once.
    Rows are gone through once and some at a time, so their overlapping windows are never in memory
    together. Many rows are compressed through their Gram matrix, which overlapping windows make
    cheap, where that leaves nine digits; where it does not, they are factorized.

    Args:
      x: inputs, one row a time step, shape ``(rows, n_x)``, or ``(rows,)`` for one input, all
        finite; or, with neither ``y`` nor ``weights``, an iterable of chunks ``(x, y)`` or
        ``(x, y, weights)`` of any numbers of rows, of which each goes on where the one before ends.
      y: targets, shape ``(rows, n_y)`` or ``(rows,)``, finite where they are used.
      weights: of squared errors, at least 0, shape ``(rows,)``; 1 if ``None``. Missing targets have
        a weight of 0, and may be NaN.
      seq_len: number ``T`` of inputs that explain a target: the memory of what is fitted.
      pieces: the rows with which continuous pieces begin, rising from 0, shape ``(P,)``, counted
        over all chunks; one piece if ``None``. No target is explained by inputs of another piece.

    Returns:
      The compressed data, as of ``compress``: wherever a data set is taken, they can be passed.

    Raises:
      ValueError: if shapes do not match, anything is empty or not finite, a weight is negative,
        pieces do not rise from 0, or no target has ``T`` inputs and a positive weight.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = np.random.default_rng(0).normal(size=1000)
      >>> y = x + 0.5 * np.roll(x, 1) + 0.25 * np.roll(x, 2)
      >>> data = nr.compress_recording(x, y, seq_len=3)
      >>> print(np.round(data.centre[:, 0, 0], 3))
      [1.   0.5  0.25]
      >>> int(data.num_targets)  # the first two have fewer than 3 inputs
      998
      >>> chunks = ((x[i : i + 100], y[i : i + 100]) for i in range(0, 1000, 100))
      >>> bool(np.allclose(nr.compress_recording(chunks, seq_len=3).centre, data.centre, atol=1e-6))
      True
    """
    seq_len = _checks.integer("seq_len", seq_len)
    starts = np.zeros(1, int) if pieces is None else piece_rows(pieces)
    factor = factor_of(recording_blocks(raw_batches(x, y, weights), seq_len, starts))
    if factor is None:
        raise ValueError("x must hold at least one chunk (x, y), got an empty iterable")
    if factor.weight == 0:
        raise ValueError(
            f"seq_len must leave targets with as many inputs up to them, got {seq_len} and no such "
            "target of positive weight in any piece; take a smaller seq_len or more rows"
        )
    return centred(factor)


def piece_rows(pieces: Any, num_rows: int | None = None) -> Int[np.ndarray, " P"]:
    """The argument ``pieces``, checked; raises ``ValueError`` unless rows rise from 0."""
    array = np.asarray(_checks.numbers("pieces", pieces))
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"pieces must be whole numbers of shape (P,), got dtype {array.dtype} and shape "
            f"{array.shape}; give the rows with which pieces begin, e.g. [0, 300]"
        )
    array = array.astype(int)
    if not len(array) or array[0] != 0 or np.any(np.diff(array) <= 0):
        raise ValueError(
            f"pieces must begin with 0 and rise, got {array.tolist()[:6]}; give the rows with "
            "which pieces begin, e.g. [0, 300]"
        )
    if num_rows is not None and array[-1] >= num_rows:
        raise ValueError(
            f"pieces must begin within the {num_rows} rows, got one at row {array[-1]}; count rows "
            "from 0"
        )
    return array


def rows_since_start(
    pieces: Int[np.ndarray, " P"], first: int, last: int
) -> Int[np.ndarray, " rows"]:
    """For each row of ``[first, last)``, how many rows of its piece are before it."""
    rows = np.arange(first, last)
    return rows - pieces[np.searchsorted(pieces, rows, side="right") - 1]


def recording_blocks(
    chunks: Iterable[tuple[str, tuple[Any, Any, Any]]],
    seq_len: int,
    pieces: Int[np.ndarray, " P"],
    *,
    offset: bool = False,
) -> Iterator[Block]:
    """Rows ``sqrt(w) [x_t ... x_{t-T+1} y_t]``; the last inputs go on to the next chunk.

    For an ``offset`` of each output, a 1 stands before the inputs.
    """
    sizes, before, first = None, None, 0
    for where, arrays in chunks:
        x, y, weights, dtype = _checked(where, *arrays)
        found = (seq_len, x.shape[1], y.shape[1])
        sizes = found if sizes is None else sizes
        _checks.same(f"x and y{where}", found[1:], "of the chunks before", sizes[1:], "(n_x, n_y)")
        before = np.zeros((seq_len - 1, x.shape[1])) if before is None else before
        x = np.concatenate([before, x])
        before = x[len(y) :].copy()
        explained = rows_since_start(pieces, first, first + len(y)) >= seq_len - 1
        weights = np.where(explained, weights, 0)
        _checks.finite(
            f"y{where}", y[weights > 0],
            "remove or impute them, or give their rows a weight of 0",
        )  # fmt: skip
        size = rows_for_gram(seq_len * x.shape[1] + y.shape[1], x.shape[1] + y.shape[1])
        for start in range(0, len(y), size):
            end = min(start + size, len(y))
            part = x[start : end + seq_len - 1], y[start:end], weights[start:end]
            for rows, weight in _reduced(*part, seq_len, offset):
                yield Block(rows, sizes, weight, dtype)
        first += len(y)
    if sizes is not None:
        piece_rows(pieces, first)


def _reduced(
    x: Float[np.ndarray, "before_and_rows n_x"],
    y: Float[np.ndarray, "rows n_y"],
    weights: Float[np.ndarray, " rows"],
    seq_len: int,
    offset: bool,
) -> Iterator[tuple[Float[np.ndarray, "R columns"], float]]:
    """Rows with the least-squares problem of all that are given, some at a time, and weights."""
    triangle = triangle_by_gram(x, y, weights, seq_len, offset)
    if triangle is not None:
        yield triangle, float(np.sum(weights))
        return
    kept = np.flatnonzero(weights)
    size = rows_at_once(seq_len, x.shape[1], y.shape[1])
    for start in range(0, max(len(kept), 1), size):
        some = kept[start : start + size]
        rows = _rows(x, y, some, seq_len, offset)
        rows *= np.sqrt(weights[some])[:, None]
        yield rows, float(np.sum(weights[some]))


def _rows(
    x: Float[np.ndarray, "before_and_rows n_x"],
    y: Float[np.ndarray, "rows n_y"],
    some: Int[np.ndarray, " R"],
    seq_len: int,
    offset: bool,
) -> Float[np.ndarray, "R columns"]:
    """Lagged inputs and targets of some rows, column by column, as LAPACK takes them."""
    first, in_dim = int(offset), x.shape[1]
    last = first + seq_len * in_dim
    rows = np.empty((len(some), last + y.shape[1]), order="F")
    rows[:, :first], rows[:, last:] = 1, y[some]
    for lag in range(seq_len):
        at = first + lag * in_dim
        rows[:, at : at + in_dim] = x[some + (seq_len - 1 - lag)]
    return rows


def _checked(
    where: str, x: Any, y: Any, weights: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.dtype]:
    """Inputs, targets and weights of a chunk in float64, and the type that JAX has for them."""
    remedy = "fill them in, or remove their rows and say where pieces begin"
    inputs, x_dtype = host_rows(f"x{where}", x, remedy)
    targets, y_dtype = host_rows(f"y{where}", y)
    _checks.same(
        f"len(x{where})", len(inputs), f"len(y{where})", len(targets), "number of rows"
    )  # fmt: skip
    if weights is None:
        known = np.ones(len(inputs))
    else:
        known, _ = host_array(f"weights{where}", weights)
        _checks.same(f"weights{where}.shape", known.shape, "rows", (len(inputs),), "shape")
        _checks.finite(f"weights{where}", known)
        _checks.nonnegative(f"weights{where}", known)
    return inputs, targets, known, np.promote_types(x_dtype, y_dtype)
