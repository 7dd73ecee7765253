"""The style of every figure, and the few kinds of plot that the studies need.

Figures are objects of their own: no global state of pyplot, no display, no settings left behind.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart as well.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"


def panels(count: int, *, width: float = 4.2, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels side by side, each of that width and height in inches."""
    fig = Figure(figsize=(width * count, height), layout="constrained")
    axes = list(fig.subplots(1, count, squeeze=False)[0])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="0.9", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(labelsize=9)
    return fig, axes


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
      samples: one row a sample, shape ``(S, R)``.
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
    label: str,
    *,
    color: str = BLUE,
) -> None:
    """The median of samples at each ``x`` as a point, and a bar between the quartiles.

    For abscissas too few to draw a line through; arguments as :func:`bands` has them.
    """
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75], axis=0)
    ax.errorbar(
        x, median, (median - low, high - median),
        color=color, fmt="o", markersize=4.5, elinewidth=1.2, capsize=2, label=label,
    )  # fmt: skip


def shades(count: int, color: str = BLUE) -> list[str]:
    """Shades of a colour from light to full, for an ordered quantity; greyscale keeps the order."""
    parts = np.linspace(0.3, 1, count) if count > 1 else [1.0]
    return [_mixed(color, part) for part in parts]


def _mixed(color: str, part: float) -> str:
    red, green, blue = (1 - part * (1 - c) for c in to_rgb(color))
    return to_hex((red, green, blue))


def save(fig: Figure, folder: Path) -> None:
    """Writes ``figure.png`` and ``figure.pdf``, without dates: equal figures are equal files."""
    fig.savefig(folder / "figure.png", dpi=160, metadata={"Software": None})
    fig.savefig(folder / "figure.pdf", metadata={"CreationDate": None})
