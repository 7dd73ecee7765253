"""One training step of a wide linear RNN: by impulse response against step by step.

Run with ``uv run python -m benchmarks.training_step``. Both run the same number of steps of
``gradient_descent`` in one compiled loop, and their losses are compared before their times are.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import ntk_rnn as nr
from benchmarks.timing import interleaved_medians
from ntk_rnn.dynamics.objective import Data
from ntk_rnn.models import Evaluation

STEPS = 50
# width, sequences, length, inputs, outputs: the paper's synthetic data, and a batch of its real.
SIZES = [(1000, 50, 10, 1, 1), (1000, 128, 15, 52, 2)]


def compare(width: int, num: int, seq_len: int, in_dim: int, out_dim: int) -> None:
    """Prints milliseconds a step of both evaluations, and their ratio."""
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(k1, (num, seq_len, in_dim))
    y = jax.random.normal(k2, (num, seq_len, out_dim))
    params = nr.LinearRNN(width, out_dim).init(k3, x)

    def training(evaluation: Evaluation):
        model = nr.LinearRNN(width, out_dim, evaluation=evaluation)
        return lambda: nr.gradient_descent(
            # The search for an unstable rate is not part of a step.
            model, params, (x, y), steps=STEPS, learning_rate=1e-6, record_at=[STEPS],
            allow_unstable=True,
        )  # fmt: skip

    candidates = {"step by step": training("scan"), "impulse response": training("impulse")}
    losses = [run().train_loss for run in candidates.values()]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    medians = interleaved_medians(candidates, repeats=7)
    print(f"n={width} N={num} T={seq_len} n_x={in_dim} n_y={out_dim}")
    for name, seconds in medians.items():
        print(f"  {name:18s}{1e3 * seconds / STEPS:9.2f} ms a step")
    print(f"  ratio             {medians['step by step'] / medians['impulse response']:9.1f}")


def compare_compressed(width: int, seq_len: int, nums: tuple[int, ...]) -> None:
    """Prints milliseconds a step on compressed data of several numbers of sequences."""
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    model = nr.LinearRNN(width, 1)
    x = jax.random.normal(k1, (max(nums), seq_len, 1))
    y = jax.random.normal(k2, (max(nums), seq_len, 1))
    params = model.init(k3, x)

    def training(data: Data):
        return lambda: nr.gradient_descent(
            model, params, data, steps=100, learning_rate=1e-9, record_at=[100],
            allow_unstable=True,
        )  # fmt: skip

    candidates = {f"{num} sequences, compressed": nr.compress(x[:num], y[:num]) for num in nums}
    runs = {name: training(data) for name, data in candidates.items()}
    runs[f"{nums[0]} sequences"] = training((x[: nums[0]], y[: nums[0]]))
    print(f"n={width} T={seq_len} n_x=1 n_y=1")
    for name, seconds in interleaved_medians(runs, repeats=7).items():
        print(f"  {name:28s}{10 * seconds:9.3f} ms a step")


def compare_with_reads(width: int, seq_len: int) -> None:
    """Prints a step beside the time to read ``W`` as often as it must be, ``2 T`` times.

    Forward and backward chain read it ``T - 1`` times each, the update once more, and writes it. A
    read is timed as a product with one row, repeated, with nothing else to do.
    """
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(k1, (50, seq_len, 1))
    y = jax.random.normal(k2, (50, seq_len, 1))
    model = nr.LinearRNN(width, 1)
    params = model.init(k3, x)
    w, row = params["params"]["W"], jnp.ones((1, width))
    reads = 100

    @jax.jit
    def read(w: jax.Array, row: jax.Array) -> jax.Array:
        # Scaled, so that it does not grow; the last row depends on all before.
        return lax.fori_loop(0, reads, lambda _, r: r @ w / width**0.5, row)

    def train():
        return nr.gradient_descent(
            model, params, (x, y), steps=STEPS, learning_rate=1e-9, record_at=[STEPS],
            allow_unstable=True,
        )  # fmt: skip

    medians = interleaved_medians({"read": lambda: read(w, row), "train": train}, repeats=7)
    once, step = medians["read"] / reads, medians["train"] / STEPS
    print(f"n={width} T={seq_len} n_x=1 n_y=1, reading at {4e-9 * width**2 / once:.1f} GB/s")
    print(f"  a step           {1e3 * step:9.2f} ms")
    print(f"  2 T reads of W   {1e3 * 2 * seq_len * once:9.2f} ms")
    print(f"  step / 2 T reads {step / (2 * seq_len * once):9.2f}")


if __name__ == "__main__":
    print(f"device: {jax.devices()[0].device_kind}, jax {jax.__version__}")
    for size in SIZES:
        compare(*size)
    compare_compressed(1000, 10, (50, 20_000))
    for width in (1000, 4000):
        compare_with_reads(width, 10)
