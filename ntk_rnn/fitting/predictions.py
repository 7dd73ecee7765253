"""Outputs that an impulse response predicts, with their uncertainty and their scores."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from ntk_rnn.compression.recordings import rows_since_start
from ntk_rnn.fitting.records import Score
from ntk_rnn.fitting.samples import ROUNDING, Samples
from ntk_rnn.sequences import convolved

# Numbers in the lagged inputs whose deviations are computed at once (32 MB).
_ENTRIES = 2**22


def _explained(padded: Samples, seq_len: int) -> Bool[np.ndarray, " rows"]:
    return rows_since_start(padded.pieces, 0, len(padded.x)) >= seq_len - 1


def _unpadded(samples: Samples, known: Bool[np.ndarray, " rows"], values: np.ndarray) -> np.ndarray:
    """Values of the rows that are known, at the rows of the samples; NaN at the others."""
    if samples.at_rest:
        return values
    result = np.full((len(samples.x), values.shape[1]), np.nan)
    result[known] = values
    return result


def means(
    response: Float[np.ndarray, "T n_y n_x"], offset: Float[np.ndarray, " n_y"], samples: Samples
) -> Float[np.ndarray, "rows n_y"]:
    """``offset + sum_j L_j x_{t-j}`` (eq. 5); NaN where inputs before a piece are not known."""
    padded = samples.padded(len(response))
    known = _explained(padded, len(response))
    outputs = convolved(response, padded.x[None])[0][known] + offset
    return _unpadded(samples, known, outputs)


def deviations(
    covariance: Float[np.ndarray, "n_y T n_x T n_x"],
    x_mean: Float[np.ndarray, "T n_x"],
    of_means: Float[np.ndarray, " n_y"],
    samples: Samples,
) -> Float[np.ndarray, "rows n_y"]:
    """Standard deviations of ``means``: those of the response, and of the means ``of_means``."""
    out_dim, seq_len, in_dim = covariance.shape[:3]
    matrices = covariance.reshape(out_dim, seq_len * in_dim, seq_len * in_dim)
    padded = samples.padded(seq_len)
    known = _explained(padded, seq_len)
    before = np.zeros((seq_len - 1, in_dim))
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([before, padded.x]), seq_len, axis=0
    )[..., ::-1]
    places = np.flatnonzero(known)
    variances = np.zeros((len(places), out_dim))
    size = max(1, _ENTRIES // (seq_len * in_dim))
    for start in range(0, len(places), size):
        some = places[start : start + size]
        inputs = (windows[some].swapaxes(1, 2) - x_mean).reshape(len(some), -1)
        for index, matrix in enumerate(matrices):
            variances[start : start + size, index] = np.sum((inputs @ matrix) * inputs, axis=1)
    return _unpadded(samples, known, np.sqrt(np.maximum(variances, 0) + of_means**2))


def score(
    outputs: Float[np.ndarray, "rows n_y"],
    targets: Float[np.ndarray, "rows n_y"],
    weights: Float[np.ndarray, " rows"],
) -> Score:
    """Scores over the rows that are predicted and have a weight."""
    known = np.isfinite(outputs[:, 0]) & (weights > 0)
    if not known.any():
        raise ValueError(
            "x must have as many rows before a target as there are lags, got no such row; pass "
            "longer pieces"
        )
    weights, targets = weights[known, None], targets[known]
    mean = np.sum(weights * targets, axis=0) / np.sum(weights)
    errors = np.sum(weights * (targets - outputs[known]) ** 2, axis=0)
    spread = np.sum(weights * (targets - mean) ** 2, axis=0)
    # Of a constant, rounding leaves squares about the mean.
    constant = spread <= ROUNDING * np.sum(weights * targets**2, axis=0)
    if np.any(constant):
        raise ValueError(
            f"y must vary where it is predicted, got output {int(np.argmax(constant))} constant; "
            "score more rows"
        )
    return Score(1 - errors / spread, 100 * (1 - np.sqrt(errors / spread)))
