"""What training descends: the squared loss of a model, on sequences or on compressed data.

Both give sequences to evaluate the model on, and make a loss of its outputs: sequences and targets
as they are; compressed data by the response to unit impulses, which is all there is to know of a
causal linear model.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._functions import as_apply_fn
from ntk_rnn._types import AnyArray, ApplyFn
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.loss import Loss, loss_scale, squared_loss
from ntk_rnn.models import LinearRNN
from ntk_rnn.sequences import causal_conv, unit_impulses

#: Inputs ``(N, T, n_x)`` and targets ``(N, T, n_y)``, or both compressed. Sizes are not bound to
#: those of other arguments, for test data differ in them.
Data: TypeAlias = tuple[Float[AnyArray, "_ _ _"], Float[AnyArray, "_ _ _"]] | CompressedData
# A linear model is off by rounding from the convolution with its own impulse response.
_LINEAR_TO = 1e-3


def matching_data(name: str, apply_fn: ApplyFn, params: Any, data: Any) -> Data:
    """``data``, checked, with targets of the shape of the model's outputs.

    Raises:
      ValueError: if data are empty, not finite or do not match, or if they are compressed and the
        model is not a causal linear map of sequences.
    """
    if not isinstance(data, CompressedData):
        data = _checks.data_set(name, data)
    shape = output_of(apply_fn, params, model_inputs(data)).shape
    if not isinstance(data, CompressedData):
        _checks.same(
            f"{name}[1].shape", data[1].shape, f"apply_fn(params, {name}[0]).shape", shape, "shape"
        )
        return data
    seq_len, out_dim, in_dim = data.shape
    _checks.same(
        f"impulses of {name}", (in_dim, seq_len, out_dim), "apply_fn's response", shape, "shape"
    )
    if not any(map(_checks.is_traced, jax.tree.leaves((params, data)))):
        # At the start, where a small model may seem linear, and at parameters of order 1.
        departure = max(
            float(_departure(apply_fn, p, model_inputs(data))) for p in (params, _shaken(params))
        )
        if not departure <= _LINEAR_TO:
            raise ValueError(
                f"{name} may be compressed for causal linear models only, got an apply_fn that is "
                f"off by {departure:.2g} from the convolution with its impulse response; pass the "
                "sequences (x, y) themselves"
            )
    return data


def output_of(apply_fn: ApplyFn, params: Any, x: Float[AnyArray, "N T n_x"]) -> Any:
    """Shape and type of a model's outputs; raises ``ValueError`` unless they are one array."""
    outputs = jax.eval_shape(apply_fn, params, x)
    if not hasattr(outputs, "shape"):
        raise ValueError(
            f"apply_fn must return one array, got {jax.tree.map(jnp.shape, outputs)}; take what "
            "is to match the targets"
        )
    return outputs


def model_inputs(data: Data) -> Float[Array, "N T n_x"]:
    """The sequences on which the loss needs the model: the inputs, or unit impulses."""
    if isinstance(data, CompressedData):
        seq_len, _, in_dim = data.shape
        return unit_impulses(seq_len, in_dim, data.centre.dtype)
    return jnp.asarray(data[0])


def response_shape(data: Data) -> tuple[int, int, int]:
    """Shape ``(T, n_y, n_x)`` of the impulse responses that such data are about."""
    if isinstance(data, CompressedData):
        return data.shape
    x, y = data
    return x.shape[1], y.shape[2], x.shape[2]


def loss_of_outputs(outputs: Float[Array, "N T n_y"], data: Data, loss: Loss) -> Float[Array, ""]:
    """The loss of a model with such outputs on ``model_inputs``."""
    if isinstance(data, CompressedData):
        return data.loss(outputs.transpose(1, 2, 0), loss)
    return squared_loss(outputs, data[1], loss)


def training_loss(apply_fn: ApplyFn, params: Any, data: Data, loss: Loss) -> Float[Array, ""]:
    """The loss of a model at ``params``."""
    return loss_of_outputs(apply_fn(params, model_inputs(data)), data, loss)


def scaled_errors(apply_fn: ApplyFn, params: Any, data: Data, loss: Loss) -> Float[Array, ...]:
    """Outputs minus targets, half of whose squared norm is the loss, but for a constant."""
    outputs = apply_fn(params, model_inputs(data))
    if isinstance(data, CompressedData):
        return jnp.sqrt(data.scale(loss)) * data.errors(outputs.transpose(1, 2, 0))
    return loss_scale(loss, data[1].size) ** 0.5 * (outputs - data[1])


def check_linear_rnn(apply_fn: ApplyFn, params: Any, data: Data) -> None:
    """Raises ``ValueError`` unless a model is the linear RNN that its parameters are those of."""
    if any(map(_checks.is_traced, jax.tree.leaves((params, data)))):
        return
    seq_len, out_dim, in_dim = response_shape(data)
    impulses = unit_impulses(seq_len, in_dim, model_inputs(data).dtype)
    own = as_apply_fn(LinearRNN(len(params["params"]["W"]), out_dim))
    departure = float(_departure(apply_fn, params, impulses, own))
    if not departure <= _LINEAR_TO:
        raise ValueError(
            "kernel_drift is of a LinearRNN, got an apply_fn that is off by "
            f"{departure:.2g} from the LinearRNN of its parameters; leave kernel_drift out"
        )


@partial(jax.jit, static_argnums=(0, 3))
def _departure(
    apply_fn: ApplyFn,
    params: Any,
    impulses: Float[Array, "n_x T n_x"],
    reference: ApplyFn | None = None,
) -> Float[Array, ""]:
    """How far outputs are from the convolution with the impulse response, relative.

    For inputs of order 1, and for those that give outputs of order 10, where no saturation can
    hide. The impulse response is that of ``reference``, or the model's own.
    """
    key = jax.random.key(0)
    x = jax.random.normal(key, (2, *impulses.shape[1:]), impulses.dtype)
    small = apply_fn(params, x)
    size = jnp.sqrt(jnp.mean(small**2))
    factor = jnp.where(size > 0, 10 / size, 1).astype(x.dtype)
    large = apply_fn(params, factor * x)
    response = (reference or apply_fn)(params, impulses).transpose(1, 2, 0)
    expected = causal_conv(response, x)
    gaps = jnp.stack(
        [jnp.linalg.norm(small - expected), jnp.linalg.norm(large / factor - expected)]
    )
    return jnp.max(jnp.where(gaps > 0, gaps / jnp.linalg.norm(small), 0))


@jax.jit
def _shaken(params: Any) -> Any:
    """Parameters moved at random, by numbers of order 1."""

    def move(index: int, leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        key = jax.random.fold_in(jax.random.key(1), index)
        return leaf + jax.random.normal(key, leaf.shape, leaf.dtype)

    leaves, structure = jax.tree.flatten(params)
    return jax.tree.unflatten(structure, [move(*item) for item in enumerate(leaves)])
