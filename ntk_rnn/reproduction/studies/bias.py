"""The implicit bias to short memory: how soon each lag is learned, and how far it can move.

Each seed draws white inputs and an RNN. The target is its impulse response at initialization plus a
change of the same norm at every lag, without noise, so that all lags offer as much to be learned.
Scaled and unscaled convolution start from that response too, and are solved in closed form
(Proposition 3.1). For white inputs ``A^T A`` is nearly diagonal, with entries ``s_j``, the energy
of the inputs that reach lag ``j``: about ``N (T - j)``. So what is left of lag ``j`` falls by a
factor of ``1 - eta rho_j s_j`` a step, and half of it is learned after ``ln 2 / (eta rho_j s_j)``
steps. Meanwhile no lag moves farther than ``B2 rho_j eta l`` (Theorem 4.1), ``B2 = ||A||_2 ||b||``.

Both are about infinite width. For the linearized RNN ``L_j^l - L_j^0 = sum_k G_{jk} u_k``, the
bound is that of ``||u||``, and entries of ``G`` are off those of ``diag(rho)`` by about
``sqrt(rho_j rho_k / n)``, and so its row by ``sqrt(rho_j tr(rho) / n)``: three times that is what
an RNN may go beyond the bound. An RNN is nearly its linearization for as long as a change is small
against ``sqrt(n nu_W^j)``: a change ``Z_j`` adds about ``||Z_j||^2 / n`` to ``||C W^j||^2 / n``,
which is ``nu_W^j`` in the limit. Larger ones feed on themselves, and are learned sooner.

Networks with an activation have a part of their own, in ``bias_activations``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped

import ntk_rnn as nr
from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies import bias_activations, bias_problem as problem, students
from ntk_rnn.reproduction.studies.bias_config import BiasConfig
from ntk_rnn.reproduction.studies.bias_figure import plot
from ntk_rnn.reproduction.studies.students import NAMES

__all__ = ["CHOICES", "PAPER", "claims", "metrics", "numbers", "plot", "run", "units"]

Arrays = dict[str, np.ndarray]

PAPER = (
    "Theorem 4.1: gradient descent with eta < B1 moves lag j of the impulse response by at most "
    "B2 rho_j eta l in l steps, and rho_j falls exponentially with the lag.",
    "The paper has no figure of it and prints no number.",
)
CHOICES = (
    "B2 = ||A||_2 ||b||, as the paper's ||A^T b|| does not follow from its proof.",
    "White inputs; the target differs from the start by the same norm at every lag, without noise.",
    "The learning rate, of the sum loss 1/2 sum ||y_hat - y||^2, is below B1.",
    "A lag counts as learned after half of its change, and steps are multiplied by s_j, the energy "
    "of the inputs that reach it, as sequences that start at rest have fewer pairs of times for "
    "longer lags.",
    "The RNN has to learn a small change, which its width is large for at all lags shown, and one "
    "of norm 1, which it is not.",
    "Networks with an activation are of infinite width, with nu_W such that chi is the nu_W of the "
    "linear RNN, and have one output a sequence; inputs are white, of 6 entries and norm 1, and "
    "what is learned of a lag is what new sequences show.",
)


def units(config: BiasConfig) -> int:
    """One for each RNN trained, for the convolutions of each seed, and for networks' kernels."""
    rnns = min(config.rnn_seeds, config.seeds) * len(config.changes)
    return config.seeds + rnns + bias_activations.units(config)


def run(config: BiasConfig, advance: Callable[[], None]) -> Arrays:
    """Solves for the convolutions of all seeds, and trains the RNNs of some.

    Returns:
      ``seed (S,)``, ``step (R,)``, ``lag_weights (T,)``, ``change (C,)``, rising, the norms that
      RNNs learn, and ``input_energy (S, T)``, ``s_j``; steps after which half of a lag is learned,
      NaN where it is not, ``rnn (C, S, T)``, ``scaled (S, T)`` and ``unscaled (S, T)``;
      ``||L_j^l - L_j^0||_F`` over the norm of the change, ``rnn_drift (C, S, R, T)``, NaN where no
      RNN is trained, and ``scaled_drift (S, R, T)``; and what Theorem 4.1 allows of it as ``bound
      (S, R, T)``.

    Raises:
      ValueError: if the learning rate is not below the ``B1`` of Theorem 4.1, or the steps are too
        few for the RNN to learn half of two lags.
    """
    step, changes = problem.records(config), sorted(config.changes)
    per_lag = (config.seeds, config.seq_len)
    per_step = (config.seeds, len(step), config.seq_len)
    shapes = dict.fromkeys(("input_energy", "scaled", "unscaled"), per_lag)
    shapes |= dict.fromkeys(("scaled_drift", "bound"), per_step)
    shapes |= {"rnn": (len(changes), *per_lag), "rnn_drift": (len(changes), *per_step)}
    arrays = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    for i, seed in enumerate(config.seed_list):
        x, params, initial, change = problem.draw(jax.random.key(seed), config)
        data = problem.data(x, initial, change)
        arrays["input_energy"][i] = problem.input_energy(x)
        arrays["bound"][i] = problem.bound(config, data, initial, step)
        for name, weights in students.convolution_weights(config).items():
            conv = nr.kernel_regression(weights, data, initial=initial, on_host=True)
            moved = conv.impulse_response(step, config.learning_rate) - np.asarray(initial)
            arrays[name][i] = problem.steps_to_learn(step, moved, change)
            if name == "scaled":
                arrays["scaled_drift"][i] = np.linalg.norm(moved, axis=(2, 3))
        advance()
        for k, size in enumerate(changes if i < config.rnn_seeds else ()):
            moved = problem.train(config, params, problem.data(x, initial, size * change), step)
            moved = moved / size
            arrays["rnn"][k, i] = problem.steps_to_learn(step[: len(moved)], moved, change)
            arrays["rnn_drift"][k, i, : len(moved)] = np.linalg.norm(moved, axis=(2, 3))
            if np.isfinite(arrays["rnn"][k, i]).sum() < 2:
                raise UserError(
                    f"steps must be more, got {config.steps}, in which the RNN has not learned "
                    "half of two lags"
                )
            advance()
    return {
        "seed": np.asarray(config.seed_list), "step": step,
        "lag_weights": problem.lag_weights(config), "change": np.asarray(changes), **arrays,
        **bias_activations.run(config, advance),
    }  # fmt: skip


def metrics(config: BiasConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each model and lag: steps until it is learned, largest part of the bound."""
    rows = []
    for title, steps, drift in _models(arrays):
        for lag, rho in enumerate(arrays["lag_weights"]):
            weight = 1.0 if drift is None else float(rho)
            predicted = problem.predicted(config, weight, arrays["input_energy"][:, lag])
            average, error = averages.mean(steps[:, lag])
            row = {"model": title, "lag": lag, "lag_weight": weight}
            row |= {"predicted": float(np.mean(predicted)), "steps": average, "stderr": error}
            part = np.nan if drift is None else np.nanmax(_of_bound(arrays, drift)[..., lag])
            rows.append(row | {"largest_of_bound": float(part)})
    return rows + bias_activations.metrics(config, arrays)


def numbers(config: BiasConfig, arrays: Arrays) -> list[Number]:
    """The exponent of the steps in ``rho_j``, of every model."""
    result = []
    for title, steps, _ in _models(arrays):
        _, lags, effort = problem.effort(arrays, steps)
        quantity = f"exponent of rho_j in steps times s_j, {title}, lags 0 to {lags[-1]}"
        exponents = _slope(np.log(arrays["lag_weights"][lags]), effort)
        result.append(Number(quantity, "", averages.printed_mean(exponents)))
    return result + bias_activations.numbers(arrays)


def claims(config: BiasConfig, arrays: Arrays) -> list[Claim]:
    """Steps needed grow as ``1 / rho_j``, and no lag moves farther than Theorem 4.1 allows.

    For the RNN the first is claimed with the smallest change. With the largest, if there are
    several, the claim is that its longest lag is learned sooner.
    """
    models = _models(arrays)
    (rnn, *_), scaled, unscaled = models[:-2], models[-2], models[-1]
    bar = 0.05 * (1000 / config.width) ** 0.5
    result = [*_growth(arrays, *rnn[:2], bar), *_growth(arrays, *scaled[:2], 0.05)]
    _, lags, effort = problem.effort(arrays, unscaled[1])
    statement = (
        f"Steps times s_j until the {unscaled[0]} has learned half of lag j do not depend on "
        f"rho_j (log-log slope; lags 0 to {lags[-1]})"
    )
    slopes = _slope(np.log(arrays["lag_weights"][lags]), effort)
    result.append(verdicts.within(statement, slopes, 0.05))
    if len(arrays["change"]) > 1:
        title, steps, _ = models[-3]
        rows, lags, _ = problem.effort(arrays, steps)
        statement = (
            f"Half of lag {lags[-1]} is learned sooner than the kernel of infinite width has it by "
            f"the {title} (log of the ratio)"
        )
        predicted = problem.predicted(config, arrays["lag_weights"], arrays["input_energy"][rows])
        ratios = np.log(steps[rows] / predicted)[:, lags[-1]]
        result.append(verdicts.below(statement, ratios, 0.0))
    largest = np.nanmax(_of_bound(arrays, arrays["scaled_drift"]))
    parts = _of_bound(arrays, arrays["rnn_drift"])
    allowed = np.nanmax(parts / (1 + problem.allowance(config, arrays["lag_weights"])))
    return [
        *result,
        verdicts.at_most(
            "Drift of the scaled convolution over the bound of Theorem 4.1 (largest of lags, steps "
            "and seeds)",
            float(largest), 1.0,
        ),
        verdicts.at_most(
            "Drift of the RNN over that bound and what its width allows, 1 + 3 sqrt(tr(rho) / "
            "(n rho_j)) (largest of lags, steps, seeds and changes)",
            float(allowed), 1.0, f" ({np.nanmax(parts):.3g} of the bound alone)",
        ),
        *bias_activations.claims(arrays),
    ]  # fmt: skip


def _models(arrays: Arrays) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """Name, steps until lags are learned, and drift, of the RNNs by rising change and the others.

    The drift is ``None`` for the unscaled convolution, to which Theorem 4.1 does not apply.
    """
    rnns = zip(arrays["change"], arrays["rnn"], arrays["rnn_drift"], strict=True)
    return [
        *((f"{NAMES['rnn']} (change of {size:g})", steps, drift) for size, steps, drift in rnns),
        (NAMES["scaled"], arrays["scaled"], arrays["scaled_drift"]),
        (NAMES["unscaled"], arrays["unscaled"], None),
    ]


def _slope(x: Shaped[np.ndarray, " K"], samples: Float[np.ndarray, "S K"]) -> np.ndarray:
    """The slope of a line fitted to each sample."""
    return averages.rise(x, samples) / (x[-1] - x[0])


def _growth(arrays: Arrays, title: str, steps: np.ndarray, bar: float) -> list[Claim]:
    """Steps times ``s_j`` grow as ``1 / rho_j``: against ``rho_j``, and lag by lag."""
    _, lags, effort = problem.effort(arrays, steps)
    log_rho = np.log(arrays["lag_weights"][lags])
    decay = -_slope(lags, log_rho[None])[0]
    what = f"Steps times s_j until the {title} has learned half of lag j grow"
    which = f"lags 0 to {lags[-1]}"
    return [
        verdicts.within(
            f"{what} as 1 / rho_j (log-log slope plus 1; {which})",
            _slope(log_rho, effort) + 1, bar,
        ),
        verdicts.within(
            f"{what} at the rate at which rho_j decays, {decay:.3f} a lag (fitted rate over this "
            f"one, less 1; {which})",
            _slope(lags, effort) / decay - 1, bar,
        ),
    ]  # fmt: skip


def _of_bound(arrays: Arrays, drift: np.ndarray) -> np.ndarray:
    """Drift over its bound, from the first step on."""
    return drift[..., 1:, :] / arrays["bound"][:, 1:]
