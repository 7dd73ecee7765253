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
from ntk_rnn.reproduction import verdicts as statistics
from ntk_rnn.reproduction.claims import Claim, Number, at_most
from ntk_rnn.reproduction.studies import config_checks
from ntk_rnn.reproduction.studies.configs import DynamicsConfig, seed_list

Arrays = dict[str, np.ndarray]
TrainData = tuple[Float[Array, "N T n_x"], Float[Array, "N T n_y"]]
TestData = tuple[Float[Array, "M T n_x"], Float[Array, "M T n_y"]]

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
)


def units(config: DynamicsConfig) -> int:
    """One unit of work a seed."""
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
    for seed in seed_list(config):
        rows.append(_one_seed(config, jax.random.key(seed)))
        advance()
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return {
        "seed": np.asarray(seed_list(config)),
        "step": np.arange(config.steps + 1),
        "lag_weights": np.asarray(_lag_weights(config)),
        **arrays,
    }


def metrics(config: DynamicsConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row a seed: losses at the start and at the end, and how far apart the curves are."""
    gaps = {
        "train_gap": _gap(arrays, "rnn_train", "conv_train"),
        "test_gap": _gap(arrays, "rnn_test", "conv_test"),
        "closed_train_gap": _gap(arrays, "closed_train", "conv_train"),
        "closed_test_gap": _gap(arrays, "closed_test", "conv_test"),
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
    """How far RNN and convolution are apart, and what is left of their losses at the end."""
    result = []
    for data, name in (("train", "training"), ("test", "test")):
        gap = _gap(arrays, f"rnn_{data}", f"conv_{data}")
        quantity = f"Largest gap in {name} error, RNN against convolution / initial {name} error"
        ours = f"{statistics.shown(*statistics.median(gap))} (largest of seeds {gap.max():.2g})"
        result.append(Number(quantity, "", ours))
        for model, title in (("rnn", "RNN"), ("conv", "convolution")):
            losses = arrays[f"{model}_{data}"]
            left = statistics.median(losses[:, -1] / losses[:, 0])
            quantity = f"{name.capitalize()} error of the {title} at the end / at the start"
            result.append(Number(quantity, "", statistics.shown(*left)))
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
        result.append(statistics.median_below(f"{statement} {how}", gap, width_bar))
    for data, name in (("train", "training"), ("test", "test")):
        gap = _gap(arrays, f"closed_{data}", f"conv_{data}")
        result.append(
            at_most(
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
        for model, label, color, style in (
            ("rnn", f"linear RNN, n = {config.width}", plotting.BLUE, "-"),
            ("conv", "scaled convolution", plotting.ORANGE, (0, (5, 3))),
            ("closed", "closed form", "black", (0, (1, 2.5))),
        ):
            plotting.bands(
                ax, arrays["step"], arrays[f"{model}_{data}"] / start, label,
                color=color, linestyle=style, band=model != "closed",
            )  # fmt: skip
        ax.set_title(f"{title} error", fontsize=11)
        ax.set_xlabel("epoch")
        if config.steps > 20:  # over the first few epochs no more than a factor is gained
            ax.set_yscale("log")
        else:
            ax.set_ylim(0, 1.02)
        ax.margins(x=0)
    axes[0].set_ylabel("squared error / initial squared error")
    seeds = len(arrays["seed"])
    plotting.legend(axes[0], plotting.over_seeds("median and quartiles", seeds))
    return fig


def _one_seed(config: DynamicsConfig, key: Array) -> Arrays:
    train, test, params, response = _draw(key, config)
    closed, largest_rate = _closed_form(config, train, test, response)
    config_checks.stable(config.learning_rate, float(largest_rate))
    conv = nr.ScaledConv(np.asarray(_lag_weights(config)), config.out_dim)
    descend = partial(
        nr.gradient_descent,
        data=train, test=test, steps=config.steps, learning_rate=config.learning_rate,
    )  # fmt: skip
    # Equal modules share what is compiled, so that every seed after the first only runs.
    paths = {
        "rnn": descend(_student(config).apply, params),
        "conv": descend(conv.apply, conv.params_from(response)),
    }
    arrays = {f"closed_{name}": np.asarray(value) for name, value in closed.items()}
    for name, path in paths.items():
        config_checks.converging(config.learning_rate, path.diverged_at)
        arrays[f"{name}_train"] = np.asarray(path.train_loss)
        arrays[f"{name}_test"] = np.asarray(path.test_loss)
        arrays[f"{name}_response"] = np.asarray(path.impulse_response[-1])
    return arrays | {"initial_response": np.asarray(response)}


def _student(config: DynamicsConfig) -> nr.LinearRNN:
    return nr.LinearRNN(config.width, config.out_dim, config.nu_w, config.nu_f, config.nu_c)


def _lag_weights(config: DynamicsConfig) -> Float[Array, " T"]:
    return nr.lag_weights(config.seq_len, config.nu_w, config.nu_f, config.nu_c)


@partial(jax.jit, static_argnums=1)
def _draw(
    key: Array, config: DynamicsConfig
) -> tuple[TrainData, TestData, Any, Float[Array, "T n_y n_x"]]:
    """Training and test data of one teacher, the student's parameters, its impulse response."""
    key_data, key_student = jax.random.split(key)
    x, y = nr.data.teacher(
        key_data, config.num_train + config.num_test, config.seq_len,
        in_dim=config.in_dim, out_dim=config.out_dim, width=config.teacher_width,
        nu_w=config.nu_w, nu_f=config.nu_f, nu_c=config.nu_c, snr_db=config.snr_db,
    )  # fmt: skip
    n = config.num_train
    params = _student(config).init(key_student, x[:n])
    response = nr.impulse_response(params, config.seq_len)
    return (x[:n], y[:n]), (x[n:], y[n:]), params, response


@partial(jax.jit, static_argnums=0)
def _closed_form(
    config: DynamicsConfig, train: TrainData, test: TestData, response: Float[Array, "T n_y n_x"]
) -> tuple[dict[str, Array], Float[Array, ""]]:
    """Losses at every step, the impulse response at the end, and the largest learning rate."""
    kernel = nr.kernel_regression(_lag_weights(config), train, initial=response)
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
