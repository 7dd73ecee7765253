"""Orthonormal bases of what a linear operator makes of some targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator


class Bidiagonalization(NamedTuple):
    """``F V = U B`` with the targets in the span of ``U``.

    Attributes:
      right: ``V``, shape ``(columns, k)``.
      small: ``B``, shape ``(m, k)``.
      goal: the targets in the basis ``U``, shape ``(m, n_y)``.
      complete: whether ``F^T U`` lies in ``V`` as well: then nothing is left to add.
    """

    right: Float[np.ndarray, "columns k"]
    small: Float[np.ndarray, "m k"]
    goal: Float[np.ndarray, "m n_y"]
    complete: bool


def bidiagonalize(
    operator: LinearOperator, goal: Float[np.ndarray, "rows n_y"], floor: float, max_rank: int
) -> Iterator[Bidiagonalization]:
    """Block Golub-Kahan bidiagonalization of ``F`` from the targets, one block after the other.

    Nothing comes where ``F^T`` makes nothing of the targets.

    Every block is orthogonalized against all before, so ``B`` is full above the bands that it has
    in exact arithmetic, and no direction is found twice.

    Args:
      operator: ``F``.
      goal: targets, an output a column.
      floor: length up to which a new direction counts as rounding.
      max_rank: most columns of ``V``.
    """
    width = goal.shape[1]
    left, right = (_Basis(size, max_rank + 2 * width) for size in operator.shape)
    small, known = (np.zeros((max_rank + 2 * width, n)) for n in (max_rank, width))
    block = left.extend(goal, 0.0)
    known[: left.size] = left.vectors.T @ goal
    complete = block.shape[1] == 0
    while not complete and right.size < max_rank:
        start = right.size
        new = right.extend(operator.rmatmat(block), floor)[:, : max_rank - start]
        right.size = start + new.shape[1]
        complete = new.shape[1] == 0
        if right.size == 0:
            return
        if not complete:
            images = operator.matmat(new)
            block = left.extend(images, floor)
            small[: left.size, start : right.size] = left.vectors.T @ images
            complete = block.shape[1] == 0 or right.size == min(operator.shape)
        b = small[: left.size, : right.size]
        yield Bidiagonalization(right.vectors, b, known[: left.size], complete)


class _Basis:
    """Orthonormal columns to which others are added, in memory that is taken as they come."""

    def __init__(self, length: int, most: int):
        self._columns = np.empty((length, most), order="F")
        self.size = 0

    @property
    def vectors(self) -> Float[np.ndarray, "length size"]:
        return self._columns[:, : self.size]

    def extend(
        self, block: Float[np.ndarray, "length m"], floor: float
    ) -> Float[np.ndarray, "length new"]:
        """Adds what is new in a block, in columns longer than ``floor``, and returns it."""
        basis = self.vectors
        for _ in range(2):  # once leaves what has cancelled
            block = block - basis @ (basis.T @ block)
        factors: Any = scipy.linalg.qr(block, mode="economic", pivoting=True)
        q, r, _ = factors
        q = q[:, np.abs(np.diagonal(r)) > floor]
        q, _ = np.linalg.qr(q - basis @ (basis.T @ q))
        self._columns[:, self.size : self.size + q.shape[1]] = q
        self.size += q.shape[1]
        return q
