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
# The parts of the time of W that a subspace is to save.
_AT_LEAST = {1000: 10.0, 4000: 50.0}
_FLAX_AT_LEAST = 250.0


def comparisons() -> list[Comparison]:
    """The problem of Fig. 1, at two widths."""
    return [_comparison(n) for n in _AT_LEAST]


def _comparison(n: int) -> Comparison:
    w_bytes, make = 4.0 * n**2, functools.partial
    contenders = [
        Contender("ntk_rnn, subspace", make(_subspace, n), "ours", needs=3 * w_bytes),
        Contender(
            "ntk_rnn, all of W", make(_in_full, n), needs=5 * w_bytes, at_least=_AT_LEAST[n],
            quick=n == min(_AT_LEAST),
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
        "subspace", "1000 steps, whole call", {"n": n, "N": _NUM, "T": _SEQ_LEN},
        tuple(contenders), tolerance=1e-3, steps=_STEPS, quick=n == min(_AT_LEAST),
    )  # fmt: skip


class _Problem(NamedTuple):
    model: nr.LinearRNN
    params: Any
    data: tuple[jax.Array, jax.Array]


# The learning rate of Fig. 1.
_RATE = 1e-4


@functools.lru_cache(maxsize=1)
def _problem(n: int) -> _Problem:
    key_data, key_params = jax.random.split(jax.random.key(0))
    data = nr.data.teacher(key_data, _NUM, _SEQ_LEN)
    model = nr.LinearRNN(n, 1)
    return _Problem(model, model.init(key_params, data[0]), data)


def _subspace(n: int) -> Work:
    _, params, data = _problem(n)
    return Work(
        lambda: nr.subspace_descent(params, data, **_settings()).impulse_response,
        functools.partial(_change, n),
    )


def _in_full(n: int) -> Work:
    model, params, data = _problem(n)
    return Work(
        lambda: nr.gradient_descent(model, params, data, **_settings()).impulse_response,
        functools.partial(_change, n),
    )


def _flax(n: int) -> Work:
    _, params, data = _problem(n)
    model, start = flax_rnn.Network(n, 1), flax_rnn.from_ours(params)
    batches = np.zeros((_STEPS, 0), int)

    def response(end: Any) -> np.ndarray:
        found = nr.impulse_response(jax.tree.map(np.asarray, flax_rnn.to_ours(end)), _SEQ_LEN)
        return _change(n, np.asarray(found)[None])

    return Work(lambda: flax_rnn.train(model, start, data, jax.numpy.asarray(batches), _RATE),
                response)  # fmt: skip


def _settings() -> dict[str, Any]:
    return {
        "steps": _STEPS, "learning_rate": _RATE, "record_at": [_STEPS],
        # The search for an unstable rate is not part of training with all of W.
        "allow_unstable": True,
    }  # fmt: skip


def _change(n: int, responses: Any) -> np.ndarray:
    start = nr.impulse_response(_problem(n).params, _SEQ_LEN)
    return np.asarray(responses[-1], float) - np.asarray(start, float)
