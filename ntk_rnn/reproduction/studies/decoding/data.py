"""The S1 recordings as Fig. 5 and Table 1 have them: windows for training, and ``R^2`` on others.

Each model is known by its impulse response, and held-out windows by their triangle for each output:
so ``R^2 = 1 - SSE / SST`` of many steps is one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

import ntk_rnn as nr
from ntk_rnn._terminal import UserError
from ntk_rnn._types import AnyArray
from ntk_rnn.data import S1, DataUnavailable, Windows
from ntk_rnn.data.macaque import BIN_WIDTH
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig

Part = Literal["full", "limited"]


class HeldOut(NamedTuple):
    """Held-out windows, as far as ``R^2`` depends on them.

    Attributes:
      outputs: the windows with one output each.
      spread: squared deviations of each output from its mean, summed, shape ``(n_y,)``.
    """

    outputs: Sequence[nr.CompressedData]
    spread: Float[np.ndarray, " n_y"]

    def score(
        self, response: Float[AnyArray, "*steps T n_y n_x"]
    ) -> Float[np.ndarray, "*steps n_y"]:
        """``R^2`` of each output, of models with such impulse responses."""
        halves = [
            np.asarray(data.loss(response[..., p : p + 1, :]), float)
            for p, data in enumerate(self.outputs)
        ]
        return 1 - 2 * np.stack(halves, axis=-1) / self.spread


def load(config: DecodingConfig) -> S1:
    """The recording.

    Raises:
      DataUnavailable: if it cannot be had.
      ValueError: if it is another file.
    """
    try:
        return nr.data.s1(config.data)
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
    outputs = [nr.compress(windows.x, part, weights) for part in np.split(windows.y, y.shape[1], 2)]
    return HeldOut(outputs, np.sum((y - y.mean(axis=0)) ** 2, axis=0))


def compressed(config: DecodingConfig, windows: Windows, copies: int = 1) -> nr.CompressedData:
    """Windows with the targets that are decoded, which may be repeated as further outputs."""
    targets = np.tile(windows.y, (1, 1, copies))
    return nr.compress(windows.x, targets, _weights(config, windows))


def _weights(config: DecodingConfig, windows: Windows) -> Float[np.ndarray, "N T"]:
    """1 where there is a target."""
    weights = np.ones(windows.x.shape[:2])
    if config.targets == "last":
        weights[:, :-1] = 0
    return weights
