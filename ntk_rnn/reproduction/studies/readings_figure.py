"""The figure of the study of readings: how far the scaled models are ahead, over training time."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ntk_rnn import plotting
from ntk_rnn.reproduction.studies.decoding.config import ReadingsConfig
from ntk_rnn.reproduction.studies.decoding.data import PARTS, Part
from ntk_rnn.reproduction.studies.decoding.readings import MODELS, READINGS, moments, samples
from ntk_rnn.reproduction.studies.decoding.training import OUTPUTS
from ntk_rnn.reproduction.studies.table1 import TABLE_1

# With all data, the first two are the same. The second is dashed, so that both are seen.
_STYLES: dict[str, dict[str, Any]] = {
    "last": {"color": plotting.BLUE, "linestyle": "-"},
    "own": {"color": plotting.ORANGE, "linestyle": (0, (4, 4))},
    "all": {"color": plotting.GREEN, "linestyle": "-"},
}


def draw_figure(config: ReadingsConfig, arrays: dict[str, np.ndarray]) -> Figure:
    """A panel for each part and output, with the paper's difference as a dotted line."""
    fig, axes = plotting.panels(len(PARTS) * len(OUTPUTS), width=3.4, height=4.0)
    titles = {"full": "all data", "limited": f"{config.limited_minutes:g} minutes"}
    panels: list[tuple[Part, int]] = [
        (part, p) for part in reversed(PARTS) for p in range(len(OUTPUTS))
    ]
    time = arrays["time"]
    for ax, (part, p) in zip(axes, panels, strict=True):
        ahead = {}
        for key, reading in READINGS.items():
            one, two = (samples(arrays, key, part, name)[..., p] for name in MODELS)
            ahead[key] = one - two
            plotting.bands(ax, time, ahead[key], reading.title, **_STYLES[key])
        for key, moment in moments():
            k = int(np.argmin(np.abs(time - moment.time)))
            ax.plot(moment.time, np.median(ahead[key][:, k]), "o", color=_STYLES[key]["color"],
                    markeredgecolor="white", markersize=7)  # fmt: skip
        paper = TABLE_1[part, "scaled"][p] - TABLE_1[part, "unscaled"][p]
        ax.axhline(paper, color="black", linestyle=(0, (1, 2)), label="in the paper")
        ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        plotting.describe(
            ax, f"{OUTPUTS[p]}, {titles[part]}", xlabel="training time", xscale="log",
            ylim=(-0.1, 0.1),
        )  # fmt: skip
        ax.margins(x=0)
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel("R² of scaled minus unscaled")
    title = "median and quartiles of chunks, or of seeds with all data; points are in the table"
    plotting.legend_below(fig, axes, title, 4)
    return fig
