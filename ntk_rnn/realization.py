"""Linear RNNs that have a given impulse response (Proposition 2.1b).

An RNN of width ``n`` has ``L_j = C A^j B`` with ``A = W / sqrt(n)`` and ``C B`` scaled by another
``sqrt(n)``. So an RNN with a given ``L`` is a state-space model ``(A, B, C)`` with these Markov
parameters. There is one of width ``T min(n_x, n_y)`` for every ``L``, and often a much smaller one.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.hankel import balanced, host_array

Method = Literal["shift", "vandermonde", "balanced"]


def realize(
    impulse_response: Float[AnyArray, "T n_y n_x"],
    method: Method = "shift",
    *,
    order: int | None = None,
    tolerance: float | None = None,
    zeros_beyond: bool | None = None,
) -> dict[str, dict[str, Float[Array, "_ _"]]]:
    """A linear RNN with a given ``L_j = n^{-(j+1)/2} C W^j F`` (Proposition 2.1b).

    * ``"shift"``: a shift register of width ``n = T min(n_x, n_y)``, which holds the last ``T``
      inputs (or the next ``T`` outputs, if these are fewer), with block-nilpotent ``W``. Exact at
      any ``T``, 0 at lags from ``T`` on, and the one method that works within ``jax.jit``.
    * ``"vandermonde"``: the paper's proof, of the same width, with ``W = sqrt(n) diag(lambda)``
      (eq. 33, in which the ``sqrt(n)`` is missing) and ``T`` distinct nodes ``lambda`` per input
      (or output), here the extreme points of a Chebyshev polynomial on ``[-1, 1]``. Its linear
      system has a condition number near ``2.4^T``: use it for about 10 lags in float32 and 30 in
      float64.
    * ``"balanced"``: the eigensystem realization algorithm (Ho and Kalman; Kung), the smallest
      RNN for a tolerance, or of a given width, from the singular value decomposition of the block
      Hankel matrix ``L_{i+j}``. Where ``L`` is that of a stable RNN of less than about ``T / 2``
      hidden units, it is that RNN, which continues ``L`` beyond lag ``T``. Any other ``L``, as of
      noisy data, is taken as 0 from lag ``T`` on. That gives the balanced truncation of a finite
      impulse response, which is stable at every width: the spectral radius of ``W / sqrt(n)`` is
      at most ``cos(pi / (T + 1))``, because ``W / sqrt(n)`` is similar to a compression of the
      shift. It is exact at the width of the shift register at the latest; below, it is within
      twice the sum of the ``hankel_singular_values(L, zeros_beyond=True)`` left out, at each
      frequency (Al-Saggaf and Franklin, 1987).

    The widths to choose from are in ``hankel_singular_values``. The last two
    methods compute in float64 on the host.

    Args:
      impulse_response: ``L``, shape ``(T, n_y, n_x)``.
      method: ``"shift"``, ``"vandermonde"`` or ``"balanced"``.
      order: width ``n`` for ``"balanced"``; by default as ``tolerance`` says.
      tolerance: for ``"balanced"`` without an ``order``: keeps the singular values that are greater
        than this times the largest. Default: ``10 max(T n_y, T n_x)`` roundings of the type of
        ``L``, as much as rounding leaves of a zero.
      zeros_beyond: for ``"balanced"``, whether ``L`` is 0 from lag ``T`` on. ``True`` gives a
        stable RNN for every ``L``. ``False`` gives the smallest RNN with the given lags, whatever
        it does beyond them: it may be unstable, with outputs that grow without bound. ``None``
        decides as said above, and never takes an unstable one.

    Returns:
      Parameters of ``LinearRNN(n, n_y)``, in the type of ``L``: ``{"params": {"W": (n, n),
      "F": (n, n_x), "C": (n_y, n)}}``.

    Raises:
      ValueError: if ``L`` is not of rank 3 or not finite, the method is unknown or does not take
        the arguments given, or ``order`` or ``tolerance`` is out of range.

    Warns:
      RuntimeWarning: if the Vandermonde system is so ill-conditioned that ``L`` is lost in
        rounding.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> L = 0.5 ** np.arange(8.0).reshape(8, 1, 1)  # one state that halves at every step
      >>> for method in ("shift", "balanced"):
      ...     params = nr.realize(L, method)
      ...     same = np.allclose(nr.impulse_response(params, 8), L, atol=1e-6)
      ...     print(method, params["params"]["W"].shape, same)
      shift (8, 8) True
      balanced (1, 1) True
    """
    response = _checks.impulse_response("impulse_response", impulse_response)
    _checks.one_of("method", method, "shift", "vandermonde", "balanced")
    options = {"order": order, "tolerance": tolerance, "zeros_beyond": zeros_beyond}
    for name, value in options.items():
        if value is not None and method != "balanced":
            raise ValueError(f'{name} must be None for method {method!r}; use method="balanced"')
    if method == "shift":
        return _shift_register(response)
    host = host_array(response, f"method {method!r}")
    if method == "vandermonde":
        return _vandermonde(host, response.dtype)
    return _params(*balanced(host, order, tolerance, response.dtype, zeros_beyond))


def _shift_register(response: Array) -> dict[str, Any]:
    """``A = S (x) I``; inputs enter at its first block and ``L`` reads it, or the other way."""
    seq_len, out_dim, in_dim = response.shape
    side = min(out_dim, in_dim)
    n = seq_len * side
    weight, gain = _unit_weight(n, seq_len, response.dtype)
    shift = np.kron(np.eye(seq_len, k=-1), np.eye(side)).astype(response.dtype)
    unit = jnp.eye(n, side, dtype=response.dtype)
    blocks = response * (np.sqrt(n) / gain).astype(response.dtype)[:, None, None]
    # If both sides are equal, `impulse_response` follows the outputs.
    if out_dim <= in_dim:
        return _params(shift.T * weight, blocks.reshape(n, in_dim), unit.T)
    return _params(shift * weight, unit, blocks.transpose(1, 0, 2).reshape(out_dim, n))


def _unit_weight(n: int, seq_len: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """An entry ``w`` of ``W`` for which ``w / sqrt(n)`` is 1, and its powers, as rounded.

    Rounded to the nearest, ``sqrt(n)`` and ``1 / sqrt(n)`` have a product that may be off 1, which
    would add up over the lags. So a neighbour is taken where that gives exactly 1; where none
    does, the powers say what to divide ``L`` by.
    """
    scale = np.asarray(n**-0.5, dtype)
    nearest = np.asarray(1 / scale.astype(np.float64), dtype)
    above, below = (np.nextafter(nearest, np.asarray(to, dtype)) for to in (np.inf, 0))
    weight = next((w for w in (nearest, above, below) if w * scale == 1), nearest)
    gain = np.ones(seq_len, dtype)
    for lag in range(1, seq_len):
        gain[lag] = gain[lag - 1] * weight * scale
    return np.asarray(weight), gain.astype(np.float64)


def _vandermonde(response: np.ndarray, dtype: np.dtype) -> dict[str, Any]:
    """``sum_k c_k lambda_k^j = L_j`` (eq. 33) for each entry of ``L``, one state per node."""
    seq_len, out_dim, in_dim = response.shape
    side = min(out_dim, in_dim)
    n = seq_len * side
    nodes = np.cos(np.pi * np.arange(seq_len) / max(seq_len - 1, 1))
    # The nodes that W holds once it is rounded.
    diagonal = (np.sqrt(n) * nodes).astype(dtype)
    nodes = diagonal.astype(np.float64) * np.asarray(n**-0.5, dtype).astype(np.float64)
    powers = np.vander(nodes, increasing=True).T
    condition = np.linalg.cond(powers)
    if not condition * jnp.finfo(dtype).eps <= 1e-3:
        warnings.warn(
            f"the Vandermonde matrix of {seq_len} lags has condition number {condition:.1e}, too "
            f'much for {dtype}: the impulse response is lost in rounding; use method="shift", '
            'which is exact, or "balanced", which is small',
            RuntimeWarning,
            stacklevel=3,
        )
    solution = np.linalg.solve(powers, response.reshape(seq_len, -1)).reshape(response.shape)
    w = np.diag(np.repeat(diagonal, side))
    units = np.tile(np.eye(side), (seq_len, 1))
    if out_dim <= in_dim:
        f, c = solution.reshape(n, in_dim), units.T
    else:
        f, c = units, solution.transpose(1, 0, 2).reshape(out_dim, n)
    return _params(w, f * n**0.25, c * n**0.25, dtype)


def _params(w: Any, f: Any, c: Any, dtype: Any = None) -> dict[str, Any]:
    return {"params": {"W": jnp.asarray(w, dtype), "F": jnp.asarray(f, dtype),
                       "C": jnp.asarray(c, dtype)}}  # fmt: skip
