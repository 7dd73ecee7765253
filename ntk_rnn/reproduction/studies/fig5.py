"""Fig. 5: how well the S1 recordings are decoded while training, with all data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ntk_rnn import plotting
from ntk_rnn.data import S1
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies.decoding import data, training
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.reproduction.studies.decoding.data import Part
from ntk_rnn.reproduction.studies.decoding.training import CHOICES, OUTPUTS, PAPER, Arrays
from ntk_rnn.reproduction.studies.students import NAMES, STYLES

__all__ = ["CHOICES", "PAPER", "claims", "metrics", "numbers", "plot", "run", "units"]


def units(config: DecodingConfig) -> int:
    """One unit of work for the closed form, and one for each model trained."""
    return training.units(config, ["full"])


def run(config: DecodingConfig, advance: Callable[[], None]) -> Arrays:
    """Trains the models on all data; returns the arrays of `decoding.training.run`.

    Raises:
      DataUnavailable: if the recording cannot be had.
      ValueError: if it is another file, there are not enough data, or the learning rate is past
        stability.
    """
    return compute(config, data.load(config), advance)


def compute(config: DecodingConfig, recording: S1, advance: Callable[[], None]) -> Arrays:
    """`run` on a recording."""
    return training.run(config, recording, ["full"], advance)


def metrics(config: DecodingConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each epoch and output: mean ``R^2`` of each model, and standard error."""
    rows = []
    for r, epoch in enumerate(arrays["full_epoch"]):
        for p, output in enumerate(OUTPUTS):
            row: dict[str, Any] = {"epoch": float(epoch), "output": output}
            for name in (*NAMES, "closed_scaled", "closed_unscaled"):
                samples = arrays[f"full_{name}"][:, r, p]
                row[name], row[f"{name}_stderr"] = averages.mean(samples)
            rows.append(row)
    return rows


def numbers(config: DecodingConfig, arrays: Arrays) -> list[Number]:
    """``R^2`` of each model after the last epoch."""
    epochs = f"after {arrays['full_epoch'][-1]:g} epochs"
    return [
        Number(f"R^2 of the {title}, {output}, {epochs}", "",
               averages.printed_mean(arrays[f"full_{name}"][:, -1, p]))
        for name, title in NAMES.items()
        for p, output in enumerate(OUTPUTS)
    ]  # fmt: skip


def claims(config: DecodingConfig, arrays: Arrays) -> list[Claim]:
    """RNN and scaled convolution agree through training."""
    return agreement(config, arrays, "full")


def agreement(config: DecodingConfig, arrays: Arrays, part: Part) -> list[Claim]:
    """The claims that RNN and scaled convolution agree in each output, with the bar of Fig. 3."""
    gaps = np.abs(arrays[f"{part}_rnn"] - arrays[f"{part}_scaled"])
    return [
        verdicts.median_below(
            f"RNN decodes the {output} as the scaled convolution does, {part} data (gap in R^2, "
            "mean of epochs from the first; median of seeds)",
            trained(arrays, gaps, part)[..., p].mean(axis=1), 0.05 * (1000 / config.width) ** 0.5,
        )
        for p, output in enumerate(OUTPUTS)
    ]  # fmt: skip


def trained(
    arrays: Arrays, curves: Float[np.ndarray, "S R n_y"], part: Part
) -> Float[np.ndarray, "S E n_y"]:
    """Curves from the end of the first epoch on."""
    return curves[:, arrays[f"{part}_epoch"] >= 1]


def plot(config: DecodingConfig, arrays: Arrays) -> Figure:
    """``R^2`` on held-out windows over epochs, a panel for each output; a band over seeds."""
    fig, axes = plotting.panels(len(OUTPUTS), width=4.4, height=4.0)
    for p, (ax, output) in enumerate(zip(axes, OUTPUTS, strict=True)):
        for name, style in STYLES.items():
            label = f"linear RNN, n = {config.width}" if name == "rnn" else NAMES[name]
            plotting.bands(
                ax, arrays["full_epoch"], arrays[f"full_{name}"][..., p], label, **style
            )  # fmt: skip
        for name in ("scaled", "unscaled"):
            plotting.bands(
                ax, arrays["full_epoch"], arrays[f"full_closed_{name}"][..., p],
                "convolutions in closed form" if name == "scaled" else "_again",
                color="black", linestyle=(0, (1, 4)), band=False,
            )  # fmt: skip
        plotting.describe(ax, f"{output} of the hand", xlabel="epoch", ylim=(0, 0.8))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.margins(x=0)
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel("R² on held-out windows")
    start = np.median(arrays["full_rnn"][:, 0])
    title = plotting.over_seeds("median and quartiles", len(arrays["seed"]))
    plotting.legend_below(fig, axes, f"{title}; all start near {start:.3g}", 2)
    return fig
