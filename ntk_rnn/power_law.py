"""Power laws, such as an error that falls as the root of the width."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from ntk_rnn._types import AnyArray


class PowerLaw(NamedTuple):
    """A power law ``y = exp(intercept) x^slope``, from ``fit_power_law``.

    Attributes:
      slope: the exponent.
      intercept: ``log y`` at ``x = 1``.
      stderr: standard error of the slope; NaN for two points, from which it cannot be told.
    """

    slope: float
    intercept: float
    stderr: float


def fit_power_law(x: Shaped[np.ndarray, " M"], y: Float[AnyArray, " M *samples"]) -> PowerLaw:
    """Least-squares fit of a power law to positive points: a line through the logarithms.

    Args:
      x: abscissas, shape ``(M,)``.
      y: ordinates, shape ``(M,)``, or ``(M, S)`` for ``S`` samples at each abscissa.
    """
    log_x = np.log(np.asarray(x, float)).reshape(-1, *[1] * (np.ndim(y) - 1))
    log_y = np.log(np.asarray(y, float))
    log_x = np.broadcast_to(log_x, log_y.shape)
    centred = log_x - log_x.mean()
    spread = float(np.sum(centred**2))
    slope = float(np.sum(centred * log_y)) / spread
    intercept = float(log_y.mean() - slope * log_x.mean())
    residual = log_y - intercept - slope * log_x
    left_over = log_x.size - 2
    variance = float(np.sum(residual**2)) / left_over if left_over > 0 else np.nan
    return PowerLaw(slope, intercept, float(np.sqrt(variance / spread)))
