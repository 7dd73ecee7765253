"""Readings of what the paper leaves unsaid about Table 1, and the windows that each of them has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

import ntk_rnn as nr
from ntk_rnn._terminal import UserError
from ntk_rnn.data import S1, Windows
from ntk_rnn.data.macaque import BIN_WIDTH
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig, ReadingsConfig
from ntk_rnn.reproduction.studies.decoding.data import Part, stride

# Whether the scaled models are ahead of the unscaled convolution.
Order = Literal["ahead", "behind"]


class Moment(NamedTuple):
    """A training time at which the order of the models is told.

    Attributes:
      time: ``tau``, the learning rate times the number of windows in all batches.
      full: where the scaled models are with all data.
      limited: where they are with limited data.
      remark: what the time is.
    """

    time: float
    full: Order
    limited: Order
    remark: str


class Reading(NamedTuple):
    """What is decoded, and what is held out.

    Attributes:
      title: the reading in words.
      targets: as in `DecodingConfig`.
      test_fraction: the part that is held out, at the end.
      own_test: whether each chunk of limited data has a test part of its own, at its end.
      moments: the training times to tell of.
    """

    title: str
    targets: Literal["last", "all"]
    test_fraction: float
    own_test: bool
    moments: tuple[Moment, ...]


READINGS = {
    "last": Reading(
        "last bin, one test part", "last", 0.2, False,
        (Moment(35, "behind", "behind", "15 epochs"),
         Moment(232, "behind", "ahead", "100 epochs, as table1")),
    ),
    "own": Reading(
        "last bin, own test parts", "last", 0.2, True,
        (Moment(232, "behind", "ahead", "100 epochs"),),
    ),
    "all": Reading(
        "all bins, own test parts", "all", 0.15, True,
        (Moment(5, "behind", "ahead", "75, if errors are averaged over the 15 bins"),
         Moment(75, "ahead", "ahead", "75, if they are summed")),
    ),
}  # fmt: skip


MODELS = ("scaled", "unscaled")


def moments() -> list[tuple[str, Moment]]:
    """All training times to tell of, with the names of their readings."""
    return [(key, moment) for key, reading in READINGS.items() for moment in reading.moments]


def samples(
    arrays: dict[str, np.ndarray], key: str, part: Part, name: str
) -> Float[np.ndarray, "samples K n_y"]:
    """``R^2`` of each seed with all data, and of each chunk, in the mean of seeds."""
    scores = arrays[f"{key}_{part}_{name}"]
    return scores[0] if part == "full" else scores.mean(axis=1)


def windows(
    config: ReadingsConfig, reading: Reading, recording: S1, part: Part
) -> Iterator[tuple[DecodingConfig, Windows, Windows]]:
    """Windows for training and for test, of all data or of each chunk of limited data.

    Chunks follow each other from the start of the recording, as many as there are. They are taken
    of the bins before the test part if they share it, and else of all bins.

    Raises:
      ValueError: if there are not enough data.
    """
    bins = len(recording.spikes)
    held_out = round(reading.test_fraction * bins)
    shared = 0 if reading.own_test else held_out
    length = round(60 * config.limited_minutes / BIN_WIDTH)
    spans = [(first, first + length) for first in range(0, bins - shared - length + 1, length)]
    if not spans:
        raise UserError(
            f"limited_minutes must be at most {(bins - shared) * BIN_WIDTH / 60:.3g}, of which "
            f"chunks can be taken, got {config.limited_minutes:g}"
        )
    how = DecodingConfig(
        width=config.width, seq_len=config.seq_len, nu_w=config.nu_w, nu_f=config.nu_f,
        nu_c=config.nu_c, targets=reading.targets, test_fraction=reading.test_fraction,
    )  # fmt: skip
    for first, last in [(0, bins)] if part == "full" else spans:
        chosen, fraction = _spans(recording, (first, last)), reading.test_fraction
        if part == "limited" and shared:
            chosen = _spans(recording, (first, last), (bins - shared, bins))
            fraction = shared / (length + shared)
        try:
            train, test = nr.data.chronological_split(
                chosen.spikes, chosen.velocity, chosen.pieces, config.seq_len,
                test_fraction=fraction, stride=stride(how),
            )  # fmt: skip
        except ValueError as error:
            raise UserError(f"the {part} data cannot be used: {error}") from error
        yield how, train, test


def _spans(recording: S1, *spans: tuple[int, int]) -> S1:
    """Spans of bins of a recording, put end to end; a piece begins with each of them."""
    pieces, length = [], 0
    for first, last in spans:
        inside = recording.pieces[(recording.pieces > first) & (recording.pieces < last)]
        pieces.append(np.append(first, inside) - first + length)
        length += last - first
    spikes, velocity, position = (
        np.concatenate([array[slice(*span)] for span in spans])
        for array in (recording.spikes, recording.velocity, recording.position)
    )
    return S1(spikes, velocity, position, np.concatenate(pieces))
