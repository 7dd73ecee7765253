"""What defines a recursion of Lemma C.1: its maps, and the laws of all that is random in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.singular_covariances import triangular_root

#: A map of one row, ``(q (d,), u (d_u,)) -> (d,)`` (eq. 67).
RowMap: TypeAlias = Callable[[Any, Any], Any]


class GaussianRows(NamedTuple):
    """The Gaussian law of one row of a matrix whose rows are independent copies of it (Lemma C.1).

    Attributes:
      mean: shape ``(d,)``, or ``(H, d)`` for the joint law over ``H`` times.
      covariance: shape ``(d, d)``, or ``(H, d, H, d)``; 0 for rows that are not random.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> initial = nr.GaussianRows(mean=np.zeros(2), covariance=np.eye(2))
      >>> fixed = nr.GaussianRows(mean=np.ones((3, 1)), covariance=np.zeros((3, 1, 3, 1)))
      >>> fixed.covariance.shape  # inputs at 3 times that are 1 and not random
      (3, 1, 3, 1)
    """

    mean: Float[AnyArray, " ..."]
    covariance: Float[AnyArray, " ..."]


class Laws(NamedTuple):
    """The laws of the matrices, of the first state and of the inputs, in one floating type.

    Attributes:
      variances: ``nu_l``, of the entries of each ``A_l``, shape ``(k,)``.
      initial: law of a row of ``q_0``, its mean of shape ``(d,)``.
      inputs: law of a row of ``u_0, ..., u_{H-1}``, its mean of shape ``(H, d_u)``.
    """

    variances: Float[AnyArray, " k"]
    initial: GaussianRows
    inputs: GaussianRows

    @property
    def dim(self) -> int:
        """The number ``d`` of entries of a row of ``q_t``."""
        return self.initial.mean.size

    @property
    def horizon(self) -> int:
        """The number ``H`` of steps."""
        return len(self.inputs.mean)

    @property
    def dtype(self) -> Any:
        """The floating type of all arrays."""
        return self.initial.mean.dtype


def checked_problem(
    maps: Any, variances: Any, initial: Any, inputs: Any, horizon: Any
) -> tuple[tuple[RowMap, ...], Laws]:
    """The maps and the laws of a recursion, checked and in one floating type."""
    horizon = _checks.integer("horizon", horizon)
    maps, variances = _checked_maps(maps), _checks.real("variances", variances)
    if variances.ndim != 1:
        raise ValueError(
            f"variances must have shape (k,), one for each map, got shape {variances.shape}; pass "
            "(variance,) for one map"
        )
    _checks.same("len(maps)", len(maps), "len(variances)", len(variances), "number of matrices")
    _checks.positive(**{f"variances[{i}]": variance for i, variance in enumerate(variances)})
    initial = _checked_rows("initial", initial, 1)
    if not initial.mean.size:
        raise ValueError("initial must not be empty, got mean of shape (0,)")
    if inputs is None:
        nothing = np.zeros((horizon, 0), initial.mean.dtype)
        inputs = GaussianRows(nothing, np.multiply.outer(nothing, nothing))
    inputs = _checked_rows("inputs", inputs, 2)
    _checks.same("inputs.mean.shape[0]", len(inputs.mean), "horizon", horizon, "number of times")
    dtype = reduce(jnp.promote_types, (a.dtype for a in (*initial, *inputs)))
    laws = jax.tree.map(lambda a: a.astype(dtype), Laws(variances, initial, inputs))
    for i, g in enumerate(maps):
        _check_shapes(map_name(i, g), g, laws)
    return maps, laws


def _checked_rows(name: str, law: GaussianRows, ndim: int) -> GaussianRows:
    """``law`` as floating arrays, with a mean of rank ``ndim`` and a possible covariance.

    Raises:
      ValueError: if shapes do not fit, an entry is not finite, or the covariance is not symmetric
        and positive semi-definite.
    """
    if not isinstance(law, GaussianRows):
        raise ValueError(f"{name} must be GaussianRows(mean, covariance), got {type(law).__name__}")
    mean = _checks.real(f"{name}.mean", law.mean)
    covariance = _checks.real(f"{name}.covariance", law.covariance)
    if mean.ndim != ndim:
        wanted = "(d,)" if ndim == 1 else "(times, d)"
        raise ValueError(f"{name}.mean must have shape {wanted}, got shape {mean.shape}")
    if covariance.shape != mean.shape * 2:
        raise ValueError(
            f"{name}.covariance must have the shape of the mean twice, {mean.shape * 2}, got "
            f"{covariance.shape}"
        )
    _checks.symmetric_semidefinite(f"{name}.covariance", covariance)
    return GaussianRows(mean, covariance)


def _check_shapes(name: str, g: RowMap, laws: Laws) -> None:
    wanted = laws.initial.mean.shape
    out = jax.eval_shape(lambda q, u: g(q, u[0]), laws.initial.mean, laws.inputs.mean)
    shape = getattr(out, "shape", None)
    if shape != wanted:
        got = jax.tree.map(jnp.shape, out) if shape is None else shape
        raise ValueError(f"{name} must return shape {wanted}, that of a row of q, got {got}")


def _checked_maps(maps: Any) -> tuple[RowMap, ...]:
    if not isinstance(maps, Iterable) or isinstance(maps, np.ndarray | jax.Array):
        raise ValueError(
            f"maps must be a sequence of functions (q, u) -> q, got {_checks.shown(maps)}; pass "
            "(g,) for one"
        )
    maps = tuple(maps)
    if not maps:
        raise ValueError("maps must hold at least one map, got none")
    for i, g in enumerate(maps):
        if not callable(g):
            raise ValueError(f"maps[{i}] must be a function (q, u) -> q, got {_checks.shown(g)}")
        try:
            hash(g)
        except TypeError:
            raise ValueError(
                f"{map_name(i, g)} must be hashable, because what is compiled for it is found "
                "again by its hash; pass a function, or make its class a frozen dataclass without "
                "arrays"
            ) from None
    return maps


def map_name(index: int, g: RowMap) -> str:
    """The name of a map in errors."""
    return f"maps[{index}] ({getattr(g, '__name__', type(g).__name__)})"


def apply_maps(
    maps: tuple[RowMap, ...], q: Float[Array, "rows d"], u: Float[Array, "rows d_u"]
) -> Float[Array, "k rows d"]:
    """All maps of all rows (eq. 67)."""
    return jnp.stack([jax.vmap(g)(q, u).astype(q.dtype) for g in maps])


def sample_rows(noise: Float[Array, "rows size"], law: GaussianRows) -> Float[Array, "rows ..."]:
    """Rows of a law, one from each row of ``N(0, 1)`` noise, each of the shape of its mean."""
    size = law.mean.size
    root = triangular_root(jnp.asarray(law.covariance).reshape(size, size))
    rows = jnp.matmul(noise, root.T, precision="highest")
    return jnp.asarray(law.mean)[None] + rows.reshape(len(noise), *law.mean.shape)
