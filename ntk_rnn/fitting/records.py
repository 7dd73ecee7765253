"""What a fit is summarized by: candidates, scores, and responses to sines and steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float


class Candidate(NamedTuple):
    """A kernel and a number of lags that were tried.

    Attributes:
      kernel: its name.
      seq_len: number ``T`` of lags.
      evidence: log evidence at its best hyper-parameters, the sum over outputs.
    """

    kernel: str
    seq_len: int
    evidence: float


class Score(NamedTuple):
    """How well outputs are predicted.

    Attributes:
      r_squared: ``1 - |y - y_hat|^2 / |y - mean|^2``, shape ``(n_y,)``.
      fit: ``100 (1 - |y - y_hat| / |y - mean|)`` in %, shape ``(n_y,)``.
    """

    r_squared: Float[np.ndarray, " n_y"]
    fit: Float[np.ndarray, " n_y"]


class FrequencyResponse(NamedTuple):
    """``H(f) = sum_j L_j exp(-2 pi i f j interval)``.

    Attributes:
      frequency: in cycles per unit of the interval, shape ``(F,)``.
      response: shape ``(F, n_y, n_x)``.
      standard_deviation: root of the mean square of ``|error|``, shape ``(F, n_y, n_x)``.
    """

    frequency: Float[np.ndarray, " F"]
    response: Complex[np.ndarray, "F n_y n_x"]
    standard_deviation: Float[np.ndarray, "F n_y n_x"]


class StepResponse(NamedTuple):
    """The outputs after an input goes from 0 to 1 and stays there: sums over lags.

    Attributes:
      response: shape ``(T, n_y, n_x)``.
      standard_deviation: shape ``(T, n_y, n_x)``.
    """

    response: Float[np.ndarray, "T n_y n_x"]
    standard_deviation: Float[np.ndarray, "T n_y n_x"]
