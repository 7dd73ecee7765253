"""The neural tangent kernel of any network at finite width, by neural-tangents."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from ntk_rnn import _checks, _neural_tangents
from ntk_rnn._functions import as_apply_fn
from ntk_rnn._types import AnyArray, ApplyFn


def empirical_ntk(
    apply_fn: ApplyFn | nn.Module,
    params: Any,
    x1: Shaped[AnyArray, "N1 ..."],
    x2: Shaped[AnyArray, "N2 ..."] | None = None,
    *,
    trace_axes: int | Iterable[int] = (-1,),
    implementation: str | int = "jacobian_contraction",
    batch_size: int | None = None,
) -> Shaped[Array, "N1 N2 ..."]:
    """NTK (eqs. 11 and 17) at finite width: ``Theta(x1, x2) = J(x1) J(x2)^T``, ``J = df/dparams``.

    Works for any network that treats the entries of a batch independently. What is compiled is
    kept for the last 32 networks: pass the same ``apply_fn`` again (a Flax module, equal to the
    last one, will do), not a new lambda.

    Args:
      apply_fn: ``apply_fn(params, x)``, outputs of shape ``(N, ...)``, e.g. ``(N, T, n_y)``, or a
        Flax module, whose ``apply`` is taken.
      params: its parameters, any pytree of floating arrays.
      x1: inputs, shape ``(N1, ...)``, e.g. ``(N1, T, n_x)``.
      x2: other inputs, shape ``(N2, ...)``; ``None`` means ``x1``.
      trace_axes: axes of the output over which the kernel is averaged (its trace there, divided
        by their size). The default averages over the outputs, which gives ``(N1, N2, T, T)``;
        ``()`` keeps everything, which gives ``(N1, N2, T, T, n_y, n_y)``.
      implementation: how neural-tangents computes it; the result is the same.
        ``"jacobian_contraction"`` works for everything; ``"ntk_vector_products"`` suits cheap
        forward passes and many outputs; ``"structured_derivatives"`` is the fastest for networks
        that use each parameter a few times, such as an RNN evaluated through its impulse
        response, slow for one that uses a parameter at every step, and not for complex values;
        ``"auto"`` takes the one of these with the fewest operations as counted by the compiler,
        which counts the body of a loop once.
      batch_size: computes the kernel in blocks of at most this many inputs a side, to bound the
        memory, through ``neural_tangents.batch``; ``None`` computes it in one go.

    Returns:
      Kernel, every axis of the output that is left twice in a row: ``(N1, N2, T, T)`` by default.

    Raises:
      ValueError: if an input is empty, an input or a parameter not finite, the inputs do not fit
        together, an axis is not one of the output, or the implementation is unknown or cannot do
        this network.
      ImportError: if neural-tangents cannot be loaded.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
      >>> model = nr.LinearRNN(width=50, out_dim=1)
      >>> params = model.init(jax.random.key(1), x)
      >>> K = nr.empirical_ntk(model, params, x)
      >>> K.shape
      (3, 3, 5, 5)
      >>> np.allclose(K, nr.finite_width_gram(params, 5).ntk(x), rtol=1e-4, atol=1e-4)
      True
    """
    first = _checks.batch("x1", x1)
    second = None if x2 is None else _checks.batch("x2", x2)
    if second is not None:
        _checks.same("x1", first.ndim, "x2", second.ndim, "number of axes")
        _checks.same("x1", first.shape[-1], "x2", second.shape[-1], "number of features")
    if batch_size is not None:
        batch_size = _checks.integer("batch_size", batch_size)
    _checks.finite_leaves("params", params)
    axes = _axes(trace_axes)
    member = _neural_tangents.implementation(implementation)
    kernel_fn = _kernel_fn(as_apply_fn(apply_fn), axes, member)
    with jax.default_matmul_precision("highest"):
        if batch_size is None:
            return kernel_fn(first, second, params)
        return _blockwise(kernel_fn, first, second, params, batch_size)


def _axes(trace_axes: int | Iterable[int]) -> tuple[int, ...]:
    each = (trace_axes,) if isinstance(trace_axes, int) else trace_axes
    try:
        return tuple(map(operator.index, each))
    except TypeError:
        raise ValueError(
            f"trace_axes must be a tuple of integers, got {trace_axes!r}; (-1,) averages over "
            "the outputs and () keeps them all"
        ) from None


@functools.lru_cache(maxsize=32)
def _kernel_fn(network: ApplyFn, trace_axes: tuple[int, ...], implementation: Any) -> Any:
    """``kernel_fn(x1, x2, params)``, compiled once for each shape of its arguments."""

    @jax.jit
    def kernel_fn(x1: Array, x2: Array | None, params: Any) -> Array:
        for x in (x1,) if x2 is None else (x1, x2):
            _check_output(jax.eval_shape(network, params, x), x, trace_axes)
        # neural-tangents relies on implicit promotion; the network keeps the user's settings.
        settings: Any = jax.config
        rank = settings.jax_numpy_rank_promotion
        dtype = settings.jax_numpy_dtype_promotion

        def as_set(*args: Any) -> Any:
            with jax.numpy_rank_promotion(rank), jax.numpy_dtype_promotion(dtype):
                return network(*args)

        ntk_fn = _neural_tangents.load().empirical_ntk_fn(
            as_set, trace_axes=trace_axes, vmap_axes=0, implementation=implementation
        )
        try:
            with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
                return ntk_fn(x1, x2, params)
        except Exception as error:
            name = implementation.name.lower()
            if name == "jacobian_contraction":  # nothing asks less of a network
                raise
            raise ValueError(
                f"implementation {name!r} cannot do this apply_fn ({type(error).__name__}: "
                f"{error}); use 'jacobian_contraction', which works for any"
            ) from error

    return kernel_fn


def _check_output(output: Any, x: Array, trace_axes: tuple[int, ...]) -> None:
    shape = getattr(output, "shape", None)
    if shape is None or shape[:1] != x.shape[:1]:
        raise ValueError(
            "apply_fn must return one array with the batch axis of its input first, got "
            f"{jax.tree.map(jnp.shape, output)} for inputs of shape {x.shape}"
        )
    ndim, axes = len(shape), np.array(trace_axes, int)
    allowed = (axes != 0) & (np.abs(axes) < ndim)
    if not np.all(allowed) or len(np.unique(axes % ndim)) < len(axes):
        raise ValueError(
            f"trace_axes must be different axes of the output, shape {shape}, other than the "
            f"first, the batch, got {trace_axes}; (-1,) averages over the outputs"
        )


def _blockwise(kernel_fn: Any, x1: Array, x2: Array | None, params: Any, batch_size: int) -> Array:
    """The kernel in square blocks: `neural_tangents.batch` takes no others.

    It would reduce the blocks to a common divisor of both numbers of inputs. Repeating the last
    input up to a multiple of the block size, and dropping what belongs to the repetitions, keeps
    the blocks as large as asked for.
    """
    sizes = len(x1), len(x1 if x2 is None else x2)
    size = min(batch_size, *sizes)
    if size == max(sizes):
        return kernel_fn(x1, x2, params)
    batched = _neural_tangents.load().batch(kernel_fn, batch_size=size, device_count=0)
    kernel = batched(_pad(x1, size), None if x2 is None else _pad(x2, size), params)
    return kernel[: sizes[0], : sizes[1]]


def _pad(x: Array, size: int) -> Array:
    missing = -len(x) % size
    return jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)]) if missing else x
