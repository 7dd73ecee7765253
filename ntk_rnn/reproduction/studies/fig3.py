"""Fig. 3: test error against the delay of the task, of a wide linear RNN and of convolutions.

Each seed draws inputs, a teacher's output, which every delay shifts before noise is added, and an
RNN. The scaled and the unscaled convolution start from the impulse response of the RNN, so that the
three differ in how they learn alone. Both convolutions are solved in closed form (Proposition 3.1),
in float64 at all delays and steps and in the limit of infinitely many steps; the RNN is trained.

The unit of the error is that of predicting zero, ``sum (y_hat - y)^2 / sum y^2`` over test
sequences and times, ``y`` with its noise. Sequences start at rest, so only the last ``T - delay``
steps of a delayed output are not 0, and this unit falls with the delay; rises are checked in the
unit of delay 0 as well, in which plain squared errors are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ntk_rnn import plotting
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import fig3_problem as problem, students
from ntk_rnn.reproduction.studies.configs import DelayConfig
from ntk_rnn.reproduction.studies.students import NAMES

Arrays = dict[str, np.ndarray]

PAPER = (
    "Fig. 3 shows the test error of a linear RNN, of its scaled convolution and of an unscaled one "
    "against the delay of the task: short memory is learned better by the first two.",
    "n = 1000, 10 training and 10 test sequences, n_x = 15, n_y = 1, T = 20, 20 dB.",
)
CHOICES = (
    "The caption has y_t = x_{t-delay}, which cannot be with 15 inputs and one output: a "
    'teacher\'s output is delayed, by 0 to T - 1; target="copy" delays the first input instead.',
    "Loss and learning rate are those of Fig. 1; several numbers of steps show their effect.",
    "Both convolutions start from the impulse response of the RNN, so that the three differ in how "
    "they learn alone.",
    "Errors are relative to that of predicting zero, over all test sequences and times.",
    "What holds: after 1000 steps the scaled convolution and the RNN are ahead at short delays and "
    "behind at long ones. What does not: near the longest delay all models are about as bad, and "
    "in the end the scaled convolution is behind at every delay, because 10 sequences of 20 steps "
    "are 200 targets for 300 unknowns.",
    "Each seed draws inputs, a teacher and an RNN, and serves all delays; the RNN is trained for "
    "some of the seeds and delays, the convolutions are solved for all.",
)


def units(config: DelayConfig) -> int:
    """One unit of work for each RNN trained, and one for the convolutions of each seed."""
    return config.seeds + min(config.rnn_seeds, config.seeds) * len(config.rnn_delays)


def run(config: DelayConfig, advance: Callable[[], None]) -> Arrays:
    """Solves for the convolutions at every delay, and trains the RNN at some.

    Returns:
      ``seed (S,)``, ``step (R,)``, rising and ending in infinity, ``delay (T,)``, and normalized
      test errors ``(S, R, T)``: ``scaled``, ``unscaled``, and ``rnn``, NaN where none is trained;
      ``power (S, T)``, the summed squares of the test targets, relative to those at delay 0.

    Raises:
      ValueError: if the learning rate is past stability.
    """
    convolutions = students.convolution_weights(config)
    steps = np.asarray([*sorted(config.steps), np.inf])
    shape = (config.seeds, len(steps), config.seq_len)
    errors = {name: np.full(shape, np.nan) for name in NAMES}
    power = np.empty((config.seeds, config.seq_len))
    trained = steps[steps <= config.rnn_steps].astype(int)
    for i, seed in enumerate(config.seed_list):
        train, test, params, response = problem.draw(jax.random.key(seed), config)
        for name, weights in convolutions.items():
            solved = problem.convolution_errors(config, weights, train, test, response, steps)
            errors[name][i] = solved
        squares = np.sum(np.asarray(test[1], float) ** 2, axis=(0, 1))
        power[i] = squares / squares[0]
        advance()
        for delay in config.rnn_delays if i < config.rnn_seeds else ():
            errors["rnn"][i, : len(trained), delay] = problem.rnn_errors(
                config, params, train, test, delay, trained
            )
            advance()
    return {
        "seed": np.asarray(config.seed_list), "step": steps, "delay": np.arange(config.seq_len),
        "power": power, **errors,
    }  # fmt: skip


def metrics(config: DelayConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each number of steps and delay: median and mean of each model's error over seeds.

    Those of the RNN are over the seeds that it is trained for, and NaN where it is not trained.
    """
    rows = []
    for r, step in enumerate(arrays["step"]):
        for d, delay in enumerate(arrays["delay"]):
            row: dict[str, Any] = {"step": float(step), "delay": int(delay)}
            for name in NAMES:
                samples = arrays[name][:, r, d]
                samples = samples[np.isfinite(samples)]
                row[name] = float(np.median(samples)) if len(samples) else np.nan
                row[f"{name}_mean"], row[f"{name}_stderr"] = averages.mean(samples)
            rows.append(row)
    return rows


def numbers(config: DelayConfig, arrays: Arrays) -> list[Number]:
    """Errors at the ends of the RNN's delays, and where they cross the unscaled convolution's."""
    r = _longest(config, arrays)
    after, result = f"after {_after(arrays['step'][r])}", []
    for name, title in NAMES.items():
        rows, columns = _trained(arrays[name][:, r])
        errors, delay = arrays[name][:, r][np.ix_(rows, columns)], arrays["delay"][columns]
        for d, samples in ((delay[0], errors[:, 0]), (delay[-1], errors[:, -1])):
            quantity = f"Error of the {title} at delay {d}, {after} (median of seeds)"
            result.append(Number(quantity, "", averages.printed_median(samples)))
        if name != "unscaled":
            ahead = errors - arrays["unscaled"][:, r][np.ix_(rows, columns)]
            where = averages.printed_mean(averages.crossing(delay, ahead))
            quantity = f"Delay from which the {title} is behind the unscaled convolution, {after}"
            result.append(Number(quantity, "", where))
    return result


def claims(config: DelayConfig, arrays: Arrays) -> list[Claim]:
    """Errors of the RNN and the scaled convolution rise with the delay; the unscaled one's do not.

    All are of the largest number of steps that the RNN takes, and paired: differences and rises are
    each seed's, tested against their standard error over seeds.
    """
    r = _longest(config, arrays)
    after = f"after {_after(arrays['step'][r])}"
    result = []
    for name, title in NAMES.items():
        rows, columns = _trained(arrays[name][:, r])
        delay, seeds = arrays["delay"][columns], np.ix_(rows, columns)
        errors, unscaled = arrays[name][:, r][seeds], arrays["unscaled"][:, r][seeds]
        for unit, scale in (
            ("relative to predicting zero", np.ones_like(errors)),
            ("plain, in units of delay 0", arrays["power"][seeds]),
        ):
            rise = averages.rise(delay, errors * scale)
            how = f"({unit}; rise from delay {delay[0]} to {delay[-1]}), {after}"
            if name == "unscaled":
                statement = f"Error of the {title} does not depend on the delay {how}"
                result.append(verdicts.within(statement, rise, 0.1))
            else:
                statement = f"Error of the {title} rises with the delay {how}"
                result.append(verdicts.above(statement, rise, 0.0))
        if name != "unscaled":
            result += _crossing_claims(title, after, delay, errors - unscaled)
    rows, columns = _trained(arrays["rnn"][:, r])
    gaps = np.abs(arrays["rnn"] - arrays["scaled"])[:, r][np.ix_(rows, columns)]
    statement = f"Scaled convolution matches the RNN (distance of errors, mean of delays), {after}"
    bar = 0.05 * (1000 / config.width) ** 0.5
    return [*result, verdicts.below(statement, gaps.mean(axis=1), bar)]


def plot(config: DelayConfig, arrays: Arrays) -> Figure:
    """Test error against the delay, a panel for each number of steps; a band over seeds."""
    fig, axes = plotting.panels(len(arrays["step"]), width=3.1, height=3.6)
    for r, (ax, step) in enumerate(zip(axes, arrays["step"], strict=True)):
        for name in ("unscaled", "scaled"):
            label = f"{NAMES[name]} ({config.seeds} seeds)"
            plotting.bands(ax, arrays["delay"], arrays[name][:, r], label, **students.STYLES[name])
        errors = arrays["rnn"][:, r]
        rows, columns = _trained(errors)
        if rows.any():
            errors, label = errors[np.ix_(rows, columns)], f"linear RNN ({rows.sum()} seeds)"
            plotting.points(ax, arrays["delay"][columns], errors, label)
        ax.axhline(1, color=plotting.GREY, linewidth=0.8, zorder=1.5)
        plotting.describe(ax, f"after {_after(step)}", xlabel="delay (time steps)", yscale="log")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    limits = np.asarray([ax.get_ylim() for ax in axes])
    for ax in axes:
        ax.set_ylim(limits.min(), limits.max())
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel("test error / error of predicting zero")
    plotting.legend_below(fig, axes, "median and quartiles over seeds", 3)
    return fig


def _after(step: float) -> str:
    return "infinitely many steps" if np.isinf(step) else f"{int(step):,} steps"


def _longest(config: DelayConfig, arrays: Arrays) -> int:
    """Which is the largest number of steps that the RNN takes."""
    return int(np.flatnonzero(arrays["step"] <= config.rnn_steps)[-1])


def _trained(errors: Float[np.ndarray, "S T"]) -> tuple[np.ndarray, np.ndarray]:
    """The seeds and the delays for which a model has been trained."""
    finite = np.isfinite(errors)
    return np.asarray(finite.any(axis=1)), np.asarray(finite.any(axis=0))


def _crossing_claims(
    title: str, after: str, delay: Shaped[np.ndarray, " D"], ahead: Float[np.ndarray, "S D"]
) -> list[Claim]:
    """A model's error minus the unscaled convolution's is negative at first, and positive then."""
    middle = int(np.argmin(np.abs(delay - delay[-1] / 2)))
    crossings = averages.crossing(delay, ahead)
    count = f"in {np.isfinite(crossings).sum()} of {len(crossings)} seeds"
    cross = f"; they cross at delay {averages.printed_mean(crossings)}, {count}"
    statement = f"Error of the {title} minus that of the unscaled convolution at delay"
    return [
        verdicts.below(f"{statement} {delay[0]}, {after}", ahead[:, 0], 0.0),
        verdicts.above(f"{statement} {delay[middle]}, {after}{cross}", ahead[:, middle], 0.0),
        verdicts.above(f"{statement} {delay[-1]}, {after}", ahead[:, -1], 0.0),
    ]
