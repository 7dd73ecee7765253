"""What is known of a recurrent matrix ``W (n, n)``: its products with an orthonormal basis.

Both chains of the impulse response, and all that gradient descent adds to ``W``, lie in a space of
few dimensions. Of ``W`` no more is needed there than the three panels of this module, ``n`` rows of
a few columns each.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ntk_rnn import _checks

dot = partial(jnp.matmul, precision="highest")

#: Directions that are added to a basis at once.
AT_ONCE = 8

# Of directions that are this near to each other, in parts of their length, one is taken up.
_INDEPENDENT = 1e-2

# Fewer columns would be soon too few, and what uses them would be compiled once more, which takes
# seconds. So do products of many columns that are this long.
_LEAST_ROOM, _LEAST_ROOM_OF_LONG, _LONG = 64, 32, 100_000

#: Lengths below so many units of rounding are those of nothing.
ROUNDING = 100.0


class Panels(NamedTuple):
    """An orthonormal basis ``P``, and the products of ``W`` and of its transpose with it.

    Their columns from ``rank`` on are 0: room for more, so that what is compiled for one number of
    columns serves for many ranks.

    Attributes:
      basis: ``P``, shape ``(n, R)``.
      forward: ``W P / sqrt(n)``, shape ``(n, R)``.
      backward: ``W^T P / sqrt(n)``, shape ``(n, R)``.
      rank: number of directions, shape ``()``.
    """

    basis: Float[Array, "n R"]
    forward: Float[Array, "n R"]
    backward: Float[Array, "n R"]
    rank: Int[Array, ""]

    @property
    def capacity(self) -> int:
        """Number ``R`` of columns."""
        return self.basis.shape[1]

    def core(self) -> Float[Array, "R R"]:
        """``P^T W P / sqrt(n)``."""
        return dot(self.basis.T, self.forward)

    def room_for(self, columns: int) -> int:
        """Number of columns of the same with room for so many more directions.

        Where the rank can be looked at, that is a power of 2, or one and a half times that, which
        serves for many ranks.
        """
        if _checks.is_traced(self.rank):
            return self.capacity + columns
        least = _LEAST_ROOM if len(self.basis) < _LONG else _LEAST_ROOM_OF_LONG
        needed = max(int(self.rank) + columns, least)
        power = 1 << (needed - 1).bit_length()
        return max(self.capacity, power * 3 // 4 if power * 3 // 4 >= needed else power)

    def with_room(self, columns: int) -> Panels:
        """The same with room for so many more directions."""
        more = self.room_for(columns) - self.capacity
        if not more:
            return self
        basis, forward, backward = (jnp.pad(a, ((0, 0), (0, more))) for a in self[:3])
        return Panels(basis, forward, backward, self.rank)


class Matrix(NamedTuple):
    """A matrix that is there.

    Attributes:
      w: ``W``, shape ``(n, n)``.
    """

    w: Float[Array, "n n"]

    def products(
        self, panels: Panels, directions: Float[Array, "n k"]
    ) -> tuple[Float[Array, "n k"], Float[Array, "n k"]]:
        """``W Q / sqrt(n)`` and ``W^T Q / sqrt(n)``.

        Args:
          panels: all products that have been asked for before.
          directions: ``Q``, orthonormal and orthogonal to the basis; some columns may be 0.
        """
        scale = len(directions) ** -0.5
        # The few columns are scaled, and the matrix is used as it lies in memory.
        columns = scale * directions
        return dot(self.w, columns), dot(columns.T, self.w).T


class Gaussian(NamedTuple):
    """A matrix with entries ``N(0, nu_w)``, drawn through its products alone.

    Given its products with a basis, the rest of a Gaussian matrix is a fresh Gaussian matrix
    between the orthogonal complements (Appendix C, eqs. 77-79). So the products with new
    directions are exact in law, and no entry of ``W`` is ever drawn twice, or at all.

    Attributes:
      key: random key of all draws.
      nu_w: variance of the entries, shape ``()``.
    """

    key: Array
    nu_w: Float[Array, ""]

    def products(
        self, panels: Panels, directions: Float[Array, "n k"]
    ) -> tuple[Float[Array, "n k"], Float[Array, "n k"]]:
        """What ``Matrix.products`` returns, drawn given all products that are known."""
        deviation = jnp.sqrt(self.nu_w / len(directions)).astype(directions.dtype)
        kept = jnp.any(directions != 0, axis=0, keepdims=True)

        def fresh() -> Array:
            key = jax.random.fold_in(self.key, panels.rank)
            drawn = jax.random.normal(key, (2, *directions.shape), directions.dtype)
            return jnp.where(kept[None], deviation * drawn, 0)

        def nothing() -> Array:
            return jnp.zeros((2, *directions.shape), directions.dtype)

        to_the, fro = lax.cond(jnp.any(kept), fresh, nothing)
        # P^T W Q is known from W^T P, and Q^T W Q from the first product (eqs. 77-79).
        forward = outside(panels.basis, to_the)
        forward += dot(panels.basis, dot(panels.backward.T, directions))
        backward = outside(directions, outside(panels.basis, fro))
        backward += dot(panels.basis, dot(panels.forward.T, directions))
        backward += dot(directions, dot(forward.T, directions))
        return forward, backward


#: Where products with ``W`` come from.
Source: TypeAlias = Matrix | Gaussian


def no_products(width: int, dtype: Any) -> Panels:
    """The panels before any product is known."""
    nothing = jnp.zeros((width, 0), dtype)
    return Panels(nothing, nothing, nothing, jnp.zeros((), jnp.int32))


def spanning(panels: Panels, source: Source, vectors: Float[Array, "n k"]) -> Panels:
    """The panels with a basis that spans vectors, too.

    Args:
      panels: what is known. They are left as they are.
      source: where products with ``W`` come from.
      vectors: in columns.
    """
    panels, count = jax.tree.map(jnp.copy, panels), vectors.shape[1]
    # Blocks of one size, so that what is compiled for one number of vectors serves for all.
    traced = _checks.is_traced((panels, source, vectors))
    block = count if traced else AT_ONCE
    vectors = jnp.pad(vectors, ((0, 0), (0, -count % block)))
    for first in range(0, count, block):
        some = vectors[:, first : first + block]
        wanted = None if traced else int(panels.rank) + min(block, count - first)
        panels = with_directions(panels.with_room(block), source, some)
        # Once more unless all were taken, for of nearly parallel vectors the first time takes one.
        if wanted is None or int(panels.rank) < wanted:
            panels = with_directions(panels.with_room(block), source, some)
    return panels


@partial(jax.jit, donate_argnums=0)
def with_directions(panels: Panels, source: Source, candidates: Float[Array, "n k"]) -> Panels:
    """The panels with further directions, which have room.

    Args:
      panels: what is known, with room for ``k`` more directions. Its memory is reused.
      source: where products with ``W`` come from.
      candidates: what the basis is to span too, in columns. Those that it spans already, as far as
        rounding tells, are left out, and of nearly parallel ones all but one.
    """
    # Squares of what is very large or very small would not be numbers, or 0.
    largest = jnp.max(jnp.abs(candidates), axis=0, keepdims=True)
    new = candidates / jnp.where(largest > 0, largest, 1)
    sizes = jnp.linalg.norm(new, axis=0, keepdims=True)
    # Twice, for what rounding leaves of the basis after the first time is large beside a direction
    # that is nearly in its span.
    for _ in range(2):
        new = outside(panels.basis, new)
        left = jnp.linalg.norm(new, axis=0, keepdims=True)
        kept = left > ROUNDING * jnp.finfo(new.dtype).eps * sizes
        new = _orthonormal(jnp.where(kept, new / jnp.where(kept, left, 1), 0))
        sizes = jnp.ones_like(sizes)
    products = source.products(panels, new)

    def placed(panel: Array, columns: Array) -> Array:
        return lax.dynamic_update_slice_in_dim(panel, columns, panels.rank, axis=1)

    count = jnp.sum(jnp.any(new != 0, axis=0), dtype=jnp.int32)
    return Panels(*map(placed, panels[:3], (new, *products)), rank=panels.rank + count)


def length(array: Array) -> Float[Array, ""]:
    """The root of the sum of all squares, which may themselves be too large or too small."""
    largest = jnp.max(jnp.abs(array), initial=0)
    scale = jnp.where(largest > 0, largest, 1)
    return scale * jnp.linalg.norm(array / scale)


def outside(basis: Float[Array, "n R"], vectors: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """The part of vectors that is orthogonal to a basis."""
    return vectors - dot(basis, dot(basis.T, vectors))


def _orthonormal(vectors: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """An orthonormal basis of the span of vectors of length at most 1, then columns of 0.

    Each vector is taken in turn, without its part along those before it, so that rounding changes
    no direction or its sign by more than itself: another direction would be one of another ``W``.
    """
    gram, count = dot(vectors.T, vectors), vectors.shape[1]

    def with_one(place: Any, combined: Array) -> Array:
        along = dot(combined.T, gram[:, place])
        new = jnp.zeros(count, gram.dtype).at[place].set(1) - dot(combined, along)
        size = jnp.sqrt(jnp.maximum(dot(new, dot(gram, new)), 0))
        kept = size > _INDEPENDENT
        return combined.at[:, place].set(jnp.where(kept, new / jnp.where(kept, size, 1), 0))

    combined = lax.fori_loop(0, count, with_one, jnp.zeros_like(gram))
    last = jnp.argsort(~jnp.any(combined != 0, axis=0), stable=True)
    return dot(vectors, combined[:, last])
