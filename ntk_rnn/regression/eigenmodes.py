"""How far descent has come along each eigenvector of a kernel.

Along an eigenvector of eigenvalue ``lambda``, the part of the targets that remains is
``(1 - eta lambda)^l`` after ``l`` steps of gradient descent, ``exp(-t lambda)`` after time ``t`` of
gradient flow, and an entry of the ``l``-th power of a 2 x 2 matrix with momentum. What is gained is
computed on its own: one minus what remains would lose the digits of the first steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Shaped

from ntk_rnn._namespace import compiled, namespace
from ntk_rnn._types import AnyArray
from ntk_rnn.regression.durations import Duration

#: The parts of the targets that remain and that are gained along each of ``k`` eigenvectors.
Parts: TypeAlias = tuple[Float[AnyArray, "*steps k"], Float[AnyArray, "*steps k"]]


def remaining_and_gained(
    eigenvalues: Float[AnyArray, " k"], nonzero: Bool[AnyArray, " k"], until: Duration
) -> Parts:
    """The parts of the targets that remain and that are gained, at each step or time.

    Args:
      eigenvalues: ``lambda``, shape ``(k,)``.
      nonzero: which of them exceed rounding; along the others nothing is ever gained.
      until: the steps or times.
    """
    if until.times is not None:
        return flow(eigenvalues, nonzero, until.times)
    assert until.steps is not None and until.rate is not None
    if until.momentum is None:
        return descent(eigenvalues, nonzero, until.steps, until.rate)
    return heavy_ball(eigenvalues, nonzero, until.steps, until.rate, until.momentum)


def remaining(
    eigenvalues: Float[AnyArray, " k"], given: tuple[Bool[AnyArray, " k"], Duration]
) -> Float[AnyArray, "*steps k"]:
    """The part ``r(lambda)`` that remains; ``given`` is what else it depends on."""
    return remaining_and_gained(eigenvalues, *given)[0]


def gain(
    eigenvalues: Float[AnyArray, " k"], given: tuple[Bool[AnyArray, " k"], Duration]
) -> Float[AnyArray, "*steps k"]:
    """``h(lambda) = (1 - r(lambda)) / lambda``, and 0 along what is never gained."""
    nonzero, until = given
    # What is not selected must be finite as well, or its derivative would be NaN.
    values = jnp.where(nonzero, eigenvalues, 1)
    gained = remaining_and_gained(values, nonzero, until)[1]
    return gained / jnp.broadcast_to(values, gained.shape)


def limiting_gain(
    eigenvalues: Float[AnyArray, " k"], given: tuple[Bool[AnyArray, " k"], Duration]
) -> Float[AnyArray, "*steps k"]:
    """``h(lambda)``, with its limit along what is never gained: how fast it would be.

    The limit is what a change of the data meets that reaches such a direction. At infinity there is
    none, and 0 stands for it: there the path ends at the fit of minimum norm.
    """
    nonzero, until = given
    largest = lax.stop_gradient(jnp.max(eigenvalues))
    near_zero = jnp.finfo(eigenvalues.dtype).eps ** 2 * jnp.where(largest > 0, largest, 1)
    everything = jnp.ones_like(nonzero)
    found = gain(jnp.where(nonzero, eigenvalues, near_zero), (everything, until))
    amount = until.steps if until.times is None else until.times
    at_end = jnp.broadcast_to(jnp.isinf(jnp.asarray(amount))[..., None], found.shape)
    return jnp.where(at_end & ~jnp.broadcast_to(nonzero, found.shape), 0, found)


def loss_gain(
    eigenvalues: Float[AnyArray, " k"], given: tuple[Bool[AnyArray, " k"], Duration]
) -> Float[AnyArray, "*steps k"]:
    """``(1 - r(lambda)^2) / lambda``, by which the loss has fallen, with its limit like ``h``."""
    return limiting_gain(eigenvalues, given) * (1 + remaining(eigenvalues, given))


@partial(compiled, static_argnums=1)
def exceeds_rounding(singular_values: Float[AnyArray, " k"], size: int) -> Bool[AnyArray, " k"]:
    """Which singular values of a matrix of at most ``size`` rows exceed rounding."""
    eps = np.finfo(singular_values.dtype).eps
    return singular_values > eps * size * singular_values[0]


@compiled
def descent(
    eigenvalues: Float[AnyArray, " k"],
    nonzero: Bool[AnyArray, " k"],
    steps: Shaped[AnyArray, "*steps"],
    rate: Float[AnyArray, ""],
) -> Parts:
    """Parts that remain and that are gained, after steps of gradient descent (Appendix B.4).

    Args:
      eigenvalues: ``lambda``, shape ``(k,)``.
      nonzero: which of them are not 0 but for rounding.
      steps: whole or infinite numbers of steps ``l``, any shape.
      rate: learning rate ``eta``, shape ``()``, below ``2 / lambda_max``.

    Returns:
      ``(1 - eta lambda)^l`` and one minus it, shape ``(*steps, k)``.
    """
    xp = namespace(eigenvalues)
    step_size = rate * eigenvalues
    # Above 1 a step overshoots, and what remains changes sign each time.
    overshoots = step_size > 1
    # log |1 - step_size|, accurate for small steps. At 1 all is gained in one step: there the
    # logarithm is that of the rounding error, so that its derivative exists.
    eps = xp.finfo(step_size.dtype).eps
    log_above = xp.log(xp.maximum(step_size - 1, eps))
    log_factor = xp.where(overshoots, log_above, xp.log1p(-xp.minimum(step_size, 1 - eps)))
    # |1 - eta lambda|^l and one minus it (Appendix B.4).
    remaining, gained = _powers(log_factor, nonzero, steps.astype(step_size.dtype))
    # Odd or even is decided before large numbers of steps are rounded.
    odd = (xp.mod(steps, 2) == 1)[..., None]
    negative = odd & xp.broadcast_to(overshoots, remaining.shape)
    return xp.where(negative, -remaining, remaining), xp.where(negative, 1 + remaining, gained)


@compiled
def flow(
    eigenvalues: Float[AnyArray, " k"],
    nonzero: Bool[AnyArray, " k"],
    times: Float[AnyArray, "*steps"],
) -> Parts:
    """Parts that remain and that are gained, after times of gradient flow.

    Returns:
      ``exp(-t lambda)`` and one minus it, shape ``(*times, k)``.
    """
    return _powers(-eigenvalues, nonzero, times)


def _powers(
    logs: Float[AnyArray, " k"], nonzero: Bool[AnyArray, " k"], steps: Float[AnyArray, "*steps"]
) -> Parts:
    """``exp(steps * logs)`` and one minus it; always 1 and 0 where an eigenvalue is 0."""
    xp = namespace(logs)
    shape = (*steps.shape, *logs.shape)
    steps, logs, nonzero = (xp.broadcast_to(a, shape) for a in (steps[..., None], logs, nonzero))
    at_start = (steps == 0) | ~nonzero
    at_end = xp.isinf(steps) & ~at_start
    # What is not selected must be finite as well, or its derivative would be 0 * inf.
    exponent = xp.where(at_start | at_end, 0, steps) * logs
    return xp.where(at_end, 0, xp.exp(exponent)), xp.where(at_end, 1, -xp.expm1(exponent))


@compiled
def heavy_ball(
    eigenvalues: Float[AnyArray, " k"],
    nonzero: Bool[AnyArray, " k"],
    steps: Shaped[AnyArray, "*steps"],
    rate: Float[AnyArray, ""],
    momentum: Float[AnyArray, ""],
) -> Parts:
    """Parts that remain and that are gained, after steps of gradient descent with momentum.

    ``L^{l+1} = L^l - eta grad + beta (L^l - L^{l-1})`` with ``L^{-1} = L^0``: the heavy ball, and
    ``optax.sgd(eta, momentum=beta)``. Along an eigenvector with ``s = eta lambda``, what remains,
    ``r``, and the last step ``v``, of which ``s v`` is gained, start at ``(1, 0)`` and move by
    ``(r, v)_{l+1} = M (r, v)_l``, ``M = [[1 - s, -s beta], [1, beta]]``.

    The roots of ``M`` are real, double or complex. One algorithm serves all three: ``M^l`` is
    found by squaring, as ``M^{2m} - I = 2 (M^m - I) + (M^m - I)^2``, in which the digits of small
    steps are not lost to the identity. Where a step overshoots, ``s > 1 + beta``, the roots are
    those of ``s' = 2 (1 + beta) - s`` with their signs changed, so
    ``r_l = (-1)^l (r'_l + 2 beta v'_l)``.

    Args:
      eigenvalues: ``lambda``, shape ``(k,)``.
      nonzero: which of them are not 0 but for rounding.
      steps: whole or infinite numbers of steps ``l``, any shape.
      rate: learning rate ``eta``, shape ``()``, below ``2 (1 + beta) / lambda_max``.
      momentum: ``beta``, at least 0 and below 1, shape ``()``.

    Returns:
      What remains and one minus it, shape ``(*steps, k)``.
    """
    xp, dtype = namespace(eigenvalues), eigenvalues.dtype
    step_size = xp.where(nonzero, rate * eigenvalues, 0)  # s
    beta = xp.broadcast_to(momentum, step_size.shape)
    overshoots = step_size > 1 + beta
    size = xp.where(overshoots, 2 * (1 + beta) - step_size, step_size)  # s'
    # The entries of M - I, and the diagonal of M.
    power = (-size, -size * beta, xp.ones_like(size), beta - 1, 1 - size, beta)

    shape = (*steps.shape, *step_size.shape)
    is_whole = xp.issubdtype(steps.dtype, xp.integer)
    # After 2^127 steps all that moves at all has converged.
    rounds = 8 * steps.dtype.itemsize - 1 if is_whole else 128
    left = steps if is_whole else xp.where(xp.isinf(steps), 0, xp.minimum(steps, 2.0**127))
    start = (xp.ones(shape, dtype), xp.zeros(shape, dtype), xp.zeros(shape, dtype))

    def advance(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        power, left, (remaining, gained, last_step) = state
        d11, d12, d21, _, m11, m22 = (xp.broadcast_to(entry, shape) for entry in power)
        change = d11 * remaining + d12 * last_step
        moved = (
            m11 * remaining + d12 * last_step,
            gained - change,
            d21 * remaining + m22 * last_step,
        )
        odd = xp.broadcast_to((left % 2 == 1)[..., None], shape)
        parts = (xp.where(odd, new, old) for new, old in zip(moved, state[2], strict=True))
        return _squared(xp, power), left // 2, tuple(parts)

    _, _, (remaining, gained, last_step) = _repeat(xp, rounds, advance, (power, left, start))
    overshoots = xp.broadcast_to(overshoots, shape)
    extra = xp.where(overshoots, 2 * momentum * last_step, 0)
    remaining, gained = remaining + extra, gained - extra  # r' + 2 beta v'
    odd = overshoots & xp.broadcast_to((steps % 2 == 1)[..., None], shape)
    remaining, gained = xp.where(odd, -remaining, remaining), xp.where(odd, 1 + remaining, gained)
    at_end = xp.broadcast_to(xp.isinf(steps)[..., None], shape) & xp.broadcast_to(nonzero, shape)
    return xp.where(at_end, 0, remaining), xp.where(at_end, 1, gained)


def _squared(xp: ModuleType, power: tuple[Any, ...]) -> tuple[Any, ...]:
    """The entries of ``M^2 - I`` and the diagonal of ``M^2``, from the same of ``M``."""
    d11, d12, d21, d22, m11, m22 = power
    cross, trace = d12 * d21, m11 + m22
    e11, e22 = d11 * (2 + d11) + cross, d22 * (2 + d22) + cross
    # Of these two, the larger is computed from the smaller: then neither loses digits.
    n11 = xp.where(xp.abs(e11) < 0.5, 1 + e11, m11**2 + cross)
    n22 = xp.where(xp.abs(e22) < 0.5, 1 + e22, m22**2 + cross)
    return e11, d12 * trace, d21 * trace, e22, n11, n22


def _repeat(xp: ModuleType, rounds: int, body: Callable[[Any], Any], state: Any) -> Any:
    if xp is jnp:
        return lax.fori_loop(0, rounds, lambda _, current: body(current), state)
    for _ in range(rounds):
        state = body(state)
    return state
