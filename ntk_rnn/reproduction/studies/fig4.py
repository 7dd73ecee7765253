"""Fig. 4: the wider a linear RNN, the closer it trains to its equivalent scaled convolution.

Each seed draws a teacher and data, which all widths share, and an RNN of every width. The scaled
convolution starts from the impulse response of the RNN, and its path is that of Proposition 3.1.
Their distance is a fluctuation of the RNN's kernel, and falls as ``1 / sqrt(n)`` (Theorem 3.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

import ntk_rnn as nr
from ntk_rnn import plotting
from ntk_rnn.power_law import PowerLaw, fit_power_law
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import students, teacher_data
from ntk_rnn.reproduction.studies.configs import WidthConfig
from ntk_rnn.reproduction.studies.learning_rate import check_converged, check_stable

Arrays = dict[str, np.ndarray]

PAPER = (
    "Fig. 4 shows that the wider a linear RNN, the closer it trains to its equivalent scaled "
    "convolution.",
    "A teacher of 20 hidden units; students of 10, 40 and 200.",
)
CHOICES = (
    "Loss, learning rate and data are those of Fig. 1, but for the teacher.",
    "Widths go on to 1000 and 4000, so that a power law can be fitted.",
    "100 steps are taken: losses are farthest apart in the first 20.",
    "There are 64 seeds, because the gap in loss differs between them by a factor of 2 to 3.",
    "Each seed draws a teacher and data, which all widths share, and an RNN of every width; the "
    "convolution starts from the impulse response of the RNN.",
    students.HOW_TRAINED,
)

# The gaps, by name, and what claims and the figure call them.
_GAPS = {"train": "training loss", "test": "test loss", "response": "impulse response"}


def units(config: WidthConfig) -> int:
    """One unit of work for each RNN."""
    return len(config.widths) * config.seeds


def run(config: WidthConfig, advance: Callable[[], None]) -> Arrays:
    """Trains RNNs of all widths, and solves for the convolution that each starts as.

    Returns:
      ``width (K,)``, rising, ``seed (S,)``, ``step (R,)``, denser at the start; losses before each
      of these steps ``rnn_train``, ``rnn_test``, ``conv_train``, ``conv_test``, ``(K, S, R)``; and
      ``response_gap (K, S, R)``, the Frobenius distance of the impulse responses, relative to what
      the convolution's changes by in all.

    Raises:
      ValueError: if the learning rate is past stability.
    """
    widths, records, rows = sorted(config.widths), _records(config), []
    for width in widths:
        for seed in config.seed_list:
            rows.append(_one(config, width, records, jax.random.key(seed)))
            advance()
    shape = (len(widths), config.seeds, len(records))
    return {
        "width": np.asarray(widths), "seed": np.asarray(config.seed_list), "step": records,
        **{name: np.stack([row[name] for row in rows]).reshape(shape) for name in rows[0]},
    }  # fmt: skip


def gaps(arrays: Arrays) -> dict[str, Float[np.ndarray, "K S R"]]:
    """How far RNN and convolution are apart at each step: losses relative to the initial loss."""
    losses = {
        name: np.abs(arrays[f"rnn_{name}"] - arrays[f"conv_{name}"])
        / arrays[f"conv_{name}"][:, :, :1]
        for name in ("train", "test")
    }
    return {**losses, "response": arrays["response_gap"]}


def fits(arrays: Arrays) -> dict[str, PowerLaw]:
    """The power law in the width of the largest gap over the steps."""
    return {
        name: fit_power_law(arrays["width"], gap.max(axis=2)) for name, gap in gaps(arrays).items()
    }


def metrics(config: WidthConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each RNN: the largest gaps over the steps."""
    largest = {f"{name}_gap": gap.max(axis=2) for name, gap in gaps(arrays).items()}
    return [
        {"width": int(width), "seed": int(seed)}
        | {name: float(values[i, j]) for name, values in largest.items()}
        for i, width in enumerate(arrays["width"])
        for j, seed in enumerate(arrays["seed"])
    ]


def numbers(config: WidthConfig, arrays: Arrays) -> list[Number]:
    """The exponent of each gap in the width, and the largest gap in training loss at each width."""
    slopes = [
        Number(f"Log-log slope in the width of the largest gap in {_GAPS[name]}", "",
               averages.printed_exponent(law))
        for name, law in fits(arrays).items()
    ]  # fmt: skip
    largest = gaps(arrays)["train"].max(axis=2)
    return slopes + [
        Number(f"Largest gap in training loss / initial loss, n = {width} (median of seeds)", "",
               averages.printed_median(gap))
        for width, gap in zip(arrays["width"], largest, strict=True)
    ]  # fmt: skip


def claims(config: WidthConfig, arrays: Arrays) -> list[Claim]:
    """The gaps fall with the width, as its inverse root."""
    result, points = [], len(arrays["width"]) * len(arrays["seed"])
    for name, law in fits(arrays).items():
        gap = f"Distance of RNN and scaled convolution in {_GAPS[name]}"
        how = "(log-log slope and standard error)"
        result += [
            verdicts.falling(f"{gap} falls with width {how}", law, points),
            verdicts.slope(f"{gap} falls as 1 / sqrt(width) {how}", law, points, -0.5, 0.1),
        ]
    return result


def plot(config: WidthConfig, arrays: Arrays) -> Figure:
    """Training error as the paper draws it, its gap over epochs, and gaps against the width."""
    fig, (losses, over_steps, over_width) = plotting.panels(3, width=4.4, height=3.7)
    _plot_losses(losses, config, arrays)
    step, train = arrays["step"][1:], gaps(arrays)["train"][:, :, 1:]  # no gap at the start
    colors = plotting.shades(len(train))
    for k, (width, gap) in enumerate(zip(arrays["width"], train, strict=True)):
        plotting.bands(
            over_steps, step, gap, f"n = {width}",
            color=colors[k], linestyle=("-", (0, (4, 1.5)))[k % 2], band=False,
        )  # fmt: skip
    plotting.describe(
        over_steps, "RNN against scaled convolution", xlabel="epoch", xscale="log",
        ylabel="gap in training error / initial error", yscale="log",
    )  # fmt: skip
    over_steps.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    over_steps.margins(x=0)
    title = plotting.over_seeds("median", config.seeds)
    low, high = over_steps.get_ylim()
    over_steps.set_ylim(low / (high / low) ** 0.35, high)  # room for the legend
    plotting.legend(over_steps, title, loc="lower left", ncols=2)
    _plot_fits(over_width, arrays)
    return fig


def _plot_losses(ax: Axes, config: WidthConfig, arrays: Arrays) -> None:
    """Fig. 4 itself: RNNs of the three smallest widths, and the convolutions of each, dashed."""
    widths = arrays["width"][:3]
    colors = (plotting.GREEN, plotting.ORANGE, plotting.BLUE)
    for k, (width, color) in enumerate(zip(widths, colors, strict=False)):
        for name, label, style in (("rnn", f"n = {width}", "-"), ("conv", None, (0, (4, 2)))):
            loss = arrays[f"{name}_train"][k]
            loss = loss / arrays["conv_train"][k, :, :1]
            plotting.bands(
                ax, arrays["step"], loss, label or "_dashed", color=color, linestyle=style,
                band=False,
            )  # fmt: skip
    ax.plot([], [], color="black", linestyle=(0, (4, 2)), label="its convolution")
    plotting.describe(
        ax, "Training error", xlabel="epoch", ylabel="error / initial error", yscale="log"
    )
    ax.margins(x=0)
    plotting.legend(ax, plotting.over_seeds("median", config.seeds))


def _plot_fits(ax: Axes, arrays: Arrays) -> None:
    """Largest gaps against the width, with the fitted power laws."""
    widths, laws = arrays["width"], fits(arrays)
    for (name, gap), shift, color, marker, style in zip(
        gaps(arrays).items(),
        (0.94, 1.06, 1.0),  # side by side, because the two losses are nearly the same
        (plotting.BLUE, plotting.ORANGE, plotting.GREEN),
        ("o", "s", "^"),
        ("-", (0, (5, 2)), (0, (1, 1.5))),
        strict=True,
    ):
        law = laws[name]
        label = f"{_GAPS[name]}: slope {averages.printed_exponent(law, 2)}".replace("+-", "±")
        plotting.points(ax, widths * shift, gap.max(axis=2).T, color=color, marker=marker)
        fitted = np.exp(law.intercept) * widths.astype(float) ** law.slope
        ax.plot(widths, fitted, color=color, linestyle=style, linewidth=1.4, label=label)
    plotting.against_width(ax, widths, (1, 3))
    plotting.describe(ax, "Gap against width", ylabel="largest gap over epochs (relative)")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    plotting.legend(ax, "median and quartiles of seeds, and fit", loc="upper right")


def _one(config: WidthConfig, width: int, records: np.ndarray, key: Array) -> Arrays:
    key_data, key_student = jax.random.split(key)
    train, test = teacher_data.draw(key_data, config)
    model = students.rnn(config, width, config.out_dim)
    params, response = students.draw(model, key_student, train[0])
    rho = students.lag_weights(config)
    conv = nr.kernel_regression(rho, train, initial=np.asarray(response), on_host=True)
    rate = config.learning_rate
    check_stable(rate, float(conv.max_learning_rate))
    # The rate has just been seen to be stable, for the limit of the RNN's kernel.
    path = students.train_rnn(
        model, params, train, test=test, steps=config.steps, record_at=records,
        learning_rate=rate, allow_unstable=True,
    )  # fmt: skip
    check_converged(rate, path.diverged_at, f" of width {width}")
    responses = conv.impulse_response(records, rate)
    apart = np.sqrt(np.sum((np.asarray(path.impulse_response) - responses) ** 2, axis=(1, 2, 3)))
    return {
        "rnn_train": np.asarray(path.train_loss, float),
        "rnn_test": np.asarray(path.test_loss, float),
        "conv_train": conv.train_loss(records, rate),
        "conv_test": conv.test_loss(test, records, rate),
        "response_gap": apart / np.linalg.norm(responses[-1] - responses[0]),
    }


def _records(config: WidthConfig) -> Shaped[np.ndarray, " R"]:
    """Steps to record at: every one at first, where the gaps are largest, then ever fewer."""
    later = np.round(np.geomspace(1, config.steps, 30)).astype(int)
    return np.unique([*range(min(config.steps, 20) + 1), *later])
