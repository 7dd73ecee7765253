"""What is known of a layer's memory, lag by lag, as a table and as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The part of all weight that the remembered lags hold.
HELD = 0.95

# Rows of a table; of more lags it has some, at equal ratios.
_MOST_ROWS = 24

# The last lag weighs much where it has this part of the largest weight.
_STILL = 0.05


class LagMemory(NamedTuple):
    """What a layer remembers, lag by lag, from ``memory``.

    Attributes:
      weight: ``rho_j``, the weight of each lag, shape ``(T,)``.
      share: its part of the sum of all weights, shape ``(T,)``.
      steps: steps of gradient descent until ``part`` of a lag is learned, a real number, shape
        ``(T,)``; infinite for what is never learned, or not within 1e16 steps.
      energy: ``s_j``, the summed squares of the inputs that reach each lag, in the mean of inputs,
        shape ``(T,)``.
      lags: the effective memory: how many lags, counted from the present, hold 95 % of the weight
        of all ``T``.
      off_diagonal: ``||G - diag(G)|| / ||G||`` in Frobenius norms: 0 if each lag is learned by
        itself, near 1 if lags are learned together.
      learning_rate: ``eta`` of the steps, for the sum loss.
      max_learning_rate: gradient descent converges below it, ``2 / lambda_max``.
      part: what part of a lag counts as learned.

    Example:
      >>> import ntk_rnn as nr
      >>> found = nr.memory(nr.lag_weights(4, nu_w=0.3, nu_f=1.0, nu_c=1.0))
      >>> print(found.table())
      lag    weight     share    so far     steps
        0         2     0.425     0.425         1
        1       1.6      0.34     0.765         1
        2      0.78     0.166     0.931       1.4
        3     0.324    0.0689         1      3.92
      The first 3.3 of these 4 lags hold 95 % of their weight.
      The last ones still weigh much: with more lags, memory is longer.
      Steps to learn 50 % of a lag at the learning rate 0.5; below 1 is stable.
    """

    weight: Float[np.ndarray, " T"]
    share: Float[np.ndarray, " T"]
    steps: Float[np.ndarray, " T"]
    energy: Float[np.ndarray, " T"]
    lags: float
    off_diagonal: float
    learning_rate: float
    max_learning_rate: float
    part: float

    def table(self) -> str:
        """All of this as text: a row for each lag, for some of them if they are more than 24."""
        count = len(self.weight)
        rows = np.arange(count)
        if count > _MOST_ROWS:
            rows = np.unique(np.round(np.geomspace(1, count, _MOST_ROWS)).astype(int)) - 1
        so_far = np.cumsum(self.share)
        columns = (self.weight, self.share, so_far, self.steps)
        lines = ["lag" + "".join(f"{name:>10}" for name in ("weight", "share", "so far", "steps"))]
        lines += [
            f"{lag:3}" + "".join(f"{column[lag]:10.3g}" for column in columns) for lag in rows
        ]
        lines.append(
            f"The first {_count(self.lags)} of these {count} lags hold {100 * HELD:g} % of their "
            "weight."
        )
        if count > 1 and self.weight[-1] > _STILL * np.max(self.weight):
            lines.append("The last ones still weigh much: with more lags, memory is longer.")
        lines.append(
            f"Steps to learn {100 * self.part:g} % of a lag at the learning rate "
            f"{self.learning_rate:.3g}; below {self.max_learning_rate:.3g} is stable."
        )
        if self.off_diagonal:
            lines.append(
                f"Off-diagonal part of the Gram matrix: {self.off_diagonal:.2g}, by which lags are "
                "learned together."
            )
        return "\n".join(lines)

    def plot(self) -> Figure:
        """A figure for matplotlib: the share of each lag, and the steps to learn it."""
        from ntk_rnn import plotting  # which takes as long to load as all else here

        fig, (left, right) = plotting.panels(2)
        lag, edge = np.arange(len(self.weight)), self.lags - 0.5  # a bar begins half a lag before
        left.bar(lag, self.share, width=0.8, color=plotting.BLUE)
        left.axvline(edge, color=plotting.ORANGE, linewidth=1.4)
        beside = "right" if self.lags > len(lag) / 2 else "left"
        left.annotate(
            f" {_count(self.lags)} lags hold {100 * HELD:g} % ", (edge, 0.94),
            xycoords=("data", "axes fraction"), ha=beside, color=plotting.ORANGE, fontsize=9,
        )  # fmt: skip
        plotting.describe(left, "How much each lag weighs", xlabel="lag", ylabel="share of weight")
        finite = np.isfinite(self.steps)
        right.plot(lag[finite], self.steps[finite], "o-", color=plotting.BLUE, markersize=4)
        plotting.describe(
            right, f"Steps to learn {100 * self.part:g} % of each lag", xlabel="lag",
            ylabel="steps of gradient descent", yscale="log",
        )  # fmt: skip
        never = len(lag) - int(finite.sum())
        if never:
            words = f"{never} of {len(lag)} lags: never"
            right.text(0.98, 0.04, words, transform=right.transAxes, ha="right", fontsize=9)
        for ax in (left, right):
            plotting.whole_numbers(ax)
            ax.set_xlim(-0.7, len(lag) - 0.3)
        return fig


def _count(lags: float) -> str:
    """A number of lags, in whole numbers from 10 on."""
    return f"{lags:.2g}" if lags < 10 else f"{lags:.0f}"


def remembered(weight: Float[np.ndarray, " T"]) -> float:
    """How many lags, counted from the present, hold ``HELD`` of the sum of all weights."""
    so_far = np.concatenate([[0.0], np.cumsum(weight)])
    return float(np.interp(HELD * so_far[-1], so_far, np.arange(len(so_far))))
