"""What the study of short memory solves: white inputs, and as much to learn at every lag."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

import ntk_rnn as nr
from ntk_rnn._terminal import UserError
from ntk_rnn._types import AnyArray
from ntk_rnn.reproduction import averages
from ntk_rnn.reproduction.studies import students
from ntk_rnn.reproduction.studies.bias_config import BiasConfig
from ntk_rnn.reproduction.studies.learning_rate import check_converged

# The part of a lag's change after which it counts as learned.
_LEARNED = 0.5


@partial(jax.jit, static_argnums=1)
def draw(
    key: Array, config: BiasConfig
) -> tuple[Float[Array, "N T n_x"], Any, Float[Array, "T n_y n_x"], Float[Array, "T n_y n_x"]]:
    """Inputs, the RNN, its impulse response, and a change of norm 1 at every lag of it."""
    key_x, key_student, key_change = jax.random.split(key, 3)
    x = jax.random.normal(key_x, (config.num_train, config.seq_len, config.in_dim))
    params, initial = students.draw(_rnn(config), key_student, x)
    change = jax.random.normal(key_change, initial.shape)
    return x, params, initial, change / jnp.linalg.norm(change, axis=(1, 2), keepdims=True)


@jax.jit
def data(
    x: Float[Array, "N T n_x"],
    initial: Float[Array, "T n_y n_x"],
    change: Float[Array, "T n_y n_x"],
) -> tuple[Float[Array, "N T n_x"], Float[Array, "N T n_y"]]:
    """Inputs, and the outputs of the impulse response once it has changed, without noise."""
    return x, nr.causal_conv(initial + change, x)


def bound(
    config: BiasConfig, data: tuple[Array, Array], initial: Array, step: Shaped[np.ndarray, " R"]
) -> Float[np.ndarray, "R T"]:
    """How far Theorem 4.1 lets each lag move.

    Raises:
      ValueError: if the learning rate is not below its ``B1``.
    """
    found = _drift_bound(config, data, initial, step)
    if config.learning_rate >= found.max_learning_rate:
        raise UserError(
            f"learning_rate must be below B1 = {float(found.max_learning_rate):.3g}, past which "
            f"Theorem 4.1 says nothing of these data, got {config.learning_rate:g}"
        )
    return np.asarray(found.bound)


@partial(jax.jit, static_argnums=0)
def _drift_bound(config: BiasConfig, data: tuple[Array, Array], initial: Array, step: Array) -> Any:
    return nr.drift_bound(
        data, nu_w=config.nu_w, nu_f=config.nu_f, nu_c=config.nu_c,
        learning_rate=config.learning_rate, steps=step, initial=initial,
    )  # fmt: skip


def train(
    config: BiasConfig, params: Any, data: tuple[Array, Array], step: Shaped[np.ndarray, " R"]
) -> Float[np.ndarray, "K T n_y n_x"]:
    """How far the RNN's impulse response is from where it started, at the steps that it takes.

    Compressed data cost the same for any number of sequences. The learning rate is known to be
    stable, because ``B1`` is less than half of the convolution's limit.
    """
    path = nr.gradient_descent(
        _rnn(config), params, nr.compress(*data), steps=config.steps,
        record_at=step[step <= config.steps], learning_rate=config.learning_rate,
        allow_unstable=True,
    )  # fmt: skip
    check_converged(config.learning_rate, path.diverged_at)
    response = np.asarray(path.impulse_response, float)
    return response - response[0]


def steps_to_learn(
    step: Shaped[np.ndarray, " R"],
    moved: Float[np.ndarray, "R T n_y n_x"],
    change: Float[AnyArray, "T n_y n_x"],
) -> Float[np.ndarray, " T"]:
    """Steps until each lag has gone half of its way, along a change of norm 1."""
    learned = np.einsum("rjpq,jpq->jr", moved, np.asarray(change))
    return averages.crossing(step, learned - _LEARNED)


def effort(
    arrays: dict[str, np.ndarray], steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seeds that a model is trained for, lags all of them learn, and log of steps times ``s_j``."""
    rows = np.asarray(np.isfinite(steps).any(axis=1))
    log_effort = np.log(steps * arrays["input_energy"])[rows]
    lags = np.flatnonzero(np.isfinite(log_effort).all(axis=0))
    return rows, lags, log_effort[:, lags]


def predicted(config: BiasConfig, rho: Any, energy: np.ndarray) -> np.ndarray:
    """Steps after which ``(1 - eta rho_j s_j)^l`` has fallen to the part that is not learned."""
    return np.log(1 - _LEARNED) / np.log1p(-config.learning_rate * rho * energy)


def allowance(config: BiasConfig, rho: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Three times how far row ``j`` of a kernel of finite width is off, relative to ``rho_j``."""
    # Gram matrices of F and C are off by sqrt(n_x / n) and sqrt(n_y / n).
    per_lag = (config.in_dim + config.out_dim) / (2 * config.width)
    return 3 * np.sqrt(per_lag * np.sum(rho) / rho)


def records(config: BiasConfig) -> Shaped[np.ndarray, " R"]:
    """Steps to record at: so many in all that the convolutions learn every lag of white inputs."""
    energy = config.num_train * np.arange(config.seq_len, 0, -1)
    slowest = 1 / (config.learning_rate * energy * np.minimum(lag_weights(config), 1))
    last = max(config.steps, int(2 * np.max(slowest)) + 1)
    every = np.round(np.geomspace(1, last, 200)).astype(int)
    return np.unique([0, config.steps, *every])


def lag_weights(config: BiasConfig) -> Float[np.ndarray, " T"]:
    """``rho`` (eq. 21), in float64."""
    return np.asarray(students.lag_weights(config), float)


def input_energy(x: Float[Array, "N T n_x"]) -> Float[np.ndarray, " T"]:
    """``s_j``, the summed squares of what reaches lag ``j``, in the mean of inputs."""
    power = np.sum(np.asarray(x, float) ** 2, axis=0).mean(axis=1)
    return np.cumsum(power)[::-1]


def _rnn(config: BiasConfig) -> nr.LinearRNN:
    return students.rnn(config, config.width, config.out_dim)
