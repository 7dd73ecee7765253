"""Eigenvalues that start uniformly on a ring of the complex plane."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks


def check_ring(r_min: float, r_max: float) -> None:
    """Raises ``ValueError`` unless ``0 <= r_min <= r_max <= 1``, and ``r_max > 0``."""
    for name, radius in (("r_min", r_min), ("r_max", r_max)):
        found = _checks.number(name, radius)
        if not 0 <= found <= 1:
            raise ValueError(
                f"{name} must be between 0 and 1, where states do not grow, got {found:g}; e.g. 0.9"
            )
    if not 0 < r_max >= r_min:
        raise ValueError(
            f"r_max must be positive and at least r_min, got r_min = {float(r_min):g} and "
            f"r_max = {float(r_max):g}"
        )


def squared_radii(
    key: Array, shape: tuple[int, ...], dtype: Any, r_min: float, r_max: float
) -> Float[Array, " n"]:
    """``|lambda|^2`` uniform between ``r_min^2`` and ``r_max^2``: uniform over the ring's area."""
    eps = float(jnp.finfo(dtype).eps)  # away from 0 and 1, where logarithms are infinite
    low, high = max(r_min**2, eps), min(r_max**2, 1 - eps)
    return jax.random.uniform(key, shape, dtype, min(low, high), high)


def ring_moments(count: int, r_min: float, r_max: float) -> Float[np.ndarray, " count"]:
    """``E |lambda|^{2j}`` for ``j < count``, with ``|lambda|^2`` uniform between squared radii.

    ``(b^{j+1} - a^{j+1}) / ((j+1) (b - a)) = sum_i b^i a^{j-i} / (j+1)``, whose sum has no
    cancellation.
    """
    a, b = r_min**2, r_max**2
    sums = accumulate(range(1, count), lambda total, j: b * total + a**j, initial=1.0)
    return np.fromiter(sums, float, count) / np.arange(1, count + 1)


#: The whole circle.
FULL = 2 * math.pi
