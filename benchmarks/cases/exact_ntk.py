"""The exact kernel of a linear RNN: from its Gram matrix, against Jacobians of every kind.

At the base size neural-tangents takes part with every implementation, on the RNN as it is usually
written, step by step, and on this library's, whose impulse response it differentiates faster. At
other sizes it takes part with its default and with its fastest.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Work
from benchmarks.peers import jax_rnn, torch_rnn

_USUAL = ("jacobian_contraction", "structured_derivatives")
_IMPLEMENTATIONS = (*_USUAL, "ntk_vector_products")

# Width, sequences, length, inputs, outputs.
_BASE = (1000, 10, 10, 1, 1)
_MANY = (1000, 50, 10, 1, 1)
_SIZES = (
    _BASE, _MANY, (250, 10, 10, 1, 1), (500, 10, 10, 1, 1), (1000, 10, 5, 1, 1),
    (1000, 10, 10, 8, 1),
)  # fmt: skip
# Where it is said by how much the exact kernel is faster: 10 and 50 sequences.
_PROMISES = {_BASE: 200.0, _MANY: 2000.0}


def comparisons() -> list[Comparison]:
    """The base size, and some that differ in one of the sizes."""
    return [_comparison(size) for size in _SIZES]


def _comparison(size: tuple[int, ...]) -> Comparison:
    n, num, seq_len, in_dim, out_dim = size
    entries = n * (n + in_dim + out_dim)
    # Jacobians of all outputs, and once more as a product of them is formed.
    jacobians = 2 * 4.0 * num * seq_len * out_dim * entries
    promised = _PROMISES.get(size)
    contenders = [Contender("ntk_rnn, Gram matrix", functools.partial(_ours, size), "ours")]
    for evaluation in ("scan", "impulse") if size == _BASE else ("scan",):
        # The promise is about the RNN that everyone writes.
        bar = promised if evaluation == "scan" else None
        for name in _IMPLEMENTATIONS if size == _BASE else _USUAL:
            make = functools.partial(_neural_tangents, size, name, evaluation)
            label = f"neural-tangents, {name}, {_FORMS[evaluation]}"
            quick = evaluation == "scan" and name == "structured_derivatives"
            contenders.append(Contender(label, make, needs=jacobians, at_least=bar, quick=quick))
    if size != _MANY:  # where a call takes 9 seconds
        contenders.append(
            Contender("jax.jacobian", functools.partial(_jacobian, size), needs=1.5 * jacobians)
        )
    if size == _BASE:
        contenders.append(
            Contender(
                "PyTorch, torch.func", functools.partial(_torch, size), needs=1.5 * jacobians,
                quick=False,
            )
        )  # fmt: skip
    lags = seq_len * in_dim
    return Comparison(
        "exact_ntk", "", dict(zip(("n", "N", "T", "n_x", "n_y"), size, strict=True)),
        tuple(contenders), tolerance=1e-4,
        # Both chains, and the Toeplitz matrices of the inputs on both sides of the Gram matrix.
        flops=2.0 * (seq_len - 1) * n**2 * (in_dim + out_dim)
        + 2.0 * num * seq_len * lags * (lags + num * seq_len),
        moved=4.0 * (2 * (seq_len - 1) * n**2 + (num * seq_len) ** 2),
        working_set=4.0 * n**2,
        quick=size == _BASE, memory=size == _BASE,
    )  # fmt: skip


_FORMS = {"scan": "step by step", "impulse": "our impulse response"}


@functools.lru_cache(maxsize=1)
def _problem(size: tuple[int, ...]) -> tuple[Any, jax.Array]:
    n, num, seq_len, in_dim, out_dim = size
    x = jax.random.normal(jax.random.key(0), (num, seq_len, in_dim))
    return jax.jit(nr.LinearRNN(n, out_dim).init)(jax.random.key(1), x), x


def _ours(size: tuple[int, ...]) -> Work:
    params, x = _problem(size)

    def kernel(params: Any, x: jax.Array) -> jax.Array:
        return nr.finite_width_gram(params, size[2]).ntk(x)

    return Work(lambda: kernel(params, x), lowered=lambda: jax.jit(kernel).lower(params, x))


def _neural_tangents(size: tuple[int, ...], implementation: str, evaluation: Any) -> Work:
    params, x = _problem(size)
    model = nr.LinearRNN(size[0], size[4], evaluation=evaluation)
    return Work(lambda: nr.empirical_ntk(model, params, x, implementation=implementation))


def _jacobian(size: tuple[int, ...]) -> Work:
    params, x = _problem(size)
    plain = params["params"]
    return Work(lambda: jax_rnn.kernel(plain, x), lowered=lambda: jax_rnn.kernel.lower(plain, x))


def _torch(size: tuple[int, ...]) -> Work:
    params, x = _problem(size)
    weights, inputs = torch_rnn.weights(params), torch_rnn.tensor(x)
    return Work(lambda: torch_rnn.kernel(weights, inputs), lambda kernel: np.asarray(kernel.cpu()))
