"""Non-linear recurrent networks tend to their limit, in kernel and in training (Proposition 3.1).

One teacher and one set of data, and a network for each activation, width and seed. Its kernel at
the start is compared with ``recurrent_ntk``, that of infinite width. It is trained by gradient
descent, and the outputs on training and new sequences are compared, step by step, with those of
``kernel_regression`` on that limit, which starts where the network does. Both distances are
fluctuations of the kernel at the start, and fall as ``1 / sqrt(n)``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import ntk_rnn as nr
from ntk_rnn import plotting
from ntk_rnn.power_law import PowerLaw, fit_power_law
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import teacher_data
from ntk_rnn.reproduction.studies.equal_chi import equal_nu_w
from ntk_rnn.reproduction.studies.learning_rate import check_converged, check_stable
from ntk_rnn.reproduction.studies.nonlinear_config import NonlinearConfig

Arrays = dict[str, np.ndarray]

PAPER = (
    "Proposition 3.1: in the limit of infinite width, training a recurrent network by gradient "
    "descent is regression with its neural tangent kernel. It is stated for any activation, with "
    "the kernel of Alemohammad et al. (2020); the paper has no figure of it and prints no number.",
)
CHOICES = (
    "Activations are compared at equal chi = nu_W E[phi'(g)^2], the factor by which a perturbation "
    "fades in a step; for the linear teacher it is nu_W.",
    "The loss is the sum loss 1/2 sum ||y_hat - y||^2; data are those of a linear teacher, with "
    "noise, the same for all networks.",
    "The distance of kernels is the Frobenius norm relative to that of the limit.",
    "The distance of a network from its predictor is ||f_RNN - f_predictor|| over all outputs at a "
    "step, relative to ||y - f_RNN|| at the start, for training and for new sequences; the larger "
    "of both, and the largest over steps.",
)

# Numbers of records of a path, and how far from its predictor a network of width 1024 may be.
_RECORDS, _GAP = 40, 0.05

_COLORS = (plotting.BLUE, plotting.ORANGE, plotting.GREEN, plotting.GREY)


def units(config: NonlinearConfig) -> int:
    """One unit of work for each kernel, and one for each network that is trained."""
    widths = len(config.widths) + len(config.trained_widths)
    return len(config.activations) * widths * config.seeds


def run(config: NonlinearConfig, advance: Callable[[], None]) -> Arrays:
    """Computes kernels, and trains networks, of all activations, widths and seeds.

    Returns:
      ``activation (A,)`` and ``nu_w (A,)``; ``width (K,)`` and ``trained_width (M,)``, rising;
      ``seed (S,)``; ``step (R,)``; ``kernel_error (A, K, S)``, the relative distance of kernels;
      and ``gap (A, M, S, R, 2)``, the distance from the predictor on training and new sequences,
      relative to the start's distance from the targets.

    Raises:
      ValueError: if the learning rate is past stability.
    """
    # Not one of the keys that draw parameters, so that data and parameters are independent.
    key_data = jax.random.fold_in(jax.random.key(config.first_seed), config.seeds)
    train, new = teacher_data.draw(key_data, config)
    widths, trained = sorted(config.widths), sorted(config.trained_widths)
    every = -(-config.steps // _RECORDS)
    step = np.arange(0, config.steps + 1, every)
    variances = [equal_nu_w(phi, config, float(config.in_dim)) for phi in config.activations]
    errors, gaps = [], []
    for phi, nu_w in zip(config.activations, variances, strict=True):
        nu = nu_w, config.nu_f, config.nu_c
        kernel_fn = partial(
            nr.recurrent_ntk, activation=phi, nu_w=nu_w, nu_f=config.nu_f, nu_c=config.nu_c
        )
        limit = np.asarray(kernel_fn(train[0][: config.num_kernel], None))
        limit = np.multiply.outer(limit, np.eye(config.out_dim, dtype=limit.dtype))
        for width in widths:
            model = nr.RNN(width, config.out_dim, phi, *nu)
            for seed in config.seed_list:
                params = _draw(model, jax.random.key(seed), train[0])
                kernel = nr.empirical_ntk(
                    model, params, train[0][: config.num_kernel], trace_axes=()
                )
                errors.append(np.linalg.norm(kernel - limit) / np.linalg.norm(limit))
                advance()
        for width in trained:
            model = nr.RNN(width, config.out_dim, phi, *nu)
            for seed in config.seed_list:
                params = _draw(model, jax.random.key(seed), train[0])
                gaps.append(_gap(config, model, params, kernel_fn, train, new, step))
                advance()
    shape = len(config.activations), -1, config.seeds
    return {
        "activation": np.asarray(config.activations), "nu_w": np.asarray(variances),
        "width": np.asarray(widths), "trained_width": np.asarray(trained),
        "seed": np.asarray(config.seed_list), "step": step,
        "kernel_error": np.reshape(errors, shape),
        "gap": np.reshape(gaps, (*shape, len(step), 2)),
    }  # fmt: skip


def largest_gap(arrays: Arrays) -> Float[np.ndarray, "A M S"]:
    """The largest distance from the predictor over steps, on training and new sequences."""
    return arrays["gap"].max(axis=(3, 4))


def fits(arrays: Arrays) -> dict[str, tuple[PowerLaw, PowerLaw]]:
    """The power laws of each activation in the width: of the kernel's distance, and of the gap."""
    return {
        str(phi): (
            fit_power_law(arrays["width"], error), fit_power_law(arrays["trained_width"], gap),
        )
        for phi, error, gap in zip(
            arrays["activation"], arrays["kernel_error"], largest_gap(arrays), strict=True
        )
    }  # fmt: skip


def metrics(config: NonlinearConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each activation, width and seed: distance of the kernel, and gaps in training."""
    rows = []
    widths = sorted({*arrays["width"].tolist(), *arrays["trained_width"].tolist()})
    for a, phi in enumerate(arrays["activation"]):
        kernels = dict(zip(arrays["width"].tolist(), arrays["kernel_error"][a], strict=True))
        gaps = arrays["gap"][a].max(axis=2)
        gaps = dict(zip(arrays["trained_width"].tolist(), gaps, strict=True))
        for width in widths:
            for j, seed in enumerate(arrays["seed"]):
                gap = gaps[width][j] if width in gaps else np.full(2, np.nan)
                error = kernels[width][j] if width in kernels else np.nan
                rows.append({
                    "activation": str(phi), "width": width, "seed": int(seed),
                    "kernel_error": float(error), "gap_training": float(gap[0]),
                    "gap_new": float(gap[1]),
                })  # fmt: skip
    return rows


def numbers(config: NonlinearConfig, arrays: Arrays) -> list[Number]:
    """The exponents in the width, and both gaps at the largest width, of each activation."""
    width, result = arrays["trained_width"][-1], []
    for a, (phi, laws) in enumerate(fits(arrays).items()):
        for what, law in zip(("kernel", "trained network"), laws, strict=True):
            quantity = f"{phi}, {what} against its limit: log-log slope in the width"
            result.append(Number(quantity, "", averages.printed_exponent(law)))
        for k, which in enumerate(("training", "new")):
            quantity = f"{phi}, largest gap on {which} sequences, n = {width} (median of seeds)"
            gap = arrays["gap"][a, -1, :, :, k].max(axis=1)
            result.append(Number(quantity, "", averages.printed_median(gap)))
    return result


def claims(config: NonlinearConfig, arrays: Arrays) -> list[Claim]:
    """Kernel and trained network tend to their limits as ``1 / sqrt(n)``, for each activation."""
    width, seeds, result = int(arrays["trained_width"][-1]), len(arrays["seed"]), []
    bar = _GAP * (1024 / width) ** 0.5
    for (phi, (kernel, training)), gap in zip(
        fits(arrays).items(), largest_gap(arrays), strict=True
    ):
        ending = "as 1 / sqrt(width) (log-log slope and standard error)"
        result += [
            verdicts.slope(
                f"Kernel of the {phi} network tends to that of infinite width {ending}",
                kernel, seeds * len(arrays["width"]), -0.5, 0.1,
            ),
            verdicts.slope(
                f"Outputs of the trained {phi} network tend to their predictor {ending}",
                training, gap.size, -0.5, 0.15,
            ),
            verdicts.median_below(
                f"Distance of the trained {phi} network of width {width} from its predictor, as a "
                "part of the start's from the targets (largest over steps, median of seeds)",
                gap[-1], bar,
            ),
        ]  # fmt: skip
    return result


def plot(config: NonlinearConfig, arrays: Arrays) -> Figure:
    """Both distances against the width, with the fitted power laws, and their course in training.

    The course is that of new sequences, for the first activation and every other width.
    """
    fig, axes = plotting.panels(3, width=4.3, height=3.9)
    laws = list(zip(*fits(arrays).values(), strict=True))
    for ax, samples, of_panel, widths, title, ylabel in zip(
        axes, (arrays["kernel_error"], largest_gap(arrays)), laws,
        (arrays["width"], arrays["trained_width"]),
        ("Kernel at the start against infinite width", "Trained network against its predictor"),
        ("relative Frobenius error", "largest gap over steps / start's distance"),
        strict=False,
    ):  # fmt: skip
        _against_width(ax, arrays["activation"], samples, of_panel, widths)
        plotting.describe(ax, title, ylabel=ylabel)
        plotting.legend(ax, plotting.over_seeds("median and quartiles", config.seeds))
    _over_steps(axes[2], arrays)
    return fig


def _against_width(
    ax: Axes, names: np.ndarray, samples: np.ndarray, laws: Any, widths: np.ndarray
) -> None:
    for a, (phi, law) in enumerate(zip(names, laws, strict=True)):
        color = _COLORS[a % len(_COLORS)]
        plotting.points(ax, widths, samples[a].T, color=color, marker="os^v"[a % 4])
        slope = averages.printed_exponent(law, 2).replace("+-", "±")
        fitted = np.exp(law.intercept) * widths.astype(float) ** law.slope
        ax.plot(widths, fitted, color=color, linewidth=1.4, label=f"{phi}: slope {slope}")
    plotting.against_width(ax, widths, (1, 2, 5))


def _over_steps(ax: Axes, arrays: Arrays) -> None:
    widths = arrays["trained_width"]
    some = range(len(widths) - 1, -1, -2)[::-1]
    for color, m in zip(plotting.shades(len(some)), some, strict=True):
        gap = arrays["gap"][0, m, :, :, 1]
        plotting.bands(ax, arrays["step"], gap, f"width {widths[m]}", color=color)
    plotting.describe(
        ax, f"Gap on new sequences, {arrays['activation'][0]}",
        xlabel="step of gradient descent", ylabel="gap / start's distance",
    )  # fmt: skip
    ax.set_ylim(bottom=0)
    plotting.legend(ax)


@partial(jax.jit, static_argnums=0)
def _draw(model: nr.RNN, key: Array, x: Float[Array, "N T n_x"]) -> Any:
    return model.init(key, x)


def _gap(
    config: NonlinearConfig,
    model: nr.RNN,
    params: Any,
    kernel_fn: Callable[[Any, Any], Any],
    train: tuple[Array, Array],
    new: tuple[Array, Array],
    step: np.ndarray,
) -> Float[np.ndarray, "R 2"]:
    """The distances of a network from its predictor while it is trained, at some steps."""
    rate, count = config.learning_rate, config.num_train
    x, y = (jnp.concatenate(pair) for pair in zip(train, new, strict=True))
    predictor = nr.kernel_regression(kernel_fn, train, initial=partial(model.apply, params))
    check_stable(rate, float(predictor.max_learning_rate))
    expected = np.asarray(predictor.predict(x, step, rate), float)
    found = np.asarray(_outputs(model, int(step[1]), len(step), params, train, x, rate), float)
    finite = np.isfinite(found).all(axis=(1, 2, 3))
    diverged_at = None if finite.all() else int(step[np.argmin(finite)])
    check_converged(rate, diverged_at, f" of width {model.width}")

    def size(outputs: np.ndarray) -> np.ndarray:
        squares = np.sum(outputs**2, axis=(-2, -1))
        parts = squares[..., :count].sum(axis=-1), squares[..., count:].sum(axis=-1)
        return np.sqrt(np.stack(parts, axis=-1))

    return size(found - expected) / size(found[0] - np.asarray(y, float))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _outputs(
    model: nr.RNN,
    every: int,
    count: int,
    params: Any,
    train: tuple[Array, Array],
    x: Float[Array, "M T n_x"],
    learning_rate: Any,
) -> Float[Array, "R M T n_y"]:
    """Outputs for any sequences, after every so many steps of gradient descent."""

    def further(params: Any, _: None) -> tuple[Any, Array]:
        path = nr.gradient_descent(
            model, params, train, steps=every, learning_rate=learning_rate, record_at=[every]
        )
        return path.params, jnp.asarray(model.apply(params, x))  # those before the steps

    return lax.scan(further, params, None, length=count)[1]
