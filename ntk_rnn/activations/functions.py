"""Activations by name, or as functions of the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks

#: ``phi``, of arrays of any shape, an entry at a time.
Function: TypeAlias = Callable[[Any], Any]

#: What users may pass as an activation: a name in ``NAMED``, or a function.
Activation: TypeAlias = str | Function

#: The slope of ``"leaky_relu"`` on the negative side.
LEAK = 0.01

# Beyond this many times the steepest slope between 0.1 and 10, a function is not Lipschitz.
_STEEPEST = 1e3


def _identity(u: Array) -> Array:
    return u


def _leaky_relu(u: Array) -> Array:
    return jax.nn.leaky_relu(u, LEAK)


def _gelu(u: Array) -> Array:
    return jax.nn.gelu(u, approximate=False)


NAMED: dict[str, Function] = {
    "identity": _identity,
    "relu": jax.nn.relu,
    "leaky_relu": _leaky_relu,
    "abs": jnp.abs,
    "erf": jax.scipy.special.erf,
    "gelu": _gelu,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tanh": jnp.tanh,
}


def as_function(activation: Any) -> Function:
    """``phi`` as a function of arrays, an entry at a time.

    Args:
      activation: one of the names in ``NAMED``, or such a function.

    Raises:
      ValueError: if it is neither, cannot be hashed, or does not keep shapes and types.
    """
    if not callable(activation):
        if not isinstance(activation, str) or activation not in NAMED:
            names = ", ".join(f'"{name}"' for name in NAMED)
            raise ValueError(
                f"activation must be {names}, or a function such as jax.nn.sigmoid, got "
                f"{_checks.shown(activation)}"
            )
        return NAMED[activation]
    try:
        hash(activation)
    except TypeError:
        raise ValueError(
            "activation must be hashable, because what is compiled for it is found again by its "
            f"hash, got {type(activation).__name__}; pass a function"
        ) from None
    given = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    try:
        found = jax.eval_shape(activation, given)
    except (TypeError, ValueError, jax.errors.JAXTypeError) as error:
        raise ValueError(
            f"activation must be a function of JAX arrays, got {_called(activation)}, which "
            f"raised {type(error).__name__}; write it with jax.numpy"
        ) from error
    kind = getattr(found, "shape", None), getattr(found, "dtype", None)
    if kind != (given.shape, given.dtype):
        raise ValueError(
            "activation must keep the shape and type of its input, an entry at a time, got "
            f"{_called(activation)}, which gives {kind[1]}{kind[0]} for float32{given.shape}"
        )
    return activation


def derivative(function: Function, points: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``phi'`` at each point, by automatic differentiation."""
    return jax.jvp(function, (points,), (jnp.ones_like(points),))[1]


def refuse_rough(function: Function, name: str = "activation") -> None:
    """Raises ``ValueError`` for a function that is not Lipschitz, which no limit is known for.

    It is tried at lengths from 1e-9 to 1e9 on both sides of 0. A jump shows as a difference of the
    function that its derivative does not explain: ``E[z phi(s z)] = s E[phi'(s z)]`` for ``z`` of
    ``N(0, 1)``, for any ``s``.
    """
    lengths = np.logspace(-9, 9, 73)
    points = np.concatenate([-lengths[::-1], [0.0], lengths]).astype(np.float32)
    values = np.asarray(function(jnp.asarray(points)), np.float64)
    what = f"{name} must be Lipschitz, as Proposition 3.1 asks for, got {_called(function)}"
    if not np.isfinite(values).all():
        first = points[np.argmin(np.isfinite(values))]
        raise ValueError(f"{what}, which is not finite at {first:.3g}; take one that is")
    steepness = np.abs(np.diff(values) / np.diff(points.astype(np.float64)))
    middle = np.abs(points[:-1] + points[1:]) / 2
    usual = steepness[(middle > 0.1) & (middle < 10)].max()
    if steepness.max() > _STEEPEST * max(usual, 1e-6):
        where = points[np.argmax(steepness)]
        raise ValueError(f"{what}, whose slope grows without bound near {where:.3g}")
    z = np.linspace(-8, 8, 2**16)
    density = np.exp(-(z**2) / 2)
    density /= density.sum()
    for scale in (0.01, 0.1, 1.0, 10.0):
        at = jnp.asarray(scale * z, jnp.float32)
        value = np.asarray(function(at), np.float64)
        slope = np.asarray(derivative(function, at), np.float64)
        unexplained = density @ (z * value) - scale * (density @ slope)
        if not abs(unexplained) <= 0.01 * np.sqrt(density @ value**2):
            raise ValueError(
                f"{what}, which jumps, or whose derivative is not that of the function, at "
                f"lengths of about {scale:g}; take one without jumps"
            )


def _called(function: Function) -> str:
    return getattr(function, "__name__", type(function).__name__)
