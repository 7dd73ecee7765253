"""The recursion of Lemma C.1 at finite width, with random matrices that are drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.problem import (
    GaussianRows,
    Laws,
    RowMap,
    apply_maps,
    checked_problem,
    sample_rows,
)


def simulate_evolution(
    key: Array,
    maps: Sequence[RowMap],
    variances: Sequence[float] | Float[AnyArray, " k"],
    initial: GaussianRows,
    inputs: GaussianRows | None = None,
    *,
    width: int,
    horizon: int,
) -> Float[Array, "{horizon}+1 {width} d"]:
    """The recursion ``q_{t+1} = sum_l A_l G_l(q_t, u_t) / sqrt(n)`` at finite width (eq. 66).

    It draws ``q_0``, the inputs and the matrices ``A_l (n, n)`` once; the matrices stay the same
    over time. Lemma C.1 is about its limit, which ``state_evolution`` computes.

    Args:
      key: PRNG key.
      maps: ``G_l``, as for ``state_evolution``.
      variances: ``nu_l``, shape ``(k,)``.
      initial: law of a row of ``q_0``.
      inputs: law of a row of the inputs.
      width: number ``n`` of rows.
      horizon: number ``H`` of steps.

    Returns:
      ``q_0, ..., q_H``, shape ``(H + 1, n, d)``.

    Raises:
      ValueError: as ``state_evolution``, and if ``width`` is not a positive integer or
        ``key`` not a random key.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> def saturate(q, u):
      ...     return jnp.tanh(q)
      >>> start = nr.GaussianRows(np.zeros(1), np.eye(1))
      >>> q = nr.simulate_evolution(
      ...     jax.random.key(0), [saturate], [1.0], start, width=1000, horizon=2
      ... )
      >>> q.shape  # q_0, q_1, q_2
      (3, 1000, 1)
    """
    width = _checks.integer("width", width)
    key = _checks.random_key("key", key)
    maps, laws = checked_problem(maps, variances, initial, inputs, horizon)
    with jax.default_matmul_precision("highest"):
        return _simulate(maps, width, laws, key)


@partial(jax.jit, static_argnums=(0, 1))
def _simulate(
    maps: tuple[RowMap, ...], width: int, laws: Laws, key: Array
) -> Float[Array, "times {width} d"]:
    of_rows, *of_matrices = jax.random.split(key, 1 + len(maps))
    noise = jax.random.normal(of_rows, (width, laws.dim + laws.inputs.mean.size), laws.dtype)
    q = sample_rows(noise[:, : laws.dim], laws.initial)
    u = sample_rows(noise[:, laws.dim :], laws.inputs)
    matrices = [jax.random.normal(k, (width, width), laws.dtype) for k in of_matrices]
    scale = jnp.sqrt(laws.variances / width)

    def step(q: Array, u: Array) -> tuple[Array, Array]:
        gs = apply_maps(maps, q, u) * scale[:, None, None]
        products = (
            jnp.matmul(a, g, precision="highest") for a, g in zip(matrices, gs, strict=True)
        )
        new = reduce(jnp.add, products)  # eq. 66
        return new, new

    _, later = lax.scan(step, q, u.swapaxes(0, 1))
    return jnp.concatenate([q[None], later])
