"""The neural tangent kernel of an infinitely wide linear RNN: one weight a lag."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, Scalar
from ntk_rnn.kernels.layout import refuse_too_large
from ntk_rnn.sequences import lagged

# A kernel of more bytes than a cache holds is computed by some sequences at a time, of about so
# many rows together.
_CACHE, _ROWS = 2**25, 64


def lag_weights(seq_len: int, nu_w: Scalar, nu_f: Scalar, nu_c: Scalar) -> Float[Array, " T"]:
    """Lag weights (eq. 21): ``rho_j = nu_C (j nu_F nu_W^{j-1} + nu_W^j) + nu_F nu_W^j``.

    The first term is the gradient with respect to ``W``, through ``j`` places; the second and
    third are those with respect to ``F`` and ``C``. In the wide limit a linear RNN trained by
    gradient descent is the convolution whose lag ``j`` is scaled by ``sqrt(rho_j)`` (Theorem 3.3).

    Args:
      seq_len: number ``T`` of lags.
      nu_w: variance of the entries of ``W``; the RNN is stable for ``nu_w < 1``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.

    Returns:
      ``rho``, shape ``(T,)``, in JAX's default floating type.

    Raises:
      ValueError: if ``seq_len`` is not a positive integer, a variance not positive and finite, or a
        weight too large for its type.

    Example:
      >>> import ntk_rnn as nr
      >>> print(nr.lag_weights(4, nu_w=0.5, nu_f=1.0, nu_c=1.0))
      [2.  2.  1.5 1. ]
    """
    nu_w, nu_f, nu_c = variances(nu_w, nu_f, nu_c)
    lag = jnp.arange(_checks.integer("seq_len", seq_len), dtype=nu_w.dtype)
    # j nu_W^{j-1} as a product with nu_W^{max(j-1, 0)} is 0 at lag 0 without dividing by nu_W.
    through_w = lag * nu_w ** jnp.maximum(lag - 1, 0)
    rho = nu_c * nu_f * through_w + (nu_c + nu_f) * nu_w**lag  # (eq. 21)
    refuse_overflow(rho, nu_w, nu_f, nu_c)
    return rho


def lag_weight_bound(seq_len: int, nu_w: Scalar, nu_f: Scalar, nu_c: Scalar) -> Float[Array, " T"]:
    """Geometric bound on the lag weights (eq. 22): ``rho_j <= rho_max nu_W^{j-1}``.

    ``rho_max = nu_C (T nu_F + 1) + nu_F``; it holds for ``nu_w <= 1``.

    Args:
      seq_len: number ``T`` of lags.
      nu_w: variance of the entries of ``W``, at most 1.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.

    Returns:
      The bound at each lag, shape ``(T,)``.

    Raises:
      ValueError: as ``lag_weights``, and if ``nu_w > 1``.

    Example:
      >>> import ntk_rnn as nr
      >>> print(nr.lag_weight_bound(4, nu_w=0.5, nu_f=1.0, nu_c=1.0))
      [12.   6.   3.   1.5]
    """
    nu_w, nu_f, nu_c = variances(nu_w, nu_f, nu_c)
    if not _checks.is_traced(nu_w) and nu_w > 1:
        raise ValueError(f"nu_w must be at most 1 for the bound (22) to hold, got {float(nu_w):g}")
    lag = jnp.arange(_checks.integer("seq_len", seq_len), dtype=nu_w.dtype)
    bound = rho_max(seq_len, nu_f, nu_c) * nu_w ** (lag - 1)  # (eq. 22)
    refuse_overflow(bound, nu_w, nu_f, nu_c)
    return bound


def refuse_overflow(values: Array, nu_w: Any, nu_f: Any, nu_c: Any) -> None:
    """Raises ``ValueError`` if values at each lag are too large for their type, saying where."""
    if _checks.is_traced(values) or jnp.all(jnp.isfinite(values)):
        return
    lag = int(jnp.argmin(jnp.isfinite(values)))
    raise ValueError(
        f"nu_w must keep all lags below {float(jnp.finfo(values.dtype).max):.2g}, the largest "
        f"number of {values.dtype}, got nu_w = {float(nu_w):g}, nu_f = {float(nu_f):g}, nu_c = "
        f"{float(nu_c):g}, which exceed it from lag {lag} on; take fewer lags or smaller variances"
    )


def rho_max(seq_len: int, nu_f: Any, nu_c: Any) -> Any:
    """``nu_C (T nu_F + 1) + nu_F``, of ``lag_weight_bound`` (eq. 22) and ``drift_bound``."""
    return nu_c * (seq_len * nu_f + 1) + nu_f  # (eq. 22)


def impulse_variances(seq_len: int, nu_w: Array, nu_f: Any, nu_c: Any) -> Float[Array, " T"]:
    """Variances ``nu_C nu_F nu_W^j`` of the entries of ``L_j`` at the start (Theorem 3.3a).

    They have the type of ``nu_w``, which must be an array; nothing is checked.
    """
    return nu_c * nu_f * nu_w ** jnp.arange(seq_len, dtype=nu_w.dtype)  # (Theorem 3.3a)


def analytic_ntk(
    x1: Float[AnyArray, "N1 T n_x"],
    x2: Float[AnyArray, "N2 T2 n_x"] | None,
    rho: Float[AnyArray, " lags"],
) -> Float[Array, "N1 N2 T T2"]:
    """Neural tangent kernel of the scaled convolution, and of the wide RNN (eqs. 17 and 20).

    ``K[t, s](x, x') = sum_{j <= min(t, s)} rho_j <x_{t-j}, x'_{s-j}>``, the same for every output
    and 0 between different outputs: the full kernel is this factor times the identity over
    outputs, and ``K`` is its trace over outputs divided by their number.

    Args:
      x1: sequences, shape ``(N1, T, n_x)``.
      x2: sequences, shape ``(N2, T2, n_x)``, of any length; ``x1`` if ``None``.
      rho: lag weights, shape ``(lags,)``, as from ``lag_weights``; lags beyond them weigh 0.

    Returns:
      Shape ``(N1, N2, T, T2)``: ``K[i, k, t, s]`` between time ``t`` of ``x1[i]`` and time ``s``
      of ``x2[k]``, in at least float32. Symmetric and positive semi-definite over pairs (sequence,
      time): ``as_matrix(K)`` is that matrix.

    Raises:
      ValueError: if a shape is wrong, numbers of inputs differ, an entry is not finite, a lag
        weight negative, or the kernel larger than the memory.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> rho = nr.lag_weights(3, nu_w=0.5, nu_f=1.0, nu_c=1.0)
      >>> K = nr.analytic_ntk(np.ones((2, 3, 1)), None, rho)
      >>> K.shape
      (2, 2, 3, 3)
      >>> print(K[0, 1])  # of constant inputs: sums of the lag weights 2, 2, 1.5
      [[2.  2.  2. ]
       [2.  4.  4. ]
       [2.  4.  5.5]]
    """
    x1, x2 = _checks.both_sequences(x1, x2)
    _checks.same_devices(x1=x1, rho=rho)
    lengths = x1.shape[1], x2.shape[1]
    weights = jnp.asarray(_checks.weight_per_lag("rho", rho), x1.dtype)[: min(lengths)]
    shape = len(x1), len(x2), *lengths
    refuse_too_large(shape, x1.dtype)
    if math.prod(shape) * x1.dtype.itemsize > _CACHE and _on_one_cpu(x1, x2):
        return _by_sequences(x1, x2, weights)
    return weighted_products(x1, x2, weights)


@jax.jit
def weighted_products(x1: Array, x2: Array, weights: Array) -> Float[Array, "N1 N2 T T2"]:
    """``analytic_ntk`` without checks (eq. 20), for any weights of the lags.

    It is one matrix product, which takes half the time of a contraction of four axes.
    """
    left, right = _factors(x1, x2, weights)
    return _products(left, right, len(x2))


@jax.jit
def _by_sequences(x1: Array, x2: Array, weights: Array) -> Float[Array, "N1 N2 T T2"]:
    """The same for some sequences of ``x1`` at a time, whose products are in a cache.

    There their axes are put in order, so that memory is written once and holds one kernel.
    """
    left, right = _factors(x1, x2, weights)
    return lax.map(
        lambda rows: _products(rows[None], right, len(x2))[0], left,
        batch_size=max(1, _ROWS // x1.shape[1]),
    )  # fmt: skip


def _factors(x1: Array, x2: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted lagged inputs ``(N1, T, lags n_x)``, and lagged inputs ``(lags n_x, N2 T2)``."""
    lags = len(weights)
    left = lagged(x1, lags) * weights.reshape(1, 1, -1, 1)
    right = lagged(x2, lags).reshape(len(x2) * x2.shape[1], -1).T
    return left.reshape(*x1.shape[:2], -1), right


def _products(left: Array, right: Array, num2: int) -> Float[Array, "N1 N2 T T2"]:
    num1, seq_len1, columns = left.shape
    kernel = jnp.matmul(left.reshape(-1, columns), right, precision="highest")  # (eq. 20)
    return kernel.reshape(num1, seq_len1, num2, -1).transpose(0, 2, 1, 3)


def _on_one_cpu(*arrays: Array) -> bool:
    """Whether a loop over sequences is within one CPU, and known to be so before compiling."""
    if _checks.is_traced(arrays):
        return False
    devices = {device for array in arrays for device in array.devices()}
    return {device.platform for device in devices} == {"cpu"} and len(devices) == 1


def variances(nu_w: Any, nu_f: Any, nu_c: Any) -> tuple[Array, Array, Array]:
    """The variances of the entries of ``W``, ``F`` and ``C``, checked, as arrays of JAX."""
    _checks.variance(nu_w=nu_w, nu_f=nu_f, nu_c=nu_c)
    dtype = jnp.result_type(float)
    return jnp.asarray(nu_w, dtype), jnp.asarray(nu_f, dtype), jnp.asarray(nu_c, dtype)
