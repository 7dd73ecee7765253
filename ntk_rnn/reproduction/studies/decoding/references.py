"""What a practitioner would decode with: the Wiener filter and ridge regression (scikit-learn)."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LinearRegression, Ridge

import ntk_rnn as nr
from ntk_rnn._terminal import UserError
from ntk_rnn.data import S1, Windows
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.reproduction.studies.decoding.data import HeldOut, compressed, hold_out

# Factors of the squared norm, which is added to the squared error summed over all windows.
STRENGTHS = 10.0 ** np.arange(-1, 6, 0.5)


def reference_scores(
    config: DecodingConfig, recording: S1, train: Windows, test: HeldOut
) -> dict[str, np.ndarray]:
    """``R^2`` on held-out windows, from the same lags and targets as the models have.

    The strength of the ridge is the best for the last part of the bins for training, when fitted
    to the others; then it is fitted to all.

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
            test_fraction=config.test_fraction,
        )  # fmt: skip
    except ValueError as error:
        raise UserError(f"data for training do not do to choose a ridge: {error}") from error
    some, judge = compressed(config, fit), hold_out(config, validation)
    scores = [np.mean(judge.score(_fitted(_ridge(strength), some))) for strength in STRENGTHS]
    strength = STRENGTHS[int(np.argmax(scores))]
    data = compressed(config, train)
    return {
        "wiener": test.score(_fitted(LinearRegression(fit_intercept=False), data)),
        "ridge": test.score(_fitted(_ridge(strength), data)),
        "strength": np.asarray(strength),
    }


def _ridge(strength: float) -> Ridge:
    return Ridge(alpha=strength, fit_intercept=False)


def _fitted(estimator: Any, data: nr.CompressedData) -> Float[np.ndarray, "T n_y n_x"]:
    """The impulse response that an estimator finds; squared errors of all windows are in ``data``.

    There is no intercept to fit, for inputs and targets are centred over the bins for training.
    """
    lags, out_dim, in_dim = data.shape
    rows = np.asarray(data.triangle, float).reshape(-1, lags * in_dim)
    goals = -np.asarray(data.errors(np.zeros(data.shape)), float)
    coefficients = np.asarray(estimator.fit(rows, goals).coef_)
    return coefficients.reshape(out_dim, lags, in_dim).swapaxes(0, 1)
