"""The eigensystem realization algorithm: small linear RNNs from the block Hankel matrix.

Its entries are ``H_{ij} = L_{i+j} = C A^i A^j B``, so its rank is the width of the smallest RNN
with the impulse response ``L``, and its singular vectors give that RNN (Ho and Kalman; Kung).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray


def hankel_singular_values(
    impulse_response: Float[AnyArray, "T n_y n_x"], *, zeros_beyond: bool = False
) -> Float[np.ndarray, " k"]:
    """Singular values of the block Hankel matrix ``H_{ij} = L_{i+j}``.

    The number of them that are not 0 is the width of the smallest RNN with this impulse response.
    Lags from ``T`` on are either unknown, so that an RNN whose impulse response was cut off shows
    its own width, if that is less than the number of values; or they are 0, as in a convolution.

    Args:
      impulse_response: ``L``, shape ``(T, n_y, n_x)``.
      zeros_beyond: whether lags from ``T`` on are 0. If not, the matrix has ``ceil((T + 1) / 2)``
        block rows and the rest columns, so ``i + j < T``; if so, it has ``T`` of both, and a
        balanced RNN of width ``n`` is within twice the sum of the values from the n-th on, in the
        largest singular value of its frequency response.

    Returns:
      Shape ``(k,)``, largest first, float64, computed on the host.

    Raises:
      ValueError: if ``L`` is not of rank 3, not finite, or traced.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> L = 0.5 ** np.arange(8.0).reshape(8, 1, 1)  # one state that halves at every step
      >>> values = nr.hankel_singular_values(L)
      >>> print((values / values[0]).round(6))
      [1. 0. 0. 0.]
    """
    response = _checks.impulse_response("impulse_response", impulse_response)
    zeros_beyond = _checks.flag("zeros_beyond", zeros_beyond)
    return np.linalg.svd(
        _hankel(host_array(response, "this function"), zeros_beyond), compute_uv=False
    )


def balanced(
    response: np.ndarray,
    order: int | None,
    tolerance: float | None,
    dtype: np.dtype,
    zeros_beyond: bool | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``W``, ``F``, ``C`` of the balanced realization.

    Lags from ``T`` on are unknown, or 0 if ``zeros_beyond``. If that is ``None``, they are unknown
    only where the given lags determine an RNN, it is stable, and it fits.
    """
    seq_len, out_dim, in_dim = response.shape
    if order is not None:
        order = _checks.integer("order", order)
        most = seq_len * min(out_dim, in_dim)
        if order > most:
            raise ValueError(
                f"order must be at most {most}, the width of the shift register for this impulse "
                f"response of shape {response.shape}, got {order}"
            )
    rounding = 10 * seq_len * max(out_dim, in_dim) * float(jnp.finfo(dtype).eps)
    keep = rounding
    if tolerance is not None:
        keep = _checks.fraction("tolerance", tolerance, with_zero=True)
    if zeros_beyond is not None:
        zeros_beyond = _checks.flag("zeros_beyond", zeros_beyond)
    if zeros_beyond:
        return _eigensystem(response, order, keep, dtype, zeros=True).matrices
    given = _eigensystem(response, order, keep, dtype, zeros=False)
    if zeros_beyond is not None:
        if not np.isfinite(given.error):
            raise ValueError(
                "zeros_beyond must be True for this impulse response and order, got False: "
                f"{seq_len} lags of shape {response.shape[1:]} do not determine an RNN of this "
                "width; give more lags, or a smaller order"
            )
        return given.matrices
    allowed = 2 * given.dropped + max(keep, rounding) * np.linalg.norm(response)
    if order is None and given.determined and given.radius < 1 and given.error <= allowed:
        return given.matrices
    padded = _eigensystem(response, order, keep, dtype, zeros=True)
    closer = order is not None and given.radius < 1 and given.error < padded.error
    return given.matrices if closer else padded.matrices


class _Realization(NamedTuple):
    """A balanced realization.

    Attributes:
      matrices: ``W``, ``F`` and ``C``.
      radius: spectral radius of ``A = W / sqrt(n)``; the RNN is stable below 1.
      error: of its impulse response as its type has it, where that of an unstable RNN may be
        large; infinite if the Hankel matrix does not determine one of this order.
      dropped: the sum of the singular values left out.
      determined: whether the Hankel matrix has a lower rank than its size, which it has where the
        lags are those of a small RNN, and not where they are any numbers.
    """

    matrices: tuple[np.ndarray, np.ndarray, np.ndarray]
    radius: float
    error: float
    dropped: float
    determined: bool


def _eigensystem(
    response: np.ndarray, order: int | None, tolerance: float, dtype: np.dtype, zeros: bool
) -> _Realization:
    """``H = U S V^T = O R`` with ``O = U S^{1/2}``, whose block rows are ``C A^j``.

    With zeros beyond ``T``, ``O_n^+ = S_n^{-1/2} U_n^T``, so ``A`` is similar to ``U_n^T Z U_n``
    with the shift ``Z`` by one block row. Its eigenvalues are in the numerical range of ``Z``, a
    disc of radius ``cos(pi / (T + 1))``: every order is stable. At full order it is exact.
    """
    seq_len, out_dim, in_dim = response.shape
    left, values, right = np.linalg.svd(_hankel(response, zeros), full_matrices=False)
    if order is None:
        order = max(1, int(np.sum(values > tolerance * values[0])))
    # Block rows of O and the ones after them; beyond the last lag they are unknown, or 0.
    known = len(left) if zeros else max(len(left) - out_dim, 0)
    n = min(order, len(values), max(known, 1))
    root = np.sqrt(values[:n])
    rows, columns = left[:, :n] * root, root[:, None] * right[:n]
    following = np.concatenate([rows[out_dim:], np.zeros((out_dim, n))])
    a, *_ = np.linalg.lstsq(rows[:known], following[:known], rcond=None)
    b, c = columns[:, :in_dim], rows[:out_dim]
    radius = float(np.max(np.abs(np.linalg.eigvals(a))))
    w, f, rows = (each.astype(dtype) for each in (np.sqrt(n) * a, n**0.25 * b, n**0.25 * c))
    a, b, c = (each.astype(dtype) for each in (a, b, c))
    responses, state = [], b
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(seq_len):
            responses.append(c @ state)
            state = a @ state
        error = float(np.linalg.norm(np.stack(responses).astype(np.float64) - response))
    fits = n == order and np.isfinite(error)
    return _Realization(
        (w, f, rows), radius, error if fits else np.inf,
        dropped=float(np.sum(values[order:])), determined=order < len(values),
    )  # fmt: skip


def _hankel(response: np.ndarray, zeros: bool) -> np.ndarray:
    """The block Hankel matrix ``H[(i, p), (j, q)] = L_{i+j}[p, q]``.

    It has ``ceil((T + 1) / 2)`` block rows and the rest columns for the lags that are given, or
    ``T`` block rows and columns for all lags, which are 0 from ``T`` on.
    """
    seq_len, out_dim, in_dim = response.shape
    num_rows = seq_len if zeros else (seq_len + 2) // 2
    num_columns = seq_len if zeros else seq_len - num_rows + 1
    padded = np.concatenate([response, np.zeros_like(response)])
    blocks = padded[np.arange(num_rows)[:, None] + np.arange(num_columns)]
    return blocks.transpose(0, 2, 1, 3).reshape(num_rows * out_dim, num_columns * in_dim)


def host_array(response: Array, what: str) -> np.ndarray:
    """A concrete impulse response as float64; raises ``ValueError`` for a traced one."""
    if _checks.is_traced(response):
        raise ValueError(
            f"impulse_response must be concrete for {what}, which computes on the host, got a "
            'traced array; call it outside jax.jit, or use realize(L, method="shift")'
        )
    return np.asarray(response, np.float64)
