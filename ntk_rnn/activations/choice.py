"""Which expectations an activation has: in closed form, or by as many terms as they need."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_rnn import _checks
from ntk_rnn.activations.closed_forms import (
    Cosine,
    ErrorFunction,
    Gelu,
    Identity,
    PiecewiseLinear,
    Sine,
)
from ntk_rnn.activations.expansion import TERMS, Expansion
from ntk_rnn.activations.functions import LEAK, NAMED, Function, as_function, refuse_rough
from ntk_rnn.activations.mixture import TANH, Mixture
from ntk_rnn.activations.moments import Dual

CLOSED: dict[Function, Dual] = {
    NAMED["identity"]: Identity(),
    NAMED["relu"]: PiecewiseLinear(0.0),
    NAMED["leaky_relu"]: PiecewiseLinear(LEAK),
    NAMED["abs"]: PiecewiseLinear(-1.0),
    NAMED["erf"]: ErrorFunction(),
    NAMED["gelu"]: Gelu(),
    NAMED["sin"]: Sine(),
    NAMED["cos"]: Cosine(),
}

# Where variances are traced, so that the number of terms cannot depend on them.
_TERMS_IF_TRACED = 256

# How many terms of an expansion take as long as one pair of terms of a mixture, about.
_TERMS_OF_A_PAIR = 2


def dual(activation: Any, tolerance: float | None) -> Dual:
    """The expectations of an activation; an expansion has the most terms until it is ``fitted``.

    Args:
      activation: a name or a function.
      tolerance: relative error of an expansion, or ``None``.

    Raises:
      ValueError: if it is no activation, or is not Lipschitz.
    """
    function = as_function(activation)
    if tolerance is not None:
        _checks.positive(tolerance=tolerance)
    if function in CLOSED:
        return CLOSED[function]
    if function not in NAMED.values():
        _refuse_rough_once(function)
    return Expansion(function, _TERMS_IF_TRACED)


_refuse_rough_once = cache(refuse_rough)


def fitted(found: Dual, variances: Any, tolerance: float | None) -> Dual:
    """An expansion with as many terms as variances of this size need; others as they are.

    Where it would need more terms than a mixture of error functions costs, it is that mixture.

    Args:
      found: the expectations of an activation.
      variances: of all variables, as arrays of any shape. Where they are traced, the number of
        terms is fixed, and the error of an expansion is not known.
      tolerance: the largest part of ``E[phi(u)^2]`` and of ``E[phi'(u)^2]`` that may be left out;
        1e-8 in float64 and 1e-6 in float32 if ``None``.

    Raises:
      ValueError: if no number of terms is enough.
    """
    if not isinstance(found, Expansion):
        return found
    leaves = jax.tree.leaves(variances)
    dtype = leaves[0].dtype
    least = 1e-8 if dtype == np.float64 else 1e-6
    tolerance = least if tolerance is None else tolerance
    mixture = _mixture(found.function, dtype, tolerance)
    if _checks.is_traced(variances):
        return mixture or found
    # Wider laws see more of the function, narrower ones see a kink at 0 as large.
    ends = jnp.stack([min(map(jnp.min, leaves)), max(map(jnp.max, leaves))])
    error = math.inf
    for terms in TERMS:
        if mixture is not None and terms > _TERMS_OF_A_PAIR * len(mixture.weights) ** 2:
            return mixture
        expansion = Expansion(found.function, terms)
        error = max(float(jnp.max(part)) for part in expansion.left_out(ends))
        if error <= tolerance:
            return expansion
    raise ValueError(
        f"activation must be smooth enough for its expectations to be found to {tolerance:.2g}, "
        f"got {getattr(found.function, '__name__', found.function)}, of which {TERMS[-1]} terms "
        f"leave out {error:.2g} at variances up to {float(ends[1]):.3g}; pass tolerance= above "
        "that, or name an activation with a closed form"
    )


def _mixture(function: Function, dtype: Any, tolerance: float) -> Mixture | None:
    """The mixture of error functions that stands for a function to a tolerance, if there is one."""
    if function is not NAMED["tanh"]:
        return None
    mixture = TANH[np.dtype(dtype).name]
    return mixture if mixture.error <= tolerance else None
