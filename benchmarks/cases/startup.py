"""How long a fresh process takes to import, to its first kernel, and to its first figure."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.comparisons import Comparison, Contender, Missing, Role, Work

_INPUTS = """
import jax, ntk_rnn as nr
x = jax.random.normal(jax.random.key(0), (10, 10, 1))
model = nr.LinearRNN(200, 1)
params = model.init(jax.random.key(1), x)
"""
_SHOWN = "\nprint(float((kernel**2).sum()))"
_GRAM = _INPUTS + "kernel = nr.finite_width_gram(params, 10).ntk(x)" + _SHOWN
_NEURAL_TANGENTS = _INPUTS + "kernel = nr.empirical_ntk(model, params, x)" + _SHOWN
_JACOBIAN = (
    _INPUTS
    + "from benchmarks.peers import jax_rnn\nkernel = jax_rnn.kernel(params['params'], x)"
    + _SHOWN
)
_NEEDED = "import jax, flax.linen, optax"


def comparisons() -> list[Comparison]:
    """Import and first kernel beside what others take, and the first figure."""
    return [
        Comparison(
            "startup", "import", {},
            (
                _process("ntk_rnn, every name", "from ntk_rnn import *", "ours"),
                _process("ntk_rnn, no name yet", "import ntk_rnn", "own"),
                _process(f"floor: {_NEEDED}", _NEEDED, "floor"),
                _process("floor: python", "pass", "floor"),
            ),
            tolerance=None,
        ),
        Comparison(
            "startup", "first kernel", {"n": 200, "N": 10, "T": 10},
            (
                _process("ntk_rnn, Gram matrix", _GRAM, "ours"),
                _process("neural-tangents", _NEURAL_TANGENTS),
                _process("jax.jacobian", _JACOBIAN),
            ),
            tolerance=1e-4,
            behind="Most of the time of either goes into importing JAX and Flax and into drawing "
            "the parameters.",
        ),
        Comparison(
            "startup", "first figure", {},
            (Contender("ntk-rnn reproduce fig2 --smoke", _figure, "ours"),), tolerance=None,
        ),
    ]  # fmt: skip


def _process(name: str, code: str, role: Role = "peer") -> Contender:
    return Contender(name, functools.partial(_python, code), role)


def _python(code: str) -> Work:
    return Work(lambda: _output("-c", code), lambda text: np.asarray(float(text)), warm=True)


def _figure() -> Work:
    def draw() -> None:
        with tempfile.TemporaryDirectory() as folder:
            _output("-m", "ntk_rnn", "reproduce", "fig2", "--smoke", "--out", folder)

    return Work(draw, warm=True)


def _output(*arguments: str) -> str:
    """What a Python process writes on stdout.

    Raises:
      RuntimeError: with the last line that it wrote on stderr, if it fails.
      Missing: if that says that something cannot be imported.
    """
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    if done.returncode:
        last = (done.stderr.splitlines() or ["no message"])[-1]
        raise (
            Missing if last.startswith(("ModuleNotFoundError", "ImportError")) else RuntimeError
        )(last)
    return done.stdout
