"""Priors of an impulse response: Gaussian with mean 0, and a covariance that decays with the lag.

In system identification they are the kernels of regularized estimates of finite impulse responses
(not in the paper). Each is a scale times a shape, which is 1 at lag 0 unless said otherwise, in
terms of ``lambda = exp(-rate)``, with the lags ``i, j = 0, 1, ...``:

* ``"rnn"``: ``scale diag(rho_j) / rho_0`` with the lag weights of a wide linear RNN (eq. 21). They
  depend on ``nu_F`` and ``nu_C`` through ``nu_F nu_C / (nu_F + nu_C)`` alone, but for the scale, so
  that both are one number ``nu`` here: ``rho_j / rho_0 = lambda^j + j nu lambda^(j-1) / 2`` with
  ``lambda = nu_W``.
* ``"di"``, diagonal: ``scale lambda^j`` on the diagonal (Chen, Ohlsson, Ljung 2012).
* ``"tc"``, tuned and correlated: ``scale lambda^max(i, j)`` (Chen, Ohlsson, Ljung 2012), which is
  the stable spline of order 1.
* ``"dc"``, diagonal and correlated: ``scale lambda^((i + j) / 2) exp(-decorrelation |i - j|)``
  (Chen, Ohlsson, Ljung 2012, here with a correlation that is not negative). It is ``"tc"`` where
  the decorrelation is half the rate.
* ``"ss"``, stable spline of order 2: ``scale (lambda^(i + j + m) / 2 - lambda^(3 m) / 6)`` with
  ``m = max(i, j)`` (Pillonetto and De Nicolao 2010), 1/3 at lag 0: smooth responses.
* ``"flat"``: ``scale`` on the diagonal: ridge regression, without memory that fades.

All are reviewed by Pillonetto, Dinuzzo, Chen, De Nicolao and Ljung (2014). Hyper-parameters are
positive, and derivatives are taken in their logarithms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import toeplitz

#: The shape of a covariance over ``T`` lags, and its derivatives in the logarithms of its
#: hyper-parameters, ``(seq_len, *values) -> (T, T), (k, T, T)``.
Shape = Callable[..., tuple[Float[np.ndarray, "T T"], Float[np.ndarray, "k T T"]]]


class Prior(NamedTuple):
    """A family of covariances.

    Attributes:
      names: its hyper-parameters, of which the first is the scale.
      shape: the covariance for a scale of 1, in terms of the others.
    """

    names: tuple[str, ...]
    shape: Shape


def _rnn(seq_len: int, rate: float, nu: float) -> tuple[np.ndarray, np.ndarray]:
    lag = np.arange(float(seq_len))
    first, second = np.exp(-rate * lag), lag * nu / 2 * np.exp(-rate * (lag - 1))
    by_rate = -rate * (lag * first + (lag - 1) * second)
    return np.diag(first + second), np.stack([np.diag(by_rate), np.diag(second)])


def _diagonal(seq_len: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    lag = np.arange(float(seq_len))
    value = np.exp(-rate * lag)
    return np.diag(value), np.diag(-rate * lag * value)[None]


def _tuned_correlated(seq_len: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    lag = np.arange(float(seq_len))
    later, decay = np.maximum.outer(lag, lag), np.exp(-rate * lag)
    value = np.minimum.outer(decay, decay)  # the decay at the later lag
    return value, (-rate * later * value)[None]


def _diagonal_correlated(
    seq_len: int, rate: float, decorrelation: float
) -> tuple[np.ndarray, np.ndarray]:
    lag = np.arange(float(seq_len))
    middle, apart = np.add.outer(lag, lag) / 2, np.abs(np.subtract.outer(lag, lag))
    decay = np.exp(-rate / 2 * lag)
    value = np.multiply.outer(decay, decay) * toeplitz(np.exp(-decorrelation * lag))
    return value, np.stack([-rate * middle * value, -decorrelation * apart * value])


def _stable_spline(seq_len: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    lag = np.arange(float(seq_len))
    all_, later = np.add.outer(lag, lag), np.maximum.outer(lag, lag)
    decay = np.exp(-rate * lag)
    at_later = np.minimum.outer(decay, decay)
    first, second = np.multiply.outer(decay, decay) * at_later / 2, at_later**3 / 6
    return first - second, -rate * ((all_ + later) * first - 3 * later * second)[None]


def _flat(seq_len: int) -> tuple[np.ndarray, np.ndarray]:
    return np.eye(seq_len), np.zeros((0, seq_len, seq_len))


#: All families, in the order in which they are compared.
PRIORS: dict[str, Prior] = {
    "rnn": Prior(("scale", "rate", "nu"), _rnn),
    "di": Prior(("scale", "rate"), _diagonal),
    "tc": Prior(("scale", "rate"), _tuned_correlated),
    "dc": Prior(("scale", "rate", "decorrelation"), _diagonal_correlated),
    "ss": Prior(("scale", "rate"), _stable_spline),
    "flat": Prior(("scale",), _flat),
}


def covariance(
    kernel: str, seq_len: int, logarithms: Float[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "T T"], Float[np.ndarray, "k T T"]]:
    """The covariance of one input's response, and its derivatives in the logarithms given."""
    scale, *others = np.exp(logarithms)
    shape, derivatives = PRIORS[kernel].shape(seq_len, *others)
    return scale * shape, scale * np.concatenate([shape[None], derivatives])
