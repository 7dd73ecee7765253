"""The exact kernel of a linear RNN: from its Gram matrix, against neural-tangents.

Run with ``uv run python -m benchmarks.empirical_kernel``. Kernels are compared before they are
timed; every implementation of neural-tangents takes part, on the RNN as it is usually written, step
by step, and on this library's, whose impulse response they differentiate faster.
"""

from __future__ import annotations

import jax
import numpy as np

import ntk_rnn as nr
from benchmarks.timing import interleaved_medians
from ntk_rnn.models import Evaluation

WIDTH, SEQ_LEN = 1000, 10
IMPLEMENTATIONS = ("jacobian_contraction", "ntk_vector_products", "structured_derivatives")


def compare(num: int) -> None:
    """Prints milliseconds of each for ``num`` sequences, and their ratio to the Gram's."""
    x = jax.random.normal(jax.random.key(0), (num, SEQ_LEN, 1))
    params = nr.LinearRNN(WIDTH, 1).init(jax.random.key(1), x)

    def by_jacobians(implementation: str, evaluation: Evaluation):
        model = nr.LinearRNN(WIDTH, 1, evaluation=evaluation)
        return lambda: nr.empirical_ntk(model, params, x, implementation=implementation)

    candidates = {"finite_width_gram": lambda: nr.finite_width_gram(params, SEQ_LEN).ntk(x)}
    for evaluation in ("scan", "impulse"):
        for name in IMPLEMENTATIONS:
            candidates[f"{name}, {evaluation}"] = by_jacobians(name, evaluation)
    kernels = {name: np.asarray(run()) for name, run in candidates.items()}
    expected = kernels["jacobian_contraction, scan"]
    for name, kernel in kernels.items():
        error = np.linalg.norm(kernel - expected) / np.linalg.norm(expected)
        assert error < 1e-5, (name, error)
    medians = interleaved_medians(candidates, repeats=3)
    print(f"n={WIDTH} T={SEQ_LEN}, {num} sequences")
    for name, seconds in medians.items():
        ratio = seconds / medians["finite_width_gram"]
        print(f"  {name:32s}{1e3 * seconds:10.2f} ms{ratio:10.1f}")


if __name__ == "__main__":
    print(f"device: {jax.devices()[0].device_kind}, jax {jax.__version__}")
    for num in (10, 50):
        compare(num)
