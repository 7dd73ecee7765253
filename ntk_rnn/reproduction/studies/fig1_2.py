"""Figs. 1 and 2: a wide linear RNN trains as its equivalent scaled convolution does.

Each seed draws a teacher, data and an RNN. The scaled convolution starts from the impulse response
of the RNN; both descend the same loss. The closed form of the convolution's path (Proposition 3.1,
eq. 20) is the third curve.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped
from matplotlib.figure import Figure

import ntk_rnn as nr
from ntk_rnn import plotting
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import students, teacher_data
from ntk_rnn.reproduction.studies.configs import DynamicsConfig
from ntk_rnn.reproduction.studies.learning_rate import check_converged, check_stable
from ntk_rnn.reproduction.studies.teacher_data import TestData, TrainData

Arrays = dict[str, np.ndarray]

PAPER = (
    "Fig. 1 shows the training and the test error of a wide linear RNN and of its equivalent "
    "scaled convolution over epochs, Fig. 2 the first ten of them; the two agree.",
    "n = 1000, a teacher of 4 hidden units, n_x = n_y = 1, T = 10, nu_W = 0.3, nu_F = nu_C = 1, "
    "20 dB, 50 training and 50 test sequences, learning rate 1e-4.",
)
CHOICES = (
    "Loss: half the squared error, summed over sequences, times and outputs. The paper says mean "
    "squared error, but at its learning rate only the sum converges within its figures.",
    "Each step sees all training sequences, so a step is an epoch.",
    "The convolution starts from the impulse response of the RNN.",
    "Each seed draws a teacher, data and an RNN; distances are each seed's, and their median is "
    "over seeds.",
    students.HOW_TRAINED,
)


def units(config: DynamicsConfig) -> int:
    """One unit of work for each seed."""
    return config.seeds


def run(config: DynamicsConfig, advance: Callable[[], None]) -> Arrays:
    """Trains both models and solves for the closed form, for every seed.

    Returns:
      ``seed (S,)``, ``step (R,)``, ``lag_weights (T,)``; losses ``(S, R)`` before each step:
      ``rnn_train``, ``rnn_test``, ``conv_train``, ``conv_test``, ``closed_train``,
      ``closed_test``; impulse responses ``(S, T, n_y, n_x)``: ``initial_response``,
      ``rnn_response``, ``conv_response``, ``closed_response``, the last three at the end.

    Raises:
      ValueError: if the learning rate is past stability.
    """
    rows = []
    for seed in config.seed_list:
        rows.append(_one_seed(config, jax.random.key(seed)))
        advance()
    return {
        "seed": np.asarray(config.seed_list), "step": np.arange(config.steps + 1),
        "lag_weights": np.asarray(students.lag_weights(config)),
        **{name: np.stack([row[name] for row in rows]) for name in rows[0]},
    }  # fmt: skip


def metrics(config: DynamicsConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each seed: losses at the start and the end, and gaps between the curves."""
    gaps = {
        f"{prefix}{data}_gap": _gap(arrays, f"{model}_{data}", f"conv_{data}")
        for prefix, model in (("", "rnn"), ("closed_", "closed"))
        for data in ("train", "test")
    }
    rows = []
    for i, seed in enumerate(arrays["seed"]):
        row: dict[str, Any] = {"seed": int(seed)}
        for data in ("train", "test"):
            row[f"initial_{data}"] = float(arrays[f"rnn_{data}"][i, 0])
            for model in ("rnn", "conv", "closed"):
                row[f"{model}_{data}"] = float(arrays[f"{model}_{data}"][i, -1])
        rows.append(row | {name: float(gap[i]) for name, gap in gaps.items()})
    return rows


def numbers(config: DynamicsConfig, arrays: Arrays) -> list[Number]:
    """How far RNN and convolution are apart, and which part of their losses is left at the end."""
    result = []
    for data, name in (("train", "training"), ("test", "test")):
        gap = _gap(arrays, f"rnn_{data}", f"conv_{data}")
        quantity = f"Largest gap in {name} error, RNN against convolution / initial {name} error"
        ours = f"{averages.printed_median(gap)} (largest of seeds {gap.max():.2g})"
        result.append(Number(quantity, "", ours))
        for model, title in (("rnn", "RNN"), ("conv", "convolution")):
            losses = arrays[f"{model}_{data}"]
            left = averages.printed_median(losses[:, -1] / losses[:, 0])
            quantity = f"{name.capitalize()} error of the {title} at the end / at the start"
            result.append(Number(quantity, "", left))
    return result


def claims(config: DynamicsConfig, arrays: Arrays) -> list[Claim]:
    """The curves agree: RNN and convolution up to the width, convolution and closed form closely.

    The RNN's distance falls as ``1 / sqrt(n)``, so its bar, 0.03 at n = 1000, is taken along.
    """
    width_bar = 0.03 * (1000 / config.width) ** 0.5
    rounding_bar = 1e-10 if arrays["conv_train"].dtype == np.float64 else 1e-4
    result = []
    for data, statement in (
        ("train", "RNN trains as the scaled convolution"),
        ("test", "RNN generalizes as the scaled convolution"),
    ):
        gap = _gap(arrays, f"rnn_{data}", f"conv_{data}")
        how = f"(largest gap / initial {data} loss; median of seeds)"
        result.append(verdicts.median_below(f"{statement} {how}", gap, width_bar))
    for data, name in (("train", "training"), ("test", "test")):
        gap = _gap(arrays, f"closed_{data}", f"conv_{data}")
        result.append(
            verdicts.at_most(
                f"Closed form gives the convolution's {name} loss at every step (largest of seeds)",
                float(gap.max()), rounding_bar,
            )
        )  # fmt: skip
    return result


def plot(config: DynamicsConfig, arrays: Arrays) -> Figure:
    """Training and test loss over epochs, relative to the start; a band over seeds."""
    fig, axes = plotting.panels(2)
    for ax, data, title in zip(axes, ("train", "test"), ("Training", "Test"), strict=True):
        start = arrays[f"rnn_{data}"][:, :1]
        for model, label, style in (
            ("rnn", f"linear RNN, n = {config.width}", students.STYLES["rnn"]),
            ("conv", students.NAMES["scaled"], students.STYLES["scaled"]),
            ("closed", "closed form", {"color": "black", "linestyle": (0, (1, 2.5))}),
        ):
            plotting.bands(
                ax, arrays["step"], arrays[f"{model}_{data}"] / start, label,
                band=model != "closed", **style,
            )  # fmt: skip
        # Over the first few epochs no more than a factor is gained.
        ordinates = {"yscale": "log"} if config.steps > 20 else {"ylim": (0, 1.02)}
        plotting.describe(ax, f"{title} error", xlabel="epoch", **ordinates)
        ax.margins(x=0)
    axes[0].set_ylabel("squared error / initial squared error")
    plotting.legend(axes[0], plotting.over_seeds("median and quartiles", config.seeds))
    return fig


def _one_seed(config: DynamicsConfig, key: Array) -> Arrays:
    train, test, params, response = _draw(key, config)
    closed, largest_rate = _closed_form(config, train, test, response)
    check_stable(config.learning_rate, float(largest_rate))
    conv = students.convolutions(config, config.out_dim)["scaled"]
    # The rate has just been seen to be stable for the convolution, which is the RNN's limit.
    how: dict[str, Any] = {
        "data": train, "test": test, "steps": config.steps, "learning_rate": config.learning_rate,
        "allow_unstable": True,
    }  # fmt: skip
    # Equal models share what is compiled, so that every seed after the first only runs.
    paths = {
        "rnn": students.train_rnn(_rnn(config), params, **how),
        "conv": nr.gradient_descent(conv.apply, conv.params_from(response), **how),
    }
    arrays = {f"closed_{name}": np.asarray(value) for name, value in closed.items()}
    for name, path in paths.items():
        check_converged(config.learning_rate, path.diverged_at)
        arrays[f"{name}_train"] = np.asarray(path.train_loss)
        arrays[f"{name}_test"] = np.asarray(path.test_loss)
        arrays[f"{name}_response"] = np.asarray(path.impulse_response[-1])
    return arrays | {"initial_response": np.asarray(response)}


def _rnn(config: DynamicsConfig) -> nr.LinearRNN:
    return students.rnn(config, config.width, config.out_dim)


@partial(jax.jit, static_argnums=1)
def _draw(
    key: Array, config: DynamicsConfig
) -> tuple[TrainData, TestData, Any, Float[Array, "T n_y n_x"]]:
    """Training and test data of one teacher, the student's parameters, its impulse response."""
    key_data, key_student = jax.random.split(key)
    train, test = teacher_data.draw(key_data, config)
    return train, test, *students.draw(_rnn(config), key_student, train[0])


@partial(jax.jit, static_argnums=0)
def _closed_form(
    config: DynamicsConfig, train: TrainData, test: TestData, response: Float[Array, "T n_y n_x"]
) -> tuple[dict[str, Array], Float[Array, ""]]:
    """Losses at every step, the impulse response at the end, and the largest learning rate."""
    kernel = nr.kernel_regression(students.lag_weights(config), train, initial=response)
    steps, rate = jnp.arange(config.steps + 1), config.learning_rate
    losses = {
        "train": kernel.train_loss(steps, rate),
        "test": kernel.test_loss(test, steps, rate),
        "response": kernel.impulse_response(config.steps, rate),
    }
    return losses, kernel.max_learning_rate


def _gap(arrays: Arrays, one: str, other: str) -> Shaped[np.ndarray, " S"]:
    """Largest difference of two losses over the steps, relative to the initial loss, per seed."""
    difference = np.abs(arrays[one] - arrays[other])
    return difference.max(axis=1) / arrays[other][:, 0]
