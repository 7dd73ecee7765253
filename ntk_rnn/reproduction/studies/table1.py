"""Table 1: how well the S1 recordings are decoded in the end, with all and with limited data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ntk_rnn import plotting
from ntk_rnn.data import S1
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies.decoding import data, training
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.reproduction.studies.decoding.data import Part
from ntk_rnn.reproduction.studies.decoding.references import reference_scores
from ntk_rnn.reproduction.studies.decoding.training import OUTPUTS, PAPER, Arrays
from ntk_rnn.reproduction.studies.fig5 import agreement, trained
from ntk_rnn.reproduction.studies.students import NAMES, STYLES

__all__ = ["CHOICES", "PAPER", "claims", "metrics", "numbers", "plot", "run", "units"]

PARTS: tuple[Part, ...] = get_args(Part)
CHOICES = (
    *training.CHOICES,
    "Wiener filter (least squares) and ridge regression have the same lags; the strength of the "
    "ridge is chosen on the last of the bins for training, a part test_fraction of them.",
)


def units(config: DecodingConfig) -> int:
    """One unit of work for each part in closed form, model trained and pair of references."""
    return training.units(config, PARTS) + len(PARTS)


def run(config: DecodingConfig, advance: Callable[[], None]) -> Arrays:
    """Trains the models on all and on limited data, and fits the references to both.

    Returns:
      Those of `decoding.training.run`, and for each part those of
      `decoding.references.reference_scores` with its name in front.

    Raises:
      DataUnavailable: if the recording cannot be had.
      ValueError: if it is another file, there are not enough data, or the learning rate is past
        stability.
    """
    return compute(config, data.load(config), advance)


def compute(config: DecodingConfig, recording: S1, advance: Callable[[], None]) -> Arrays:
    """`run` on a recording."""
    arrays = training.run(config, recording, PARTS, advance)
    for part in PARTS:
        train, test = data.split(config, recording, part)
        found = reference_scores(config, recording, train, data.hold_out(config, test))
        arrays |= {f"{part}_{name}": array for name, array in found.items()}
        advance()
    return arrays


def metrics(config: DecodingConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """The table: a row for each part, model and output. References have no standard error."""
    rows = []
    for part, name, title in _cells(config):
        for p, output in enumerate(OUTPUTS):
            average, error = averages.mean(_final(arrays, part, name)[:, p])
            cell = {"data": part, "model": title, "output": output}
            rows.append(cell | {"r2": average, "stderr": error})
    return rows


def numbers(config: DecodingConfig, arrays: Arrays) -> list[Number]:
    """The table: a number for each part, model and output."""
    result = []
    for part, name, title in _cells(config):
        for p, output in enumerate(OUTPUTS):
            samples = _final(arrays, part, name)[:, p]
            ours = averages.printed_mean(samples) if len(samples) > 1 else f"{samples[0]:.3f}"
            result.append(Number(f"R^2 of the {title}, {output}, {part} data", "", ours))
    return result


def claims(config: DecodingConfig, arrays: Arrays) -> list[Claim]:
    """Scaled models end ahead with limited data, and are behind during training with all of them.

    All are of differences from the unscaled convolution of the same seed. Those of limited data
    also say how well ridge regression does, since it may do better than both.
    """
    result = agreement(config, arrays, "limited")
    later = arrays["limited_long_scaled"] - arrays["limited_long_unscaled"]
    end = f"after {arrays['limited_epoch'][-1]:.0f} epochs"
    for p, output in enumerate(OUTPUTS):
        what = f"(R^2 of the {output} minus that of the unscaled convolution"
        ridge = _final(arrays, "limited", "ridge")[0, p]

        def beside(name: str, ridge: float = ridge, p: int = p) -> str:
            reached = averages.mean(_final(arrays, "limited", name)[:, p])[0]
            return f"; its R^2 is {reached:.3f}, that of ridge regression {ridge:.3f})"

        for name in ("scaled", "rnn"):
            ahead = arrays[f"limited_{name}"] - arrays["limited_unscaled"]
            statement = (
                f"With limited data the {NAMES[name]} ends ahead {what}, {end}{beside(name)}"
            )
            result.append(verdicts.above(statement, ahead[:, -1, p], 0.0))
        statement = (
            f"With limited data the scaled convolution is ahead when trained on {what}, "
            f"closed form after {config.long_steps:,} steps{beside('long_scaled')}"
        )
        result.append(verdicts.above(statement, later[:, p], 0.0))
    for p, output in enumerate(OUTPUTS):
        for name in ("scaled", "rnn"):
            ahead = trained(arrays, arrays[f"full_{name}"] - arrays["full_unscaled"], "full")
            statement = (
                f"With all data the {NAMES[name]} is behind during training (R^2 of the {output} "
                "minus that of the unscaled convolution, mean of epochs from the first)"
            )
            result.append(verdicts.below(statement, ahead[..., p].mean(axis=1), 0.0))
    return result


def plot(config: DecodingConfig, arrays: Arrays) -> Figure:
    """The table as points, a panel for all and for limited data."""
    fig, axes = plotting.panels(len(PARTS), width=4.4, height=3.6)
    titles = {"full": "all data", "limited": f"{config.limited_minutes:g} minutes of data"}
    for ax, part in zip(axes, PARTS, strict=True):
        _draw_part(ax, config, arrays, part)
        plotting.describe(ax, titles[part], xlabel="R² on held-out windows")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.tick_params(labelleft=ax is axes[0])
    limits = np.asarray([ax.get_xlim() for ax in axes])
    for ax in axes:
        ax.set_xlim(limits.min(), limits.max())
    title = plotting.over_seeds("means and standard errors", len(arrays["seed"]))
    plotting.legend_below(fig, axes, title, 2)
    return fig


def _draw_part(ax: Axes, config: DecodingConfig, arrays: Arrays, part: Part) -> None:
    rows = _rows(config)
    heights = np.arange(len(rows))[::-1]
    for p, (output, marker, filled, shift) in enumerate(
        zip(OUTPUTS, "os", (True, False), (0.13, -0.13), strict=True)
    ):
        for height, name in zip(heights, rows, strict=True):
            average, error = averages.mean(_final(arrays, part, name)[:, p])
            style = STYLES.get(name.removeprefix("long_"), {"color": plotting.GREY})
            ax.errorbar(
                average, height + shift, xerr=None if np.isnan(error) else error,
                color=style["color"], fmt=marker, markersize=5, capsize=2, elinewidth=1.2,
                markerfacecolor=style["color"] if filled else "white",
            )  # fmt: skip
        ax.plot(
            [], [], marker, color=plotting.GREY, label=output,
            markerfacecolor=plotting.GREY if filled else "white",
        )  # fmt: skip
    ax.set_yticks(heights, list(rows.values()))


def _rows(config: DecodingConfig) -> dict[str, str]:
    """The rows of the table: the names of arrays, and their titles."""
    later = f"convolution, {config.long_steps:,} steps"
    return {
        "wiener": "Wiener filter",
        "ridge": "ridge regression",
        "unscaled": "unscaled convolution",
        "scaled": "scaled convolution",
        "rnn": "linear RNN",
        "long_unscaled": f"unscaled {later}",
        "long_scaled": f"scaled {later}",
    }


def _cells(config: DecodingConfig) -> Iterator[tuple[Part, str, str]]:
    for part in PARTS:
        for name, title in _rows(config).items():
            yield part, name, title


def _final(arrays: Arrays, part: Part, name: str) -> Float[np.ndarray, "S n_y"]:
    """``R^2`` at the end of training, or after many more steps, or of a reference as one sample."""
    found = arrays[f"{part}_{name}"]
    return found[:, -1] if found.ndim == 3 else np.atleast_2d(found)
