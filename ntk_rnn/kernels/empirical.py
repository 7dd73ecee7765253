"""The neural tangent kernel of any network at finite width, by neural-tangents."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from ntk_rnn import _checks, _neural_tangents
from ntk_rnn._networks import Network, separated
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
      apply_fn: ``apply_fn(params, x)``, real outputs of shape ``(N, ...)``, e.g. ``(N, T, n_y)``;
        or a Flax module, of Linen with what ``init`` returned as ``params``, of NNX with its state.
      params: its parameters, any pytree of arrays: floating ones, and complex ones by their real
        and imaginary parts. What else there is is held fixed: integers, booleans, random keys;
        collections of a Linen module other than ``"params"``; variables of an NNX module other than
        ``nnx.Param``.
      x1: inputs, shape ``(N1, ...)``, e.g. ``(N1, T, n_x)``.
      x2: other inputs, shape ``(N2, ...)``; ``None`` means ``x1``.
      trace_axes: axes of the output over which the kernel is averaged (its trace there, divided
        by their size). The default averages over the outputs, which gives ``(N1, N2, T, T)``;
        ``()`` keeps everything, which gives ``(N1, N2, T, T, n_y, n_y)``, and ``(N1, N2)`` for
        outputs of shape ``(N,)``.
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
      ValueError: if an input is empty or not finite, the inputs do not fit together, ``params``
        hold nothing to be trained or something that is not finite, outputs are not real, an axis is
        not one of the output, or the implementation is unknown or cannot do this network.
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
    _checks.same_devices(params=params, x1=first, x2=second)
    if batch_size is not None:
        batch_size = _checks.integer("batch_size", batch_size)
    axes = _axes(trace_axes)
    member = _neural_tangents.implementation(implementation)
    network, params = separated(apply_fn, params)
    kernel_fn = _kernel_fn(jax.tree.structure(network), axes, member)
    variables = network, params
    with jax.default_matmul_precision("highest"):
        if batch_size is None:
            return kernel_fn(first, second, variables)
        return _blockwise(kernel_fn, first, second, variables, batch_size)


def _axes(trace_axes: int | Iterable[int]) -> tuple[int, ...]:
    each = (trace_axes,) if isinstance(trace_axes, int) else trace_axes
    try:
        if isinstance(trace_axes, bool):
            raise TypeError
        return tuple(map(operator.index, each))
    except TypeError:
        raise ValueError(
            f"trace_axes must be a tuple of integers, got {_checks.shown(trace_axes)}; (-1,) "
            "averages over the outputs and () keeps them all"
        ) from None


@functools.lru_cache(maxsize=32)
def _kernel_fn(_: Any, trace_axes: tuple[int, ...], implementation: Any) -> Any:
    """``kernel_fn(x1, x2, (network, params))``, compiled once for each shape of its arguments.

    There is one for each structure of a network, its function with it, so that what is compiled for
    a network is dropped when others have taken its place.
    """

    @jax.jit
    def kernel_fn(x1: Array, x2: Array | None, variables: tuple[Network, Any]) -> Array:
        network, params = variables
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
            if name == "jacobian_contraction":  # no other asks less of a network
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
    ndim = len(shape)
    if ndim == 1 and trace_axes:
        raise ValueError(
            f"trace_axes must be () where apply_fn returns one number a sequence, shape {shape}, "
            f"got {trace_axes}; pass trace_axes=(), or return shape (N, 1)"
        )
    allowed = all(axis != 0 and abs(axis) < ndim for axis in trace_axes)
    if not allowed or len({axis % ndim for axis in trace_axes}) < len(trace_axes):
        raise ValueError(
            f"trace_axes must be different axes of the output, shape {shape}, other than the "
            f"first, the batch, got {trace_axes}; (-1,) averages over the outputs"
        )


def _blockwise(
    kernel_fn: Any, x1: Array, x2: Array | None, variables: Any, batch_size: int
) -> Array:
    """The kernel in square blocks: `neural_tangents.batch` takes no others.

    It would reduce the blocks to a common divisor of both numbers of inputs. Repeating the last
    input up to a multiple of the block size, and dropping what belongs to the repetitions, keeps
    the blocks as large as asked for.
    """
    sizes = len(x1), len(x1 if x2 is None else x2)
    size = min(batch_size, *sizes)
    if size == max(sizes):
        return kernel_fn(x1, x2, variables)
    batched = _neural_tangents.load().batch(kernel_fn, batch_size=size, device_count=0)
    kernel = batched(_pad(x1, size), None if x2 is None else _pad(x2, size), variables)
    return kernel[: sizes[0], : sizes[1]]


def _pad(x: Array, size: int) -> Array:
    missing = -len(x) % size
    return jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)]) if missing else x
