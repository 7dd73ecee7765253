"""Fig. 5: how well the S1 recordings are decoded while training, with limited and with all data."""

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
from ntk_rnn.reproduction.studies.decoding.data import PARTS
from ntk_rnn.reproduction.studies.decoding.training import CHOICES, OUTPUTS, PAPER, Arrays
from ntk_rnn.reproduction.studies.students import NAMES, STYLES
from ntk_rnn.reproduction.unfinished import Unfinished

__all__ = ["CHOICES", "PAPER", "claims", "metrics", "numbers", "plot", "run", "units"]


def units(config: DecodingConfig) -> int:
    """One unit of work for the closed form of each part, and one for each model trained."""
    return training.units(config)


def run(
    config: DecodingConfig, advance: Callable[[], None], unfinished: Unfinished | None = None
) -> Arrays:
    """Trains the models on limited and on all data.

    Returns:
      The arrays of `decoding.training.run`.

    Raises:
      DataUnavailable: if the recording cannot be had.
      ValueError: if it is another file, there are not enough data, or the learning rate is past
        stability.
    """
    return compute(config, data.load(config.data), advance, unfinished)


def compute(
    config: DecodingConfig,
    recording: S1,
    advance: Callable[[], None],
    unfinished: Unfinished | None = None,
) -> Arrays:
    """`run` on a recording."""
    return training.run(config, recording, advance, unfinished)


def metrics(config: DecodingConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each part, epoch and output: mean ``R^2`` of each model, and standard error."""
    rows = []
    for part in PARTS:
        for r, epoch in enumerate(arrays[f"{part}_epoch"]):
            for p, output in enumerate(OUTPUTS):
                row: dict[str, Any] = {"data": part, "epoch": float(epoch), "output": output}
                for name in (*NAMES, "closed_scaled", "closed_unscaled"):
                    samples = arrays[f"{part}_{name}"][:, r, p]
                    row[name], row[f"{name}_stderr"] = averages.mean(samples)
                rows.append(row)
    return rows


def numbers(config: DecodingConfig, arrays: Arrays) -> list[Number]:
    """``R^2`` of each model after the last epoch; what the paper prints of it is Table 1."""
    return [
        Number(f"R^2 of the {title}, {output}, {part} data, after {arrays[f'{part}_epoch'][-1]:g} "
               "epochs", "", averages.printed_mean(arrays[f"{part}_{name}"][:, -1, p]))
        for part in PARTS
        for name, title in NAMES.items()
        for p, output in enumerate(OUTPUTS)
    ]  # fmt: skip


def claims(config: DecodingConfig, arrays: Arrays) -> list[Claim]:
    """RNN and scaled convolution agree through training, in each part and output.

    The bar is that of Fig. 3.
    """
    bar, result = 0.05 * (1000 / config.width) ** 0.5, []
    for part in PARTS:
        gaps = np.abs(minus(arrays, part, "rnn", "scaled"))[:, arrays[f"{part}_epoch"] >= 1]
        result += [
            verdicts.median_below(
                f"RNN decodes the {output} as the scaled convolution does, {part} data (gap in "
                "R^2, mean of epochs from the first; median of seeds)",
                gaps[..., p].mean(axis=1), bar,
            )
            for p, output in enumerate(OUTPUTS)
        ]  # fmt: skip
    return result


def minus(arrays: Arrays, part: str, name: str, other: str) -> Float[np.ndarray, "S R n_y"]:
    """How far a model is ahead of another one of the same seed, for the seeds that both have."""
    one, two = arrays[f"{part}_{name}"], arrays[f"{part}_{other}"]
    seeds = min(len(one), len(two))
    return one[:seeds] - two[:seeds]


def plot(config: DecodingConfig, arrays: Arrays) -> Figure:
    """``R^2`` on held-out windows over epochs, for limited and for all data; bands over seeds."""
    fig, axes = plotting.panels(len(PARTS) * len(OUTPUTS), width=3.3, height=3.9)
    titles = {"full": "all data", "limited": f"{config.limited_minutes:g} minutes"}
    panels = [(part, p) for part in reversed(PARTS) for p in range(len(OUTPUTS))]
    for ax, (part, p) in zip(axes, panels, strict=True):
        for name, style in STYLES.items():
            label = f"linear RNN, n = {config.width}" if name == "rnn" else NAMES[name]
            curves = arrays[f"{part}_{name}"][..., p]
            plotting.bands(ax, arrays[f"{part}_epoch"], curves, label, **style)
        for name in ("scaled", "unscaled"):
            plotting.bands(
                ax, arrays[f"{part}_epoch"], arrays[f"{part}_closed_{name}"][..., p],
                "convolutions in closed form" if name == "scaled" else "_again",
                color="black", linestyle=(0, (1, 4)), band=False,
            )  # fmt: skip
        plotting.describe(ax, f"{OUTPUTS[p]}, {titles[part]}", xlabel="epoch", ylim=(0, 0.8))
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.margins(x=0)
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel("R² on held-out windows")
    start = np.median(arrays["full_rnn"][:, 0])
    seeds = (len(arrays["full_scaled"]), len(arrays["full_rnn"]))
    title = f"median and quartiles of {seeds[0]} seeds, {seeds[1]} of the RNN"
    plotting.legend_below(fig, axes, f"{title}; all start near {start:.3g}", 4)
    return fig
