"""How long a wide non-linear network remembers: perturbations at stationary inputs.

Under inputs of constant power ``p = |x_t|^2`` the variance of the pre-activations settles at
``q = nu_F p + nu_W E[phi(g)^2]``, ``g`` of ``N(0, q)`` (Lemma C.1). A small change of the input
at right angles to it then passes each step as through a linear network whose ``nu_W`` is
``chi = nu_W E[phi'(g)^2]``: it fades for ``chi < 1`` and grows for ``chi > 1``. The border is the
edge of chaos (Schoenholz et al., *Deep Information Propagation*, 2017; Chen, Pennington,
Schoenholz, *Dynamical Isometry and a Mean Field Theory of RNNs*, 2018, cited in the paper).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import Scalar
from ntk_rnn.activations.choice import dual
from ntk_rnn.activations.functions import Activation
from ntk_rnn.activations.moments import Dual
from ntk_rnn.kernels.infinite_width import refuse_overflow

# Times the power of the inputs: a variance this large never settles.
_LARGEST = 1e12

# Halvings of an interval after which nothing is left of it in float64.
_HALVINGS = 100


def stationary_variance(
    activation: Activation, nu_w: Scalar, nu_f: Scalar, input_power: Scalar = 1.0
) -> Float[Array, ""]:
    """Variance of the pre-activations at stationary inputs: ``q = nu_F p + nu_W E[phi(g)^2]``.

    It is the smallest fixed point above ``nu_F p`` of the recursion of Lemma C.1, which is reached
    by states that start from 0.

    Args:
      activation: ``phi``, a name or a function as in ``recurrent_ntk``.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      input_power: ``p = |x_t|^2``, the sum over the inputs, at each time.

    Returns:
      ``q``, shape ``()``; it has derivatives in the variances and the power.

    Raises:
      ValueError: if an argument is not positive and finite, the activation is unknown or not
        Lipschitz, or the variance grows without bound, as that of ReLU does for ``nu_w >= 2``.

    Example:
      >>> import ntk_rnn as nr
      >>> q = nr.stationary_variance("relu", nu_w=1.0, nu_f=1.0)  # q = 1 + q / 2
      >>> print(f"{q:.4f}")
      2.0000
    """
    found, nu_w, power = _problem(activation, nu_w, nu_f, input_power)
    q = _settled(found, nu_w, power)
    if not _checks.is_traced(q) and q > _LARGEST / 2 * power:
        raise ValueError(
            f"nu_w must let the variance of states settle, got {float(nu_w):g}, with which it "
            "grows without bound; take a smaller one (critical_nu_w says from where on "
            "perturbations grow)"
        )
    return q


def chi(
    activation: Activation, nu_w: Scalar, nu_f: Scalar, input_power: Scalar = 1.0
) -> Float[Array, ""]:
    """Factor of a perturbation's square a step, at stationary inputs: ``nu_W E[phi'(g)^2]``.

    The squared effect of an input on the output is ``chi^j`` times as large ``j`` steps later, as
    it is ``nu_W^j`` times as large in a linear network. Where the variance of the states grows
    without bound, it is the value that ``chi`` tends to. It is not in the paper: see Schoenholz et
    al., *Deep Information Propagation*, 2017.

    Args:
      activation: ``phi``, a name or a function as in ``recurrent_ntk``.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      input_power: ``p = |x_t|^2``, the sum over the inputs, at each time.

    Returns:
      ``chi``, shape ``()``; it has derivatives in the variances and the power.

    Raises:
      ValueError: if an argument is not positive and finite, or the activation is unknown or not
        Lipschitz.

    Example:
      >>> import ntk_rnn as nr
      >>> print(nr.chi("relu", nu_w=1.0, nu_f=1.0))  # half of the units are off
      0.5
      >>> print(nr.chi("identity", nu_w=0.3, nu_f=1.0))
      0.3
    """
    found, nu_w, power = _problem(activation, nu_w, nu_f, input_power)
    return nu_w * found.own(_settled(found, nu_w, power)).slope


def effective_lag_weights(
    seq_len: int,
    activation: Activation,
    nu_w: Scalar,
    nu_f: Scalar,
    nu_c: Scalar,
    input_power: Scalar = 1.0,
) -> Float[Array, " T"]:
    """Lag weights of a network's response to small inputs beside stationary ones (cf. eq. 21).

    The small inputs are at right angles to the stationary ones, as a further input is. Along the
    same direction, the slopes of the units depend on what they pass, and these weights do not hold.

    With ``kappa = E[phi'(g)^2]`` and ``chi = nu_W kappa``, each unit of the linearized response
    passes ``phi'(g)`` of what reaches it, so
    ``rho_j = kappa (nu_C j nu_F kappa chi^{j-1} + (nu_C + nu_F) chi^j)``: eq. 21 with one factor
    ``kappa`` for each time that a signal passes through the units. They are ``lag_weights`` for
    the identity.

    Args:
      seq_len: number ``T`` of lags.
      activation: ``phi``, a name or a function as in ``recurrent_ntk``.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.
      input_power: ``p = |x_t|^2``, the sum over the inputs, at each time.

    Returns:
      ``rho``, shape ``(T,)``.

    Raises:
      ValueError: if an argument is not positive and finite, the activation is unknown or not
        Lipschitz, if ``seq_len`` is not a positive integer, or a weight
        is too large for its type.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> rho = nr.effective_lag_weights(4, "identity", nu_w=0.5, nu_f=1.0, nu_c=1.0)
      >>> np.allclose(rho, nr.lag_weights(4, nu_w=0.5, nu_f=1.0, nu_c=1.0))
      True
    """
    seq_len = _checks.integer("seq_len", seq_len)
    _checks.variance(nu_c=nu_c)
    found, nu_w, power = _problem(activation, nu_w, nu_f, input_power)
    nu_f, nu_c = (jnp.asarray(nu, nu_w.dtype) for nu in (nu_f, nu_c))
    kappa = found.own(_settled(found, nu_w, power)).slope
    factor = nu_w * kappa
    lag = jnp.arange(seq_len, dtype=nu_w.dtype)
    through_w = lag * factor ** jnp.maximum(lag - 1, 0)
    rho = kappa * (nu_c * nu_f * kappa * through_w + (nu_c + nu_f) * factor**lag)
    refuse_overflow(rho, nu_w, nu_f, nu_c)
    return rho


def critical_nu_w(
    activation: Activation, nu_f: Scalar, input_power: Scalar = 1.0
) -> Float[Array, ""]:
    """The smallest ``nu_W`` at which perturbations no longer fade: ``chi = 1``, the edge of chaos.

    It is not in the paper: see Chen, Pennington, Schoenholz, *Dynamical Isometry and a Mean Field
    Theory of RNNs*, 2018.

    Args:
      activation: ``phi``, a name or a function as in ``recurrent_ntk``.
      nu_f: variance of the entries of ``F``.
      input_power: ``p = |x_t|^2``, the sum over the inputs, at each time.

    Returns:
      ``nu_W``, shape ``()``, without derivatives. For the identity, ReLU and other activations of
      two slopes it does not depend on the inputs, and no variance is stationary there.

    Raises:
      ValueError: as ``stationary_variance``, if an argument is traced, or if ``chi`` stays below 1.

    Example:
      >>> import ntk_rnn as nr
      >>> print(f"{nr.critical_nu_w('relu', nu_f=1.0):.4f}")
      2.0000
    """
    if _checks.is_traced((nu_f, input_power)):
        raise ValueError(
            "nu_f and input_power must be numbers, got traced ones; nu_w is found by bisection, "
            "which has no derivative"
        )
    found, one, power = _problem(activation, 1.0, nu_f, input_power)
    high = one * 1e-3
    while not _grows(found, high, power):
        high = 1.25 * high
        if high > _LARGEST:
            raise ValueError(
                f"activation must let chi reach 1, got one with which it stays below 1 up to nu_w "
                f"= {_LARGEST:.2g}; take one whose derivative does not vanish"
            )
    low = high / 1.25
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _grows(found, middle, power) else (middle, high)
    return high


def _problem(activation: Any, nu_w: Any, nu_f: Any, input_power: Any) -> tuple[Dual, Array, Array]:
    """The activation, ``nu_W`` and ``nu_F p``, checked."""
    _checks.variance(nu_w=nu_w, nu_f=nu_f, input_power=input_power)
    dtype = jnp.result_type(float)
    power = jnp.asarray(nu_f, dtype) * jnp.asarray(input_power, dtype)
    return dual(activation, None), jnp.asarray(nu_w, dtype), power


def _settled(found: Dual, nu_w: Array, power: Array) -> Float[Array, ""]:
    """The stationary variance, with its derivatives; ``_LARGEST`` times ``power`` for none."""

    def excess(q: Array) -> Array:
        return power + nu_w * found.own(q).value - q

    return lax.custom_root(
        excess,
        power,
        lambda _, start: _fixed_point(found, lax.stop_gradient(nu_w), start),
        lambda linear, y: y / linear(jnp.ones_like(y)),
    )


@partial(jax.jit, static_argnums=0)
def _grows(found: Dual, nu_w: Array, power: Array) -> Array:
    """Whether perturbations do not fade: ``chi >= 1``."""
    return nu_w * found.own(_fixed_point(found, nu_w, power)).slope >= 1


@partial(jax.jit, static_argnums=0)
def _fixed_point(found: Dual, nu_w: Array, power: Array) -> Float[Array, ""]:
    """The smallest root of the excess above ``power``, up to ``_LARGEST`` times it."""

    def excess(q: Array) -> Array:
        return power + nu_w * found.own(q).value - q

    def wider(high: Array) -> Array:
        return jnp.minimum(2 * high, _LARGEST * power)

    high = lax.while_loop(
        lambda high: (excess(high) > 0) & (high < _LARGEST * power), wider, 2 * power
    )

    def halved(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        below = excess(middle) > 0
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    return lax.fori_loop(0, _HALVINGS, halved, (high / 2, high))[1]
