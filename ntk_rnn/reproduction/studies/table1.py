"""Table 1: how well the S1 recordings are decoded in the end, with all and with limited data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk_rnn import plotting
from ntk_rnn.data import S1
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies.decoding import data, training
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.reproduction.studies.decoding.data import PARTS, Part
from ntk_rnn.reproduction.studies.decoding.pieces import score_error
from ntk_rnn.reproduction.studies.decoding.references import reference_scores
from ntk_rnn.reproduction.studies.decoding.training import OUTPUTS, PAPER, Arrays
from ntk_rnn.reproduction.studies.fig5 import minus
from ntk_rnn.reproduction.studies.students import NAMES, STYLES
from ntk_rnn.reproduction.unfinished import Unfinished

__all__ = ["CHOICES", "PAPER", "claims", "metrics", "numbers", "plot", "run", "units"]

CHOICES = (
    *training.CHOICES,
    "Wiener filter (least squares) and ridge regression have the same lags; the strength of the "
    "ridge is chosen on the last of the bins for training, a part test_fraction of them.",
)

# Table 1 of the paper: R^2 of the x and y velocity.
TABLE_1: dict[tuple[Part, str], tuple[float, float]] = {
    ("full", "rnn"): (0.6462, 0.5911),
    ("full", "scaled"): (0.6442, 0.5860),
    ("full", "unscaled"): (0.6565, 0.6027),
    ("limited", "rnn"): (0.6043, 0.4257),
    ("limited", "scaled"): (0.6046, 0.4234),
    ("limited", "unscaled"): (0.5856, 0.3918),
}
_REFERENCES = {"wiener": "Wiener filter", "ridge": "ridge regression"}

# RNN and scaled convolution are equal within this.
_EQUAL = 0.05


def units(config: DecodingConfig) -> int:
    """One unit of work for each part in closed form, model trained and pair of references."""
    return training.units(config) + len(PARTS)


def run(
    config: DecodingConfig, advance: Callable[[], None], unfinished: Unfinished | None = None
) -> Arrays:
    """Trains the models on all and on limited data, and fits the references to both.

    Returns:
      Those of `decoding.training.run`, and for each part those of
      `decoding.references.reference_scores` with its name in front.

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
    arrays = training.run(config, recording, advance, unfinished)
    for part in PARTS:
        train, test = data.split(config, recording, part)
        found = reference_scores(config, recording, train, data.hold_out(config, test))
        arrays |= {f"{part}_{name}": array for name, array in found.items()}
        advance()
    return arrays


def metrics(config: DecodingConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """The table: a row for each part, model and output, with both standard errors."""
    rows = []
    for part in PARTS:
        for name, title in (_REFERENCES | NAMES).items():
            for p, output in enumerate(OUTPUTS):
                average, error = averages.mean(_final(arrays, part, name)[:, p])
                over_pieces = np.nan if name in _REFERENCES else score_error(arrays, part, name)[p]
                rows.append({
                    "data": part, "model": title, "output": output, "r2": average,
                    "stderr": error, "stderr_pieces": float(over_pieces),
                })  # fmt: skip
    return rows


def numbers(config: DecodingConfig, arrays: Arrays) -> list[Number]:
    """The 12 numbers of the paper's table beside ours, their differences, and the references."""
    result = []
    for part in PARTS:
        for name, title in NAMES.items():
            printed = [f"{value:.4f}" for value in TABLE_1[part, name]]
            ours = _both_errors(_final(arrays, part, name), score_error(arrays, part, name))
            result += [
                Number(f"R^2 of the {title}, {output}, {part} data", printed[p], ours[p])
                for p, output in enumerate(OUTPUTS)
            ]
    for part in PARTS:
        for name in ("scaled", "rnn"):
            paper = np.subtract(TABLE_1[part, name], TABLE_1[part, "unscaled"])
            found = minus(arrays, part, name, "unscaled")[:, -1]
            ours = _both_errors(found, score_error(arrays, part, name, "unscaled"))
            result += [
                Number(f"the same, {NAMES[name]} minus unscaled convolution, {output}, {part} data",
                       f"{paper[p]:+.4f}", ours[p])
                for p, output in enumerate(OUTPUTS)
            ]  # fmt: skip
    for part in PARTS:
        for name, title in _REFERENCES.items():
            result += [
                Number(f"R^2 of the {title}, {output}, {part} data", "",
                       f"{arrays[f'{part}_{name}'][p]:.3f}")
                for p, output in enumerate(OUTPUTS)
            ]  # fmt: skip
    return result


def claims(config: DecodingConfig, arrays: Arrays) -> list[Claim]:
    """Which model ends ahead, with limited and with all data, as Table 1 has it.

    All are of differences from the unscaled convolution of the same seed, or of the RNN from the
    scaled one.
    """
    result = []
    for part in reversed(PARTS):
        claim, where = (verdicts.below, "behind") if part == "full" else (verdicts.above, "ahead")
        for p, output in enumerate(OUTPUTS):
            for name in ("scaled", "rnn"):
                error = score_error(arrays, part, name, "unscaled")[p]
                statement = (
                    f"With {part} data the {NAMES[name]} ends {where} (R^2 of the {output} minus "
                    f"that of the unscaled convolution; over pieces of the recording its standard "
                    f"error is {error:.2g})"
                )
                result.append(
                    claim(statement, minus(arrays, part, name, "unscaled")[:, -1, p], 0.0)
                )
    bar = _EQUAL * (1000 / config.width) ** 0.5
    result += [
        verdicts.within(
            f"With {part} data the RNN ends where the scaled convolution does (difference "
            f"in R^2 of the {output})", minus(arrays, part, "rnn", "scaled")[:, -1, p], bar,
        )
        for part in reversed(PARTS)
        for p, output in enumerate(OUTPUTS)
    ]  # fmt: skip
    return result


def plot(config: DecodingConfig, arrays: Arrays) -> Figure:
    """``R^2`` over training time, by closed form and as trained, beside the paper's numbers."""
    fig, axes = plotting.panels(len(PARTS) * len(OUTPUTS), width=3.4, height=4.0)
    titles = {"full": "all data", "limited": f"{config.limited_minutes:g} minutes"}
    panels: list[tuple[Part, int]] = [
        (part, p) for part in reversed(PARTS) for p in range(len(OUTPUTS))
    ]
    for ax, (part, p) in zip(axes, panels, strict=True):
        _draw_part(ax, config, arrays, part, p)
        plotting.describe(
            ax, f"{OUTPUTS[p]}, {titles[part]}", xlabel="training time", xscale="log",
            ylim=(0.2, 0.8),
        )  # fmt: skip
        ax.margins(x=0)
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel("R² on held-out windows")
    plotting.legend_below(fig, axes, "", 4)
    return fig


def _draw_part(ax: Axes, config: DecodingConfig, arrays: Arrays, part: Part, output: int) -> None:
    time = arrays["curve_time"]
    for name in ("scaled", "unscaled"):
        curves = arrays[f"{part}_curve_{name}"][..., output]
        plotting.bands(ax, time, curves, f"{NAMES[name]}, closed form", color=_color(name))
    for (kind, name), values in TABLE_1.items():
        if kind == part:
            label = f"{NAMES[name]}, in the paper"
            dots = (0, (1, 2))
            ax.axhline(values[output], color=_color(name), linestyle=dots, label=label)
    # The RNN ends where the scaled convolution does, which is drawn larger to be seen below it.
    for name, marker, size in (("unscaled", "s", 5.5), ("scaled", "o", 10), ("rnn", "D", 5)):
        average, error = averages.mean(_final(arrays, part, name)[:, output])
        ax.errorbar(
            arrays[f"{part}_time"], average, None if np.isnan(error) else error, fmt=marker,
            color=_color(name), markersize=size, markeredgecolor="white", capsize=2,
            label=f"{NAMES[name]}, trained",
        )  # fmt: skip


def _color(name: str) -> str:
    return STYLES[name]["color"]


def _both_errors(
    samples: Float[np.ndarray, "S n_y"], over_pieces: Float[np.ndarray, " n_y"]
) -> list[str]:
    """Means with their standard errors over seeds and over pieces of the recording."""
    return [
        f"{averages.printed_mean(samples[:, p])} (seeds) +- {over_pieces[p]:.2g} (pieces)"
        for p in range(samples.shape[1])
    ]


def _final(arrays: Arrays, part: Part, name: str) -> Float[np.ndarray, "S n_y"]:
    """``R^2`` at the end of training, or of a reference as one sample."""
    found = arrays[f"{part}_{name}"]
    return found[:, -1] if found.ndim == 3 else np.atleast_2d(found)
