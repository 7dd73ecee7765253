"""An impulse response with its prior tuned by evidence: from a triangle, against from all samples.

With the kernel ``"flat"`` the evidence is that of Bayesian ridge regression, which scikit-learn
maximizes too, by the singular values of all lagged inputs. Ridge regression with a given penalty,
one solve with no tuning at all, is the floor. Of few samples the singular values are found at
once, and scikit-learn is faster; ``fit`` then spends its time on steps of a search that serves all
kernels and on the uncertainty of what it tunes, which BayesianRidge leaves out.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Work

# Number of samples and of lags.
_SMALL, _LARGE = (1000, 40), (100_000, 200)


def comparisons() -> list[Comparison]:
    """One input and one output, at two sizes."""
    return [_comparison(*size) for size in (_LARGE, _SMALL)]


def _comparison(num: int, seq_len: int) -> Comparison:
    lagged, make = 8.0 * num * seq_len, functools.partial
    contenders = (
        Contender("ntk_rnn.fit", make(_ours, num, seq_len), "ours", needs=2**28),
        Contender(
            "scikit-learn, BayesianRidge", make(_bayesian, num, seq_len), needs=5 * lagged
        ),
        Contender(
            "floor: scikit-learn, Ridge of given penalty", make(_ridge, num, seq_len), "floor",
            needs=4 * lagged,
        ),
    )  # fmt: skip
    return Comparison(
        "fit", "flat prior", {"samples": num, "T": seq_len}, contenders, tolerance=1e-3,
        quick=(num, seq_len) == _LARGE,
        behind="It also finds how sure the hyper-parameters are, which widens its bands."
        if (num, seq_len) == _SMALL else "",
    )  # fmt: skip


class _Recording(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    #: Lagged inputs and outputs of the samples whose inputs are all known.
    rows: np.ndarray
    targets: np.ndarray


@functools.lru_cache(maxsize=1)
def _recording(num: int, seq_len: int) -> _Recording:
    rng = np.random.default_rng(0)
    x = rng.normal(size=num)
    y = lfilter([1.0, 0.5], [1.0, -1.5, 0.7], x) + rng.normal(size=num)
    rows = np.lib.stride_tricks.sliding_window_view(x, seq_len)[:, ::-1].copy()
    return _Recording(x, y, rows, y[seq_len - 1 :])


def _ours(num: int, seq_len: int) -> Work:
    x, y, *_ = _recording(num, seq_len)
    return Work(
        lambda: nr.fit((x, y), seq_len, kernel="flat", offset=False),
        lambda fit: fit.impulse_response[:, 0, 0],
    )


def _bayesian(num: int, seq_len: int) -> Work:
    from sklearn.linear_model import BayesianRidge

    _, _, rows, targets = _recording(num, seq_len)
    model = BayesianRidge(fit_intercept=False, tol=1e-6)
    return Work(lambda: model.fit(rows, targets), lambda found: found.coef_)


def _ridge(num: int, seq_len: int) -> Work:
    from sklearn.linear_model import Ridge

    _, _, rows, targets = _recording(num, seq_len)
    model = Ridge(alpha=1.0, fit_intercept=False)
    return Work(lambda: model.fit(rows, targets), lambda found: found.coef_)
