"""The impulse response of a wide linear RNN at initialization is Gaussian (Theorem 3.3a)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import Scalar
from ntk_rnn.impulse import impulse_response
from ntk_rnn.kernels.infinite_width import impulse_variances, refuse_overflow, variances
from ntk_rnn.models import LinearRNN

# Weights held at once while drawing networks: 16 MB in float32, one network of width 2000.
_BATCH_ENTRIES = 2**22


class ImpulseMoments(NamedTuple):
    """Moments of the impulse response over seeds, from ``impulse_response_moments``.

    A seed counts once in a standard error, however many entries it has. The limit has mean 0,
    variance ``gaussian_limit``, no correlation between lags, and kurtosis 3.

    Attributes:
      mean: at each lag, shape ``(T,)``.
      mean_error: standard error of the mean, shape ``(T,)``.
      variance: at each lag, shape ``(T,)``.
      variance_error: standard error of the variance, shape ``(T,)``.
      correlation: of an entry at one lag with the same at another, shape ``(T, T)``.
      correlation_error: standard error of the correlation, shape ``(T, T)``.
      kurtosis: fourth central moment over the variance squared, shape ``(T,)``.
      kurtosis_error: standard error of the kurtosis, shape ``(T,)``.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> moments = nr.impulse_response_moments(jax.random.key(0), width=50, seq_len=4)
      >>> moments.variance.shape, moments.variance_error.shape, moments.correlation.shape
      ((4,), (4,), (4, 4))
    """

    mean: Float[Array, " T"]
    mean_error: Float[Array, " T"]
    variance: Float[Array, " T"]
    variance_error: Float[Array, " T"]
    correlation: Float[Array, "T T"]
    correlation_error: Float[Array, "T T"]
    kurtosis: Float[Array, " T"]
    kurtosis_error: Float[Array, " T"]


def gaussian_limit(seq_len: int, nu_w: Scalar, nu_f: Scalar, nu_c: Scalar) -> Float[Array, " T"]:
    """Variance of the wide RNN's impulse response (Theorem 3.3a): ``nu_C nu_F nu_W^j``.

    As the width grows, the entries of ``L_j`` at initialization tend to independent Gaussians of
    mean 0 and this variance, for any number of lags that is fixed.

    Args:
      seq_len: number ``T`` of lags.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.

    Returns:
      Variances, shape ``(T,)``, in JAX's default floating type.

    Raises:
      ValueError: if ``seq_len`` is not a positive integer, or a variance not positive and finite.

    Example:
      >>> import ntk_rnn as nr
      >>> print(nr.gaussian_limit(4, nu_w=0.5, nu_f=1.0, nu_c=1.0))
      [1.    0.5   0.25  0.125]
    """
    nu = variances(nu_w, nu_f, nu_c)
    limit = impulse_variances(_checks.integer("seq_len", seq_len), *nu)
    refuse_overflow(limit, *nu)
    return limit


def impulse_response_moments(
    key: Array,
    width: int,
    seq_len: int,
    in_dim: int = 1,
    out_dim: int = 1,
    nu_w: float = 0.3,
    nu_f: float = 1.0,
    nu_c: float = 1.0,
    num_seeds: int = 200,
) -> ImpulseMoments:
    """Moments of ``L_j`` at initialization over networks of width ``n`` (Theorem 3.3a).

    The entries of ``L_j`` are alike, so they are pooled.

    Networks are drawn one after the other, a few at a time where they are small, so that memory
    holds one ``W`` and the impulse responses, ``num_seeds T n_y n_x`` numbers.

    Args:
      key: PRNG key.
      width: number ``n`` of hidden units.
      seq_len: number ``T`` of lags.
      in_dim: number ``n_x`` of inputs.
      out_dim: number ``n_y`` of outputs.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.
      num_seeds: number of networks, at least 2.

    Returns:
      The moments and their standard errors, in JAX's default floating type.

    Raises:
      ValueError: if a size is not a positive integer, a variance not positive and finite, or
        ``num_seeds < 2``.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> moments = nr.impulse_response_moments(jax.random.key(0), width=50, seq_len=4)
      >>> limit = nr.gaussian_limit(4, nu_w=0.3, nu_f=1.0, nu_c=1.0)
      >>> bool(np.all(np.abs(moments.variance - limit) < 4 * moments.variance_error))
      True
    """
    _checks.integer("width", width)
    _checks.integer("in_dim", in_dim)
    key = _checks.random_key("key", key)
    if _checks.integer("num_seeds", num_seeds) < 2:
        raise ValueError(f"num_seeds must be at least 2 for standard errors, got {num_seeds}")
    variance = gaussian_limit(seq_len, nu_w, nu_f, nu_c)
    model = LinearRNN(width, out_dim, float(nu_w), float(nu_f), float(nu_c))
    responses = _draw(model, int(seq_len), int(in_dim), int(num_seeds), key)
    # In units of the limit, powers of entries neither overflow nor underflow.
    return _moments(responses, jnp.sqrt(variance))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _draw(
    model: LinearRNN, seq_len: int, in_dim: int, num_seeds: int, key: Array
) -> Float[Array, "S T entries"]:
    x = jnp.zeros((1, 1, in_dim))

    def draw(key: Array) -> Array:
        return impulse_response(model.init(key, x), seq_len).reshape(seq_len, -1)

    batch = min(num_seeds, max(1, _BATCH_ENTRIES // model.width**2))
    return lax.map(draw, jax.random.split(key, num_seeds), batch_size=batch)


@jax.jit
def _moments(responses: Float[Array, "S T entries"], unit: Float[Array, " T"]) -> ImpulseMoments:
    """Moments, with standard errors from what each seed contributes to them at first order."""
    seeds = responses.shape[0]

    def error(per_seed: Array) -> Array:
        return jnp.std(per_seed, axis=0, ddof=1) / seeds**0.5

    scaled = responses / unit[None, :, None]
    means = jnp.mean(scaled, axis=2)
    mean = jnp.mean(means, axis=0)
    centred = scaled - mean[None, :, None]
    variance = jnp.mean(centred**2, axis=(0, 2))
    a = centred / jnp.sqrt(variance)[None, :, None]
    squares, skews, fourths = (jnp.mean(a**power, axis=2) for power in (2, 3, 4))
    products = jnp.einsum("sje,ske->sjk", a, a, precision="highest") / a.shape[2]
    correlation = jnp.mean(products, axis=0)
    both = (squares[:, :, None] + squares[:, None, :]) / 2
    skew, kurtosis = jnp.mean(skews, axis=0), jnp.mean(fourths, axis=0)
    normal = means / jnp.sqrt(variance)[None, :] - (mean / jnp.sqrt(variance))[None, :]
    return ImpulseMoments(
        mean * unit,
        error(means) * unit,
        variance * unit**2,
        error(squares) * variance * unit**2,
        correlation,
        error(products - correlation[None] * both),
        kurtosis,
        error(fourths - 2 * kurtosis[None] * squares - 4 * skew[None] * normal),
    )
