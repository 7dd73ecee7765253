"""How soon networks with an activation learn each lag, at equal ``chi`` and infinite width.

Sequences are drawn independently, each input of length 1 in a direction of its own, so that they
are white and of constant power. A network has one output a sequence, at its end, and learns the sum
of a linear function of each of the last lags, of the same norm for every lag. The path of gradient
descent on ``recurrent_ntk`` is known in closed form (Proposition 3.1), and what it has learned of a
lag is the regression of its outputs for new sequences on the inputs at that lag.

The kernel of two such sequences is nearly linear in their small inner products, so the function of
lag ``j`` is learned at a rate of ``eta w_j N / n_x``, with ``w_j`` the derivative of the kernel by
the inner product at lag ``j``, where all of them are 0. Pre-activations of two independent
sequences are not equal, and so a lag costs a factor of ``nu_W E[phi'(u) phi'(v)]`` at the
correlation of theirs, which is 0 for odd activations. It is smaller than ``chi``, the factor of
small changes of one sequence, for which ``effective_lag_weights`` are; both are the same for the
identity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

import ntk_rnn as nr
from ntk_rnn import plotting
from ntk_rnn.power_law import fit_power_law
from ntk_rnn.reproduction import averages, verdicts
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies.bias_config import BiasConfig
from ntk_rnn.reproduction.studies.bias_problem import predicted, steps_to_learn
from ntk_rnn.reproduction.studies.equal_chi import equal_nu_w

Arrays = dict[str, np.ndarray]

# Many inputs, so that inner products are small; few lags, as many more sequences would have to tell
# longer ones; and so many steps that the states have settled.
_IN_DIM, _LAGS, _STEPS = 6, 4, 12

_BAR = 0.1

_STYLES = (
    ("o", plotting.BLUE),
    ("s", plotting.ORANGE),
    ("^", plotting.GREEN),
    ("v", plotting.GREY),
)


def compared(config: BiasConfig) -> tuple[str, ...]:
    """The activations: none where perturbations do not fade in the linear RNN."""
    return config.activations if config.nu_w < 1 else ()


def units(config: BiasConfig) -> int:
    """One unit of work for each path in closed form."""
    return len(compared(config)) * min(config.activation_seeds, config.seeds)


def run(config: BiasConfig, advance: Callable[[], None]) -> Arrays:
    """Solves for all activations and some seeds.

    Returns:
      ``activation (A,)``, ``activation_nu_w (A,)``; ``w_j`` as ``activation_weights (A, J)``, and
      ``effective_lag_weights`` as ``activation_stationary (A, J)``; and the steps after which half
      of a lag is learned, NaN where it is not, ``activation_steps (A, S, J)``.
    """
    names, seeds = compared(config), config.seed_list[: config.activation_seeds]
    variances, weights, stationary, steps = [], [], [], []
    for phi in names:
        nu_w = equal_nu_w(phi, config, 1.0)
        nu = {"nu_w": nu_w, "nu_f": config.nu_f, "nu_c": config.nu_c}
        kernel_fn = partial(nr.recurrent_ntk, activation=phi, output="last", **nu)
        variances.append(nu_w)
        weights.append(independent_weights(kernel_fn))
        compiled = jax.jit(partial(nr.effective_lag_weights, _LAGS, phi))
        stationary.append(np.asarray(compiled(**nu), float))
        for seed in seeds:
            steps.append(_steps(config, kernel_fn, weights[-1], seed))
            advance()
    return {
        "activation": np.asarray(names, dtype=str), "activation_nu_w": np.asarray(variances),
        "activation_weights": np.reshape(weights, (-1, _LAGS)),
        "activation_stationary": np.reshape(stationary, (-1, _LAGS)),
        "activation_steps": np.reshape(steps, (len(names), len(seeds), _LAGS)),
    }  # fmt: skip


def independent_weights(kernel_fn: Callable[[Any, Any], Array]) -> Float[np.ndarray, " J"]:
    """``w_j``, the derivative of the kernel by the inner product of inputs at lag ``j``.

    Two sequences have inputs of length 1 at right angles. Turning one input of the first towards
    the second changes that inner product, and no length to first order.
    """
    first, second = (jnp.zeros((1, _STEPS, 2)).at[..., side].set(1.0) for side in (0, 1))
    slopes = jax.jit(jax.grad(lambda x: kernel_fn(x, second)[0, 0]))(first)
    return np.asarray(slopes[0, ::-1, 1][:_LAGS], float)


def energy(config: BiasConfig) -> Float[np.ndarray, ""]:
    """The energy of the inputs at a lag in each of their directions, ``N / n_x``."""
    return np.asarray(config.activation_sequences / _IN_DIM)


def metrics(config: BiasConfig, arrays: Arrays) -> list[dict[str, Any]]:
    """One row for each activation and lag, with the columns of the study."""
    rows = []
    for phi, weights, steps in _each(arrays):
        expected = predicted(config, weights, energy(config))
        for lag, weight in enumerate(weights):
            average, error = averages.mean(steps[:, lag])
            rows.append({
                "model": _title(phi), "lag": lag, "lag_weight": float(weight),
                "predicted": float(expected[lag]),
                "steps": average, "stderr": error, "largest_of_bound": np.nan,
            })  # fmt: skip
    return rows


def numbers(arrays: Arrays) -> list[Number]:
    """The exponents of the steps in both kinds of weights."""
    result = []
    for (phi, weights, steps), others in zip(
        _each(arrays), arrays["activation_stationary"], strict=True
    ):
        for symbol, of in (("w_j", weights), ("effective_lag_weights", others)):
            exponents, last = _exponents(of, steps)
            quantity = f"exponent of {symbol} in steps, {_title(phi)}, lags 0 to {last}"
            result.append(Number(quantity, "", averages.printed_mean(exponents)))
    return result


def claims(arrays: Arrays) -> list[Claim]:
    """Steps grow as ``1 / w_j``, for each activation."""
    result = []
    for phi, weights, steps in _each(arrays):
        exponents, last = _exponents(weights, steps)
        statement = (
            f"Steps until the {_title(phi)} has learned half of lag j grow as 1 / w_j, the weight "
            f"of lag j between independent sequences (log-log slope plus 1; lags 0 to {last})"
        )
        result.append(verdicts.within(statement, exponents + 1, _BAR))
    return result


def plot(ax: Axes, config: BiasConfig, arrays: Arrays) -> None:
    """Steps until half of each lag is learned, and what ``w_j`` predict."""
    for k, (phi, weights, steps) in enumerate(_each(arrays)):
        marker, color = _STYLES[k % len(_STYLES)]
        lag = np.arange(len(weights))
        label = f"{phi} ($\\nu_W$ = {arrays['activation_nu_w'][k]:.2f})"
        plotting.points(ax, lag, steps, label, color=color, marker=marker, zorder=3)
        expected = predicted(config, weights, energy(config))
        ax.plot(lag, expected, color=color, linewidth=0.9)
    ax.plot([], [], color=plotting.GREY, linewidth=0.9, label="predicted, same color")
    plotting.describe(
        ax, rf"Networks with an activation, $\chi$ = {config.nu_w:g}",
        xlabel="lag j (time steps)", ylabel="steps of gradient descent", yscale="log",
    )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    count = arrays["activation_steps"].shape[1]
    title = plotting.over_seeds("infinite width, median and quartiles", count)
    plotting.legend(ax, title, loc="upper left")


def _each(arrays: Arrays) -> list[tuple[str, np.ndarray, np.ndarray]]:
    names = map(str, arrays["activation"])
    return list(zip(names, arrays["activation_weights"], arrays["activation_steps"], strict=True))


def _title(phi: str) -> str:
    return f"{phi} network of infinite width"


def _exponents(
    weights: Float[np.ndarray, " J"], steps: Float[np.ndarray, "S J"]
) -> tuple[Float[np.ndarray, " S"], int]:
    """The log-log slope of each seed, and the last of the lags that all seeds learn."""
    learned = np.flatnonzero(np.isfinite(steps).all(axis=0))
    slopes = [fit_power_law(weights[learned], row[None, learned].T).slope for row in steps]
    return np.asarray(slopes), int(learned[-1])


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training sequences, new ones, and what is to be learned, of norm 1 at every lag.

    There are as many outputs as inputs, which average over directions.
    """
    draws = np.random.default_rng(seed)
    x = draws.standard_normal((2, count, _STEPS, _IN_DIM))
    train, new = x / np.linalg.norm(x, axis=3, keepdims=True)
    change = draws.standard_normal((_LAGS, _IN_DIM, _IN_DIM))
    return train, new, change / np.linalg.norm(change, axis=(1, 2), keepdims=True)


def _steps(
    config: BiasConfig, kernel_fn: Callable[[Any, Any], Any], weights: np.ndarray, seed: int
) -> Float[np.ndarray, " J"]:
    """Steps after which new sequences show that half of a lag has been learned."""
    train, new, change = draw(config.activation_sequences, seed)
    lagged, of_new = (x[:, : -_LAGS - 1 : -1] for x in (train, new))
    path = nr.kernel_regression(kernel_fn, (train, np.einsum("jpq,njq->np", change, lagged)))
    last = 3 / (config.learning_rate * energy(config) * weights.min())
    step = np.unique(np.round(np.geomspace(1, last, 200)).astype(int))
    outputs = np.asarray(path.predict(new, step, config.learning_rate), float)
    # A constant function of the sequences takes its own part of the outputs.
    columns = np.column_stack([of_new.reshape(len(new), -1), np.ones(len(new))])
    moved = np.einsum("in,rnp->rip", np.linalg.pinv(columns)[:-1], outputs, optimize=True)
    moved = moved.reshape(len(step), _LAGS, _IN_DIM, -1).swapaxes(2, 3)
    return steps_to_learn(step, moved, change)
