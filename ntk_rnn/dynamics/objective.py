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
from ntk_rnn._types import AnyArray, ApplyFn
from ntk_rnn.compression import CompressedData
from ntk_rnn.dynamics.loss import Loss, loss_scale, squared_loss
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
    outputs = jax.eval_shape(apply_fn, params, model_inputs(data))
    shape = getattr(outputs, "shape", None)
    if shape is None:
        raise ValueError(
            f"apply_fn must return one array, got {jax.tree.map(jnp.shape, outputs)}; take what "
            "is to match the targets"
        )
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
        departure = float(_departure(apply_fn, params, data))
        if not departure <= _LINEAR_TO:
            raise ValueError(
                f"{name} may be compressed for causal linear models only, got an apply_fn that is "
                f"off by {departure:.2g} from the convolution with its impulse response; pass the "
                "sequences (x, y) themselves"
            )
    return data


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
    """The loss of a model with such outputs on :func:`model_inputs`."""
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


@partial(jax.jit, static_argnums=0)
def _departure(apply_fn: ApplyFn, params: Any, data: CompressedData) -> Float[Array, ""]:
    """How far outputs are from the convolution with the impulse response, relative."""
    impulses = model_inputs(data)
    x = jax.random.normal(jax.random.key(0), (2, *impulses.shape[1:]), impulses.dtype)
    outputs, response = apply_fn(params, x), apply_fn(params, impulses).transpose(1, 2, 0)
    gap = jnp.linalg.norm(outputs - causal_conv(response, x))
    size = jnp.linalg.norm(outputs)
    return jnp.where(gap > 0, gap / size, 0)
