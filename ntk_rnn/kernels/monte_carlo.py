"""The neural tangent kernel of any network by sampling, with its standard error."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from ntk_rnn import _checks
from ntk_rnn._networks import Network, separated
from ntk_rnn._types import AnyArray, ApplyFn


class MonteCarloNTK(NamedTuple):
    """Estimate of a neural tangent kernel (from ``monte_carlo_ntk``).

    Attributes:
      kernel: mean over the samples, shape ``(N1, N2, T, T)``, or ``(N1, N2, T, T, n_y, n_y)``.
      standard_error: standard error of every entry of ``kernel``, of the same shape.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
      >>> model = nr.LinearRNN(width=50, out_dim=1)
      >>> params = model.init(jax.random.key(1), x)
      >>> estimate = nr.monte_carlo_ntk(model, params, x, None, jax.random.key(2), 1000)
      >>> estimate.kernel.shape, estimate.standard_error.shape
      ((3, 3, 5, 5), (3, 3, 5, 5))
    """

    kernel: Float[Array, "N1 N2 ..."]
    standard_error: Float[Array, "N1 N2 ..."]


def monte_carlo_ntk(
    apply_fn: ApplyFn | nn.Module,
    params: Any,
    x1: Shaped[AnyArray, "N1 ..."],
    x2: Shaped[AnyArray, "N2 ..."] | None,
    key: Array,
    num_samples: int,
    *,
    full: bool = False,
    batch_size: int = 1,
) -> MonteCarloNTK:
    """NTK by sampling (Lemma B.1): ``K(x, x') = E_v[(J(x) v) (J(x') v)^T]``, ``v ~ N(0, I)``.

    Here ``J = df/dparams``, and ``v`` is a random change of all parameters. The estimate is
    unbiased for any network that treats the entries of a batch independently, linear or not.
    ``J v`` is one derivative in forward mode: no Jacobian is formed, and memory does not depend on
    the number of samples. The standard error falls as ``1 / sqrt(num_samples)``; for an entry of
    the full kernel it is ``sqrt((K(x, x) K(x', x') + K(x, x')^2) / num_samples)``, up to its own
    noise.

    Args:
      apply_fn: ``apply_fn(params, x)``, real outputs of shape ``(N, ..., n_y)``, e.g.
        ``(N, T, n_y)``; or a Flax module, of Linen with what ``init`` returned as ``params``, of
        NNX with its state. Pass the same one again, not a new lambda, to use again what was
        compiled for it.
      params: its parameters, any pytree of arrays: floating ones, and complex ones by their real
        and imaginary parts. What else there is is held fixed: integers, booleans, random keys;
        collections of a Linen module other than ``"params"``; variables of an NNX module other than
        ``nnx.Param``.
      x1: inputs, shape ``(N1, ...)``, e.g. ``(N1, T, n_x)``.
      x2: other inputs, shape ``(N2, ...)``, alike but for their number; ``None`` means ``x1``.
      key: random key of the samples.
      num_samples: number of samples of ``v``, at least 2.
      full: whether to keep all pairs of outputs, rather than their trace divided by ``n_y``.
      batch_size: samples taken at once: more of them make better use of an accelerator, and take
        the memory of as many copies of the parameters and of the kernel. The samples are the same.

    Returns:
      The kernel and its standard error, every axis of the output that is left twice in a row:
      ``(N1, N2, T, T)``, or ``(N1, N2, T, T, n_y, n_y)`` if ``full``.

    Raises:
      ValueError: if ``num_samples`` is less than 2, shapes do not fit, an entry is not finite,
        ``params`` hold nothing to be trained, or ``key`` is no random key.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
      >>> model = nr.LinearRNN(width=50, out_dim=1)
      >>> params = model.init(jax.random.key(1), x)
      >>> K, error = nr.monte_carlo_ntk(model, params, x, None, jax.random.key(2), 1000)
      >>> exact = nr.finite_width_gram(params, 5).ntk(x)
      >>> bool(np.all(np.abs(K - exact) < 6 * error))
      True
    """
    network, params = separated(apply_fn, params)
    num_samples = _checks.integer("num_samples", num_samples)
    if num_samples < 2:
        raise ValueError(
            f"num_samples must be at least 2, for a standard error, got {num_samples}; it falls "
            "as 1 / sqrt(num_samples)"
        )
    batch_size = min(_checks.integer("batch_size", batch_size), num_samples)
    key, full = _checks.random_key("key", key), _checks.flag("full", full)
    x = first = _checks.batch("x1", x1)
    if x2 is not None:
        second = _checks.batch("x2", x2)
        _checks.same("x1.shape[1:]", first.shape[1:], "x2.shape[1:]", second.shape[1:], "shape")
        _checks.same_devices(x1=first, x2=second)
        x = jnp.concatenate(_checks.common_type(first, second))
    _checks.same_devices(params=params, x1=x, key=key)
    num1 = None if x2 is None else len(first)
    with jax.default_matmul_precision("highest"):
        return _estimate(num_samples, batch_size, num1, full, network, params, x, key)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _estimate(
    num_samples: int,
    batch_size: int,
    num1: int | None,
    full: bool,
    network: Network,
    params: Any,
    x: Array,
    key: Array,
) -> MonteCarloNTK:
    output, derivative = jax.linearize(lambda params: network(params, x), params)
    shape = getattr(output, "shape", ())
    if len(shape) < 2 or shape[0] != len(x):
        raise ValueError(
            "apply_fn must return one array of shape (N, ..., n_y), the batch axis of its input "
            f"first, got {jax.tree.map(jnp.shape, output)} for inputs of shape {x.shape}"
        )
    dtype = output.dtype if output.dtype.itemsize >= 4 else jnp.float32
    terms = "iap,kbq->ikabpq" if full else "iap,kbp->ikab"

    def sample(index: Array) -> Array:
        change = derivative(_normal(jax.random.fold_in(key, index), params))
        change = change.reshape(shape[0], -1, shape[-1]).astype(dtype)
        pair = (change, change) if num1 is None else (change[:num1], change[num1:])
        product = jnp.einsum(terms, *pair, precision="highest")  # (Lemma B.1)
        return product if full else product / shape[-1]

    def add(state: tuple[Array, Array, Array], num: int) -> tuple[Array, Array, Array]:
        """Mean and sum of squared deviations with ``num`` more samples, without cancellation."""
        count, mean, squares = state
        values = jax.vmap(sample)(count + jnp.arange(num, dtype=count.dtype))
        mean_of_new = jnp.mean(values, axis=0)
        change = mean_of_new - mean
        weight = num / (count + num).astype(dtype)
        squares += jnp.sum((values - mean_of_new[None]) ** 2, axis=0)
        squares += change**2 * (count.astype(dtype) * weight)
        return count + num, mean + change * weight, squares

    zero = jnp.zeros_like(jax.eval_shape(sample, jnp.int32(0)))
    state = jnp.int32(0), zero, zero
    blocks, left = divmod(num_samples, batch_size)
    state, _ = lax.scan(lambda state, _: (add(state, batch_size), None), state, length=blocks)
    _, mean, squares = add(state, left) if left else state
    error = jnp.sqrt(squares / (num_samples - 1) / num_samples)
    return MonteCarloNTK(_paired(mean, shape, full), _paired(error, shape, full))


def _paired(kernel: Array, output_shape: tuple[int, ...], full: bool) -> Array:
    """``(N1, N2, a, b, ...)`` with the flat axes ``a``, ``b`` as the output's, in pairs."""
    middle = output_shape[1:-1]
    kernel = kernel.reshape(*kernel.shape[:2], *middle, *middle, *kernel.shape[4:])
    num = len(middle)
    pairs = [axis for m in range(num) for axis in (2 + m, 2 + num + m)]
    return kernel.transpose(0, 1, *pairs, *((2 + 2 * num, 3 + 2 * num) if full else ()))


def _normal(key: Array, params: Any) -> Any:
    """Independent ``N(0, 1)`` entries in the shapes and types of the parameters."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    draws = [jax.random.normal(k, p.shape, p.dtype) for k, p in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, draws)
