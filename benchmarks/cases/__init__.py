"""The cases, by name."""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType

from ntk_rnn._terminal import UserError

#: What each case compares. The module of each has ``comparisons()``.
CASES = {
    "exact_ntk": "the neural tangent kernel of a linear RNN of finite width",
    "analytic_kernel": "the kernel of infinite width",
    "training_step": "a step of gradient descent, full batch and mini-batch",
    "subspace": "1000 steps in the subspace that gradients reach, against all of W",
    "recurrent": "the kernel of infinite width with an activation",
    "layer_gram": "the Gram matrix of a diagonal layer, here an LRU",
    "fit": "an impulse response from a recording, its prior tuned by evidence",
    "predictor": "the path of the kernel predictor, and its limit",
    "scaling": "time against sizes and devices, with fitted exponents",
    "startup": "import, first kernel, first figure, each in a fresh process",
}

#: Each case in a table of all of them, before the variant that is computed.
TASKS = {
    "exact_ntk": "NTK of an RNN of finite width",
    "analytic_kernel": "NTK of infinite width",
    "training_step": "Training step",
    "subspace": "Training in the subspace",
    "recurrent": "NTK with an activation",
    "layer_gram": "Gram matrix of a layer",
    "fit": "Fit of an impulse response",
    "predictor": "Kernel predictor",
    "startup": "Fresh process",
}


def find(name: str) -> str:
    """The name of a case, if there is one.

    Raises:
      ValueError: if there is none; names those that exist, and the one closest to ``name``.
    """
    if name in CASES:
        return name
    close = difflib.get_close_matches(name.lower(), CASES, n=1)
    raise UserError(
        f"CASES must be among {', '.join(CASES)}, got {name!r}"
        + (f"; did you mean {close[0]!r}?" if close else "; leave it out to run all of them")
    )


def load(name: str) -> ModuleType:
    """The module of a case. This is what imports JAX."""
    return importlib.import_module(f"benchmarks.cases.{name}")
