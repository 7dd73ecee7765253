"""A linear RNN of any width, whose ``W`` is drawn through its products alone."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._memory import free_bytes
from ntk_rnn._types import AnyArray, Scalar
from ntk_rnn.products.panels import Gaussian, Panels, dot, no_products, spanning
from ntk_rnn.products.small import Chains, Small, chains_of, scale_of


@struct.dataclass
class WideRNN:
    """A linear RNN whose ``W`` is known through its products with few vectors (``wide_rnn``).

    Its ``W`` is drawn as it is asked for (Appendix C, eqs. 77-79). It stands for parameters
    wherever ``W`` itself is not needed: in ``impulse_response``, ``finite_width_gram`` and
    ``subspace_descent``. It is a pytree of arrays of ``O(n)`` numbers, and pure: asking for a
    product returns it with a new network, which knows it.

    Attributes:
      source: the law of ``W``, and the key of its draws.
      f: ``F``, shape ``(n, n_x)``.
      c: ``C``, shape ``(n_y, n)``.
      panels: the products of ``W`` that are known.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> wide = nr.wide_rnn(jax.random.key(0), width=100_000, in_dim=1, out_dim=1)
      >>> nr.impulse_response(wide, seq_len=5).shape
      (5, 1, 1)
    """

    source: Gaussian
    f: Float[Array, "n n_x"]
    c: Float[Array, "n_y n"]
    panels: Panels

    #: What errors advise where a ``W`` is needed.
    _instead: ClassVar[str] = (
        "a wide_rnn has no W: impulse_response, finite_width_gram and subspace_descent take it, "
        "and for all else there is LinearRNN(...).init"
    )

    @property
    def width(self) -> int:
        """Number ``n`` of hidden units."""
        return len(self.f)

    def __contains__(self, name: object) -> bool:
        """Raises ``ValueError``: by this a Flax module asks whether it was given parameters."""
        raise ValueError(f"params must have a W, got a WideRNN; {self._instead}")

    def product(self, vectors: Float[AnyArray, "n k"]) -> tuple[Float[Array, "n k"], WideRNN]:
        """``W V / sqrt(n)`` for vectors in columns, and the network that knows it.

        The same network and vectors give the same product, and so do further vectors of which the
        returned network knows the products already.

        Args:
          vectors: ``V``, shape ``(n, k)``; it is taken in the type of the network.

        Raises:
          ValueError: if ``vectors`` are not finite real numbers of that shape.
        """
        vectors = self._checked(vectors)
        known = self._knowing(vectors)
        panels = known.panels
        return dot(panels.forward, dot(panels.basis.T, vectors)), known

    def knowing(self, vectors: Float[AnyArray, "n k"]) -> WideRNN:
        """The network that knows the products of ``W`` and its transpose with vectors.

        Args:
          vectors: ``V``, shape ``(n, k)``; it is taken in the type of the network.

        Raises:
          ValueError: if ``vectors`` are not finite real numbers of that shape.
        """
        return self._knowing(self._checked(vectors))

    def with_chains(self, seq_len: int) -> WideRNN:
        """The network that knows both chains of ``T`` lags.

        What ``impulse_response`` and ``finite_width_gram`` say of it is then settled, for up to
        ``T`` lags.

        Args:
          seq_len: number ``T`` of lags.

        Raises:
          ValueError: if ``seq_len`` is not positive.
        """
        known, columns, rows = self, self.f, self.c.T
        for lag in range(_checks.integer("seq_len", seq_len)):
            if lag:
                panels = known.panels
                columns = dot(panels.forward, dot(panels.basis.T, columns))
                rows = dot(panels.backward, dot(panels.basis.T, rows))
            known = known._knowing(jnp.concatenate([columns, rows], axis=1))
        return known

    def chains(self, seq_len: int) -> tuple[Small, Chains, Float[Array, ""]]:
        """The network in the coordinates of a subspace, both its chains there, and its scale."""
        panels = self.with_chains(seq_len).panels
        scale = scale_of(self.width, self.f.dtype)
        return *_chains(panels, self.f, self.c, scale, seq_len), scale

    def _checked(self, vectors: Any) -> Float[Array, "n k"]:
        """Vectors that a user passed, in the type of the network."""
        array = _checks.real("vectors", vectors)
        if array.ndim != 2 or len(array) != self.width:
            raise ValueError(
                f"vectors must have shape ({self.width}, k), got shape {array.shape}; pass them "
                "in columns"
            )
        array = array.astype(self.f.dtype)
        _checks.finite("vectors", array, f"rescale them to fit {array.dtype}")
        return array

    def _knowing(self, vectors: Float[Array, "n k"]) -> WideRNN:
        """``knowing`` without checks."""
        panels = spanning(self.panels, self.source, vectors)
        return WideRNN(self.source, self.f, self.c, panels)


@partial(jax.jit, static_argnums=4)
def _chains(panels: Panels, f: Array, c: Array, scale: Array, seq_len: int) -> tuple[Small, Chains]:
    small = Small(panels.core() / scale, dot(panels.basis.T, f), dot(c, panels.basis))
    return small, chains_of(small, scale, seq_len)


def wide_rnn(
    key: Array,
    width: int,
    in_dim: int,
    out_dim: int,
    nu_w: Scalar = 0.3,
    nu_f: Scalar = 1.0,
    nu_c: Scalar = 1.0,
) -> WideRNN:
    """A linear RNN at its initialization, of a width for which no ``W`` fits in memory.

    It has the law of ``LinearRNN(width, out_dim, nu_w, nu_f, nu_c).init``: ``F`` and ``C`` are
    drawn as they are, and ``W`` through its products with the vectors that are asked for, exactly
    in law (Appendix C, eqs. 77-79; Lu, Householder dice, 2021). Memory is that of some dozen
    vectors of ``n`` numbers.

    Which network is drawn depends on the key and on what is asked, in its order. To ask the same
    network again, go on with what a query returned, or with ``with_chains``. Over several
    devices it is split by ``shard_params``.

    Args:
      key: random key.
      width: number ``n`` of hidden units.
      in_dim: number ``n_x`` of inputs.
      out_dim: number ``n_y`` of outputs.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.

    Raises:
      ValueError: if a size or variance is not positive and finite, or ``F`` and ``C`` with their
        products do not fit into memory.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> wide = nr.wide_rnn(jax.random.key(0), width=100_000, in_dim=1, out_dim=1)
      >>> wide = wide.with_chains(seq_len=5)
      >>> bool((nr.impulse_response(wide, 5) == nr.impulse_response(wide, 5)).all())
      True
    """
    _checks.random_key("key", key)
    width = _checks.integer("width", width)
    in_dim, out_dim = _checks.integer("in_dim", in_dim), _checks.integer("out_dim", out_dim)
    _checks.variance(nu_w=nu_w, nu_f=nu_f, nu_c=nu_c)
    # An integer of more than 32 bits is none of JAX's.
    nu_w, nu_f, nu_c = map(_checks.number, ("nu_w", "nu_f", "nu_c"), (nu_w, nu_f, nu_c))
    _refuse_too_wide(width, in_dim + out_dim)
    return _drawn(key, width, in_dim, out_dim, nu_w, nu_f, nu_c)


def _refuse_too_wide(width: int, starts: int) -> None:
    """Raises ``ValueError`` if no memory is free for the least that a network is used for.

    That is ``F`` and ``C``, and three panels with room for as many directions.
    """
    columns, entry = 4 * starts, jnp.result_type(float).itemsize
    needed, free = columns * entry * width, free_bytes()
    if needed > free:
        raise ValueError(
            f"width must be such that F, C and their products with W fit into memory, got {width}: "
            f"{columns} vectors of that length take {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB "
            f"are free; take a width of {free / columns / entry:.1e}"
        )


@partial(jax.jit, static_argnums=(1, 2, 3))
def _drawn(
    key: Array, width: int, in_dim: int, out_dim: int, nu_w: Scalar, nu_f: Scalar, nu_c: Scalar
) -> WideRNN:
    of_w, of_f, of_c = jax.random.split(key, 3)
    f = jax.random.normal(of_f, (width, in_dim)) * jnp.sqrt(nu_f)
    c = jax.random.normal(of_c, (out_dim, width)) * jnp.sqrt(nu_c)
    source = Gaussian(of_w, jnp.asarray(nu_w, f.dtype))
    return WideRNN(source, f, c, no_products(width, f.dtype))
