"""A whole course of gradient descent: in the subspace that gradients reach, against all of W.

All take the same 1000 steps from the same parameters; what is compared is by how much they changed
the impulse response. The subspace is found anew in every call, which is part of its time.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Work
from benchmarks.peers import flax_rnn

_STEPS, _NUM, _SEQ_LEN = 1000, 50, 10
# The learning rate of Fig. 1, and the variances of the entries of W, F and C.
_RATE, _VARIANCES = 1e-4, (0.3, 1.0, 1.0)
# The parts of the time of W that a subspace is to save.
_AT_LEAST = {1000: 10.0, 4000: 50.0}
_FLAX_AT_LEAST = 250.0

# Widths at which training all of ``W`` takes too long to wait for, and at which it fits in no
# memory. They are checked against the limit of infinite width, from which they are less than .001
# away, after as many steps.
_LONG, _WIDE, _FEW_STEPS = 16_000, 1_000_000, 100
_NEAR = 0.01


def comparisons() -> list[Comparison]:
    """The problem of Fig. 1, at two widths against all of W, and at two larger ones."""
    return [*map(_comparison, _AT_LEAST), *map(_wide_comparison, (_LONG, _WIDE))]


def _comparison(n: int) -> Comparison:
    w_bytes, make = 4.0 * n**2, functools.partial
    contenders = [
        Contender("ntk_rnn, subspace", make(_subspace, n), "ours", needs=3 * w_bytes),
        Contender(
            "ntk_rnn, all of W", make(_in_full, n), "own", needs=5 * w_bytes,
            at_least=_AT_LEAST[n], quick=n == min(_AT_LEAST),
        ),
    ]  # fmt: skip
    if n == min(_AT_LEAST):
        contenders.append(
            Contender(
                "flax.linen.RNN", make(_flax, n), needs=8 * w_bytes, at_least=_FLAX_AT_LEAST,
                quick=False,
            )
        )  # fmt: skip
    return Comparison(
        "subspace", f"{_STEPS} steps, whole call", {"n": n, "N": _NUM, "T": _SEQ_LEN},
        tuple(contenders), tolerance=1e-3, steps=_STEPS, quick=n == min(_AT_LEAST),
    )  # fmt: skip


def _wide_comparison(n: int) -> Comparison:
    return Comparison(
        "subspace", f"{_FEW_STEPS} steps, whole call", {"n": n, "N": _NUM, "T": _SEQ_LEN},
        (
            Contender(
                "ntk_rnn, subspace", functools.partial(_wide_subspace, n), "ours",
                needs=12.0 * n**2 if n == _LONG else 2**31,
            ),
            Contender("ntk_rnn, limit of infinite width", functools.partial(_limit, n), "own"),
        ),
        tolerance=_NEAR, steps=_FEW_STEPS,
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def _wide_problem(n: int) -> tuple[Any, tuple[jax.Array, jax.Array]]:
    """Parameters, whose ``W`` is not formed at the largest width, and data."""
    data = nr.data.teacher(jax.random.key(0), _NUM, _SEQ_LEN)
    if n == _LONG:
        return nr.LinearRNN(n, 1, *_VARIANCES).init(jax.random.key(1), data[0]), data
    nu_w, nu_f, nu_c = _VARIANCES
    wide = nr.wide_rnn(
        jax.random.key(1), width=n, in_dim=1, out_dim=1, nu_w=nu_w, nu_f=nu_f, nu_c=nu_c
    )
    return wide, data


def _wide_subspace(n: int) -> Work:
    params, data = _wide_problem(n)
    settings = _settings(_FEW_STEPS, [0, _FEW_STEPS])
    return Work(
        lambda: nr.subspace_descent(params, data, **settings).impulse_response,
        lambda responses: np.asarray(responses[-1] - responses[0], float),
    )


def _limit(n: int) -> Work:
    """The change by the kernel of infinite width from the same start."""
    params, data = _wide_problem(n)
    start = nr.subspace_descent(params, data, **_settings(1, [0])).impulse_response[0]
    rho = nr.lag_weights(_SEQ_LEN, *_VARIANCES)

    def change() -> jax.Array:
        kernel = nr.kernel_regression(rho, data, initial=start)
        return kernel.impulse_response(_FEW_STEPS, _RATE) - start

    return Work(change, lambda found: np.asarray(found, float))


class _Problem(NamedTuple):
    model: nr.LinearRNN
    params: Any
    data: tuple[jax.Array, jax.Array]


@functools.lru_cache(maxsize=1)
def _problem(n: int) -> _Problem:
    key_data, key_params = jax.random.split(jax.random.key(0))
    data = nr.data.teacher(key_data, _NUM, _SEQ_LEN)
    model = nr.LinearRNN(n, 1, *_VARIANCES)
    return _Problem(model, jax.jit(model.init)(key_params, data[0]), data)


def _subspace(n: int) -> Work:
    _, params, data = _problem(n)
    return Work(
        lambda: nr.subspace_descent(params, data, **_settings(_STEPS, [_STEPS])).impulse_response,
        functools.partial(_change, n),
    )


def _in_full(n: int) -> Work:
    model, params, data = _problem(n)

    def train(steps: int) -> jax.Array:
        settings = _settings(steps, [steps])
        return nr.gradient_descent(model, params, data, **settings).impulse_response

    # The same program takes any number of steps, so a few of them leave nothing to compile.
    train(2)
    return Work(lambda: train(_STEPS), functools.partial(_change, n), warm=True)


def _flax(n: int) -> Work:
    _, params, data = _problem(n)
    model, start = flax_rnn.Network(n, 1), flax_rnn.from_ours(params)
    given = start, data, jax.numpy.zeros((_STEPS, 0), int), _RATE
    train = flax_rnn.train.lower(model, *given).compile()

    def response(end: Any) -> np.ndarray:
        found = nr.impulse_response(jax.tree.map(np.asarray, flax_rnn.to_ours(end)), _SEQ_LEN)
        return _change(n, np.asarray(found)[None])

    return Work(lambda: train(*given), response, warm=True)


def _settings(steps: int, record_at: list[int]) -> dict[str, Any]:
    # The search for an unstable rate is not part of training with all of W.
    return {
        "steps": steps, "learning_rate": _RATE, "record_at": record_at, "allow_unstable": True,
    }  # fmt: skip


def _change(n: int, responses: Any) -> np.ndarray:
    start = nr.impulse_response(_problem(n).params, _SEQ_LEN)
    return np.asarray(responses[-1], float) - np.asarray(start, float)
