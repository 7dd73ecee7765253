"""The recursion over time of the kernels of a wide recurrent network.

``W`` is the same at all times, which couples the times ``(t, s)`` of two sequences to
``(t-1, s-1)`` and to no others: each diagonal of the kernel is a recursion of its own. All
diagonals at once take a row of the kernel from the row before it, moved by one.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ntk_rnn.activations.moments import Dual

Kind = Literal["ntk", "nngp"]


class Variances(NamedTuple):
    """Variances of the entries of ``W``, ``F`` and ``C``, as arrays of one type."""

    w: Float[Array, ""]
    f: Float[Array, ""]
    c: Float[Array, ""]


@partial(jax.jit, static_argnums=0)
def state_variances(dual: Dual, nu: Variances, x: Float[Array, "N T n_x"]) -> Float[Array, "N T"]:
    """``q_t = nu_F |x_t|^2 + nu_W E[phi(g_{t-1})^2]``, of pre-activations ``g_t`` (Lemma C.1)."""

    def step(
        before: Float[Array, " N"], power: Float[Array, " N"]
    ) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
        variance = nu.f * power + nu.w * before
        # As for pairs, so that a sequence coincides with itself: an expansion leaves out as much.
        side = dual.side(variance)
        return dual.moments(side, side, variance).value, variance

    powers = jnp.sum(x**2, axis=2).T
    return lax.scan(step, jnp.zeros_like(powers[0]), powers)[1].T


def within(lengths: Int[Array, " N"], steps: int) -> Bool[Array, "N T"]:
    """Which of ``steps`` times are within each length."""
    return jnp.arange(steps, dtype=lengths.dtype)[None] < lengths[:, None]


class Sequences(NamedTuple):
    """One side of a kernel.

    Attributes:
      inputs: ``x``, shape ``(N, T, n_x)``.
      variances: ``q``, from ``state_variances``, shape ``(N, T)``.
      lengths: numbers of steps of each sequence, shape ``(N,)``; what follows them is padding.
    """

    inputs: Float[Array, "N T n_x"]
    variances: Float[Array, "N T"]
    lengths: Int[Array, " N"]

    def is_step(self) -> Bool[Array, "N T"]:
        """Which times are within the length of their sequence."""
        return within(self.lengths, self.inputs.shape[1])

    def ends(self, steps: int) -> Sequences:
        """The last ``steps`` times of each sequence, where shorter ones have padding first."""
        start = self.inputs.shape[1] - steps
        shifts = self.inputs.shape[1] - self.lengths

        def aligned(array: Array) -> Array:
            return jax.vmap(partial(jnp.roll, axis=0))(array, shifts)[:, start:]

        lengths = jnp.minimum(self.lengths, steps)
        return Sequences(aligned(self.inputs), aligned(self.variances), lengths)


class _Pair(NamedTuple):
    """What two sequences hand on from the times ``(t-1, s-1)`` to ``(t, s)``.

    Attributes:
      value: ``V_{t-1,s-1}``.
      passed: ``D_{t-1,s-1} Theta_{t-1,s-1}``.
    """

    value: Float[Array, "*pairs"]
    passed: Float[Array, "*pairs"]


class _Limit(NamedTuple):
    """The network whose kernel is computed."""

    dual: Dual
    kind: Kind
    nu: Variances

    def step(
        self, first: Any, second: Any, gram: Float[Array, "*pairs"], before: _Pair
    ) -> tuple[_Pair, Float[Array, "*pairs"]]:
        """One step along a diagonal: what is handed on, and the kernel (Alemohammad et al., 2020).

        ``S = nu_F <x, x'> + nu_W V'``, ``Theta = <x, x'> + V' + nu_W D' Theta'`` and
        ``K = V + nu_C D Theta``, where primes stand for one step before.
        """
        nu = self.nu
        value, slope = self.dual.moments(first, second, nu.f * gram + nu.w * before.value)
        if self.kind == "nngp":
            return _Pair(value, before.passed), nu.c * value
        passed = slope * (gram + before.value + nu.w * before.passed)
        return _Pair(value, passed), value + nu.c * passed

    def row(
        self, first: Sequences, t: Any, second: Sequences, sides: Any, before: _Pair
    ) -> tuple[_Pair, Float[Array, "N1 N2 T2"]]:
        """The kernel between the time ``t`` of one side and all times of the other.

        What is handed on to the times that follow is moved by one; 0 comes before the first.
        """
        side = jax.tree.map(lambda leaf: leaf[:, None, None], self.dual.side(first.variances[:, t]))
        gram = jnp.einsum("iq,ksq->iks", first.inputs[:, t], second.inputs, precision="highest")
        pair, kernel = self.step(side, sides, gram, before)
        moved = [jnp.pad(part[..., :-1], ((0, 0), (0, 0), (1, 0))) for part in pair]
        return _Pair(*moved), kernel


@partial(jax.jit, static_argnums=(0, 1))
def between_all_times(
    dual: Dual, kind: Kind, nu: Variances, first: Sequences, second: Sequences
) -> Float[Array, "N1 N2 T T2"]:
    """The kernel between all times, 0 in the padding.

    Each row is written to its place in the kernel: gathered and transposed, it would pass through
    memory twice as often.
    """
    limit, sides, before = _rows(dual, kind, nu, first, second)
    valid1, valid2 = first.is_step(), second.is_step()
    shape = (*before.value.shape[:2], first.inputs.shape[1], second.inputs.shape[1])

    def add(t: Array, state: tuple[_Pair, Array]) -> tuple[_Pair, Array]:
        pair, kernel = limit.row(first, t, second, sides, state[0])
        valid = valid1[:, t, None, None] & valid2[None]
        return pair, state[1].at[:, :, t].set(jnp.where(valid, kernel, 0))

    state = before, jnp.zeros(shape, first.inputs.dtype)
    return lax.fori_loop(0, shape[2], add, state)[1]


@partial(jax.jit, static_argnums=(0, 1))
def between_means(
    dual: Dual, kind: Kind, nu: Variances, first: Sequences, second: Sequences
) -> Float[Array, "N1 N2"]:
    """The kernel of the means of outputs over the times of each sequence."""
    limit, sides, before = _rows(dual, kind, nu, first, second)
    dtype = first.inputs.dtype
    weights1, weights2 = (
        side.is_step().astype(dtype) / side.lengths[:, None].astype(dtype)
        for side in (first, second)
    )

    def add(t: Array, state: tuple[_Pair, Array]) -> tuple[_Pair, Array]:
        pair, kernel = limit.row(first, t, second, sides, state[0])
        # What is padding may be infinite, so that a weight of 0 would not remove it.
        kernel = jnp.where(weights2[None] > 0, kernel, 0)
        mean = jnp.sum(kernel * weights2[None], axis=2)
        return pair, state[1] + jnp.where(weights1[:, t, None] > 0, mean, 0) * weights1[:, t, None]

    state = before, jnp.zeros(before.value.shape[:2], dtype)
    return lax.fori_loop(0, first.inputs.shape[1], add, state)[1]


@partial(jax.jit, static_argnums=(0, 1))
def between_ends(
    dual: Dual, kind: Kind, nu: Variances, first: Sequences, second: Sequences
) -> Float[Array, "N1 N2"]:
    """The kernel of the outputs at the last time of each sequence: one diagonal alone.

    It begins where the shorter of two sequences does.
    """
    steps = min(first.inputs.shape[1], second.inputs.shape[1])
    first, second = first.ends(steps), second.ends(steps)
    limit = _Limit(dual, kind, nu)
    shared = jnp.minimum(first.lengths[:, None], second.lengths[None])
    zero = jnp.zeros(shared.shape, first.inputs.dtype)

    def step(t: Array, state: tuple[_Pair, Array]) -> tuple[_Pair, Array]:
        side1 = jax.tree.map(lambda leaf: leaf[:, None], dual.side(first.variances[:, t]))
        side2 = jax.tree.map(lambda leaf: leaf[None], dual.side(second.variances[:, t]))
        gram = jnp.matmul(first.inputs[:, t], second.inputs[:, t].T, precision="highest")
        pair, kernel = limit.step(side1, side2, gram, state[0])
        begun = t >= steps - shared
        return _Pair(*(jnp.where(begun, part, 0) for part in pair)), kernel

    return lax.fori_loop(0, steps, step, (_Pair(zero, zero), zero))[1]


def _rows(
    dual: Dual, kind: Kind, nu: Variances, first: Sequences, second: Sequences
) -> tuple[_Limit, Any, _Pair]:
    """The network, what its pairs need of the second side, and what comes before the first row."""
    sides = jax.tree.map(lambda leaf: leaf[None], dual.side(second.variances))
    shape = len(first.inputs), *second.inputs.shape[:2]
    zero = jnp.zeros(shape, first.inputs.dtype)
    return _Limit(dual, kind, nu), sides, _Pair(zero, zero)
