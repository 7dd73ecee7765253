"""The models that studies compare: a wide linear RNN, and convolutions that start where it does.

Each is known by a short name, under which arrays are saved.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped

import ntk_rnn as nr
from ntk_rnn import plotting
from ntk_rnn.objective import Data
from ntk_rnn.reproduction.studies.config_base import StudyConfig

NAMES = {"rnn": "RNN", "scaled": "scaled convolution", "unscaled": "unscaled convolution"}

# Steps of narrower RNNs cost too little for finding the subspace to pay, which may fill them, too.
_IN_SUBSPACE_FROM = 1000

# Fewer steps take less time than finding the subspace.
_LEAST_STEPS = 100

# What studies whose RNNs are trained by ``train_rnn`` say of it.
HOW_TRAINED = (
    f"RNNs of width {_IN_SUBSPACE_FROM} and more that take {_LEAST_STEPS} steps or more are "
    "trained in the subspace that their gradients reach (subspace_descent), others in full."
)

# Colour and line style in figures.
STYLES: dict[str, dict[str, Any]] = {
    "rnn": {"color": plotting.BLUE, "linestyle": "-"},
    "scaled": {"color": plotting.ORANGE, "linestyle": (0, (5, 3))},
    "unscaled": {"color": plotting.GREEN, "linestyle": (0, (1, 1.5))},
}


def rnn(config: StudyConfig, width: int, out_dim: int = 1) -> nr.LinearRNN:
    """The linear RNN with the variances of a configuration."""
    return nr.LinearRNN(width, out_dim, *config.nu)


@partial(jax.jit, static_argnums=0)
def draw(
    model: nr.LinearRNN, key: Array, x: Float[Array, "N T n_x"]
) -> tuple[Any, Float[Array, "T n_y n_x"]]:
    """Parameters of an RNN, and its impulse response: where the convolutions start as well."""
    params = model.init(key, x)
    return params, nr.impulse_response(params, x.shape[1])


def train_rnn(
    model: nr.LinearRNN,
    params: Any,
    data: Data,
    *,
    steps: int,
    learning_rate: float,
    test: Data | None = None,
    record_at: Shaped[np.ndarray, " R"] | None = None,
    allow_unstable: bool = False,
) -> nr.TrainingPath | nr.SubspacePath:
    """Gradient descent of an RNN; of a wide one, if it is long, in a subspace (``HOW_TRAINED``)."""
    how: dict[str, Any] = {
        "steps": steps, "learning_rate": learning_rate, "test": test, "record_at": record_at,
        "allow_unstable": allow_unstable,
    }  # fmt: skip
    if model.width < _IN_SUBSPACE_FROM or steps < _LEAST_STEPS:
        return nr.gradient_descent(model, params, data, **how)
    return nr.subspace_descent(params, data, **how)


def lag_weights(config: StudyConfig) -> Float[Array, " T"]:
    """``rho`` (eq. 21), the lag weights of the scaled convolution."""
    return nr.lag_weights(config.seq_len, *config.nu)


def convolution_weights(config: StudyConfig) -> dict[str, Float[np.ndarray, " T"]]:
    """Lag weights of both convolutions: ``rho``, and 1 for the unscaled one."""
    rho = np.asarray(lag_weights(config))
    return {"scaled": rho, "unscaled": np.ones_like(rho)}


def convolutions(config: StudyConfig, out_dim: int = 1) -> dict[str, nr.ScaledConv]:
    """Both convolutions, as models to train."""
    weights = convolution_weights(config)
    return {name: nr.ScaledConv(rho, out_dim) for name, rho in weights.items()}
