"""The report of a fit: every number with its unit, and with what it means in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ntk_rnn.cli.fits.diagnostics import explained, verdicts
from ntk_rnn.cli.fits.figures import MOST_INPUTS, MOST_OUTPUTS, shown_inputs
from ntk_rnn.cli.fits.fitting import BAND, Fitted
from ntk_rnn.data.channels import Channel
from ntk_rnn.reproduction import html_page
from ntk_rnn.reproduction.marked_up import items, plain, table

#: What the priors assume, in words.
KERNELS = {
    "rnn": "weights of a wide linear RNN: independent lags that fade, at first slowly",
    "di": "independent lags that fade exponentially",
    "tc": "lags that fade exponentially, neighbours alike",
    "dc": "lags that fade exponentially, neighbours alike as far as the data say",
    "ss": "a smooth response that fades exponentially (stable spline)",
    "flat": "all lags alike (ridge regression)",
}

_CAPTIONS = {
    "impulse_response": "What each output does after an input of one unit that lasts one time "
    "step. Bands hold the true response with a probability of 95 %, lag by lag, if the system is "
    "linear, the noise is independent from row to row, and the kernel suits the response. Do not "
    "trust them where errors of prediction drift slowly, or where an input has little or no "
    "effect: there they are too narrow, above all at the last lags.",
    "frequency_response": "How strongly an input that oscillates moves the outputs, and by how "
    "much they lag behind. Bands are 95 %; a phase is drawn where the amplitude is surely not 0.",
    "prediction": "Data that the fit has not seen, with what it predicts for them.",
    "kernels": "What is assumed of a response before the data are seen is called a kernel. The "
    "evidence is the probability of the data under it: a difference of 3 in its logarithm makes "
    "one kernel 20 times as probable as another one.",
    "memory": "How much of the explained variance is left if a model knows only the inputs up "
    "to some time ago. Dotted lines: the time at which 95 % are reached.",
}


def page(found: Fitted, pictures: Mapping[str, bytes]) -> str:
    """The report as one page, with its figures in it.

    Args:
      found: what it is about.
      pictures: the figures as PNG files, by name.
    """
    title = f"{_listed(found.train.outputs)} from {_listed(found.train.inputs)}"
    addresses = {f"{name}.png": picture for name, picture in pictures.items()}
    return html_page.render(title, "\n\n".join(_parts(found, title)) + "\n", addresses)


def _parts(found: Fitted, title: str) -> Iterator[str]:
    seq_len, in_dim = len(found.fit.impulse_response), found.train.x.shape[1]
    yield f"# {plain(title)}"
    yield items(summary(found))
    if found.remarks:
        yield "**Please check:**"
        yield items(found.remarks)
    yield "## Prediction of held-out data"
    yield _figure("prediction")
    yield table(
        ["output", "R²", "fit", "error", "noise"],
        [
            [
                plain(str(channel)),
                f"{found.score.r_squared[p]:.3f}",
                f"{found.score.fit[p]:.1f} %",
                _quantity(_error(found, p), channel), _quantity(found.fit.noise[p], channel),
            ]
            for p, channel in enumerate(found.train.outputs)
        ],
    )  # fmt: skip
    yield items([
        "R² is the part of the output's variance on held-out rows that is predicted: 1 is perfect, "
        "0 is no better than the mean.",
        "The fit is 100 (1 - root of (1 - R²)) %, as system identification counts it.",
        "The error is the root of the mean squared error on held-out rows; the noise is the "
        "standard deviation that the fit expects of it.",
    ])  # fmt: skip
    yield "## Impulse response"
    yield _figure("impulse_response")
    if in_dim > MOST_INPUTS or len(found.train.outputs) > MOST_OUTPUTS:
        names = _listed([found.train.inputs[q] for q in shown_inputs(found)])
        yield plain(
            f"Shown are the inputs that move the outputs most ({names}), and the first "
            f"{MOST_OUTPUTS} outputs at most; response.csv has all."
        )
    yield table(["output", "input", "steady-state gain", "95 % band", "unit"], _gains(found))
    yield (
        "The steady-state gain is by how much an output changes in the end if an input rises by "
        "one unit and stays there: the sum of the impulse response over all lags."
    )
    yield "## Frequency response"
    yield _figure("frequency_response")
    yield "## Memory"
    if memories := _memories(found):
        yield _figure("memory")
    yield items(memories or ["No memory is told, since inputs explain no output."])
    yield "## Kernels"
    if found.fit.kernels[1:]:
        yield _figure("kernels")
    yield table(["kernel", "what it assumes", "log evidence"], _ranking(found))
    yield "## Data and settings"
    yield table(["column", "role", "unit", "mean", "standard deviation"], _columns(found))
    yield items(_settings(found, seq_len))
    yield "## Use it again"
    yield (
        "`ntk-rnn predict model.npz NEW.csv --out predictions.csv` predicts from a file with the "
        'same input columns. In Python, `ntk_rnn.load("model.npz")` is the fit.'
    )


def summary(found: Fitted) -> list[str]:
    """The main results, a sentence each."""
    told = verdicts(found)
    told += _memories(found)
    best = found.fit.kernel
    told.append(f"kernel: {best}, {KERNELS[best]}; {len(found.fit.impulse_response)} lags")
    return told


def _memories(found: Fitted) -> list[str]:
    """The memory of each output that inputs explain; others have none that could be told."""
    effect = explained(found)
    return [
        f"{channel.name}: inputs of the last {found.span(int(found.fit.memory[p]))} make 95 % of "
        "what is explained"
        for p, channel in enumerate(found.train.outputs)
        if effect[p]
    ]


def _figure(name: str) -> str:
    return f"![{name.replace('_', ' ')}]({name}.png)\n\n{_CAPTIONS[name]}"


def _gains(found: Fitted) -> list[list[str]]:
    steps = found.fit.step_response()
    gain, half = steps.response[-1], BAND * steps.standard_deviation[-1]
    return [
        [
            plain(y.name), plain(x.name), f"{gain[p, q]:.4g}",
            f"{gain[p, q] - half[p, q]:.4g} to {gain[p, q] + half[p, q]:.4g}",
            plain(f"{y.unit or 'units'} per {x.unit or 'unit'}"),
        ]
        for p, y in enumerate(found.train.outputs)
        for q, x in enumerate(found.train.inputs)
    ]  # fmt: skip


def _ranking(found: Fitted) -> list[list[str]]:
    ranking = sorted(found.fit.kernels, key=lambda each: -each.evidence)
    return [[each.kernel, plain(KERNELS[each.kernel]), f"{each.evidence:.1f}"] for each in ranking]


def _columns(found: Fitted) -> list[list[str]]:
    rows = []
    for role, channels, values in (
        ("input", found.train.inputs, found.train.x),
        ("output", found.train.outputs, found.train.y),
    ):
        for channel, column in zip(channels, values.T, strict=True):
            numbers = f"{column.mean():.4g}", f"{column.std():.4g}"
            rows.append([plain(channel.name), role, plain(channel.unit or "not said"), *numbers])
    return rows


def _settings(found: Fitted, seq_len: int) -> Iterator[str]:
    train, test = found.train, found.test
    yield (
        f"{found.file.name}: {len(train.x)} rows in {_pieces(train)} to fit to, and the last "
        f"{len(test.x)} rows in {_pieces(test)} held out for test; means above are of the former"
    )
    if train.interval is None:
        yield "times are not known: a time step is from one row to the next"
    else:
        yield f"sampling interval: {train.interval:.6g} {found.time_unit}"
    yield (
        f"{seq_len} lags: an output is explained by the inputs of its own row and of "
        f"{seq_len - 1} before, so the first {seq_len - 1} outputs of each piece are left out"
    )
    for channel, delay in zip(train.inputs, found.delays, strict=True):
        if delay:
            yield f"{channel.name}: it has an effect after {found.span(delay)} at the earliest"
    tried = ", ".join(f"{each.seq_len} lags: {each.evidence:.1f}" for each in found.fit.lags)
    if tried:
        yield f"the number of lags is by log evidence on the rows that all can use ({tried})"
    coefficients = seq_len * train.x.shape[1] - sum(found.delays)
    for channel, degrees in zip(train.outputs, found.fit.degrees_of_freedom, strict=True):
        yield (
            f"{channel.name}: {degrees:.1f} effective degrees of freedom of {coefficients} "
            "coefficients of the impulse response: so many the data determine, and the kernel the "
            "rest"
        )
    for channel, offset in zip(train.outputs, found.fit.offset, strict=True):
        yield f"{channel.name}: offset {_quantity(offset, channel)}, its value at inputs of 0"


def _pieces(recording) -> str:
    count = len(recording.pieces)
    return f"{count} continuous piece{'s' * (count != 1)}"


def _error(found: Fitted, output: int) -> float:
    return float(np.sqrt(np.nanmean((found.test.y - found.mean)[:, output] ** 2)))


def _quantity(value: float, channel: Channel) -> str:
    return plain(f"{value:.4g} {channel.unit}".strip())


def _listed(channels: Sequence[Channel]) -> str:
    names = [channel.name for channel in channels]
    if len(names) > MOST_INPUTS:
        return f"{', '.join(names[:MOST_INPUTS])} and {len(names) - MOST_INPUTS} more"
    return ", ".join(names)
