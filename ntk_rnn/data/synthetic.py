"""Synthetic data: the outputs of a small linear RNN, with noise or a delay."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.impulse import impulse_response
from ntk_rnn.models import LinearRNN
from ntk_rnn.sequences import convolved

# At lower ratios, the power of the noise would be more than 1e30 times that of the signal.
_LEAST_DECIBELS = -300


def teacher(
    key: Array,
    num_sequences: int,
    seq_len: int,
    *,
    in_dim: int = 1,
    out_dim: int = 1,
    width: int = 4,
    nu_w: float = 0.3,
    nu_f: float = 1.0,
    nu_c: float = 1.0,
    snr_db: float | None = 20.0,
) -> tuple[Float[Array, "N T n_x"], Float[Array, "N T n_y"]]:
    """White Gaussian inputs and the noisy outputs of a random linear RNN, the teacher.

    Inputs are ``N(0, 1)``. The teacher is a `ntk_rnn.LinearRNN` of a small width, whose parameters
    are drawn with the given variances. Draw training and test sequences together and split them,
    because another key draws another teacher.

    Args:
      key: random key of the inputs, the teacher and the noise.
      num_sequences: number ``N`` of sequences.
      seq_len: their length ``T``.
      in_dim: number ``n_x`` of inputs.
      out_dim: number ``n_y`` of outputs.
      width: number of the teacher's hidden units.
      nu_w: variance of the entries of its ``W``.
      nu_f: variance of the entries of its ``F``.
      nu_c: variance of the entries of its ``C``.
      snr_db: signal-to-noise ratio of the outputs in decibels; no noise if ``None``.

    Returns:
      ``x``, shape ``(N, T, n_x)``, and ``y``, shape ``(N, T, n_y)``, in JAX's default floating
      type.

    Raises:
      ValueError: if a size or variance is not positive, or ``snr_db`` is not finite.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5, in_dim=2, snr_db=None)
      >>> x.shape, y.shape
      ((20, 5, 2), (20, 5, 1))
    """
    shape = (
        _checks.integer("num_sequences", num_sequences),
        _checks.integer("seq_len", seq_len),
        _checks.integer("in_dim", in_dim),
    )
    key_x, key_params, key_noise = jax.random.split(_checks.random_key("key", key), 3)
    if snr_db is not None:
        _decibels(snr_db)
    x = jax.random.normal(key_x, shape)
    params = LinearRNN(width, out_dim, nu_w, nu_f, nu_c).init(key_params, x)
    y = convolved(impulse_response(params, seq_len), x)  # (eq. 5, 9)
    return x, y if snr_db is None else add_noise(key_noise, y, snr_db)


def add_noise(key: Array, y: Float[AnyArray, "N T n_y"], snr_db: float) -> Float[Array, "N T n_y"]:
    """``y`` and white Gaussian noise of variance ``mean(y^2) / 10^{snr_db / 10}`` per output.

    Args:
      key: random key of the noise.
      y: signal, shape ``(N, T, n_y)``; its power is measured over sequences and times.
      snr_db: signal-to-noise ratio in decibels.

    Returns:
      Shape ``(N, T, n_y)``.

    Raises:
      ValueError: if ``y`` is not such an array or ``snr_db`` is not finite.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> y = np.ones((100, 10, 1))
      >>> noise = nr.data.add_noise(jax.random.key(0), y, snr_db=20.0) - y
      >>> print(f"{np.std(noise):.1f}")  # a tenth of the signal's root mean square
      0.1
    """
    y = _checks.sequences("y", y)
    key, snr_db = _checks.random_key("key", key), _decibels(snr_db)
    power = jnp.mean(y**2, axis=(0, 1), keepdims=True)
    scale = jnp.sqrt(power) * 10.0 ** (-snr_db / 20)
    return y + scale * jax.random.normal(key, y.shape, y.dtype)


def _decibels(snr_db: Any) -> Any:
    """``snr_db``, if noise of this ratio is a number in float32."""
    found = _checks.number("snr_db", snr_db, "a finite number of decibels")
    if not _checks.is_traced(found) and not _LEAST_DECIBELS <= found < math.inf:
        raise ValueError(
            f"snr_db must be a finite number of decibels, at least {_LEAST_DECIBELS}, got "
            f"{found:g}; use None for no noise where that is offered"
        )
    return found


def delay(y: Float[AnyArray, "N T n_y"], steps: int) -> Float[Array, "N T n_y"]:
    """``y_{t - steps}``, and 0 for the first ``steps`` times (Fig. 3).

    Args:
      y: sequences, shape ``(N, T, n_y)``.
      steps: delay, from 0 to ``T - 1``.

    Returns:
      Shape ``(N, T, n_y)``.

    Raises:
      ValueError: if ``y`` is not such an array, or ``steps`` is negative or not below ``T``.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> y = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
      >>> print(nr.data.delay(y, steps=1)[0, :, 0])
      [0. 1. 2.]
    """
    y = _checks.sequences("y", y)
    steps = _checks.integer("steps", steps, least=0)
    if steps >= y.shape[1]:
        raise ValueError(
            f"steps must be below the length of the sequences, {y.shape[1]}, got {steps}; longer "
            "delays leave nothing of them"
        )
    return jnp.pad(y, ((0, 0), (steps, 0), (0, 0)))[:, : y.shape[1]]
