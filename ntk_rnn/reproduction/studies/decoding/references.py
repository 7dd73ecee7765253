"""What a practitioner would decode with: the Wiener filter and ridge regression."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

import ntk_rnn as nr
from ntk_rnn._terminal import UserError
from ntk_rnn.data import S1, Windows
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.reproduction.studies.decoding.data import HeldOut, compressed, hold_out, stride

# Factors of the squared norm, which is added to the squared error summed over all windows.
STRENGTHS = 10.0 ** np.arange(-1, 6, 0.5)


def reference_scores(
    config: DecodingConfig, recording: S1, train: Windows, test: HeldOut
) -> dict[str, np.ndarray]:
    """``R^2`` on held-out windows, from the same lags and targets as the models have.

    The strength of the ridge is the one that does best on the last part of the bins for training
    when the others are fitted. The ridge of that strength is then fitted to all of them.

    Args:
      config: the study's.
      recording: what ``train`` and ``test`` are cut from.
      train: windows to fit.
      test: those held out.

    Returns:
      ``wiener (n_y,)``, ``ridge (n_y,)`` and the chosen ``strength ()``.

    Raises:
      ValueError: if there are not enough data for training to choose the strength.
    """
    used = int(train.start[-1]) + config.seq_len
    try:
        fit, validation = nr.data.chronological_split(
            recording.spikes[:used], recording.velocity[:used],
            recording.pieces[recording.pieces < used], config.seq_len,
            test_fraction=config.test_fraction, stride=stride(config),
        )  # fmt: skip
    except ValueError as error:
        raise UserError(f"the data for training are too few to choose a ridge: {error}") from error
    some, judge = compressed(config, fit), hold_out(config, validation)
    scores = [np.mean(judge.score(_ridge(strength, some))) for strength in STRENGTHS]
    strength = STRENGTHS[int(np.argmax(scores))]
    data = compressed(config, train)
    return {
        "wiener": test.score(_ridge(0.0, data)),
        "ridge": test.score(_ridge(strength, data)),
        "strength": np.asarray(strength),
    }


def _ridge(strength: float, data: nr.CompressedData) -> Float[np.ndarray, "T n_y n_x"]:
    """The impulse response of ridge regression on all windows; strength 0 is least squares.

    There is no intercept to fit, because inputs and targets are centred over the bins for training.
    """
    lags, out_dim, in_dim = data.shape
    unknowns = lags * in_dim
    rows = np.asarray(data.triangle, float).reshape(-1, unknowns)
    goals = -np.asarray(data.errors(np.zeros(data.shape)), float)
    # Least squares with one more row for each unknown, which asks for it to be 0.
    rows = np.concatenate([rows, np.sqrt(strength) * np.eye(unknowns)])
    goals = np.concatenate([goals, np.zeros((unknowns, out_dim))])
    coefficients = np.linalg.lstsq(rows, goals, rcond=None)[0]
    return coefficients.reshape(lags, in_dim, out_dim).swapaxes(1, 2)
