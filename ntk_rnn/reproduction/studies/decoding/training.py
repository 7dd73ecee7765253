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

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import ntk_rnn as nr
from ntk_rnn._types import AnyArray
from ntk_rnn.data import S1, Windows
from ntk_rnn.reproduction.studies import students
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.reproduction.studies.decoding.data import PARTS, HeldOut, compressed, hold_out, split
from ntk_rnn.reproduction.studies.learning_rate import check_converged, check_stable
from ntk_rnn.reproduction.studies.students import NAMES
from ntk_rnn.reproduction.unfinished import Arrays, Unfinished, Units

OUTPUTS = ("x velocity", "y velocity")

# Powers of ten of the training times between which convolutions are solved for.
_DECADES = (-1, 6)

PAPER = (
    "A linear RNN, its scaled convolution and an unscaled one decode the velocity of the hand from "
    "the spikes of 52 neurons in S1 of a macaque, recorded for 51 minutes.",
    "n = 1000, T = 15, n_x = 52, n_y = 2, nu_W = 0.3, nu_F = nu_C = 1, batches of 128, learning "
    "rate 1e-4; limited data are 4.5 minutes. Neither the number of steps is said, nor what is "
    "held out.",
    "RNN and scaled convolution train alike. With all data the unscaled convolution ends ahead of "
    "both, with limited data behind them (Fig. 5, Table 1).",
)
CHOICES = (
    "The recording is the part that KordingLab/spykesML has made public in this form (MIT licence; "
    "29.3 of the 51 minutes), in 426 contiguous pieces; windows do not cross from one to another.",
    "Windows begin at every bin, and the target is the velocity in the last bin of each; with "
    "--targets all, windows follow each other, and the targets are those in all of their bins.",
    "The last bins are held out, a part test_fraction of them; limited data are the first minutes "
    "of the others. Inputs and targets are standardized by the bins for training alone.",
    "The loss is half of the squared error, summed over a batch; with its mean, 128 times as many "
    "epochs would be needed.",
    "With limited data there are as many steps as with all data, hence more epochs.",
    "How long is trained (--epochs) and the targets (--targets) decide which model is ahead, as "
    "the study readings shows in closed form for all chunks of 4.5 minutes; the number of seeds "
    "(--seeds) decides on errors alone. The training time is the learning rate "
    "times the number of windows in all batches, tau = eta * batch * steps. Between about 100 and "
    "1000 the order of the models is that of the paper; 100 epochs are 232. Before, the scaled "
    "models are behind with limited data, too, and later all tend to least squares, the Wiener "
    "filter, as there are more windows than coefficients.",
    "All models start from the impulse response of the RNN at initialization, whose outputs are "
    "about ten times as large as the targets: R^2 is far below 0 at first.",
    "Seeds are of the initialization and of the order of the windows; recording and split are the "
    "same for all of them. What another part of the recording would have given is estimated by a "
    "bootstrap over the held-out pieces of the recording.",
    "R^2 = 1 - SSE / SST of each coordinate over all held-out windows.",
)


def units(config: DecodingConfig) -> int:
    """One unit of work for the closed form of each part, and one for each model trained."""
    trained = config.seeds * (len(NAMES) - 1) + min(config.rnn_seeds, config.seeds)
    return len(PARTS) * (1 + trained)


def run(
    config: DecodingConfig,
    recording: S1,
    advance: Callable[[], None],
    unfinished: Unfinished | None = None,
) -> Arrays:
    """Trains the models on all and on limited data.

    Fig. 5 and Table 1 are about the same training, which takes minutes: one after the other, they
    do it once, and each model that is trained is kept if a run is interrupted.

    Args:
      config: the study's.
      recording: what to decode.
      advance: called after each unit of work.
      unfinished: where finished units are kept; if ``None``, none is.

    Returns:
      ``seed (S,)`` and ``curve_time (K,)``, training times ``eta batch_size steps``; and for each
      part, with its name in front: ``epoch (R,)``, and ``time ()`` at the end; ``R^2`` on held-out
      windows ``scaled``, ``unscaled``, ``(S, R, n_y)``, and ``rnn`` of the first seeds;
      ``scaled_errors``, ``unscaled_errors``, ``rnn_errors``, ``(S, B, n_y)``, the squared errors at
      the end over each held-out piece; ``moments (3, B, n_y)``, the number, sum and sum of squares
      of targets there; and in closed form ``closed_scaled``, ``closed_unscaled``, ``(S, R, n_y)``,
      and at training times ``curve_scaled``, ``curve_unscaled``, ``(S, K, n_y)``.

    Raises:
      ValueError: if there are not enough data, or the learning rate is past stability.
    """
    parts_of_it = (recording.spikes, recording.velocity, recording.pieces)
    digests = [hashlib.sha256(array.tobytes()).hexdigest() for array in parts_of_it]
    work = f"decoding: {replace(config, data=None)}, {digests}"
    finish = Units(advance) if unfinished is None else unfinished.units(work, advance)
    # As many steps with limited data as there are with all of them.
    train, test = split(config, recording, "full")
    steps = config.epochs * (len(train.x) // config.batch_size)
    arrays: Arrays = {"seed": np.asarray(config.seed_list), "curve_time": training_times(config)}
    for part in PARTS:
        train, test = split(config, recording, part) if part != "full" else (train, test)
        found = decode(config, train, hold_out(config, test), steps, finish, part)
        arrays |= {f"{part}_{name}": array for name, array in found.items()}
    return arrays


def training_times(config: DecodingConfig) -> Float[np.ndarray, " K"]:
    """Times at which convolutions are solved for, equally spaced on a logarithmic axis."""
    return _curve_steps(config) * config.learning_rate * config.batch_size


def _curve_steps(config: DecodingConfig) -> Float[np.ndarray, " K"]:
    first, last = (10.0**decade / (config.learning_rate * config.batch_size) for decade in _DECADES)
    return np.unique(np.round(np.geomspace(max(first, 1), last, 57)))


def decode(
    config: DecodingConfig,
    train: Windows,
    test: HeldOut,
    steps: int,
    finish: Units,
    part: str = "",
) -> Arrays:
    """Trains the models on windows, for every seed; returns the arrays of one part (`run`)."""
    in_dim, out_dim = train.x.shape[2], train.y.shape[2]
    convolutions = students.convolutions(config, out_dim)
    draws = [_draw(jax.random.key(seed), config, in_dim, out_dim) for seed in config.seed_list]
    epoch_steps = len(train.x) // config.batch_size
    records = np.unique([*range(0, steps, epoch_steps), steps])
    data = _as_model_input(config, train)

    def trained(name: str, params: Any, response: Array, key: Array) -> Arrays:
        model = convolutions.get(name) or students.rnn(config, config.width, out_dim)
        start = params if name == "rnn" else convolutions[name].params_from(response)
        path = nr.train(
            model if config.targets == "all" else _LastStep(model, config.seq_len),
            start, data, steps=steps, batch_size=config.batch_size, key=key,
            learning_rate=config.learning_rate, record_at=records,
        )  # fmt: skip
        check_converged(config.learning_rate, path.diverged_at, f" of the {name}")
        # Where Ctrl-C interrupts it, ``train`` returns the path so far, which is no finished unit.
        if path.step[-1] < steps:
            raise KeyboardInterrupt
        responses = _responses(config, path.impulse_response)
        return {name: test.score(responses), f"{name}_errors": test.errors(responses[-1])}

    # The closed form comes first, since it finds out whether the learning rate is past stability.
    starts = np.stack([np.asarray(response, float) for _, response, _ in draws])
    solve = partial(_closed_form, config, convolutions, train, test, starts, records)
    arrays = {
        "epoch": records / epoch_steps, "moments": test.moments(),
        "time": np.asarray(steps * config.learning_rate * config.batch_size),
        **finish(f"{part}_closed", solve),
    }  # fmt: skip
    for name in NAMES:
        seeds = config.seed_list[: config.rnn_seeds if name == "rnn" else None]
        found = [
            finish(f"{part}_{name}_{seed}", partial(trained, name, *draw))
            for seed, draw in zip(seeds, draws, strict=False)
        ]
        arrays |= {key: np.stack([each[key] for each in found]) for key in found[0]}
    return arrays


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
        steps = np.append(records, _curve_steps(config))
        responses = kernel.impulse_response(steps, config.learning_rate * share)
        responses = responses.reshape(len(steps), lags, seeds, out_dim, in_dim)
        scores = test.score(np.moveaxis(responses, 2, 0))
        closed, curve = np.split(scores, [len(records)], axis=1)
        arrays |= {f"closed_{name}": closed, f"curve_{name}": curve}
    return arrays


@dataclass(frozen=True)
class _LastStep:
    """A causal linear model's last output alone, of windows as one row each, ``(N, 1, T n_x)``.

    It is a product with the impulse response, last lag first. Where only the last output counts,
    all ``T`` of them would take as many times as long.
    """

    model: nr.LinearRNN | nr.ScaledConv
    seq_len: int

    def __call__(self, params: Any, x: Float[AnyArray, "N 1 K"]) -> Float[Array, "N 1 n_y"]:
        rows = self._response(params)[::-1].swapaxes(0, 1).reshape(-1, x.shape[2])
        return jnp.einsum("ntk,pk->ntp", x, rows, precision="highest")

    def _response(self, params: Any) -> Float[Array, "T n_y n_x"]:
        """The impulse response, whose evaluation on unit impulses would outlast the product."""
        if isinstance(self.model, nr.LinearRNN):
            return nr.impulse_response(params, self.seq_len)
        theta = params["params"]["theta"]
        weights = jnp.asarray(self.model.lag_weights, theta.dtype)
        return jnp.sqrt(weights)[:, None, None] * theta  # (eq. 8)


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
