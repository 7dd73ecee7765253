"""What Fig. 5 and Table 1 share: an RNN and convolutions that decode the S1 recordings.

Inputs are the counts of 52 neurons in windows of 15 bins, one for each bin that has 14 others of
its piece before it; targets are the two coordinates of the hand's velocity in the last bin. The
three models take the same mini-batches, and the convolutions start from the impulse response of the
RNN, so that the three differ only in how they learn.

The loss is ``1/2 sum ||y_hat - y||^2`` over a batch (Appendix B.4). With batches of 128 windows and
the paper's learning rate of 1e-4, which is an eighth of what is stable for the unscaled convolution
and less for the scaled one, the former converges in a few epochs; with the mean over a batch, there
would have to be 128 times as many. In closed form, a step is one of gradient descent on all windows
with ``eta batch_size / N``, the mean of the steps with batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import ntk_rnn as nr
from ntk_rnn._types import AnyArray
from ntk_rnn.data import S1, Windows
from ntk_rnn.reproduction.studies import students
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.reproduction.studies.decoding.data import HeldOut, Part, compressed, hold_out, split
from ntk_rnn.reproduction.studies.learning_rate import check_converged, check_stable
from ntk_rnn.reproduction.studies.students import NAMES

Arrays = dict[str, np.ndarray]

OUTPUTS = ("x velocity", "y velocity")

PAPER = (
    "A linear RNN, its scaled convolution and an unscaled one decode the velocity of the hand from "
    "the spikes of 52 neurons in S1 of a macaque, recorded for 51 minutes.",
    "n = 1000, T = 15, n_x = 52, n_y = 2, nu_W = 0.3, nu_F = nu_C = 1, batches of 128, learning "
    "rate 1e-4; limited data are 4.5 minutes. The numbers that Table 1 prints are not at hand.",
)
CHOICES = (
    "The recording is the part that KordingLab/spykesML has made public in this form (MIT licence; "
    "29.3 of the 51 minutes), in 426 contiguous pieces; windows do not cross from one to another.",
    "Windows begin at every bin; the target is the velocity in the last bin of each, or in all, as "
    "targets says.",
    "The last bins are held out, a part test_fraction of them; limited data are the first minutes "
    "of the others. Inputs and targets are standardized by the bins for training alone.",
    "The loss is half of the squared error, summed over a batch; with its mean, 128 times as many "
    "epochs would be needed.",
    "With limited data there are as many steps as with all data, hence more epochs.",
    "Convolutions also take long_steps steps, in closed form. As there are more windows than "
    "coefficients, both tend to least squares, the Wiener filter; the unscaled one is there by "
    "then, the scaled one on its way. Which is ahead by then says nothing of their limit.",
    "All models start from the impulse response of the RNN at initialization, whose outputs are "
    "about ten times as large as the targets: R^2 is far below 0 at first.",
    "Seeds are of the initialization and of the order of the windows; recording and split are the "
    "same for all of them, so standard errors say nothing of other recordings.",
    "R^2 = 1 - SSE / SST of each coordinate over all held-out windows.",
)


def units(config: DecodingConfig, parts: Sequence[Part]) -> int:
    """One unit of work for the closed form of each part, and one for each model trained."""
    return len(parts) * (1 + config.seeds * len(NAMES))


def run(
    config: DecodingConfig, recording: S1, parts: Sequence[Part], advance: Callable[[], None]
) -> Arrays:
    """Trains the models on parts of the data.

    Returns:
      ``seed (S,)``; and for each part, with its name in front: ``epoch (R,)`` and ``R^2`` on
      held-out windows ``rnn``, ``scaled``, ``unscaled``, and in closed form ``closed_scaled``,
      ``closed_unscaled``, ``(S, R, n_y)``, and after many more steps ``long_scaled``,
      ``long_unscaled``, ``(S, n_y)``.

    Raises:
      ValueError: if there are not enough data, or the learning rate is past stability.
    """
    # As many steps with limited data as there are with all of them.
    train, test = split(config, recording, "full")
    steps = config.epochs * (len(train.x) // config.batch_size)
    arrays: Arrays = {"seed": np.asarray(config.seed_list)}
    for part in parts:
        train, test = split(config, recording, part) if part != "full" else (train, test)
        found = decode(config, train, hold_out(config, test), steps, advance)
        arrays |= {f"{part}_{name}": array for name, array in found.items()}
    return arrays


def decode(
    config: DecodingConfig, train: Windows, test: HeldOut, steps: int, advance: Callable[[], None]
) -> Arrays:
    """Trains the models on windows, for every seed; returns the arrays of one part (`run`)."""
    in_dim, out_dim = train.x.shape[2], train.y.shape[2]
    convolutions = students.convolutions(config, out_dim)
    draws = [_draw(jax.random.key(seed), config, in_dim, out_dim) for seed in config.seed_list]
    epoch_steps = len(train.x) // config.batch_size
    records = np.unique([*range(0, steps, epoch_steps), steps])
    # The closed form comes first, since it finds out whether the learning rate is past stability.
    starts = np.stack([np.asarray(response, float) for _, response, _ in draws])
    arrays = _closed_form(config, convolutions, train, test, starts, records)
    advance()
    data = _as_model_input(config, train)
    curves: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for params, response, key in draws:
        for name in NAMES:
            model = convolutions.get(name) or students.rnn(config, config.width, out_dim)
            start = params if name == "rnn" else convolutions[name].params_from(response)
            path = nr.train(
                model if config.targets == "all" else _LastStep(model, config.seq_len),
                start, data, steps=steps, batch_size=config.batch_size, key=key,
                learning_rate=config.learning_rate, record_at=records,
            )  # fmt: skip
            check_converged(config.learning_rate, path.diverged_at, f" of the {name}")
            curves[name].append(test.score(_responses(config, path.impulse_response)))
            advance()
    trained = {name: np.stack(rows) for name, rows in curves.items()}
    return {"epoch": records / epoch_steps, **arrays, **trained}


def _closed_form(
    config: DecodingConfig,
    convolutions: dict[str, nr.ScaledConv],
    train: Windows,
    test: HeldOut,
    starts: Float[np.ndarray, "S T n_y n_x"],
    records: np.ndarray,
) -> Arrays:
    """Scores in closed form, of all seeds in one regression.

    Lag weights treat all outputs alike, so the outputs of each seed are outputs of the regression.
    """
    seeds, lags, out_dim, in_dim = starts.shape
    data = compressed(config, train, seeds)
    initial = starts.swapaxes(0, 1).reshape(lags, seeds * out_dim, in_dim)
    share = config.batch_size / len(train.x)
    arrays = {}
    for name, convolution in convolutions.items():
        weights = np.asarray(convolution.lag_weights)
        kernel = nr.kernel_regression(weights, data, initial=initial, on_host=True)
        check_stable(config.learning_rate, float(kernel.max_learning_rate) / share)
        steps = np.append(records, config.long_steps)
        responses = kernel.impulse_response(steps, config.learning_rate * share)
        responses = responses.reshape(len(steps), lags, seeds, out_dim, in_dim)
        scores = test.score(np.moveaxis(responses, 2, 0))
        arrays |= {f"closed_{name}": scores[:, :-1], f"long_{name}": scores[:, -1]}
    return arrays


@dataclass(frozen=True)
class _LastStep:
    """A causal linear model's last output alone, of windows as one row each, ``(N, 1, T n_x)``.

    Its response to unit impulses is the impulse response of the model, last lag first. Where only
    the last output counts, all ``T`` of them would take as many times as long.
    """

    model: nn.Module
    seq_len: int

    def __call__(self, params: Any, x: Float[AnyArray, "N 1 K"]) -> Float[Array, "N 1 n_y"]:
        impulses = nr.unit_impulses(self.seq_len, x.shape[2] // self.seq_len, x.dtype)
        response: Any = self.model.apply(params, impulses)
        rows = response.swapaxes(0, 1)[::-1].reshape(x.shape[2], -1)
        return jnp.einsum("ntk,kp->ntp", x, rows, precision="highest")


def _as_model_input(config: DecodingConfig, windows: Windows) -> tuple[Array, Array]:
    x, y = windows.x, windows.y
    if config.targets == "last":
        x, y = x.reshape(len(x), 1, -1), y[:, -1:]
    return jnp.asarray(x), jnp.asarray(y)


def _responses(
    config: DecodingConfig, recorded: Float[AnyArray, "R K n_y C"]
) -> Float[np.ndarray, "R T n_y n_x"]:
    """Impulse responses in the order of lags, from those recorded in training."""
    responses = np.asarray(recorded)
    if config.targets == "last":
        shape = (*responses.shape[::2], config.seq_len, -1)
        responses = responses.reshape(shape)[:, :, ::-1].swapaxes(1, 2)
    return responses


@partial(jax.jit, static_argnums=(1, 2, 3))
def _draw(
    key: Array, config: DecodingConfig, in_dim: int, out_dim: int
) -> tuple[Any, Float[Array, "T n_y n_x"], Array]:
    """The RNN, its impulse response, and the key of the order of the windows."""
    key_student, key_order = jax.random.split(key)
    impulses = nr.unit_impulses(config.seq_len, in_dim)
    model = students.rnn(config, config.width, out_dim)
    return *students.draw(model, key_student, impulses), key_order
