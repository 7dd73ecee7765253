"""The recursion of Lemma C.1 at finite width, and the arguments that define it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.rows import GaussianRows, checked_rows, real_array, rows_from

#: A map of one row, ``(q (d,), u (d_u,)) -> (d,)``.
RowMap: TypeAlias = Callable[[Any, Any], Any]


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
    """The recursion of Lemma C.1 at finite width: ``q_{t+1} = sum_l A_l G_l(q_t, u_t) / sqrt(n)``.

    One draw of ``q_0``, of the inputs, and of the ``A_l (n, n)``, which stay the same over time.

    Args:
      key: PRNG key.
      maps: as ``state_evolution``, like those that follow.
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
    width, key = _checks.positive_int("width", width), checked_key(key)
    maps, variances, initial, inputs = checked_problem(maps, variances, initial, inputs, horizon)
    with jax.default_matmul_precision("highest"):
        return _simulate(maps, width, variances, initial, inputs, key)


@partial(jax.jit, static_argnums=(0, 1))
def _simulate(
    maps: tuple[RowMap, ...],
    width: int,
    variances: Array,
    initial: GaussianRows,
    inputs: GaussianRows,
    key: Array,
) -> Float[Array, "times {width} d"]:
    of_rows, *of_matrices = jax.random.split(key, 1 + len(maps))
    dim, dtype = initial.mean.size, initial.mean.dtype
    noise = jax.random.normal(of_rows, (width, dim + inputs.mean.size), dtype)
    q, u = rows_from(noise[:, :dim], initial), rows_from(noise[:, dim:], inputs)
    matrices = [jax.random.normal(k, (width, width), dtype) for k in of_matrices]
    scale = jnp.sqrt(variances / width)

    def step(q: Array, u: Array) -> tuple[Array, Array]:
        gs = apply_maps(maps, q, u) * scale[:, None, None]
        new = reduce(
            jnp.add,
            (jnp.matmul(a, g, precision="highest") for a, g in zip(matrices, gs, strict=True)),
        )
        return new, new

    _, later = lax.scan(step, q, u.swapaxes(0, 1))
    return jnp.concatenate([q[None], later])


def checked_problem(
    maps: Any, variances: Any, initial: Any, inputs: Any, horizon: Any
) -> tuple[tuple[RowMap, ...], Array, GaussianRows, GaussianRows]:
    """The arguments, checked, in one floating type."""
    horizon = _checks.positive_int("horizon", horizon)
    maps, variances = _checked_maps(maps), real_array("variances", variances)
    if variances.ndim != 1:
        raise ValueError(
            f"variances must have shape (k,), one for each map, got shape {variances.shape}; pass "
            "(variance,) for one map"
        )
    _checks.same("len(maps)", len(maps), "len(variances)", len(variances), "number of matrices")
    for i, variance in enumerate(variances):
        _checks.positive(f"variances[{i}]", variance)
    initial = checked_rows("initial", initial, 1)
    if not initial.mean.size:
        raise ValueError("initial must not be empty, got mean of shape (0,)")
    if inputs is None:
        nothing = np.zeros((horizon, 0), initial.mean.dtype)
        inputs = GaussianRows(nothing, np.multiply.outer(nothing, nothing))
    inputs = checked_rows("inputs", inputs, 2)
    _checks.same("inputs.mean.shape[0]", len(inputs.mean), "horizon", horizon, "number of times")
    dtype = reduce(jnp.promote_types, (a.dtype for a in (*initial, *inputs)))
    initial, inputs = jax.tree.map(lambda a: a.astype(dtype), (initial, inputs))
    for i, g in enumerate(maps):
        out = jax.eval_shape(lambda q, u, g=g: g(q, u[0]), initial.mean, inputs.mean)
        shape = getattr(out, "shape", None)
        if shape != initial.mean.shape:
            got = jax.tree.map(jnp.shape, out) if shape is None else shape
            raise ValueError(
                f"{map_name(i, g)} must return shape {initial.mean.shape}, that of a row of q, "
                f"got {got}"
            )
    return maps, variances.astype(dtype), initial, inputs


def _checked_maps(maps: Any) -> tuple[RowMap, ...]:
    if not isinstance(maps, Iterable):
        raise ValueError(
            f"maps must be a sequence of functions (q, u) -> q, got {maps!r}; pass (g,) for one"
        )
    maps = tuple(maps)
    if not maps:
        raise ValueError("maps must hold at least one map, got none")
    for i, g in enumerate(maps):
        if not callable(g):
            raise ValueError(f"maps[{i}] must be a function (q, u) -> q, got {g!r}")
        try:
            hash(g)
        except TypeError:
            raise ValueError(
                f"{map_name(i, g)} must be hashable, because what is compiled for it is found "
                "again by its hash; pass a function, or make its class a frozen dataclass without "
                "arrays"
            ) from None
    return maps


def checked_key(key: Any) -> Array:
    """``key``; raises ``ValueError`` unless it is one random key of JAX."""
    if not isinstance(key, jax.Array):
        raise ValueError(f"key must be a random key, got {key!r}; pass jax.random.key(seed)")
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if key.ndim != 1 - typed or not (typed or key.dtype == jnp.uint32):
        raise ValueError(
            f"key must be a single random key, got {key.dtype} of shape {key.shape}; pass "
            "jax.random.key(seed)"
        )
    return key


def map_name(index: int, g: RowMap) -> str:
    """A map as errors call it."""
    return f"maps[{index}] ({getattr(g, '__name__', type(g).__name__)})"


def apply_maps(
    maps: tuple[RowMap, ...], q: Float[Array, "rows d"], u: Float[Array, "rows d_u"]
) -> Float[Array, "k rows d"]:
    """All maps of all rows."""
    return jnp.stack([jax.vmap(g)(q, u).astype(q.dtype) for g in maps])
