"""Data of any kind as rows in continuous pieces, and as the triangle that evidence needs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ntk_rnn import _checks
from ntk_rnn.compression.batches import host_array
from ntk_rnn.compression.blocks import factor_of, r_factor
from ntk_rnn.compression.recordings import recording_blocks, rows_since_start
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.data.recordings import Recording
from ntk_rnn.fitting.evidence import Output

# Lags to choose from are these times powers of 2, as long as unknowns of an output are not more.
_FEWEST_LAGS, _MOST_UNKNOWNS = 5, 600

# What part of a recording must be left, whose first rows in each piece have too few inputs, and
# which part of its rows lags may be at most.
_LEFT, _LAGS_PER_ROW = 0.6, 0.2

#: Squares about the mean that are below this part of the square of the mean are rounding.
ROUNDING = 1e-24


class Samples(NamedTuple):
    """Rows of inputs and outputs in continuous pieces.

    Attributes:
      x: inputs, shape ``(rows, n_x)``.
      y: outputs, shape ``(rows, n_y)``.
      weights: of squared errors, shape ``(rows,)``.
      pieces: the rows with which pieces begin, shape ``(P,)``.
      at_rest: whether inputs before a piece are 0; otherwise they are not known.
    """

    x: Float[np.ndarray, "rows n_x"]
    y: Float[np.ndarray, "rows n_y"]
    weights: Float[np.ndarray, " rows"]
    pieces: Int[np.ndarray, " P"]
    at_rest: bool

    @property
    def lengths(self) -> Int[np.ndarray, " P"]:
        """Rows of each piece."""
        return np.diff([*self.pieces, len(self.x)])

    def candidates(self) -> list[int]:
        """Numbers of lags to choose from, each twice the one before."""
        lengths, found = self.lengths, []
        longest = int(lengths.max())
        lags = min(_FEWEST_LAGS, longest if self.at_rest else max(longest // 2, 1))
        while lags * self.x.shape[1] <= _MOST_UNKNOWNS and lags <= lengths.max():
            used = np.maximum(lengths - lags + 1, 0).sum()
            too_many = used < _LEFT * len(self.x) or lags > _LAGS_PER_ROW * len(self.x)
            if found and not self.at_rest and too_many:
                break
            found.append(lags)
            lags *= 2
        return found or [1]

    def padded(self, seq_len: int) -> Samples:
        """With the ``T - 1`` inputs of 0 before each piece that begins at rest."""
        if not self.at_rest or seq_len == 1:
            return self
        shift = (seq_len - 1) * np.arange(1, len(self.pieces) + 1)
        kept = np.arange(len(self.x)) + np.repeat(shift, self.lengths)
        rows = len(self.x) + int(shift[-1])
        arrays = []
        for array in (self.x, self.y, self.weights):
            filled = np.zeros((rows, *array.shape[1:]))
            filled[kept] = array
            arrays.append(filled)
        pieces = self.pieces + np.concatenate([[0], shift[:-1]])
        x, y, weights = arrays
        return Samples(x, y, weights, pieces, at_rest=False)


class Triangle(NamedTuple):
    """The triangle of a data set, for each number of lags up to its own.

    Attributes:
      rows: ``R`` about the means, shape ``(K, T, n_x)``.
      goal: ``z``, shape ``(K, n_y)``.
      rest: squares of each output that no response explains, shape ``(n_y,)``.
      num_samples: number of samples, or the sum of their weights.
      x_mean: mean of the lagged inputs, shape ``(T, n_x)``; 0 without an offset.
      y_mean: mean of the outputs, shape ``(n_y,)``; 0 without an offset.
      offset: whether there is one.
    """

    rows: Float[np.ndarray, "K T n_x"]
    goal: Float[np.ndarray, "K n_y"]
    rest: Float[np.ndarray, " n_y"]
    num_samples: float
    x_mean: Float[np.ndarray, "T n_x"]
    y_mean: Float[np.ndarray, " n_y"]
    offset: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(T, n_y, n_x)``."""
        return self.rows.shape[1], self.goal.shape[1], self.rows.shape[2]

    def narrowed(self, seq_len: int) -> Triangle:
        """That of fewer lags, of the same samples."""
        rows = self.rows[:, :seq_len]
        columns = rows[0].size
        both = np.concatenate([rows.reshape(-1, columns), self.goal], axis=1)
        factor = r_factor(both)
        return self._replace(
            rows=factor[:columns, :columns].reshape(-1, *rows.shape[1:]),
            goal=factor[:columns, columns:],
            rest=self.rest + np.sum(factor[columns:, columns:] ** 2, axis=0),
            x_mean=self.x_mean[:seq_len],
        )

    def output(self, index: int) -> Output:
        """What the data say of one output."""
        return Output(
            np.ascontiguousarray(self.rows.swapaxes(1, 2)), self.goal[:, index],
            float(self.rest[index]), self.num_samples - self.offset,
        )  # fmt: skip


def triangle_of(data: Samples | CompressedData, seq_len: int, offset: bool) -> Triangle:
    """The triangle of data for a number of lags, by factorizing some rows at a time."""
    if isinstance(data, CompressedData):
        return _triangle_of_compressed(data).narrowed(seq_len)
    padded = data.padded(seq_len)
    explained = rows_since_start(padded.pieces, 0, len(padded.x)) >= seq_len - 1
    used = explained & (padded.weights > 0)
    x_shift, y_shift = np.zeros(padded.x.shape[1]), np.zeros(padded.y.shape[1])
    if offset and used.any():
        # Far from 0, the columns of lagged inputs are alike to rounding.
        x_shift, y_shift = padded.x.mean(axis=0), padded.y[used].mean(axis=0)
    chunks = [("", (padded.x - x_shift, padded.y - y_shift, padded.weights))]
    factor = factor_of(recording_blocks(chunks, seq_len, padded.pieces, offset=offset))
    if factor is None or factor.weight <= 1 + offset:
        raise ValueError(
            f"seq_len must leave samples to fit to, got {seq_len} where pieces have up to "
            f"{data.lengths.max()} rows; take a smaller seq_len or more rows"
        )
    first, columns = int(offset), seq_len * data.x.shape[1]
    rows, targets = np.split(factor.rows, [first + columns], axis=1)
    x_mean, y_mean = np.zeros(columns), np.zeros(targets.shape[1])
    if offset:
        x_mean = rows[0, 1:] / rows[0, 0] + np.tile(x_shift, seq_len)
        y_mean = targets[0] / rows[0, 0] + y_shift
    end = first + columns
    # What rounding leaves of an input that never changes would be explained by the output.
    squares = np.sum(rows[first:end, first:] ** 2, axis=0)
    rows[first:end, first:][:, squares <= ROUNDING * factor.weight * x_mean**2] = 0
    return Triangle(
        rows[first:end, first:].reshape(-1, seq_len, data.x.shape[1]), targets[first:end],
        np.sum(targets[end:] ** 2, axis=0), factor.weight, x_mean.reshape(seq_len, -1), y_mean,
        offset,
    )  # fmt: skip


def _triangle_of_compressed(data: CompressedData) -> Triangle:
    """The triangle that compressed data have; their means are not known any more."""
    seq_len, out_dim, in_dim = data.shape
    rows = np.asarray(data.triangle, np.float64)
    centre = np.asarray(data.centre, np.float64)
    goal = np.einsum("ktq,tpq->kp", rows, centre) + np.asarray(data.residual, np.float64)
    return Triangle(
        rows, goal, 2 * np.asarray(data.constants, np.float64), float(data.num_targets) / out_dim,
        np.zeros((seq_len, in_dim)), np.zeros(out_dim), False,
    )  # fmt: skip


def as_samples(data: Any) -> Samples | CompressedData:
    """What a user passed as ``data``; raises ``ValueError`` for anything else.

    It is compressed data, a recording, or ``(x, y)`` or ``(x, y, weights)`` as sequences at rest
    or as the rows of one continuous recording.
    """
    if isinstance(data, CompressedData):
        return data
    if isinstance(data, Recording):
        return _of_recording(data)
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise ValueError(
            f"data must be (x, y), (x, y, weights), a Recording or CompressedData, got "
            f"{_checks.shown(data)}; pass (x, y)"
        )
    x, _ = host_array("data[0]", data[0])
    y, _ = host_array("data[1]", data[1])
    if x.ndim not in (1, 2, 3) or y.ndim not in (1, 2, 3) or 0 in (*x.shape, *y.shape):
        raise ValueError(
            "data must be sequences (N, T, features) or rows (rows, features) that are not empty, "
            f"got shapes {x.shape} and {y.shape}; pass (x, y)"
        )
    sequences = x.ndim == 3
    lead = 2 if sequences else 1
    if (y.ndim == 3) != sequences or x.shape[:lead] != y.shape[:lead]:
        raise ValueError(
            "data must have as many inputs as outputs over time, got shapes "
            f"{x.shape} and {y.shape}; pass x and y of the same times"
        )
    weights = np.ones(x.shape[:lead])
    if len(data) == 3 and data[2] is not None:
        weights, _ = host_array("data[2]", data[2])
        _checks.same("data[2].shape", weights.shape, "times of data[0]", x.shape[:lead], "weights")
        _checks.finite("data[2]", weights)
        _checks.nonnegative("data[2]", weights)
    rows = int(np.prod(x.shape[:lead]))
    length = x.shape[1] if sequences else rows
    x, y, weights = x.reshape(rows, -1), y.reshape(rows, -1), weights.ravel()
    _checks.finite("data[0]", x, "fill them in, or say where pieces begin by a Recording")
    _checks.finite(
        "data[1]", np.where(weights[:, None] > 0, y, 0),
        "remove or impute them, or give their times a weight of 0 in (x, y, weights)",
    )  # fmt: skip
    y = np.where(weights[:, None] > 0, y, 0)
    return Samples(x, y, weights, np.arange(0, rows, length), sequences)


def _of_recording(data: Recording) -> Samples:
    """Rows of a recording, of which nothing is known before a piece: rest is not to be assumed."""
    return Samples(data.x, data.y, np.ones(len(data.x)), data.pieces, at_rest=False)


def as_inputs(x: Any, in_dim: int) -> tuple[Samples, tuple[int, ...]]:
    """Inputs that a user passed as ``x``, without outputs, and the shape of the times they are of.

    Raises:
      ValueError: if they are not sequences, rows or a recording of ``in_dim`` inputs.
    """
    if isinstance(x, Recording):
        samples, lead = _of_recording(x), (len(x.x),)
    else:
        values, _ = host_array("x", x)
        if values.ndim not in (1, 2, 3) or 0 in values.shape:
            raise ValueError(
                "x must be sequences (N, T, n_x) or rows (rows, n_x) that are not empty, got shape "
                f"{values.shape}"
            )
        _checks.finite("x", values)
        lead = values.shape[: 2 if values.ndim == 3 else 1]
        rows = values.reshape(int(np.prod(lead)), -1)
        length = values.shape[1] if values.ndim == 3 else len(rows)
        pieces, none = np.arange(0, len(rows), length), np.zeros((len(rows), 0))
        samples = Samples(rows, none, np.ones(len(rows)), pieces, values.ndim == 3)
    _checks.same("x.shape[-1]", samples.x.shape[1], "the fit", in_dim, "number of inputs")
    return samples, lead
