"""The neural tangent kernel of a linear RNN tends to the analytic one as ``1 / sqrt(n)``.

One set of input sequences, and an RNN for each width and seed: neural-tangents computes its kernel
from the network alone, ``analytic_ntk`` from the lag weights (Theorem 3.3, eqs. 17 and 21).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

import ntk_rnn as nr
from ntk_rnn import _neural_tangents, plotting
from ntk_rnn._terminal import UserError
from ntk_rnn.power_law import PowerLaw, fit_power_law
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import students
from ntk_rnn.reproduction.studies.configs import KernelsConfig

Arrays = dict[str, np.ndarray]

PAPER = (
    "Theorem 3.3: as the width grows, the neural tangent kernel of a linear RNN tends to the "
    "analytic one (eqs. 17, 20), whose lag weights are those of eq. 21.",
)
CHOICES = (
    "The kernels compared are those of all pairs of sequences, times and outputs, at "
    "initialization; their distance is the Frobenius norm relative to that of the analytic one.",
    "nu_W = 0.3, nu_F = nu_C = 1 and T = 10, as in Fig. 1; inputs are white.",
    "Inputs are the same for all widths and seeds; each seed draws an RNN of every width.",
)


def units(config: KernelsConfig) -> int:
    """One unit of work for each kernel."""
    return len(config.widths) * config.seeds


def run(config: KernelsConfig, advance: Callable[[], None]) -> Arrays:
    """Computes the kernels of all widths and seeds.

    Returns:
      ``width (K,)``, rising, ``seed (S,)``, ``lag_weights (T,)``, the inputs ``x (N, T, n_x)``,
      and ``relative_error (K, S)``, the relative Frobenius distance from the analytic kernel.

    Raises:
      ValueError: if neural-tangents cannot be loaded or its implementation does not work.
    """
    try:
        _neural_tangents.implementation(config.implementation)
    except (ImportError, ValueError) as error:
        raise UserError(f"{error} (`ntk-rnn doctor` says more)") from error
    # Not one of the keys that draw parameters, so that inputs and parameters are independent.
    key_x = jax.random.fold_in(jax.random.key(config.first_seed), config.seeds)
    x = jax.random.normal(key_x, (config.num_sequences, config.seq_len, config.in_dim))
    rho = students.lag_weights(config)
    limit = _with_outputs(np.asarray(nr.analytic_ntk(x, None, rho)), config.out_dim)

    widths = sorted(config.widths)
    errors = np.empty((len(widths), config.seeds), limit.dtype)
    for i, width in enumerate(widths):
        model = students.rnn(config, width, config.out_dim)
        for j, seed in enumerate(config.seed_list):
            params, _ = students.draw(model, jax.random.key(seed), x)
            kernel = nr.empirical_ntk(
                model, params, x, trace_axes=(), implementation=config.implementation
            )
            errors[i, j] = np.linalg.norm(kernel - limit) / np.linalg.norm(limit)
            advance()
    return {
        "width": np.asarray(widths), "seed": np.asarray(config.seed_list),
        "lag_weights": np.asarray(rho), "x": np.asarray(x), "relative_error": errors,
    }  # fmt: skip


def metrics(config: KernelsConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each kernel."""
    return [
        {"width": int(width), "seed": int(seed), "relative_error": float(error)}
        for width, errors in zip(arrays["width"], arrays["relative_error"], strict=True)
        for seed, error in zip(arrays["seed"], errors, strict=True)
    ]


def summary(arrays: Arrays) -> list[tuple[int, float, float, float]]:
    """For each width: the width, and the median, least and largest error over seeds."""
    return [
        (int(width), float(np.median(errors)), float(errors.min()), float(errors.max()))
        for width, errors in zip(arrays["width"], arrays["relative_error"], strict=True)
    ]


def fit(arrays: Arrays) -> PowerLaw | None:
    """The power law of the error in the width; ``None`` for a single width."""
    errors = arrays["relative_error"]
    if len(errors) < 2:
        return None
    return fit_power_law(arrays["width"], errors)


def numbers(config: KernelsConfig, arrays: Arrays) -> list[Number]:
    """The error at the largest width, and the exponent of its fall."""
    width, law = int(arrays["width"][-1]), fit(arrays)
    error = averages.printed_median(arrays["relative_error"][-1])
    result = [Number(f"Relative error at width {width} (median of seeds)", "", error)]
    if law is not None:
        result.append(Number("Log-log slope in the width", "", averages.printed_exponent(law)))
    return result


def claims(config: KernelsConfig, arrays: Arrays) -> list[Claim]:
    """The error falls as ``1 / sqrt(n)``, and is small at the largest width."""
    width, law = int(arrays["width"][-1]), fit(arrays)
    largest = verdicts.median_below(
        f"Kernel of the RNN of width {width} is the analytic one (relative error, median of seeds)",
        arrays["relative_error"][-1],
        # About twice what variances and sequences like the paper's give. Gram matrices of F and C
        # are off by sqrt((n_x + 1) / n) and sqrt((n_y + 1) / n).
        3 * ((config.in_dim + config.out_dim) / (2 * width)) ** 0.5,
    )
    if law is None:
        return [largest]
    statement = "Its distance falls as 1 / sqrt(width) (log-log slope and standard error)"
    points = arrays["relative_error"].size
    return [largest, verdicts.slope(statement, law, points, -0.5, 0.1)]


def plot(config: KernelsConfig, arrays: Arrays) -> Figure:
    """Error against width, every seed a point, with the fitted power law."""
    fig, (ax,) = plotting.panels(1, width=5.0, height=3.8)
    widths, errors = arrays["width"], arrays["relative_error"]
    seeds = errors.shape[1]
    ax.plot(
        np.repeat(widths, seeds), errors.reshape(-1), "o",
        color=plotting.BLUE, markersize=4, alpha=0.45, markeredgewidth=0, label="one seed each",
    )  # fmt: skip
    ax.plot(
        widths, np.median(errors, axis=1), "_",
        color=plotting.BLUE, markersize=14, markeredgewidth=2, label=f"median of {seeds}",
    )  # fmt: skip
    law = fit(arrays)
    if law is not None:
        slope = averages.printed_exponent(law, 2).replace("+-", "±")
        ax.plot(
            widths, np.exp(law.intercept) * widths.astype(float) ** law.slope,
            color=plotting.ORANGE, label=f"fit, slope {slope}",
        )  # fmt: skip
    plotting.against_width(ax, widths, (1, 2, 5))
    title = "NTK of the linear RNN against infinite width"
    plotting.describe(ax, title, ylabel="relative Frobenius error")
    plotting.legend(ax)
    return fig


def _with_outputs(kernel: Float[np.ndarray, "N N T T"], out_dim: int) -> np.ndarray:
    """The kernel between all outputs: ``K`` times the identity, ``(N, N, T, T, n_y, n_y)``."""
    return np.multiply.outer(kernel, np.eye(out_dim, dtype=kernel.dtype))
