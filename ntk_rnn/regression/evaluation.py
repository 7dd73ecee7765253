"""What users pass as functions of sequences, evaluated and checked: kernels and first outputs.

Sequences of different lengths are padded at their ends. Padded times have no outputs: what a
function gives there is put to 0, and so they neither count as targets nor take part in the kernel.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntk_rnn import _checks
from ntk_rnn.kernels.recurrent.recursion import within


def kernel_between(
    kernel_fn: Callable[..., Any],
    x1: Float[Array, "N1 T n_x"],
    x2: Float[Array, "N2 T2 n_x"],
    lengths1: Int[Array, " N1"] | None,
    lengths2: Int[Array, " N2"] | None,
) -> Float[Array, "N1 N2 ..."]:
    """The kernel of two batches; ``lengths1`` is ``None`` if no sequence of either has padding."""
    given = {}
    if lengths1 is not None:
        given = {"lengths1": lengths1, "lengths2": _checks.lengths("lengths", lengths2, x2)}
    kernel = _called("kernel", kernel_fn, x1, x2, **given)
    shape, sizes = np.shape(kernel), (len(x1), len(x2))
    if shape not in ((*sizes, x1.shape[1], x2.shape[1]), sizes):
        raise ValueError(
            f"kernel must return the shape (N1, N2, T, T2) = {(*sizes, x1.shape[1], x2.shape[1])}, "
            f"or (N1, N2) = {sizes} for one output a sequence, got {shape}"
        )
    found = _checks.computed(_checks.real("what kernel returns", kernel))
    if not given or found.ndim == 2:
        return found
    first, second = within(given["lengths1"], shape[2]), within(given["lengths2"], shape[3])
    return jnp.where(first[:, None, :, None] & second[None, :, None], found, 0)


def outputs_at_start(
    initial: Callable[..., Any],
    x: Float[Array, "N T n_x"],
    shape: tuple[int, ...],
    lengths: Int[Array, " N"] | None,
) -> Float[Array, "N ..."]:
    """``f^0(x)``, checked, 0 in the padding."""
    given = {} if lengths is None else {"lengths": lengths}
    outputs = _checks.real("what initial returns", _called("initial", initial, x, **given))
    if outputs.shape != shape:
        raise ValueError(
            f"initial must return outputs of the shape {shape}, that of the targets, got "
            f"{outputs.shape}"
        )
    return without_padding(outputs, lengths) if len(shape) == 3 else outputs


def without_padding(
    outputs: Float[Array, "*steps N T n_y"], lengths: Int[Array, " N"] | None
) -> Float[Array, "*steps N T n_y"]:
    """Outputs at all times, 0 in the padding."""
    if lengths is None:
        return outputs
    return jnp.where(within(lengths, outputs.shape[-2])[..., None], outputs, 0)


def num_targets(y: Float[Array, "N ..."], lengths: Int[Array, " N"] | None) -> Any:
    """How many targets there are, without those in the padding."""
    if lengths is None or y.ndim == 2:
        return y.size
    return (jnp.sum(lengths) * y.shape[2]).astype(y.dtype)


def _called(name: str, function: Callable[..., Any], *batches: Array, **lengths: Array) -> Any:
    """A function of sequences, and of their lengths if they have any."""
    if lengths:
        try:
            inspect.signature(function).bind(*batches, **lengths)
        except (TypeError, ValueError):
            named = getattr(function, "func", function)  # that of a partial
            raise ValueError(
                f"{name} must take {' and '.join(lengths)} by keyword where lengths are given, got "
                f"{getattr(named, '__name__', type(named).__name__)}, which does not; pass a "
                "function that does, as recurrent_ntk takes lengths1 and lengths2"
            ) from None
    return function(*batches, **lengths)
