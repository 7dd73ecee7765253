"""Expectations over pairs of Gaussians, which every activation offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn._types import AnyArray


class Moments(NamedTuple):
    """Expectations over Gaussians ``(u, v)`` of mean 0.

    Attributes:
      value: ``V = E[phi(u) phi(v)]``.
      slope: ``D = E[phi'(u) phi'(v)]``, which is also ``dV / d cov(u, v)`` (Price's theorem).
    """

    value: Float[Array, "*pairs"]
    slope: Float[Array, "*pairs"]


class Dual(ABC):
    """The expectations of one activation; hashable, because programs are compiled for it.

    What depends on one of the two variables alone is computed once for it, by ``side``, and not
    once for every pair.
    """

    def side(self, variance: Float[Array, "*shape"]) -> Any:
        """What pairs need of one variable: arrays led by the shape of its variances."""
        return variance

    @abstractmethod
    def moments(self, first: Any, second: Any, covariance: Float[Array, "*#pairs"]) -> Moments:
        """Expectations over pairs of this covariance, whose sides broadcast against it."""

    def own(self, variance: Float[Array, "*shape"]) -> Moments:
        """Expectations over pairs of a variable with itself, ``E[phi(u)^2]``, ``E[phi'(u)^2]``."""
        side = self.side(variance)
        return self.moments(side, side, variance)


def root(value: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """``sqrt(value)``, and 0 with a derivative of 0 where it is not positive."""
    positive = value > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, value, 1)), 0)
