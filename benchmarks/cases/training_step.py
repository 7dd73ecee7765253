"""A step of gradient descent: through the impulse response, against step by step in every form.

All take the same steps from the same parameters, on the same batches; what is compared is by how
much they changed the impulse response, computed from the parameters in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Work
from benchmarks.peers import flax_rnn, jax_rnn, torch_rnn


class Size(NamedTuple):
    """Width, sequences, length, inputs, outputs, sequences a batch (0 for all), steps a call."""

    n: int
    num: int
    seq_len: int
    in_dim: int
    out_dim: int
    batch: int
    steps: int


# The paper's synthetic data, some that differ in one size, and batches of the size of its real.
_BASE = Size(1000, 50, 10, 1, 1, 0, 50)
_BATCHES = _BASE._replace(batch=10)
_REAL = Size(1000, 512, 15, 52, 2, 128, 8)
_SIZES = (
    _BASE, _BASE._replace(n=500), _BASE._replace(n=2000, steps=10),
    _BASE._replace(num=200, steps=10), _BASE._replace(seq_len=20, steps=20), _BATCHES, _REAL,
)  # fmt: skip
# At other sizes there are only Flax and PyTorch as they are usually run, because the rest takes
# long to compile for each size.
_TOLD = (_BASE, _BATCHES, _REAL)


def comparisons() -> list[Comparison]:
    """Full batches over all sizes, and mini-batches at two."""
    return [_comparison(size) for size in _SIZES]


def _comparison(size: Size) -> Comparison:
    n, num, seq_len, in_dim, out_dim, batch, steps = size
    used = batch or num
    side = min(in_dim, out_dim)
    w_bytes = 4.0 * n**2
    # Four copies of the parameters, and states, inputs and their products at all times.
    needs = 4 * w_bytes + 4 * 4.0 * used * seq_len * n + 4 * 4.0 * num * seq_len * in_dim
    flax_bar, torch_bar = (25.0, 20.0) if size == _BASE else (None, None)
    make: Any = functools.partial
    contenders = [
        Contender("ntk_rnn, impulse response", make(_ours, size, "impulse"), "ours", needs=needs),
        Contender("floor: 2 T reads of W", make(_reads, size), "floor"),
        Contender("flax.linen.RNN", make(_flax, size), needs=needs, at_least=flax_bar),
        Contender("PyTorch, unrolled", make(_torch, size, False), needs=needs, at_least=torch_bar),
    ]
    if size in _TOLD:
        compiled = make(_torch, size, True)
        contenders += [
            Contender(
                "PyTorch, torch.compile", compiled, needs=needs, at_least=torch_bar, quick=False
            ),
            Contender("JAX, lax.scan", make(_plain, size), needs=needs, quick=False),
            Contender(
                "ntk_rnn, step by step", make(_ours, size, "scan"), "own", needs=needs, quick=False
            ),
        ]
    sizes = {"n": n, "N": num, "T": seq_len, "n_x": in_dim, "n_y": out_dim}
    sizes |= {"batch": batch} if batch else {}
    return Comparison(
        "training_step", "mini-batch" if batch else "full batch",
        sizes, tuple(contenders), tolerance=1e-4, steps=steps,
        # Chain, its transpose, the product of all lags for W, and the update; the convolution.
        flops=2.0 * n**2 * side * (3 * seq_len - 2) + 2.0 * n**2
        + 6.0 * used * seq_len**2 * in_dim * out_dim,
        # W in T - 1 products a chain, and once to update it, read and written.
        moved=2 * seq_len * w_bytes, working_set=w_bytes,
        quick=size == _BASE, memory=size == _BASE,
    )  # fmt: skip


class _Problem(NamedTuple):
    model: nr.LinearRNN
    params: Any
    data: tuple[jax.Array, jax.Array]
    rate: float
    key: jax.Array


@functools.lru_cache(maxsize=1)
def _problem(size: Size) -> _Problem:
    n, num, seq_len, in_dim, out_dim, *_ = size
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (num, seq_len, in_dim))
    y = jax.random.normal(keys[1], (num, seq_len, out_dim))
    model = nr.LinearRNN(n, out_dim)
    params = jax.jit(model.init)(keys[2], x)
    # A rate at which the loss falls well, so that a wrong gradient would be seen.
    rho = nr.lag_weights(seq_len, model.nu_w, model.nu_f, model.nu_c)
    rate = 0.2 * float(nr.kernel_regression(rho, (x, y), on_host=True).max_learning_rate)
    return _Problem(model, params, (x, y), rate, keys[3])


def _batches(size: Size) -> np.ndarray:
    """The rows that each step takes, as ``nr.train`` says it; of size 0 without mini-batches."""
    if not size.batch:
        return np.zeros((size.steps, 0), int)
    per_epoch, key = size.num // size.batch, _problem(size).key
    orders = [
        np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), size.num))
        for epoch in range(-(-size.steps // per_epoch))
    ]
    kept = [order[: per_epoch * size.batch].reshape(per_epoch, size.batch) for order in orders]
    return np.concatenate(kept)[: size.steps]


def _change(size: Size, params: Any) -> np.ndarray:
    """By how much training changed the impulse response, in float64."""
    return _response(params, size.seq_len) - _response(_problem(size).params, size.seq_len)


def _response(params: Any, seq_len: int) -> np.ndarray:
    w, f, c = (np.asarray(params["params"][name], np.float64) for name in "WFC")
    root, rows = len(w) ** 0.5, [c]
    for _ in range(seq_len - 1):
        rows.append(rows[-1] @ w / root)
    return np.stack(rows) @ f / root


def _ours(size: Size, evaluation: Any) -> Work:
    problem = _problem(size)
    model = nr.LinearRNN(size.n, size.out_dim, evaluation=evaluation)
    settings: Any = {
        "steps": size.steps, "learning_rate": problem.rate, "record_at": [size.steps],
        # The search for an unstable rate is not part of a step.
        "allow_unstable": True,
    }  # fmt: skip
    if size.batch:
        settings |= {"batch_size": size.batch, "key": problem.key}
    train = nr.train if size.batch else nr.gradient_descent

    apply_fn: Callable[..., Any] = model.apply

    def one_step(params: Any, x: jax.Array, y: jax.Array) -> Any:
        def loss(p: Any) -> jax.Array:
            return 0.5 * jnp.sum((apply_fn(p, x) - y) ** 2)

        return jax.tree.map(lambda p, g: p - 1e-4 * g, params, jax.grad(loss)(params))

    return Work(
        lambda: train(model, problem.params, problem.data, **settings).params,
        lambda params: _change(size, params),
        lambda: jax.jit(one_step).lower(
            problem.params, *(part[: size.batch or None] for part in problem.data)
        ),
    )


def _plain(size: Size) -> Work:
    problem, batches = _problem(size), jnp.asarray(_batches(size))
    start = problem.params["params"]
    return Work(
        lambda: jax_rnn.train(jax_rnn.outputs, start, problem.data, batches, problem.rate),
        lambda params: _change(size, {"params": params}),
    )


def _flax(size: Size) -> Work:
    problem, batches = _problem(size), jnp.asarray(_batches(size))
    model, start = flax_rnn.Network(size.n, size.out_dim), flax_rnn.from_ours(problem.params)
    return Work(
        lambda: flax_rnn.train(model, start, problem.data, batches, problem.rate),
        lambda params: _change(size, flax_rnn.to_ours(params)),
    )


def _torch(size: Size, compiled: bool) -> Work:
    problem = _problem(size)
    start = torch_rnn.weights(problem.params)
    data = tuple(torch_rnn.tensor(part) for part in problem.data)
    batches = [torch_rnn.tensor(rows) if rows.size else None for rows in _batches(size)]
    forward = torch_rnn.recurrence(compiled=compiled)
    return Work(
        lambda: torch_rnn.train(forward, start, data, batches, problem.rate),
        lambda parts: _change(size, torch_rnn.to_ours(parts)),
    )


def _reads(size: Size) -> Work:
    """Products of ``W`` with one row, which read it, as often as a step must, for all steps."""
    w, row = _problem(size).params["params"]["W"], jnp.ones((1, size.n))
    # A GPU waits for the host once an iteration, for longer than such a read takes.
    unroll = 2 * size.seq_len if jax.default_backend() == "gpu" else 1
    reads: Callable[..., jax.Array] = jax.jit(
        lambda w, row: lax.fori_loop(
            # Scaled, so that it does not grow; the last row depends on all before.
            0, 2 * size.seq_len * size.steps, lambda _, r: r @ w / size.n**0.5, row, unroll=unroll
        )
    )  # fmt: skip
    return Work(lambda: reads(w, row))
