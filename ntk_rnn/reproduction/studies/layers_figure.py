"""The figure of the study of causal linear layers."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntk_rnn import plotting
from ntk_rnn.reproduction.studies.layers_config import LayersConfig

# Colour, marker and its size for each layer. Greyscale tells markers apart. The Gaussian RNN's is
# larger, so that it is seen below that of the orthogonal one, which has the same limit.
_STYLES = {
    "gaussian": (plotting.BLUE, "o", 8),
    "orthogonal": (plotting.SKY, "s", 4),
    "diagonal": (plotting.ORANGE, "^", 4.5),
    "lru": (plotting.YELLOW, "v", 4.5),
    "s4d-lin": (plotting.GREEN, "D", 4.5),
    "s4d-inv": (plotting.PURPLE, "P", 4.5),
}


def draw_figure(config: LayersConfig, arrays: dict[str, np.ndarray]) -> Figure:
    """Weights, steps and losses of all layers, at the largest width."""
    fig, (weights, steps, losses) = plotting.panels(3, width=4.3, height=4.1)
    lag, width = np.arange(config.seq_len), arrays["width"][-1]
    for a, name in enumerate(arrays["layer"].tolist()):
        color, marker, size = _STYLES[name]
        weight, limit = arrays["weight"][a, -1], arrays["limit"][a]
        plotting.points(
            weights, lag, weight / weight[:, :1], color=color, marker=marker, markersize=size
        )
        weights.plot(lag, limit / limit[0], color=color, linewidth=1.4)
        plotting.bands(steps, lag, arrays["steps"][a, -1], name, color=color)
        steps.lines[-1].set(marker=marker, markersize=size, linewidth=1.2)
        loss, predicted = arrays["loss"][a, -1], arrays["predicted"][a, -1]
        plotting.bands(losses, arrays["step"], loss, name, color=color, band=False)
        dashes = (0, (3, 3))
        losses.plot(arrays["step"], np.median(predicted, axis=0), color="black", linestyle=dashes)
    plotting.describe(
        weights, f"How much each lag weighs, n = {width}", xlabel="lag",
        ylabel="weight relative to lag 0", yscale="log",
    )  # fmt: skip
    plotting.describe(
        steps, "Steps to learn half of each lag", xlabel="lag", ylabel="steps of gradient descent",
        yscale="log",
    )  # fmt: skip
    plotting.describe(
        losses, f"Training: the input of {config.delay} steps ago",
        xlabel="step of gradient descent", ylabel="loss relative to the start", yscale="log",
    )  # fmt: skip
    for ax in (weights, steps):
        plotting.whole_numbers(ax)
    weights.legend(
        [Line2D([], [], color="0.3"), Line2D([], [], color="0.3", marker="o", linestyle="")],
        ["infinite width, closed form", plotting.over_seeds("median and quartiles", config.seeds)],
        fontsize=9, frameon=False,
    )  # fmt: skip
    losses.legend(
        [Line2D([], [], color="0.3"), Line2D([], [], color="black", linestyle=(0, (3, 3)))],
        ["trained", "predicted by its Gram matrix"], fontsize=9, frameon=False,
    )  # fmt: skip
    plotting.legend_below(fig, [steps], "layer", len(arrays["layer"]))
    return fig
