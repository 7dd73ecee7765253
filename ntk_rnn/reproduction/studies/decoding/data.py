"""The S1 recordings as Fig. 5 and Table 1 have them: windows for training, and ``R^2`` on others.

Each model is known by its impulse response, and held-out windows by their triangle: so
``R^2 = 1 - SSE / SST`` of many steps is one product.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int

import ntk_rnn as nr
from ntk_rnn._terminal import UserError
from ntk_rnn._types import AnyArray
from ntk_rnn.data import S1, DataUnavailable, Windows
from ntk_rnn.data.macaque import BIN_WIDTH
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.sequences import convolved

Part = Literal["full", "limited"]
PARTS: tuple[Part, ...] = get_args(Part)


class HeldOut(NamedTuple):
    """Held-out windows, as far as ``R^2`` depends on them.

    Attributes:
      data: the windows as a triangle.
      spread: squared deviations of each output from its mean, summed, shape ``(n_y,)``.
      x: the windows themselves, shape ``(N, T, n_x)``.
      y: their targets, shape ``(N, T, n_y)``.
      weights: 1 where a target counts, and 0 elsewhere, shape ``(N, T)``.
      first: the windows with which pieces of the recording begin, shape ``(B,)``.
    """

    data: nr.CompressedData
    spread: Float[np.ndarray, " n_y"]
    x: Float[np.ndarray, "N T n_x"]
    y: Float[np.ndarray, "N T n_y"]
    weights: Float[np.ndarray, "N T"]
    first: Int[np.ndarray, " B"]

    def score(
        self, response: Float[AnyArray, "*steps T n_y n_x"]
    ) -> Float[np.ndarray, "*steps n_y"]:
        """``R^2`` of each output, of models with such impulse responses."""
        missed = np.asarray(self.data.errors(response), float)
        squares = np.sum(missed**2, axis=-2) + 2 * np.asarray(self.data.constants, float)
        return 1 - squares / self.spread

    def errors(self, response: Float[AnyArray, "T n_y n_x"]) -> Float[np.ndarray, "B n_y"]:
        """Squared errors of a model, summed over each piece."""
        missed = np.asarray(convolved(np.asarray(response, float), self.x), float) - self.y
        return self._over_pieces(missed**2)

    def moments(self) -> Float[np.ndarray, "3 B n_y"]:
        """The number of targets of each piece, their sum and that of their squares."""
        return np.stack([self._over_pieces(self.y**power) for power in range(3)])

    def _over_pieces(self, values: Float[np.ndarray, "N T n_y"]) -> Float[np.ndarray, "B n_y"]:
        by_window = np.einsum("nt,ntp->np", self.weights, values)
        return np.add.reduceat(by_window, self.first, axis=0)


def load(path: str | None) -> S1:
    """The recording, from a path, or from where it is found if that is ``None``.

    Raises:
      DataUnavailable: if it cannot be had.
      ValueError: if it is another file.
    """
    try:
        return nr.data.s1(path)
    except DataUnavailable:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error


def split(config: DecodingConfig, recording: S1, part: Part) -> tuple[Windows, Windows]:
    """Windows for training, of all data or limited ones, and those held out.

    Raises:
      ValueError: if there are not enough of them.
    """
    limited = round(60 * config.limited_minutes / BIN_WIDTH)
    try:
        train, test = nr.data.chronological_split(
            recording.spikes, recording.velocity, recording.pieces, config.seq_len,
            test_fraction=config.test_fraction, num_train=None if part == "full" else limited,
            stride=stride(config),
        )  # fmt: skip
    except ValueError as error:
        raise UserError(f"the {part} data of the configuration cannot be used: {error}") from error
    if len(train.x) < config.batch_size:
        raise UserError(
            f"batch_size must be at most the number of windows, {len(train.x)} of {part} data, got "
            f"{config.batch_size}"
        )
    return train, test


def hold_out(config: DecodingConfig, windows: Windows) -> HeldOut:
    """What ``R^2`` on these windows needs of them."""
    weights = _weights(config, windows)
    y = windows.y[weights > 0]
    first = np.flatnonzero(np.diff(windows.start, prepend=-np.inf) != stride(config))
    spread = np.sum((y - y.mean(axis=0)) ** 2, axis=0)
    data = nr.compress(windows.x, windows.y, weights)
    return HeldOut(data, spread, windows.x, windows.y, weights, first)


def compressed(config: DecodingConfig, windows: Windows, copies: int = 1) -> nr.CompressedData:
    """Windows with the targets that are decoded, which may be repeated as further outputs."""
    targets = np.tile(windows.y, (1, 1, copies))
    return nr.compress(windows.x, targets, _weights(config, windows))


def stride(config: DecodingConfig) -> int:
    """Windows whose targets are all decoded follow each other: none is there more than once."""
    return config.seq_len if config.targets == "all" else 1


def _weights(config: DecodingConfig, windows: Windows) -> Float[np.ndarray, "N T"]:
    """1 where there is a target."""
    weights = np.ones(windows.x.shape[:2])
    if config.targets == "last":
        weights[:, :-1] = 0
    return weights
