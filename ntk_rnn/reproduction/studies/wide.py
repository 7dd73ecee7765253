"""Fig. 4 continued to widths for which no W fits in memory, and how lazy the RNN becomes.

Each seed draws a teacher and data, which all widths share, and an RNN of every width, whose ``W``
is known through its products alone (``wide_rnn``). Three distances are taken while it trains. That
from the scaled convolution which starts where it does is a fluctuation of its kernel at the start,
and falls as ``1 / sqrt(n)`` (Theorem 3.3). That from its own linearization at the start
(Proposition 3.1), and the drift of its kernel, are what training does to the kernel, and fall as
``1 / n``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped
from matplotlib.figure import Figure

import ntk_rnn as nr
from ntk_rnn import plotting
from ntk_rnn.power_law import PowerLaw, fit_power_law
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import students, teacher_data
from ntk_rnn.reproduction.studies.configs import WideConfig
from ntk_rnn.reproduction.studies.learning_rate import check_converged, check_stable

Arrays = dict[str, np.ndarray]

PAPER = (
    "Theorem 3.3 says that a linear RNN trains as its equivalent scaled convolution in the limit "
    "of infinite width; Fig. 4 shows three widths, the largest of 200.",
)
CHOICES = (
    "Loss, learning rate, data and teacher are those of Fig. 4.",
    "Widths are powers of 10 up to 100,000; with --widths also a million, of which one seed takes "
    "6 GB and some minutes.",
    "W is drawn through its products alone, and trained in the subspace that gradients reach, to "
    "a tolerance of 0.05 / sqrt(n): what it leaves out falls as 1 / n, and is a hundredth of the "
    "distance of the RNN from its linearization.",
    "All is computed in float64, because distances come down to the rounding of float32.",
    "100 steps are taken; distances are the largest over the steps.",
)

# What is left out is of the size of the square of the tolerance.
_TOLERANCE = 0.05

# The distances by name: what claims and the figure call them, and their exponents in the width.
_DISTANCES = {
    "convolution": ("Distance of RNN and scaled convolution", -0.5, 0.05),
    "linearization": ("Distance of RNN and its linearization", -1.0, 0.1),
    "drift": ("Drift of the RNN's kernel", -1.0, 0.1),
}


def units(config: WideConfig) -> int:
    """One unit of work for each RNN."""
    return len(config.widths) * config.seeds


def run(config: WideConfig, advance: Callable[[], None]) -> Arrays:
    """Trains RNNs of all widths, and solves for their convolutions and linearizations.

    Returns:
      ``width (K,)``, rising, ``seed (S,)``, ``step (R,)``, denser at the start; at each of these
      steps, ``(K, S, R)``: ``convolution`` and ``linearization``, Frobenius distances of the
      impulse response from theirs, relative to what the convolution's changes by in all; and
      ``drift``, how far the Gram matrix of the RNN's gradients has moved from its start, relative
      to it; and ``rank (K, S)``, the dimension of the subspace.

    Raises:
      ValueError: if the learning rate is past stability.
    """
    widths, rows = sorted(config.widths), []
    later = np.round(np.geomspace(1, config.steps, 30)).astype(int)
    records = np.unique([*range(min(config.steps, 20) + 1), *later])
    with _in_float64():
        for width in widths:
            for seed in config.seed_list:
                rows.append(_one(config, width, records, jax.random.key(seed)))
                advance()
    shape = (len(widths), config.seeds)
    return {
        "width": np.asarray(widths), "seed": np.asarray(config.seed_list), "step": records,
        **{
            name: np.stack([row[name] for row in rows]).reshape(*shape, *np.shape(value))
            for name, value in rows[0].items()
        },
    }  # fmt: skip


def largest(arrays: Arrays) -> dict[str, Float[np.ndarray, "K S"]]:
    """The largest of each distance over the steps."""
    return {name: arrays[name].max(axis=2) for name in _DISTANCES}


def fits(arrays: Arrays) -> dict[str, PowerLaw]:
    """The power law of each distance in the width."""
    return {
        name: fit_power_law(arrays["width"], distance) for name, distance in largest(arrays).items()
    }


def metrics(config: WideConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each RNN: the largest distances over the steps, and the rank."""
    found = largest(arrays) | {"rank": arrays["rank"]}
    return [
        {"width": int(width), "seed": int(seed)}
        | {name: float(values[i, j]) for name, values in found.items()}
        for i, width in enumerate(arrays["width"])
        for j, seed in enumerate(arrays["seed"])
    ]


def numbers(config: WideConfig, arrays: Arrays) -> list[Number]:
    """The exponent of each distance in the width, and each distance at the largest width."""
    found, width = largest(arrays), arrays["width"][-1]
    return [
        Number(f"{_DISTANCES[name][0]}: log-log slope in the width", "",
               averages.printed_exponent(law))
        for name, law in fits(arrays).items()
    ] + [
        Number(f"{_DISTANCES[name][0]}, n = {width} (median of seeds)", "",
               averages.printed_median(distance[-1]))
        for name, distance in found.items()
    ]  # fmt: skip


def claims(config: WideConfig, arrays: Arrays) -> list[Claim]:
    """The distances fall with the width, each with its exponent."""
    points = len(arrays["width"]) * len(arrays["seed"])
    result = []
    for name, law in fits(arrays).items():
        what, exponent, tolerance = _DISTANCES[name]
        power = "1 / sqrt(width)" if exponent == -0.5 else "1 / width"
        statement = f"{what} falls as {power} (log-log slope and standard error)"
        result.append(verdicts.slope(statement, law, points, exponent, tolerance))
    return result


def plot(config: WideConfig, arrays: Arrays) -> Figure:
    """The distances against the width, with the fitted power laws."""
    fig, (ax,) = plotting.panels(1, width=6.0, height=4.2)
    widths, laws = arrays["width"], fits(arrays)
    for (name, distance), color, marker in zip(
        largest(arrays).items(),
        (plotting.BLUE, plotting.ORANGE, plotting.GREEN),
        ("o", "s", "^"),
        strict=True,
    ):
        law = laws[name]
        exponent = averages.printed_exponent(law, 2).replace("+-", "±")
        plotting.points(ax, widths, distance.T, color=color, marker=marker)
        fitted = np.exp(law.intercept) * widths.astype(float) ** law.slope
        label = f"{_DISTANCES[name][0]}: slope {exponent}"
        ax.plot(widths, fitted, color=color, linewidth=1.4, label=label)
    plotting.against_width(ax, widths, (1,))
    plotting.describe(
        ax, "Training of ever wider linear RNNs", ylabel="largest distance over epochs (relative)"
    )
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.4)  # room for the legend
    title = plotting.over_seeds("median and quartiles", config.seeds)
    plotting.legend(ax, f"{title}, and fit", loc="upper right")
    return fig


def _one(config: WideConfig, width: int, records: Shaped[np.ndarray, " R"], key: Array) -> Arrays:
    key_data, key_student = jax.random.split(key)
    train, _ = teacher_data.draw(key_data, config)
    wide = nr.wide_rnn(key_student, width, config.in_dim, config.out_dim, *config.nu)
    wide = wide.with_chains(config.seq_len)
    response = np.asarray(nr.impulse_response(wide, config.seq_len))
    gram = np.asarray(nr.finite_width_gram(wide, config.seq_len).dense())
    weights = {"convolution": np.asarray(students.lag_weights(config)), "linearization": gram}
    limits = {
        name: nr.kernel_regression(weight, train, initial=response, on_host=True)
        for name, weight in weights.items()
    }
    rate = config.learning_rate
    for limit in limits.values():
        check_stable(rate, float(limit.max_learning_rate))
    path = nr.subspace_descent(
        wide, train, steps=config.steps, record_at=records, learning_rate=rate,
        kernel_drift=True, tolerance=_TOLERANCE * width**-0.5, allow_unstable=True,
    )  # fmt: skip
    check_converged(rate, path.diverged_at, f" of width {width}")
    expected = {name: limit.impulse_response(records, rate) for name, limit in limits.items()}
    moved = np.linalg.norm(expected["convolution"][-1] - expected["convolution"][0])
    found = np.asarray(path.impulse_response)
    distances = {
        name: np.sqrt(np.sum((found - responses) ** 2, axis=(1, 2, 3))) / moved
        for name, responses in expected.items()
    }
    return distances | {"drift": np.asarray(path.kernel_drift), "rank": np.asarray(path.rank)}


def _in_float64() -> AbstractContextManager[Any]:
    """Computes in float64, whatever JAX is set to, by the name that this JAX has for it."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64  # pyright: ignore[reportAttributeAccessIssue]

    return enable_x64()
