"""The figures of a fit: response, frequencies, predictions, kernels and memory."""

from __future__ import annotations

import itertools
import textwrap

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from ntk_rnn import plotting
from ntk_rnn.cli.fits.diagnostics import explained
from ntk_rnn.cli.fits.fitting import BAND, Fitted

#: Outputs and inputs that have panels of their own; of more, those that matter most.
MOST_OUTPUTS, MOST_INPUTS = 4, 4

# Inches of a panel that is one of several, and letters of its title that are as wide.
_WIDTH, _TITLE = 3.4, 36
# Rows of held-out data that are shown, so that single ones can be seen.
_SHOWN_ROWS = 200
# A response below this many deviations of the output, for one of the input, is drawn as nothing.
_NEGLIGIBLE = 0.02
# Amplitudes below this part of the largest one are not drawn.
_FAINT = 1e-3
_COLOURS = (plotting.BLUE, plotting.ORANGE, plotting.GREEN, plotting.GREY)


def drawn(found: Fitted) -> dict[str, Figure]:
    """All figures, by the names of their files.

    Of kernels there is one only if several were tried, and of memory only if inputs have an effect.
    """
    figures = {
        "impulse_response": impulse_response(found),
        "frequency_response": frequency_response(found),
        "prediction": prediction(found),
    }
    if explained(found).any():
        figures["memory"] = memory(found)
    if found.fit.kernels[1:]:
        figures["kernels"] = kernels(found)
    return figures


def shown_inputs(found: Fitted) -> Int[np.ndarray, " shown"]:
    """The inputs that have panels: those that move outputs most, in the order of the file."""
    size = np.sqrt(np.sum(found.fit.impulse_response**2, axis=0)) * found.train.x.std(axis=0)
    effect = np.sum((size / found.train.y.std(axis=0)[:, None]) ** 2, axis=0)
    return np.sort(np.argsort(-effect, kind="stable")[:MOST_INPUTS])


def impulse_response(found: Fitted) -> Figure:
    """A panel for each output and input, with bands of 95 %."""
    inputs, outputs = shown_inputs(found), range(min(MOST_OUTPUTS, found.train.y.shape[1]))
    response, deviation = found.fit.impulse_response, found.fit.standard_deviation
    lag = found.interval * np.arange(len(response))
    count = len(inputs) * len(outputs)
    columns = _columns(len(inputs))
    fig, axes = plotting.panels(columns, rows=count // columns, width=_WIDTH, height=3.0)
    for ax, (p, q) in zip(axes, itertools.product(outputs, inputs), strict=True):
        middle, half = response[:, p, q], BAND * deviation[:, p, q]
        ax.fill_between(lag, middle - half, middle + half, color=_COLOURS[0], alpha=0.25)
        ax.plot(lag, middle, "o-", color=_COLOURS[0], markersize=3, linewidth=1.4)
        ax.axhline(0, color=plotting.GREY, linewidth=0.8)
        x, y = found.train.inputs[q], found.train.outputs[p]
        plotting.describe(
            ax, _title(f"{y.name} after {x.name}"),
            xlabel=_plain(f"time since the input ({found.time_unit})"),
            ylabel=_plain(f"{y.unit or 'units'} per {x.unit or 'unit'}"),
        )  # fmt: skip
        # A response of nothing is to look like one, not like its rounding.
        least = _NEGLIGIBLE * found.train.y[:, p].std() / found.train.x[:, q].std()
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, -least), max(high, least))
    return fig


def frequency_response(found: Fitted) -> Figure:
    """Amplitude and phase of each output, a line for each input."""
    inputs, outputs = shown_inputs(found), range(min(MOST_OUTPUTS, found.train.y.shape[1]))
    answer = found.fit.frequency_response()
    columns = _columns(len(outputs))
    rows = 2 * len(outputs) // columns
    fig, axes = plotting.panels(columns, rows=rows, width=_WIDTH, height=2.8)
    for p in outputs:
        block, column = divmod(p, columns)
        above, below = axes[2 * block * columns + column], axes[(2 * block + 1) * columns + column]
        known = False
        for colour, q in zip(_COLOURS, inputs, strict=False):
            amplitude = np.abs(answer.response[:, p, q])
            half = BAND * answer.standard_deviation[:, p, q]
            name = _plain(found.train.inputs[q].name)
            low = np.maximum(amplitude - half, 1e-300)
            above.fill_between(answer.frequency, low, amplitude + half, color=colour, alpha=0.15)
            above.plot(answer.frequency, amplitude, color=colour, label=name)
            phase = np.degrees(np.unwrap(np.angle(answer.response[:, p, q])))
            # Where an amplitude may be 0, its phase may be any.
            phase[amplitude <= half] = np.nan
            known |= bool(np.isfinite(phase).any())
            below.plot(answer.frequency, phase, color=colour, label=name)
        # Inputs may have units of very different sizes, and each line is to be seen.
        largest = np.abs(answer.response[:, p, inputs]).max(axis=0)
        above.set_ylim(_FAINT * max(largest.min(), 1e-6 * largest.max()), 2 * largest.max())
        for ax in (above, below):
            ax.set_xlim(0, answer.frequency[-1])
        y = found.train.outputs[p]
        plotting.describe(
            above, _title(f"{y.name}: amplitude"), yscale="log",
            ylabel=_plain(f"{y.unit or 'units'} per unit of input"),
        )  # fmt: skip
        plotting.describe(
            below, _title(f"{y.name}: phase"),
            xlabel=_plain(f"frequency ({found.frequency_unit})"), ylabel="degrees",
        )  # fmt: skip
        plotting.legend(above)
        if not known:
            below.text(
                0.5, 0.5, "unknown, since amplitudes\nmay be 0 everywhere", ha="center",
                va="center", transform=below.transAxes,
            )  # fmt: skip
            below.set_yticks([])
    return fig


def prediction(found: Fitted) -> Figure:
    """The longest piece that is held out, or its beginning: measured and predicted, with bands."""
    outputs = range(min(MOST_OUTPUTS, found.train.y.shape[1]))
    rows = _shown_rows(found)
    time, first = found.interval * (rows - rows[0]), len(found.train.x) + rows[0] + 1
    fig, axes = plotting.panels(1, rows=len(outputs), width=8.4, height=2.8)
    for p, ax in zip(outputs, axes, strict=True):
        mean, half = found.mean[rows, p], BAND * found.deviation[rows, p]
        ax.fill_between(
            time, mean - half, mean + half, color=_COLOURS[0], alpha=0.2,
            label="95 % of measurements expected here",
        )  # fmt: skip
        ax.plot(time, mean, color=_COLOURS[0], linewidth=1.4, label="predicted")
        ax.plot(time, found.test.y[rows, p], ".", color="black", markersize=4, label="measured")
        y = found.train.outputs[p]
        plotting.describe(
            ax, _plain(f"{y.name}: R² = {found.score.r_squared[p]:.2f} on all held-out rows"),
            xlabel=_plain(f"time since row {first} of the data ({found.time_unit})"),
            ylabel=_plain(y.unit or "units"),
        )  # fmt: skip
    plotting.legend_below(fig, axes, "", 3)
    return fig


def kernels(found: Fitted) -> Figure:
    """By how much each kernel explains the data worse than the best one."""
    ranking = sorted(found.fit.kernels, key=lambda each: each.evidence)
    best = ranking[-1].evidence
    fig, (ax,) = plotting.panels(1, width=6.0, height=0.8 + 0.4 * len(ranking))
    below = [each.evidence - best for each in ranking]
    colours = [plotting.GREY] * (len(ranking) - 1) + [plotting.BLUE]
    ax.barh([each.kernel for each in ranking], below, color=colours, height=0.6)
    for row, value in enumerate(below):
        ax.annotate(
            "best" if value == 0 else f"{value:.1f}", (value, row), xytext=(-4, 0),
            textcoords="offset points", ha="right", va="center", fontsize=9,
        )  # fmt: skip
    ax.set_xlim(1.2 * min(*below, -5.0), 0)
    plotting.describe(ax, "Evidence by kernel", xlabel="log evidence relative to the best kernel")
    return fig


def memory(found: Fitted) -> Figure:
    """Which part of the variance the first lags explain, of outputs that inputs do explain."""
    fig, (ax,) = plotting.panels(1, width=6.0)
    held = _held(found)
    for p, colour in zip(np.flatnonzero(explained(found)), _COLOURS, strict=False):
        lag = found.interval * np.arange(len(held))
        name = _plain(found.train.outputs[p].name)
        ax.plot(lag, 100 * held[:, p], color=colour, label=name)
        ax.axvline(found.interval * found.fit.memory[p], color=colour, linewidth=1, linestyle=":")
    ax.axhline(95, color=plotting.GREY, linewidth=0.8)
    plotting.describe(
        ax, "Memory: how far back inputs matter",
        xlabel=_plain(f"time since the input ({found.time_unit})"),
        ylabel="explained variance held (%)", ylim=(min(0, 100 * held.min()), 105),
    )  # fmt: skip
    plotting.legend(ax)
    return fig


def _held(found: Fitted) -> Float[np.ndarray, "lags n_y"]:
    """Of the variance that is explained, the part that is left with the first lags alone."""
    lags = np.einsum("ktq,tpq->tkp", found.fit.triangle.rows, found.fit.impulse_response)
    beyond = np.sum(np.cumsum(lags[::-1], axis=0)[::-1] ** 2, axis=1)
    held = 1 - beyond / beyond[0]
    return np.concatenate([held, np.ones((1, held.shape[1]))])


def _shown_rows(found: Fitted) -> Int[np.ndarray, " rows"]:
    """The rows of the longest run that is predicted, at most so many that each can be seen."""
    known = np.isfinite(found.mean[:, 0]).astype(int)
    changes = np.flatnonzero(np.diff(known, prepend=0, append=0))
    # With one lag, pieces are predicted from their first row on, and nothing is between them.
    bounds = np.unique(np.concatenate([changes, found.test.pieces, [len(known)]]))
    runs = [run for run in itertools.pairwise(bounds) if known[run[0]]]
    first, end = max(runs, key=lambda run: run[1] - run[0])
    return np.arange(first, min(end, first + _SHOWN_ROWS))


def _columns(count: int) -> int:
    """Into how many columns panels go, so that their text can be read on a page."""
    return count if count <= 3 else 2


def _title(text: str) -> str:
    """The title of a panel, in as many lines as it takes."""
    return _plain(textwrap.fill(text, _TITLE))


def _plain(text: str) -> str:
    """Text in which matplotlib finds no mathematics."""
    return text.replace("$", r"\$")
