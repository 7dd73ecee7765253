"""The triangle of a long recording from its Gram matrix, which overlapping windows make cheap.

The columns of lagged inputs are copies of each other that are shifted by one row. So neighbours
along a diagonal of the Gram matrix ``G_jk = sum_t w_t x_{t-j} x_{t-k}^T`` differ only where the
weights change, as they do at the ends of a piece:

``G_{j+1,k+1} = G_jk + sum_t (w_{t+1} - w_t) x_{t-j} x_{t-k}^T``.

What is left are the correlations ``G_0k``, by fast Fourier transforms: a row costs no more than
some ``n_x^2 log T`` products, where it costs ``(T n_x)^2`` to factorize it. But a Gram matrix has
the square of the condition number. Where that would lose digits, there is no result here, and the
rows are factorized.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view
from scipy import linalg

# From so many products on, the rows take longer to factorize than what is to be done here.
_WORTH = 2**28

# Rows at once are of so many numbers, 32 MB: transforms take several times as much.
_ENTRIES = 2**22

# At least so many rows must there be for each in which the weight changes.
_ROWS_A_CHANGE = 8

# Largest square of the condition number, times what sums may cancel. Results are right to about
# 1e-16 times that.
_MOST_LOST = 1e7


def rows_for_gram(columns: int, series: int) -> int:
    """Number of rows that are taken at once.

    Args:
      columns: ``T n_x + n_y``, those of the rows to be factorized.
      series: ``n_x + n_y``, those of the recording.
    """
    return max(_ENTRIES // series, _WORTH // columns**2)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what overflows is no result
def triangle_by_gram(
    x: Float[np.ndarray, "before_and_rows n_x"],
    targets: Float[np.ndarray, "R n_y"],
    weights: Float[np.ndarray, " R"],
    seq_len: int,
    offset: bool,
) -> Float[np.ndarray, "columns columns"] | None:
    """The triangle of rows ``sqrt(w) [x_t ... x_{t-T+1} y_t]``, led by a 1 for an ``offset``.

    Args:
      x: inputs, from ``T - 1`` before the first row on.
      targets: finite where their weight is not 0.
      weights: of squared errors.
      seq_len: ``T``.
      offset: whether a 1 stands before the inputs.

    Returns:
      The triangle, or ``None`` where factorizing the rows is faster or loses fewer digits.
    """
    used = np.count_nonzero(weights)
    in_dim = x.shape[1]
    columns = seq_len * in_dim + targets.shape[1]
    changes = np.diff(weights, prepend=0, append=0)
    if used * columns**2 < _WORTH or _ROWS_A_CHANGE * np.count_nonzero(changes) > used:
        return None
    targets = np.where(weights[:, None] > 0, targets, 0)
    ones = np.ones((len(targets), int(offset)))
    first = ones.shape[1]
    last = first + seq_len * in_dim
    now = np.concatenate([ones, x[seq_len - 1 :], targets], axis=1)
    weighted = weights[:, None] * now
    lagged = _correlations(weighted, x, seq_len)
    gram = np.empty((last + targets.shape[1],) * 2)
    inputs = _along_diagonals(
        lagged[first : first + in_dim], _changed(x, changes, seq_len), seq_len
    )
    gram[first:last, first:last] = inputs
    at_once = np.r_[:first, first + in_dim : now.shape[1]]  # the offset and the targets
    places = np.r_[:first, last : len(gram)]
    gram[places, first:last] = lagged[at_once].reshape(len(at_once), -1)
    gram[first:last, places] = gram[places, first:last].T
    gram[np.ix_(places, places)] = weighted[:, at_once].T @ now[:, at_once]

    squares = np.diag(gram)
    norms = np.sqrt(squares)
    cancelled = weights.max() * np.sum(x**2, axis=0) / squares[first:last].reshape(-1, in_dim)
    scaled = gram / norms[:, None] / norms
    if not np.all(np.isfinite(np.triu(scaled))):
        return None
    eigenvalues = linalg.eigvalsh(scaled, lower=False, check_finite=False)
    if not eigenvalues[-1] * cancelled.max() < _MOST_LOST * eigenvalues[0]:
        return None
    return linalg.cholesky(scaled, check_finite=False) * norms


def _correlations(
    now: Float[np.ndarray, "R M"], x: Float[np.ndarray, "before_and_rows n_x"], seq_len: int
) -> Float[np.ndarray, "M T n_x"]:
    """``sum_t now_t x_{t-k}`` for all lags ``k``, by transforms of some times ``T`` rows."""
    size = 2 ** max(8, (8 * seq_len - 1).bit_length())
    step = size - (seq_len - 1)
    blocks = -(-len(now) // step)
    missing = blocks * step - len(now)
    parts = np.pad(now, ((0, missing), (0, 0))).reshape(blocks, step, -1)
    padded = np.pad(x, ((0, missing), (0, 0)))
    windows = sliding_window_view(padded, size, axis=0)[::step]  # (blocks, n_x, size)
    of_now = np.fft.rfft(parts, size, axis=1).conj()
    of_inputs = np.fft.rfft(windows, axis=2)
    spectrum = np.matmul(of_now.transpose(1, 2, 0), of_inputs.transpose(2, 0, 1))
    return np.fft.irfft(spectrum, size, axis=0)[seq_len - 1 :: -1].swapaxes(0, 1)


def _changed(
    x: Float[np.ndarray, "before_and_rows n_x"],
    changes: Float[np.ndarray, " rows"],
    seq_len: int,
) -> Float[np.ndarray, "lags n_x lags n_x"]:
    """``sum_t (w_{t+1} - w_t) x_{t-j} x_{t-k}^T`` for lags up to ``T - 2``."""
    lags, in_dim = seq_len - 1, x.shape[1]
    total = np.zeros((lags * in_dim,) * 2)
    rows = np.flatnonzero(changes)
    for some in np.array_split(rows, -(-len(rows) * max(lags, 1) * in_dim // _ENTRIES)):
        # Change ``i`` is that from row ``i - 1`` to row ``i``, whose inputs end at ``i + T - 2``.
        windows = x[some[:, None] + np.arange(lags)[::-1]].reshape(len(some), -1)
        total += (changes[some, None] * windows).T @ windows
    return total.reshape(lags, in_dim, lags, in_dim)


def _along_diagonals(
    first: Float[np.ndarray, "n_x T n_x"],
    changed: Float[np.ndarray, "lags n_x lags n_x"],
    seq_len: int,
) -> Float[np.ndarray, "P P"]:
    """The upper half of the Gram matrix from its first rows, by the recursion above."""
    in_dim = len(first)
    gram = np.zeros((seq_len, in_dim, seq_len, in_dim))
    gram[0] = first
    for lag in range(seq_len - 1):
        gram[lag + 1, :, lag + 1 :] = gram[lag, :, lag:-1] + changed[lag, :, lag:]
    return gram.reshape(seq_len * in_dim, seq_len * in_dim)
