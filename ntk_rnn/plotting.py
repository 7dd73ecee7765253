"""The style of every figure, and the few kinds of plot that the studies need.

Figures are objects of their own: no global state of pyplot, no display, no settings left behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

# Okabe and Ito's colours, which colour-blind readers tell apart as well.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
SKY, YELLOW, PURPLE = "#56B4E9", "#E69F00", "#CC79A7"


def panels(
    count: int, *, rows: int = 1, width: float = 4.2, height: float = 3.4
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels side by side, each of that width and height in inches.

    Of several rows of panels, those of the first row come first.
    """
    fig = Figure(figsize=(width * count, height * rows), layout="constrained")
    axes = list(fig.subplots(rows, count, squeeze=False).flat)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="0.9", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(labelsize=9)
    return fig, axes


def describe(ax: Axes, title: str, **properties: Any) -> None:
    """A panel's title, and properties of its axes: ``xlabel``, ``yscale`` and so on."""
    ax.set_title(title, fontsize=11)
    ax.set(**properties)


def bands(
    ax: Axes,
    x: Shaped[np.ndarray, " R"],
    samples: Float[np.ndarray, "S R"],
    label: str,
    *,
    color: str = BLUE,
    linestyle: str | tuple = "-",
    band: bool = True,
) -> None:
    """The median of samples over ``x``, and a band from the lower to the upper quartile.

    Args:
      ax: where to draw.
      x: abscissas, shape ``(R,)``.
      samples: one row for each sample, shape ``(S, R)``.
      label: the line's name in the legend.
      color: colour of line and band.
      linestyle: as matplotlib's.
      band: whether to draw the band.
    """
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75], axis=0)
    if band and len(samples) > 1:
        ax.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
    ax.plot(x, median, color=color, linestyle=linestyle, linewidth=1.8, label=label)


def points(
    ax: Axes,
    x: Shaped[np.ndarray, " R"],
    samples: Float[np.ndarray, "S R"],
    label: str | None = None,
    *,
    color: str = BLUE,
    marker: str = "o",
    **style: Any,
) -> None:
    """Medians as points with bars from quartile to quartile, where ``x`` are too few for a line."""
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75], axis=0)
    style.setdefault("markersize", 4.5)
    ax.errorbar(
        x, median, (median - low, high - median),
        color=color, fmt=marker, elinewidth=1.2, capsize=2, label=label,
        **style,
    )  # fmt: skip


def over_seeds(what: str, count: int) -> str:
    """The title of a legend: what lines and bands are. For one seed there is only a line."""
    return f"{what} of {count} seeds" if count > 1 else "one seed"


def legend(ax: Axes, title: str | None = None, **placed: Any) -> None:
    """A legend of a panel; its title says what the bands are."""
    ax.legend(fontsize=9, frameon=False, title=title, title_fontsize=9, **placed)


def legend_below(fig: Figure, axes: list[Axes], title: str, columns: int) -> None:
    """One legend below all panels, with each label once."""
    handles = {}
    for ax in axes:
        lines, labels = ax.get_legend_handles_labels()
        handles |= dict(zip(labels, lines, strict=True))
    fig.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=columns, fontsize=9,
        frameon=False, title=title, title_fontsize=9,
    )  # fmt: skip


def against_width(ax: Axes, widths: Shaped[np.ndarray, " K"], decade: tuple[int, ...]) -> None:
    """Log-log axes with a tick at each width, and ordinates at these multiples of powers of 10."""
    ax.set(xscale="log", yscale="log", xlabel="width n")
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(LogLocator(subs=decade))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def whole_numbers(ax: Axes) -> None:
    """Ticks at whole abscissas alone, as lags and steps are."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def shades(count: int, color: str = BLUE) -> list[str]:
    """Shades of a colour from light to full, for an ordered quantity; greyscale keeps the order."""
    parts = np.linspace(0.3, 1, count) if count > 1 else [1.0]
    return [_mixed(color, part) for part in parts]


def _mixed(color: str, part: float) -> str:
    red, green, blue = (1 - part * (1 - c) for c in to_rgb(color))
    return to_hex((red, green, blue))


def save(fig: Figure, folder: Path, name: str = "figure") -> None:
    """Writes ``NAME.png`` and ``NAME.pdf``, without dates: equal figures are equal files."""
    fig.savefig(folder / f"{name}.png", dpi=160, metadata={"Software": None})
    layout = fig.get_layout_engine()
    # The PDF takes over the layout of the PNG: to find it again would take a third of the time.
    fig.set_layout_engine("none")
    # TrueType, as journals want it; by default matplotlib embeds Type 3 fonts.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        fig.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    fig.set_layout_engine(layout)
