"""How far gradient descent with momentum has come along each eigenvector of a kernel."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Shaped

from ntk_rnn._types import AnyArray
from ntk_rnn.regression.host import compiled, namespace


@compiled
def heavy_ball(
    eigenvalues: Float[AnyArray, " k"],
    reached: Bool[AnyArray, " k"],
    steps: Shaped[AnyArray, "*steps"],
    rate: Float[AnyArray, ""],
    momentum: Float[AnyArray, ""],
) -> tuple[Float[AnyArray, "*steps k"], Float[AnyArray, "*steps k"]]:
    """Parts that remain and that are gained, after steps of gradient descent with momentum.

    ``L^{l+1} = L^l - eta grad + beta (L^l - L^{l-1})`` with ``L^{-1} = L^0``: the heavy ball, and
    ``optax.sgd(eta, momentum=beta)``. Along an eigenvector with ``s = eta lambda``, what remains,
    ``r``, and the last step ``v``, of which ``s v`` is gained, start at ``(1, 0)`` and move by
    ``(r, v)_{l+1} = M (r, v)_l``, ``M = [[1 - s, -s beta], [1, beta]]``.

    The roots of ``M`` are real, double or complex. One way serves all three: ``M^l`` is found by
    squaring, as ``M^{2m} - I = 2 (M^m - I) + (M^m - I)^2``, in which the digits of small steps
    are not lost to the identity. Where a step overshoots, ``s > 1 + beta``, the roots are those of
    ``s' = 2 (1 + beta) - s`` with their signs changed, so ``r_l = (-1)^l (r'_l + 2 beta v'_l)``.

    Args:
      eigenvalues: ``lambda``, shape ``(k,)``.
      reached: which of them are not 0 but for rounding; the others stay where they are.
      steps: whole or infinite numbers of steps ``l``, any shape.
      rate: learning rate ``eta``, shape ``()``, below ``2 (1 + beta) / lambda_max``.
      momentum: ``beta``, at least 0 and below 1, shape ``()``.

    Returns:
      What remains and one minus it, shape ``(*steps, k)``.
    """
    xp = namespace(eigenvalues)
    dtype = eigenvalues.dtype
    step_size = xp.where(reached, rate * eigenvalues, 0)
    beta = xp.broadcast_to(momentum, step_size.shape)
    overshoots = step_size > 1 + beta
    size = xp.where(overshoots, 2 * (1 + beta) - step_size, step_size)
    # M - I, by entries, and the diagonal of M.
    power = (-size, -size * beta, xp.ones_like(size), beta - 1, 1 - size, beta)

    shape = (*steps.shape, *step_size.shape)
    over = xp.broadcast_to(xp.isinf(steps)[..., None], shape)
    whole = xp.issubdtype(steps.dtype, xp.integer)
    # By 2^127 steps all that moves at all has arrived.
    rounds = 8 * steps.dtype.itemsize - 1 if whole else 128
    left = steps if whole else xp.where(xp.isinf(steps), 0, xp.minimum(steps, 2.0**127))
    start = (xp.ones(shape, dtype), xp.zeros(shape, dtype), xp.zeros(shape, dtype))

    def advance(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        power, left, (remains, gained, pace) = state
        d11, d12, d21, _, m11, m22 = (xp.broadcast_to(entry, shape) for entry in power)
        change = d11 * remains + d12 * pace
        moved = (m11 * remains + d12 * pace, gained - change, d21 * remains + m22 * pace)
        odd = xp.broadcast_to((left % 2 == 1)[..., None], shape)
        parts = (xp.where(odd, new, old) for new, old in zip(moved, state[2], strict=True))
        return _squared(xp, power), left // 2, tuple(parts)

    _, _, (remains, gained, pace) = _repeated(xp, rounds, advance, (power, left, start))
    extra = xp.where(xp.broadcast_to(overshoots, shape), 2 * momentum * pace, 0)
    odd = xp.broadcast_to(overshoots, shape) & xp.broadcast_to((steps % 2 == 1)[..., None], shape)
    remains, gained = remains + extra, gained - extra
    remains, gained = xp.where(odd, -remains, remains), xp.where(odd, 1 + remains, gained)
    over = over & xp.broadcast_to(reached, shape)
    return xp.where(over, 0, remains), xp.where(over, 1, gained)


def _squared(xp: ModuleType, power: tuple[Any, ...]) -> tuple[Any, ...]:
    """``M^2 - I`` by entries, and the diagonal of ``M^2``, from the same of ``M``."""
    d11, d12, d21, d22, m11, m22 = power
    cross, trace = d12 * d21, m11 + m22
    e11, e22 = d11 * (2 + d11) + cross, d22 * (2 + d22) + cross
    # Each from the other where it is the smaller: neither then loses digits.
    n11 = xp.where(xp.abs(e11) < 0.5, 1 + e11, m11**2 + cross)
    n22 = xp.where(xp.abs(e22) < 0.5, 1 + e22, m22**2 + cross)
    return e11, d12 * trace, d21 * trace, e22, n11, n22


def _repeated(xp: ModuleType, rounds: int, body: Callable[[Any], Any], state: Any) -> Any:
    if xp is jnp:
        return lax.fori_loop(0, rounds, lambda _, current: body(current), state)
    for _ in range(rounds):
        state = body(state)
    return state
