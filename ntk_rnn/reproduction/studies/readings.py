"""Which of the choices that the paper leaves open decide on the order of the models in Table 1.

Several readings of the paper are solved in closed form, at all training times, with all data and
with every chunk of 4.5 minutes of the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

import ntk_rnn as nr
from ntk_rnn.data import S1
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import students
from ntk_rnn.reproduction.studies.decoding import data, training
from ntk_rnn.reproduction.studies.decoding.config import ReadingsConfig
from ntk_rnn.reproduction.studies.decoding.data import PARTS, Part
from ntk_rnn.reproduction.studies.decoding.readings import (
    MODELS,
    READINGS,
    Moment,
    Reading,
    moments,
    samples,
    windows,
)
from ntk_rnn.reproduction.studies.decoding.training import OUTPUTS, Arrays
from ntk_rnn.reproduction.studies.readings_figure import draw_figure
from ntk_rnn.reproduction.studies.students import NAMES
from ntk_rnn.reproduction.studies.table1 import TABLE_1

PAPER = (
    *training.PAPER[:2],
    "With all data the unscaled convolution ends ahead of the RNN and the scaled one, with limited "
    "data behind them (Table 1).",
)
CHOICES = (
    "What decides: how long is trained, and the targets. Which 4.5 minutes are taken and on what "
    "they are tested changes levels by up to 0.05, and the order only where models are close.",
    "Targets in the last bin of windows that begin at every bin, the reading of table1: short "
    "training leaves the scaled models behind with any data, because long lags are learned slowly. "
    "In the mean of chunks they are ahead with little data from a training time of about 130 on, "
    "and with all data they stay behind up to about 1000.",
    "Targets in all bins of windows that follow each other: there are a fifteenth as many windows, "
    "whose long lags are seldom seen. The scaled models are ahead with little data at any time, "
    "with all data after a training time of about 10. The order of the paper is that of a short "
    "training, or of a longer one on errors that are averaged over the 15 bins.",
    "The training time is tau = eta * batch * steps, of the squared error summed over a batch and "
    "the bins of its windows. Everything is solved for by gradient flow in closed form "
    "(kernel_regression). The RNN is that of infinite width, which is the scaled convolution.",
    "All models start from the impulse response of a random RNN. With all data, errors are over "
    "these seeds; with limited data they are over the chunks of the recording, one after the "
    "other, each in the mean of seeds.",
    "With one test part, it is the last 20 % of the recording, and chunks are those before it. "
    "Otherwise each chunk, or all data, has its own: the last 20 %, of windows that follow each "
    "other the last 15 %. Inputs and targets are standardized by the bins for training.",
)

_DECADES = (0, 4)


def units(config: ReadingsConfig) -> int:
    """One unit of work for each reading, with all and with limited data."""
    return len(READINGS) * len(PARTS)


def run(config: ReadingsConfig, advance: Callable[[], None]) -> Arrays:
    """Solves for both convolutions in each reading.

    Returns:
      ``time (K,)``, training times; and for each reading, part and model, as in
      ``last_limited_scaled``, ``R^2`` on held-out windows, ``(C, S, K, n_y)``, of ``C`` chunks.

    Raises:
      DataUnavailable: if the recording cannot be had.
      ValueError: if it is another file, or there are not enough data.
    """
    return compute(config, data.load(config.data), advance)


def compute(config: ReadingsConfig, recording: S1, advance: Callable[[], None]) -> Arrays:
    """`run` on a recording."""
    marks = [moment.time for _, moment in moments()]
    time = np.unique(np.append(np.logspace(*_DECADES, 33), marks))
    model = students.rnn(config, config.width, recording.velocity.shape[1])
    impulses = nr.unit_impulses(config.seq_len, recording.spikes.shape[1])
    # The same keys as in training, of which the other half is for the order of the windows.
    keys = [jax.random.split(jax.random.key(seed))[0] for seed in config.seed_list]
    starts = np.asarray([students.draw(model, key, impulses)[1] for key in keys], float)
    weights, arrays = students.convolution_weights(config), {"time": time}
    for key, reading in READINGS.items():
        for part in PARTS:
            found = {name: [] for name in MODELS}
            for how, train, test in windows(config, reading, recording, part):
                regressed = data.compressed(how, train, config.seeds)
                held = data.hold_out(how, test)
                for name in MODELS:
                    responses = _solved(weights[name], regressed, starts, time / len(train.x))
                    found[name].append(held.score(responses))
            arrays |= {f"{key}_{part}_{name}": np.stack(found[name]) for name in MODELS}
            advance()
    return arrays


def _solved(
    weights: Float[np.ndarray, " T"],
    regressed: nr.CompressedData,
    starts: Float[np.ndarray, "S T n_y n_x"],
    time: Float[np.ndarray, " K"],
) -> Float[np.ndarray, "S K T n_y n_x"]:
    """Impulse responses from each start, whose outputs are outputs of one regression."""
    seeds, lags, out_dim, in_dim = starts.shape
    initial = starts.swapaxes(0, 1).reshape(lags, seeds * out_dim, in_dim)
    kernel = nr.kernel_regression(weights, regressed, initial=initial, on_host=True)
    responses = kernel.impulse_response(time=time)
    return np.moveaxis(responses.reshape(len(time), lags, seeds, out_dim, in_dim), 2, 0)


class Cell(NamedTuple):
    """``R^2`` in one cell of the table: of seeds with all data, of chunks with limited data.

    Attributes:
      reading: the reading.
      moment: the training time.
      part: which data.
      samples: for each model, shape ``(samples, n_y)``.
    """

    reading: Reading
    moment: Moment
    part: Part
    samples: dict[str, Float[np.ndarray, "samples n_y"]]

    @property
    def ahead(self) -> Float[np.ndarray, "samples n_y"]:
        """How far the scaled model is ahead of the unscaled one."""
        return self.samples["scaled"] - self.samples["unscaled"]

    @property
    def where(self) -> str:
        """Reading, training time and data, in words."""
        minutes = {"full": "all data", "limited": "limited data"}[self.part]
        return f"{self.reading.title}, tau = {self.moment.time:g}, {minutes}"


def cells(arrays: Arrays) -> Iterator[Cell]:
    """All cells of the table, reading by reading."""
    for key, moment in moments():
        k = int(np.argmin(np.abs(arrays["time"] - moment.time)))
        for part in PARTS:
            found = {name: samples(arrays, key, part, name)[:, k] for name in MODELS}
            yield Cell(READINGS[key], moment, part, found)


def metrics(config: ReadingsConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each reading, training time, part, model and output."""
    rows = []
    for cell in cells(arrays):
        for name, values in {**cell.samples, "scaled minus unscaled": cell.ahead}.items():
            for p, output in enumerate(OUTPUTS):
                average, error = averages.mean(values[:, p])
                rows.append({
                    "reading": cell.reading.title, "time": cell.moment.time, "data": cell.part,
                    "model": NAMES.get(name, name), "output": output, "r2": average,
                    "stderr": error, "samples": len(values),
                })  # fmt: skip
    return rows


def numbers(config: ReadingsConfig, arrays: Arrays) -> list[Number]:
    """When the order is the paper's, and ``R^2`` of both models, x and y, beside the paper's."""
    result = [
        Number(f"{reading.title}: training times with the order of the paper, in x and y, all and "
               "limited data", "", agreeing_times(arrays, key))
        for key, reading in READINGS.items()
    ]  # fmt: skip
    for cell in cells(arrays):
        paper = {name: np.asarray(TABLE_1[cell.part, name]) for name in MODELS}
        for name in MODELS:
            result.append(_number(f"{cell.where}: R^2 of the {NAMES[name]}, x and y",
                                  paper[name], cell.samples[name], ".4f"))  # fmt: skip
        result.append(_number(f"{cell.where}: scaled minus unscaled, x and y",
                              paper["scaled"] - paper["unscaled"], cell.ahead, "+.4f"))  # fmt: skip
    return result


def agreeing_times(arrays: Arrays, key: str) -> str:
    """The training times of a reading at which all four means have the paper's signs.

    Before all means are above 0, models are worse than a constant, and their order says nothing.
    """
    agree = np.ones(len(arrays["time"]), bool)
    for part in PARTS:
        one, two = (samples(arrays, key, part, name).mean(axis=0) for name in MODELS)
        order = one < two if part == "full" else one > two
        agree &= (order & (one > 0) & (two > 0)).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], agree, [False]])))
    time = arrays["time"]
    spans = [f"{time[a]:.3g} to {time[b - 1]:.3g}" for a, b in edges.reshape(-1, 2)]
    return ", ".join(spans) or "none"


def claims(config: ReadingsConfig, arrays: Arrays) -> list[Claim]:
    """Where the scaled models are in each reading, in the output that says so the least."""
    result = []
    for cell in cells(arrays):
        order = cell.moment.full if cell.part == "full" else cell.moment.limited
        statement = (
            f"{cell.where} ({cell.moment.remark}): the scaled convolution is {order} in x and y "
            "(R^2 minus that of the unscaled one, in the output where it is less so)"
        )
        if order == "ahead":
            result.append(verdicts.above(statement, cell.ahead.min(axis=1), 0.0))
        else:
            result.append(verdicts.below(statement, cell.ahead.max(axis=1), 0.0))
    return result


def plot(config: ReadingsConfig, arrays: Arrays) -> Figure:
    """How far the scaled models are ahead over training time, beside the paper's difference."""
    return draw_figure(config, arrays)


def _number(
    quantity: str,
    paper: Float[np.ndarray, " n_y"],
    samples: Float[np.ndarray, "samples n_y"],
    digits: str,
) -> Number:
    printed = ", ".join(format(value, digits) for value in paper)
    ours = ", ".join(averages.printed_mean(column) for column in samples.T)
    return Number(quantity, printed, ours)
