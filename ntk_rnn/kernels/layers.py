"""The kernel of any causal linear layer: the Gram matrix of the gradients of its impulse response.

Such a layer is the convolution with its impulse response ``L``, so its neural tangent kernel
between any sequences is ``X G X'^T`` with ``G[j,p,q; k,r,s] = <dL_j[p,q], dL_k[r,s]>`` and the
Toeplitz matrix ``X`` of the inputs. ``G`` is the kernel between unit impulses.
"""

from __future__ import annotations

import functools
import math
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._functions import module_of
from ntk_rnn._memory import free_bytes
from ntk_rnn._networks import Network, separated
from ntk_rnn._types import ApplyFn
from ntk_rnn.kernels.finite_width import finite_width_gram
from ntk_rnn.kernels.layout import refuse_too_large
from ntk_rnn.linearity import departure
from ntk_rnn.models import LinearRNN
from ntk_rnn.objective import output_of
from ntk_rnn.sequences import unit_impulses

# Of the free memory, what gradients that are held at once may take; and of that, what computing
# some of them may.
_SHARE = 4


def layer_gram(
    apply_fn: ApplyFn | nn.Module, params: Any, seq_len: int, in_dim: int
) -> Float[Array, "T n_y n_x T n_y n_x"]:
    """Gram matrix of the gradients of any causal linear layer's impulse response.

    ``G[j,p,q; k,r,s] = <dL_j[p,q], dL_k[r,s]>`` over the parameters, where the layer is
    ``y_t = sum_{j <= t} L_j x_{t-j}`` (eq. 5). It is the neural tangent kernel (eq. 11) between
    unit impulses, and so all there is to say of how gradient descent changes the layer near
    ``params``: ``kernel_regression(G, data)`` is the whole path of its training, and the diagonal
    has its lag weights. This generality is not in the paper, whose linear RNN has the limit
    ``diag(rho)`` (eq. 21).

    A ``LinearRNN`` takes the way of ``finite_width_gram``, and the diagonal layers of this library
    add up what each of their states contributes. Of others the gradient of each entry of
    ``L`` is computed in reverse mode, in blocks if all do not fit into the memory, which takes
    about as long as ``T n_y n_x`` steps of training on one sequence.

    Args:
      apply_fn: ``apply_fn(params, x)``, from ``(N, T, n_x)`` to real ``(N, T, n_y)``; or a Flax
        module, of Linen with what ``init`` returned, of NNX with its state.
      params: its parameters, any pytree of arrays: floating ones, and complex ones by their real
        and imaginary parts. What ``empirical_ntk`` holds fixed is held fixed.
      seq_len: number ``T`` of lags.
      in_dim: number ``n_x`` of inputs.

    Returns:
      ``G``, shape ``(T, n_y, n_x, T, n_y, n_x)``.

    Raises:
      ValueError: if the layer is not linear, not causal or not the same at all times, or treats
        equal sequences differently, which is found by trying it, with the size relative to its
        outputs; if its outputs have another shape or are not finite, ``params`` hold nothing to be
        trained, or ``G`` does not fit into the memory.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> import ntk_rnn as nr
      >>> def leaky(params, x):  # h_t = a h_{t-1} + b x_t, one input and one output
      ...     powers = params["a"] ** jnp.arange(x.shape[1], dtype=x.dtype)
      ...     return nr.causal_conv(params["b"] * powers[:, None, None], x)
      >>> params = {"a": jnp.float32(0.5), "b": jnp.float32(2.0)}
      >>> print(nr.layer_gram(leaky, params, seq_len=3, in_dim=1)[:, 0, 0, :, 0, 0])
      [[1.     0.5    0.25  ]
       [0.5    4.25   4.125 ]
       [0.25   4.125  4.0625]]
    """
    seq_len, in_dim = _checks.integer("seq_len", seq_len), _checks.integer("in_dim", in_dim)
    network, trained = separated(apply_fn, params)
    dtype = functools.reduce(np.promote_types, [leaf.dtype for leaf in jax.tree.leaves(trained)])
    impulses = unit_impulses(seq_len, in_dim, dtype)
    outputs = output_of(network, trained, impulses)
    if outputs.ndim != 3 or outputs.shape[:2] != (in_dim, seq_len):
        raise ValueError(
            "apply_fn must return outputs of shape (N, T, n_y), the sequences and times of its "
            f"inputs, got {outputs.shape} for inputs of shape {impulses.shape}"
        )
    shape = seq_len, outputs.shape[2], in_dim
    remedy = "take fewer lags, or one output or input at a time"
    refuse_too_large(shape + shape, outputs.dtype, "seq_len", remedy)
    layer = _of_this_library(network.function)
    if isinstance(layer, LinearRNN):
        return finite_width_gram(params, seq_len).dense()
    if layer is not None and hasattr(layer, "layer_gram"):
        return cast(Any, layer).layer_gram(network.joined(trained), seq_len)
    wrong = departure(network, trained, (seq_len, in_dim), dtype)
    if wrong:
        raise ValueError(
            "apply_fn must be a causal linear layer, the same at all times, got one that "
            f"{wrong}; empirical_ntk takes any network"
        )
    with jax.default_matmul_precision("highest"):
        gram = _in_blocks(network, trained, impulses, shape)
    _checks.finite("apply_fn's gradients at params", gram, "take parameters at which they are")
    return gram.reshape(shape + shape)


def _of_this_library(function: ApplyFn) -> nn.Module | None:
    """The layer that a function is ``apply`` of, unless someone else has changed its class."""
    layer = module_of(function)
    method = getattr(function, "function", getattr(function, "__func__", None))
    ours = type(layer).__module__.partition(".")[0] == __name__.partition(".")[0]
    return layer if ours and method is nn.Module.apply else None


def _in_blocks(
    network: Network, params: Any, impulses: Array, shape: tuple[int, int, int]
) -> Float[Array, "R R"]:
    """The Gram matrix of as many rows of the Jacobian at a time as memory holds."""
    residuals = jax.eval_shape(lambda p: jax.vjp(lambda p: network(p, impulses), p)[1], params)
    itemsize = impulses.dtype.itemsize
    row = itemsize * sum(leaf.size for leaf in jax.tree.leaves(params))
    work = row + sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))
    free, count = free_bytes() // _SHARE, math.prod(shape)
    block = max(1, min(count, free // (2 * row)))
    at_once = max(1, min(block, free // work))
    starts = range(0, count, block)

    def rows(start: int) -> Float[Array, "b P"]:
        index = np.arange(start, min(start + block, count))
        return _jacobian(network, params, impulses, np.unravel_index(index, shape), at_once)

    parts: list[list[Array]] = []
    for i, start in enumerate(starts):
        here = rows(start)
        parts.append([_product(here, rows(other)) for other in starts[:i]])
        parts[-1].append(_product(here, here))
    full = [
        [parts[i][k] if k <= i else parts[k][i].T for k in range(len(parts))]
        for i in range(len(parts))
    ]
    return jnp.block(full)


@functools.partial(jax.jit, static_argnames="at_once")
def _jacobian(
    network: Network, params: Any, impulses: Array, entries: Any, at_once: int
) -> Float[Array, "b P"]:
    """Gradients of entries ``L_j[p, q]``, the responses at time ``j`` to impulses in input q."""
    outputs, pull = jax.vjp(lambda p: network(p, impulses), params)

    def gradient(entry: tuple[Array, Array, Array]) -> Float[Array, " P"]:
        lag, out, into = entry
        (change,) = pull(jnp.zeros_like(outputs).at[into, lag, out].set(1))
        leaves = [leaf.ravel().astype(impulses.dtype) for leaf in jax.tree.leaves(change)]
        return jnp.concatenate(leaves)

    return lax.map(gradient, tuple(map(jnp.asarray, entries)), batch_size=at_once)


@jax.jit
def _product(rows: Float[Array, "b P"], others: Float[Array, "c P"]) -> Float[Array, "b c"]:
    return jnp.einsum("bP,cP->bc", rows, others, precision="highest")
