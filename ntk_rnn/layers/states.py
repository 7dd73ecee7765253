"""Layers whose states do not act on each other: their responses, outputs and Gram matrices."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, Params
from ntk_rnn.models import parameter
from ntk_rnn.sequences import convolved

# Up to this length a convolution by its definition is as fast as one by Fourier transforms.
_LONGEST_DIRECT = 64

# Numbers that the derivatives by the parameters of the units that are taken together may have.
_TOGETHER = 2**25


class DiagonalLayer(nn.Module):
    """``h_t = lambda h_{t-1} + B x_t`` entry by entry, ``y_t = Re(C h_t) / sqrt(n)``.

    Its impulse response ``L_j = Re sum_k C_k lambda_k^j B_k / sqrt(n)`` is one product with the
    powers of all ``lambda``, ``T n n_x n_y`` multiplications, and its outputs are a convolution
    with it. The recurrence takes ``N T n (n_x + n_y)``, by an associative scan some more, which is
    less for very few sequences of many inputs and outputs only.

    A subclass declares its parameters. The first axis of each, the second one of ``C``, counts
    units, which share no parameter.

    Attributes:
      width: number ``n`` of states.
      out_dim: number ``n_y`` of outputs.
    """

    width: int
    out_dim: int

    def __post_init__(self) -> None:
        _checks.integer("width", self.width)
        _checks.integer("out_dim", self.out_dim)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[AnyArray, "N T n_x"]) -> Float[Array, "N T n_y"]:
        """Outputs ``y``, shape ``(N, T, n_y)``, to inputs ``x``, shape ``(N, T, n_x)``."""
        x = _checks.computed(_checks.sequences("x", x))
        response = self._response(self._declare(x), x.shape[1])
        direct = x.shape[1] <= _LONGEST_DIRECT
        return convolved(response, x) if direct else _by_fourier(response, x)  # (eq. 5)

    def layer_gram(self, params: Params, seq_len: int) -> Float[Array, "T n_y n_x T n_y n_x"]:
        """What ``ntk_rnn.layer_gram`` is for this layer: the sum over units of their Gram matrices.

        A gradient has an entry for each parameter, and no parameter belongs to two units.

        Args:
          params: what ``init`` returned.
          seq_len: number ``T`` of lags.

        Returns:
          Shape ``(T, n_y, n_x, T, n_y, n_x)``.

        Raises:
          ValueError: if ``seq_len`` is not positive.
        """
        return _gram(self, dict(params["params"]), _checks.integer("seq_len", seq_len))

    def _declare(self, x: Array) -> dict[str, Array]:
        """Declares the parameters, for inputs like ``x``."""
        raise NotImplementedError

    def _system(self, params: Any) -> tuple[Array, Array, Array]:
        """``lambda (n,)``, ``B (n, n_x)`` and ``C (n_y, n)``, of all units or of some."""
        raise NotImplementedError

    def _response(self, params: Any, seq_len: int) -> Float[Array, "T n_y n_x"]:
        """The impulse response, or what some units contribute to it."""
        eigenvalues, b, c = self._system(params)
        rows, pairs = powers(eigenvalues, seq_len), c[:, :, None] * b[None]
        total = _product(rows.real, pairs.real)
        if jnp.iscomplexobj(rows):
            total = total - _product(rows.imag, pairs.imag)
        return total * self.width**-0.5


def powers(numbers: Float[Array, " n"] | Any, count: int) -> Any:
    """``numbers^j`` for ``j < count``, shape ``(count, n)``, with derivatives at 0 as elsewhere."""
    rows, factor = jnp.ones_like(numbers)[None], numbers
    while len(rows) < count:  # the rows so far, times the power that follows them
        rows = jnp.concatenate([rows, rows * factor[None]])
        factor = factor * factor
    return rows[:count]


def normal(
    module: nn.Module, name: str, variance: float, shape: Any, x: Array, real: bool = False
) -> Array:
    """A parameter of Gaussian entries with ``E|z|^2 = variance``, complex unless ``real``."""

    def start(key: Any, shape: Any, dtype: Any) -> Array:
        kind = dtype if real else np.promote_types(dtype, np.complex64)
        return jax.random.normal(key, shape, kind) * jnp.sqrt(jnp.asarray(variance, dtype)).astype(
            kind
        )

    return parameter(module, name, start, shape, x)


def from_polar(radii: Array, phases: Array) -> Array:
    """Complex numbers of given absolute values and phases."""
    return lax.complex(radii * jnp.cos(phases), radii * jnp.sin(phases))


def _product(rows: Float[Array, "T n"], pairs: Float[Array, "n_y n n_x"]) -> Array:
    return jnp.einsum("jk,pkq->jpq", rows, pairs, precision="highest")


def _by_fourier(
    response: Float[Array, "T n_y n_x"], x: Float[Array, "N T n_x"]
) -> Float[Array, "N T n_y"]:
    """Causal convolution (eq. 5) in ``O(T log T)``; it rounds relative to the largest output."""
    seq_len = x.shape[1]
    spectrum = jnp.fft.rfft(response, 2 * seq_len, axis=0)
    product = jnp.einsum(
        "ntq,tpq->ntp", jnp.fft.rfft(x, 2 * seq_len, axis=1), spectrum, precision="highest"
    )
    return jnp.fft.irfft(product, 2 * seq_len, axis=1)[:, :seq_len]


def _unit_axis(name: str) -> int:
    return 1 if name == "C" else 0


def _real_parts(array: Array) -> tuple[Array, ...]:
    return (array.real, array.imag) if jnp.iscomplexobj(array) else (array,)


@partial(jax.jit, static_argnums=(0, 2))
def _gram(
    layer: DiagonalLayer, params: dict[str, Array], seq_len: int
) -> Float[Array, "T n_y n_x T n_y n_x"]:
    """The sum over units, as many at a time as ``_TOGETHER`` allows."""
    parts = {
        name: _real_parts(jnp.moveaxis(array, _unit_axis(name), 0))
        for name, array in params.items()
    }
    leaves = jax.tree.leaves(parts)
    units = len(leaves[0])
    outputs = jax.eval_shape(partial(layer._response, seq_len=seq_len), params)
    entries = seq_len * max(layer.width // units, outputs.size // seq_len)
    most = _TOGETHER * units // (entries * sum(leaf.size for leaf in leaves))
    together = min(units, max(1, most))
    blocks, left = divmod(units, together)

    def with_block(gram: Float[Array, "R R"], start: Array) -> tuple[Float[Array, "R R"], None]:
        some = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, start, together), parts)
        return gram + _gram_of_units(layer, some, seq_len), None

    gram = jnp.zeros((outputs.size, outputs.size), outputs.dtype)
    gram, _ = lax.scan(with_block, gram, together * jnp.arange(blocks))
    if left:
        last = jax.tree.map(lambda leaf: leaf[units - left :], parts)
        gram = gram + _gram_of_units(layer, last, seq_len)
    return gram.reshape(outputs.shape + outputs.shape)


def _gram_of_units(layer: DiagonalLayer, parts: Any, seq_len: int) -> Float[Array, "R R"]:
    def response(parts: Any) -> Float[Array, "T n_y n_x"]:
        """What one unit contributes."""
        params = {
            name: jnp.expand_dims(
                lax.complex(*each) if len(each) == 2 else each[0], _unit_axis(name)
            )
            for name, each in parts.items()
        }
        return layer._response(params, seq_len)

    def rows(parts: Any) -> Float[Array, "R m"]:
        leaves = jax.tree.leaves(jax.jacfwd(response)(parts))
        size = np.prod(jax.eval_shape(response, parts).shape, dtype=int)
        return jnp.concatenate([leaf.reshape(size, -1) for leaf in leaves], axis=1)

    jacobian = jax.vmap(rows)(parts)
    return jnp.einsum("brm,bsm->rs", jacobian, jacobian, precision="highest")
