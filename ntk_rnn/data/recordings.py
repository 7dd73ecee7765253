"""A recording of inputs and outputs over time, to which models are fitted and compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.recordings import compress_recording, piece_rows, rows_since_start
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.data.channels import Channel
from ntk_rnn.data.units import Units, training_units
from ntk_rnn.sequences import convolved

# Squares about the mean that are below this part of all squares are rounding.
_ROUNDING = 1e-24


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """Rows of inputs and outputs at equal intervals of time, from ``from_csv`` or ``from_arrays``.

    ``x, y = recording`` gives the rows.

    Attributes:
      x: inputs in float64, shape ``(rows, n_x)``.
      y: outputs in float64, shape ``(rows, n_y)``.
      pieces: the rows with which continuous pieces begin, rising from 0, shape ``(P,)``.
      seq_len: number ``T`` of inputs that explain an output; ``None`` if it is not known, as for
        ``fit``, or if each piece is a sequence that begins at rest, which ``at_rest`` gives.
      units: the units in which ``x`` and ``y`` are; ``None`` if these are as in the file or array.
      inputs: what the columns of ``x`` are called, and the units in which they are; empty if
        unknown.
      outputs: the same of ``y``.
      interval: the sampling interval, if times are known.
      time_unit: the unit of ``interval``; empty if unknown.
      remarks: what has been found and dealt with in reading, e.g. gaps in time, a sentence each.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = np.random.default_rng(0).normal(3.0, 2.0, size=1000)
      >>> y = 5.0 + x + 0.5 * np.roll(x, 1)
      >>> recording = nr.data.from_arrays(x, y, seq_len=10)
      >>> train, test = recording.split(test_fraction=0.2)
      >>> fit = nr.kernel_regression(nr.lag_weights(10, 0.3, 1.0, 1.0), train.compress())
      >>> L = fit.impulse_response(step=np.inf, learning_rate=fit.max_learning_rate / 2)
      >>> test.r_squared(L).round(3).tolist()
      [1.0]
    """

    x: Float[np.ndarray, "rows n_x"]
    y: Float[np.ndarray, "rows n_y"]
    pieces: Int[np.ndarray, " P"]
    seq_len: int | None = None
    units: Units | None = None
    inputs: tuple[Channel, ...] = ()
    outputs: tuple[Channel, ...] = ()
    interval: float | None = None
    time_unit: str = ""
    remarks: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Float[np.ndarray, "rows features"]]:
        return iter((self.x, self.y))

    def __repr__(self) -> str:
        return (
            f"Recording({len(self.x)} rows in {len(self.pieces)} pieces, n_x={self.x.shape[1]}, "
            f"n_y={self.y.shape[1]}, seq_len={self.seq_len})"
        )

    def compress(self) -> CompressedData:
        """The recording as it is, for ``kernel_regression``, ``train`` and all that take data.

        Each output is explained by the ``T = seq_len`` inputs up to it, and the first ``T - 1``
        outputs of each piece are left out, as ``ntk_rnn.compress_recording`` says. Models have no
        constant term, so centre the recording first, by ``split`` or ``standardized``.

        Raises:
          ValueError: if ``seq_len`` is ``None``, or no piece has ``seq_len`` rows.
        """
        if self.seq_len is None:
            raise ValueError(
                "seq_len must be given with a recording that is compressed as it is, got None; say "
                "from_csv(..., seq_len=20), or take at_rest() where each group begins at rest"
            )
        return compress_recording(self.x, self.y, seq_len=self.seq_len, pieces=self.pieces)

    def at_rest(self) -> tuple[Float[np.ndarray, "N T n_x"], Float[np.ndarray, "N T n_y"]]:
        """Sequences that each begin at rest: what precedes their first row counts as inputs of 0.

        That is right for trials before which nothing happens. For a continuous recording it is not:
        inputs before a sequence begins explain its first outputs as well. Use ``compress`` there.

        Returns:
          ``x (N, T, n_x)`` and ``y (N, T, n_y)``. Without ``seq_len`` the sequences are the pieces
          as they are. Otherwise each piece is cut into windows of ``seq_len`` rows without overlap,
          and what is left at its end is not used.

        Raises:
          ValueError: if no window fits, or pieces differ in length where ``seq_len`` is ``None``.
        """
        bounds = [*self.pieces.tolist(), len(self.x)]
        sizes = np.diff(bounds)
        if self.seq_len is None and len(set(sizes.tolist())) > 1:
            raise ValueError(
                f"pieces must have equal lengths where seq_len is None, got {sizes.min()} to "
                f"{sizes.max()} rows, the fewest in the piece that begins at row "
                f"{bounds[int(np.argmin(sizes))]}; say seq_len={sizes.min()} to take the rows of "
                "each as they are, or remove the pieces that are too short"
            )
        seq_len = int(sizes[0]) if self.seq_len is None else self.seq_len
        starts = [
            start
            for first, end in itertools.pairwise(bounds)
            for start in range(first, end - seq_len + 1, seq_len)
        ]
        if not starts:
            raise ValueError(
                f"seq_len must be at most the rows of a piece, {sizes.max()}, got {seq_len}; take "
                "a smaller one"
            )
        index = np.asarray(starts)[:, None] + np.arange(seq_len)
        return self.x[index], self.y[index]

    def standardized(self, units: Units | None = None) -> Recording:
        """The recording in units in which its inputs and outputs have mean 0 and deviation 1.

        Models have no constant term and expect numbers of order 1. A recording that is held out is
        put into the units of the one for training: ``test.standardized(train.units)``.

        Args:
          units: those of another recording; its own if ``None``.

        Raises:
          ValueError: if the recording is in such units already.
        """
        if self.units is not None:
            raise ValueError(
                "units must be None before they are changed, got a recording that is standardized; "
                "standardize the one from from_csv or from_arrays"
            )
        units = training_units(self.x[None], self.y[None]) if units is None else units
        if not isinstance(units, Units):
            raise ValueError(
                f"units must be Units, got {_checks.shown(units)}; pass those of another recording"
            )
        x, y = units.standardize(self.x, self.y)
        inputs, outputs = (
            tuple(Channel(channel.name, "standard deviations") for channel in channels)
            for channels in (self.inputs, self.outputs)
        )
        return replace(self, x=x, y=y, units=units, inputs=inputs, outputs=outputs)

    def split(
        self, test_fraction: float = 0.2, *, standardize: bool = True
    ) -> tuple[Recording, Recording]:
        """The rows for training, and the last ones for test, both in the units of the former.

        Without ``seq_len`` no piece is cut in two, if there is more than one.

        Args:
          test_fraction: the part of the rows that is for test.
          standardize: whether to put both into units in which the rows for training have mean 0
            and deviation 1.

        Returns:
          Recordings for training and for test; ``units`` of either convert back to those of the
          file.

        Raises:
          ValueError: if the fraction is not between 0 and 1, or either part is empty.
        """
        test_fraction = _checks.fraction("test_fraction", test_fraction)
        standardize = _checks.flag("standardize", standardize)
        rows = len(self.x)
        cut = rows - round(test_fraction * rows)
        if self.seq_len is None and len(self.pieces) > 1:
            cut = int(self.pieces[np.argmin(np.abs(self.pieces - cut))])
        if not 0 < cut < rows:
            raise ValueError(
                f"test_fraction must leave rows for training and for test, got {test_fraction} of "
                f"{rows} rows in {len(self.pieces)} pieces; take another one or more rows"
            )
        train, test = self._part(0, cut), self._part(cut, rows)
        if standardize and self.units is None:
            train = train.standardized()
            test = test.standardized(train.units)
        return train, test

    def predict(self, impulse_response: Float[AnyArray, "lags n_y n_x"]) -> np.ndarray:
        """Outputs from the inputs, ``y_t = sum_j L_j x_{t-j}`` (eq. 5), in the units of ``y``.

        Args:
          impulse_response: ``L``, shape ``(lags, n_y, n_x)``.

        Returns:
          Shape ``(rows, n_y)``, in float64; NaN for the first ``lags - 1`` rows of each piece,
          which have not all the inputs.

        Raises:
          ValueError: if numbers of inputs or outputs are not those of the recording.
        """
        _checks.impulse_response("impulse_response", impulse_response)
        response = np.asarray(impulse_response, np.float64)  # as it was, before JAX could round it
        shape = self.y.shape[1], self.x.shape[1]
        _checks.same(
            "impulse_response.shape[1:]", response.shape[1:], "(n_y, n_x) of the recording", shape,
            "numbers of outputs and inputs",
        )  # fmt: skip
        outputs = convolved(response, self.x[None])[0]
        lags = len(response)
        outputs[rows_since_start(self.pieces, 0, len(self.x)) < lags - 1] = np.nan
        return outputs

    def r_squared(self, impulse_response: Float[AnyArray, "lags n_y n_x"]) -> np.ndarray:
        """``R^2 = 1 - sum (y - y_hat)^2 / sum (y - mean y)^2`` over the outputs of ``predict``.

        Args:
          impulse_response: ``L``, shape ``(lags, n_y, n_x)``.

        Returns:
          One for each output, shape ``(n_y,)``: 1 is perfect, 0 is no better than the mean.

        Raises:
          ValueError: as ``predict``, and if no row has as many inputs up to it as ``L`` has lags,
            or an output is constant.
        """
        outputs = self.predict(impulse_response)
        known = np.isfinite(outputs[:, 0])
        if not known.any():
            raise ValueError(
                f"impulse_response must have at most as many lags as a piece has rows, got "
                f"{len(impulse_response)}; take a longer recording or fewer lags"
            )
        y, outputs = self.y[known], outputs[known]
        spread = np.sum((y - y.mean(axis=0)) ** 2, axis=0)
        constant = spread <= _ROUNDING * np.sum(y**2, axis=0)
        if constant.any():
            raise ValueError(
                f"outputs must vary where they are predicted, got output {int(np.argmax(constant))}"
                f" constant in {len(y)} rows; take more rows, or leave it out"
            )
        return 1 - np.sum((y - outputs) ** 2, axis=0) / spread

    def _part(self, first: int, end: int) -> Recording:
        """Rows ``[first, end)``, of which the first begins a piece."""
        inside = self.pieces[(self.pieces > first) & (self.pieces < end)]
        pieces = piece_rows(np.concatenate([[0], inside - first]), end - first)
        return replace(self, x=self.x[first:end], y=self.y[first:end], pieces=pieces)
