"""What causal linear layers remember: linear RNNs, diagonal ones, linear recurrent units and S4D.

Each layer is drawn at some widths and seeds. Its Gram matrix (``layer_gram``) has the weight of
each lag, beside the closed form for infinite width where there is one, and the number of steps that
gradient descent takes to learn each lag. The layer is then trained to return the input of some
steps ago, and its loss is compared, step by step, with that of ``kernel_regression`` on the Gram
matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import ntk_rnn as nr
from ntk_rnn.power_law import fit_power_law
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import students
from ntk_rnn.reproduction.studies.layers_config import Layer, LayersConfig
from ntk_rnn.reproduction.studies.layers_figure import draw_figure
from ntk_rnn.reproduction.studies.learning_rate import check_converged
from ntk_rnn.reproduction.studies.named_layers import limit_weights, named_layer

Arrays = dict[str, np.ndarray]

PAPER = (
    "The paper has the lag weights of the linear RNN with a Gaussian W (eq. 21, Theorem 4.1), and "
    "asks which lags are learned first. It has no other layers and prints no number of them.",
)
CHOICES = (
    "By default W of the linear RNNs has the variance nu_W = 0.5, as the eigenvalues of the "
    "diagonal RNN and of the LRU, uniform on the disk, have E|lambda|^2 = 0.5: white states keep "
    "half of their energy in a step. S4D has the step sizes and eigenvalues of its source.",
    "Steps to learn half of a lag are those for long white inputs, at half of the largest stable "
    "learning rate of each layer.",
    "The task is to return the input of delay steps ago, times the size of the layer's own outputs "
    "at the start, ||L||, as outputs of S4D are small. The loss is the sum loss.",
    "The gap is the largest difference of the loss from the predicted one over all steps, relative "
    "to the loss at the start.",
    students.HOW_TRAINED,
)

# The bars at the largest width of the paper's configuration: of the weights' distance from their
# limit and of the gap in training; and of by how much the LRU is ahead at the last lag.
_DISTANCE, _GAP, _TIMES = 0.1, 0.02, 10.0


def units(config: LayersConfig) -> int:
    """One unit of work for each layer, width and seed."""
    return len(config.layers) * len(config.widths) * config.seeds


def run(config: LayersConfig, advance: Callable[[], None]) -> Arrays:
    """Computes the weights and steps of all layers, widths and seeds, and trains each.

    Returns:
      ``layer (A,)``; ``width (K,)``, rising; ``seed (S,)``; ``limit (A, T)``, lag weights at
      infinite width, NaN where there is no closed form; ``weight (A, K, S, T)``, those of the
      layers; ``steps (A, K, S, T)``, to learn half of each lag; ``lags (A, K, S)``, the lags that
      hold 95 % of the weight; and ``loss (A, K, S, R)`` and ``predicted (A, K, S, R)``, relative
      to the start, at ``step (R,)``.

    Raises:
      ValueError: if training diverges.
    """
    widths, found, limits = sorted(config.widths), [], []
    for name in config.layers:
        limit = limit_weights(_layer(config, name, widths[0]), config.seq_len)
        limits.append(np.full(config.seq_len, np.nan) if limit is None else limit)
        for width in widths:
            layer = _layer(config, name, width)
            for seed in config.seed_list:
                found.append(_measured(config, layer, jax.random.key(seed)))
                advance()
    shape = len(config.layers), len(widths), config.seeds
    measured = {
        name: np.reshape([each[name] for each in found], (*shape, *found[0][name].shape))
        for name in found[0]
    }
    return {
        "layer": np.asarray(config.layers), "width": np.asarray(widths),
        "seed": np.asarray(config.seed_list), "step": np.arange(config.steps + 1),
        "limit": np.asarray(limits), **measured,
    }  # fmt: skip


def distances(arrays: Arrays) -> Float[np.ndarray, "A K S"]:
    """``||rho_n - rho|| / ||rho||``, of the lag weights at a width from those of infinite width."""
    limit = arrays["limit"][:, None, None]
    return np.linalg.norm(arrays["weight"] - limit, axis=3) / np.linalg.norm(limit, axis=3)


def gaps(arrays: Arrays) -> Float[np.ndarray, "A K S"]:
    """The largest difference of the loss from the predicted one, relative to the start."""
    return np.max(np.abs(arrays["loss"] - arrays["predicted"]), axis=3)


def metrics(config: LayersConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each layer, width and seed."""
    distance, gap = distances(arrays), gaps(arrays)
    return [
        {
            "layer": str(name), "width": int(width), "seed": int(seed),
            "lags": float(arrays["lags"][a, k, s]), "distance": float(distance[a, k, s]),
            "steps_last_lag": float(arrays["steps"][a, k, s, -1]), "gap": float(gap[a, k, s]),
        }
        for a, name in enumerate(arrays["layer"])
        for k, width in enumerate(arrays["width"])
        for s, seed in enumerate(arrays["seed"])
    ]  # fmt: skip


def numbers(config: LayersConfig, arrays: Arrays) -> list[Number]:
    """Memory, steps for the last lag and gap in training, of each layer at the largest width."""
    width, last, gap = arrays["width"][-1], config.seq_len - 1, gaps(arrays)
    result = []
    for a, name in enumerate(arrays["layer"]):
        memory = averages.printed_mean(arrays["lags"][a, -1])
        steps = averages.printed_median(arrays["steps"][a, -1, :, -1])
        result += [
            Number(f"{name}, lags that hold 95 % of the weight, n = {width}", "", memory),
            Number(f"{name}, steps to learn half of lag {last}, n = {width}", "", steps),
            Number(
                f"{name}, gap in training, n = {width}", "", averages.printed_median(gap[a, -1])
            ),
        ]
    return result


def claims(config: LayersConfig, arrays: Arrays) -> list[Claim]:
    """Weights tend to closed forms, training is as predicted, and the LRU remembers for longer."""
    width, distance, gap, result = arrays["width"], distances(arrays), gaps(arrays), []
    widest, seeds = int(width[-1]), len(arrays["seed"])
    wider = (2048 / widest) ** 0.5
    for a, name in enumerate(arrays["layer"]):
        if np.isfinite(distance[a]).all():
            result += [
                verdicts.median_below(
                    f"Lag weights of {name} of width {widest} against infinite width, relative "
                    "(median of seeds)", distance[a, -1], _DISTANCE * wider,
                ),
                verdicts.falling(
                    f"Lag weights of {name} tend to those of infinite width (log-log slope and "
                    "standard error)", fit_power_law(width, distance[a]), seeds * len(width),
                ),
            ]  # fmt: skip
        result += [
            verdicts.median_below(
                f"Loss of {name} of width {widest} in training against the predicted one, relative "
                "to the start (largest over steps, median of seeds)", gap[a, -1], _GAP * wider,
            ),
            verdicts.falling(
                f"That gap of {name} falls with the width (log-log slope and standard error)",
                fit_power_law(width, gap[a]), seeds * len(width),
            ),
            verdicts.above(
                f"{name} takes longer for the last lag than for the first (log10 of the ratio of "
                "steps, mean of seeds)",
                np.log10(arrays["steps"][a, -1, :, -1] / arrays["steps"][a, -1, :, 0]), 0.0,
            ),
        ]  # fmt: skip
    steps = dict(zip(arrays["layer"].tolist(), arrays["steps"][:, -1, :, -1], strict=True))
    if {"gaussian", "lru"} <= steps.keys():
        result.append(
            verdicts.above(
                f"The Gaussian RNN takes {_TIMES:g} times as many steps for lag "
                f"{config.seq_len - 1} as the LRU, or more (log10 of the ratio, mean of seeds)",
                np.log10(steps["gaussian"] / steps["lru"]), float(np.log10(_TIMES)),
            )
        )  # fmt: skip
    return result


def plot(config: LayersConfig, arrays: Arrays) -> Figure:
    """Weights and steps of each lag, and the loss in the delay task beside the predicted one."""
    return draw_figure(config, arrays)


def _layer(config: LayersConfig, name: Layer, width: int) -> Any:
    return named_layer(
        name, width, nu_w=config.nu_w, nu_f=config.nu_f, nu_c=config.nu_c, r_min=config.r_min,
        r_max=config.r_max,
    )  # fmt: skip


def _measured(config: LayersConfig, layer: Any, key: Array) -> dict[str, np.ndarray]:
    """What is saved of one layer at one width and seed."""
    key_x, key_layer = jax.random.split(key)
    x = jax.random.normal(key_x, (config.num_train, config.seq_len, 1))
    params, response = _draw(layer, key_layer, x)
    y = nr.data.delay(x, config.delay) * np.linalg.norm(response)
    gram = nr.layer_gram(layer, params, config.seq_len, 1)
    memory = nr.memory(gram)
    on_host = (np.asarray(x, float), np.asarray(y, float))
    predictor = nr.kernel_regression(
        np.asarray(gram, float), on_host, initial=np.asarray(response, float), on_host=True
    )
    how: Any = {
        "steps": config.steps, "learning_rate": float(predictor.max_learning_rate) / 2,
        "allow_unstable": True,  # known to be stable in the limit of its kernel
    }  # fmt: skip
    if isinstance(layer, nr.LinearRNN):
        path = students.train_rnn(layer, params, (x, y), **how)
    else:
        path = nr.gradient_descent(layer, params, (x, y), **how)
    rate, diverged = how["learning_rate"], path.diverged_at
    check_converged(rate, None if diverged is None else int(diverged), f" of {layer!r}")
    predicted = predictor.train_loss(np.asarray(path.step), rate)
    loss = np.asarray(path.train_loss, float)
    return {
        "weight": memory.weight, "steps": memory.steps, "lags": np.asarray(memory.lags),
        "loss": loss / loss[0], "predicted": np.asarray(predicted) / loss[0],
    }  # fmt: skip


@partial(jax.jit, static_argnums=0)
def _draw(layer: Any, key: Array, x: Float[Array, "N T 1"]) -> tuple[Any, Float[Array, "T 1 1"]]:
    """Parameters, and the impulse response."""
    params = layer.init(key, x)
    return params, layer.apply(params, nr.unit_impulses(x.shape[1], 1)).transpose(1, 2, 0)
