"""The figure of the study of short memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ntk_rnn import plotting
from ntk_rnn.reproduction.studies import bias_activations
from ntk_rnn.reproduction.studies.bias_config import BiasConfig
from ntk_rnn.reproduction.studies.bias_problem import effort, predicted
from ntk_rnn.reproduction.studies.students import NAMES, STYLES

Arrays = dict[str, np.ndarray]


def plot(config: BiasConfig, arrays: Arrays) -> Figure:
    """Steps until half of each lag is learned, and the drift of some lags below their bounds.

    A panel of networks with an activation follows, where there are any.
    """
    fig, (over_lag, over_steps, *others) = plotting.panels(
        2 + (len(arrays["activation"]) > 0), width=4.7, height=4.0
    )
    lag = np.arange(config.seq_len)
    for name in ("unscaled", "scaled"):
        label = f"{NAMES[name]} ({config.seeds} seeds)"
        plotting.bands(over_lag, lag, arrays[name], label, **STYLES[name])
    expected = predicted(config, arrays["lag_weights"], arrays["input_energy"])
    over_lag.plot(
        lag, np.median(expected, axis=0), color=plotting.GREY, linewidth=0.9,
        label=r"predicted, $(1 - \eta\,\rho_j\,s_j)^\ell = 1/2$",
    )  # fmt: skip
    for k, (size, steps) in enumerate(zip(arrays["change"], arrays["rnn"], strict=True)):
        rows, lags, _ = effort(arrays, steps)
        label = f"linear RNN, change {size:g} ({rows.sum()} seeds)"
        plotting.points(
            over_lag, lags, steps[np.ix_(rows, lags)], label, marker="os^v"[k % 4], zorder=3,
            markerfacecolor="none" if k else plotting.BLUE, markersize=8 if k else 4.5,
        )  # fmt: skip
    plotting.describe(
        over_lag, "Time to learn half of a lag", xlabel="lag j (time steps)",
        ylabel="steps of gradient descent", yscale="log",
    )  # fmt: skip
    over_lag.xaxis.set_major_locator(MaxNLocator(integer=True))
    plotting.legend(over_lag, "median and quartiles over seeds", loc="upper left")
    _plot_drift(over_steps, config, arrays)
    for ax in others:
        bias_activations.plot(ax, config, arrays)
    return fig


def _plot_drift(ax: Axes, config: BiasConfig, arrays: Arrays) -> None:
    """How far some lags of the RNN move, each below its bound, for the smallest change."""
    rows, lags, _ = effort(arrays, arrays["rnn"][0])
    some = np.unique(np.round(np.linspace(0, lags[-1], 4)).astype(int))
    taken = (arrays["step"] > 0) & (arrays["step"] <= config.steps)
    step, drift = arrays["step"][taken], arrays["rnn_drift"][0][rows][:, taken]
    bound = np.median(arrays["bound"][rows][:, taken], axis=0)
    dashes: Any = {"linestyle": (0, (4, 2)), "linewidth": 1.1}
    for lag, color in zip(some, plotting.shades(len(some) + 1)[:0:-1], strict=True):
        plotting.bands(ax, step, drift[:, :, lag], f"RNN, lag {lag}", color=color)
        ax.plot(step, bound[:, lag], color=color, **dashes)
    ax.plot([], [], color=plotting.GREY, **dashes, label="bound, same shade")
    plotting.describe(
        ax, f"Drift and bound of Theorem 4.1, change {arrays['change'][0]:g}",
        xlabel="step of gradient descent", xscale="log",
        ylabel=r"drift $\|L_j^\ell - L_j^0\|_F$ / change to learn", yscale="log",
    )  # fmt: skip
    ax.set_ylim(np.median(drift[:, 0, some], axis=0).min() / 3, 5)
    ax.margins(x=0)
    plotting.legend(ax, plotting.over_seeds("median and quartiles", len(drift)), loc="lower right")
