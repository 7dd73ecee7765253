"""What Fig. 3 solves for each seed: a target for every delay, by the RNN and by convolutions."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

import ntk_rnn as nr
from ntk_rnn.reproduction.studies import students, teacher_data
from ntk_rnn.reproduction.studies.configs import DelayConfig
from ntk_rnn.reproduction.studies.learning_rate import check_converged, check_stable

# The outputs are the D delays.
TrainData = tuple[Float[Array, "N T n_x"], Float[Array, "N T D"]]
TestData = tuple[Float[Array, "M T n_x"], Float[Array, "M T D"]]


@partial(jax.jit, static_argnums=1)
def draw(
    key: Array, config: DelayConfig
) -> tuple[TrainData, TestData, Any, Float[Array, "T 1 n_x"]]:
    """Training and test data, a target for each delay, the RNN and its impulse response."""
    key_data, key_noise, key_student = jax.random.split(key, 3)
    x, y = teacher_data.sequences(key_data, config, snr_db=None)
    if config.target == "copy":
        y = x[..., :1]
    delayed = [nr.data.delay(y, steps) for steps in range(config.seq_len)]
    y = nr.data.add_noise(key_noise, jnp.concatenate(delayed, axis=-1), config.snr_db)
    train, test = teacher_data.split(config, x, y)
    return train, test, *students.draw(_rnn(config), key_student, train[0])


def convolution_errors(
    config: DelayConfig,
    lag_weights: Float[np.ndarray, " T"],
    train: TrainData,
    test: TestData,
    response: Float[Array, "T 1 n_x"],
    steps: Float[np.ndarray, " R"],
) -> Float[np.ndarray, "R D"]:
    """Errors of a convolution. Lag weights treat outputs alike, so each delay can be one of them.

    The limit of infinitely many steps takes float64: long lags are lost to rounding before.
    """
    initial = np.repeat(np.asarray(response), train[1].shape[2], axis=1)
    kernel = nr.kernel_regression(lag_weights, train, initial=initial, on_host=True)
    check_stable(config.learning_rate, float(kernel.max_learning_rate))
    y = np.asarray(test[1], float)
    outputs = kernel.predict(test[0], steps, config.learning_rate)
    return np.sum((outputs - y) ** 2, axis=(1, 2)) / np.sum(y**2, axis=(0, 1))


def rnn_errors(
    config: DelayConfig,
    params: Any,
    train: TrainData,
    test: TestData,
    delay: int,
    steps: Shaped[np.ndarray, " K"],
) -> Float[np.ndarray, " K"]:
    """Errors of the RNN at one delay.

    Its learning rate is known to be stable in the limit of its kernel.
    """
    (x, y), (x_test, y_test) = ((x, y[..., delay : delay + 1]) for x, y in (train, test))
    path = nr.gradient_descent(
        _rnn(config), params, (x, y), test=(x_test, y_test), steps=int(steps[-1]), record_at=steps,
        learning_rate=config.learning_rate, allow_unstable=True,
    )  # fmt: skip
    check_converged(config.learning_rate, path.diverged_at)
    return np.asarray(path.test_loss) / (np.sum(np.asarray(y_test, float) ** 2) / 2)


def _rnn(config: DelayConfig) -> nr.LinearRNN:
    return students.rnn(config, config.width)
