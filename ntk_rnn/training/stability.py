"""The largest learning rate at which gradient descent of a model is stable."""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._networks import separated
from ntk_rnn._types import AnyArray, ApplyFn
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.loss import Loss, check_loss
from ntk_rnn.objective import Data, DataSet, Sequences, matching_data, output_of
from ntk_rnn.training.method import Method, Problem

# The largest numbers of power iterations, for the eigenvalue and for a trial.
_MOST, _TRIAL = 10_000, 20


def max_learning_rate(
    apply_fn: ApplyFn | nn.Module,
    params: Any,
    data: Float[AnyArray, "N T n_x"] | Data,
    *,
    loss: Loss = "sum",
    key: Array | None = None,
) -> Float[Array, ""]:
    """Largest stable learning rate: ``2 / lambda_max(J J^T)``.

    It is that of the model linearized at ``params`` (Proposition 3.1), of which ``J J^T`` is the
    neural tangent kernel on ``x``. The eigenvalue is found by power iteration with Jacobian-vector
    products, to a relative change of 1e-5 a step, so no kernel is formed. It is approached from
    below: the learning rate is an upper estimate, as a rule by less than 1e-3. The wider the model,
    the better the linearization holds while it trains.

    Args:
      apply_fn: ``apply_fn(params, x) -> y``; or a Flax module, of Linen with what ``init`` returned
        as ``params``, of NNX with its state.
      params: parameters, any pytree of arrays: floating ones, and complex ones by their real and
        imaginary parts. What else there is is held fixed: integers, booleans, random keys;
        collections of a Linen module other than ``"params"``; variables of an NNX module other than
        ``nnx.Param``.
      data: inputs, shape ``(N, T, n_x)``; or a data set, whose targets do not matter; or
        compressed data, for a causal linear model.
      loss: the loss that is descended, ``"sum"`` or ``"mean"``.
      key: random key of the iteration's start; fixed if ``None``.

    Returns:
      The learning rate, shape ``()``. It is differentiable, and infinite where no rate is unstable.

    Raises:
      ValueError: if ``data`` are empty or not finite, ``params`` hold nothing to be trained,
        ``loss`` is unknown or ``key`` is no random key.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> model = nr.LinearRNN(width=50, out_dim=1)
      >>> params = model.init(jax.random.key(1), x)
      >>> bool(1e-3 < nr.max_learning_rate(model, params, (x, y)) < 1e-1)
      True
    """
    network, params = separated(apply_fn, params)
    if not isinstance(data, tuple | list | CompressedData):  # inputs alone
        x = _checks.sequences("data", data)
        outputs = output_of(network, params, x)
        data = x, jnp.zeros(outputs.shape, outputs.dtype)
    checked = matching_data("data", network, params, data)
    method = Method(network, None, check_loss(loss), None)
    key = jax.random.key(0) if key is None else _checks.random_key("key", key)
    with jax.default_matmul_precision("highest"):
        return _stable_rate(_largest_singular_value(method, params, checked, key, _MOST))


def refuse_unstable(method: Method, params: Any, data: DataSet, learning_rate: Any) -> None:
    """Raises ``ValueError`` if a learning rate is past the largest stable one, as far as seen.

    Power iteration finds an eigenvalue that is not above the largest, so what is refused is
    unstable for certain; a few iterations, the cost of a few steps each, come near enough.
    """
    if _checks.is_traced((method, params, data, learning_rate)):
        return
    with jax.default_matmul_precision("highest"):
        value = _largest_singular_value(method, params, data, jax.random.key(0), _TRIAL)
    if _checks.is_traced(value):  # by what apply_fn closes over
        return
    refuse_past(value, learning_rate)


def refuse_past(value: Array, learning_rate: Any, momentum: float = 0.0) -> None:
    """Raises ``ValueError`` if a learning rate is past the largest stable one.

    Args:
      value: the largest singular value of the derivative of the errors by the parameters.
      learning_rate: ``eta``.
      momentum: ``mu`` of ``v <- mu v + grad``, with which rates are stable up to ``1 + mu`` times
        that of plain gradient descent.
    """
    # Where nothing has a gradient, as at zero parameters, no rate is too large.
    largest = float((1 + momentum) * _stable_rate(value)) if value > 0 else math.inf
    if learning_rate > largest:
        raise ValueError(
            f"learning_rate must be at most {largest:.4g}, past which gradient descent is unstable "
            f"where it starts, got {learning_rate:g}; take a smaller one, or pass "
            "allow_unstable=True to insist"
        )


def infinite_start() -> ValueError:
    """The error of a run whose training loss is not finite to begin with."""
    return ValueError(
        "params must give a finite training loss to start from, got one that is not; "
        "rescale the data or the parameters"
    )


def divergence_warning(method: Method, problem: Problem, params: Any, step: int) -> str:
    """The warning about a training loss that turned non-finite at a step."""
    data, what = problem.data, "all data"
    if method.batch_size is not None and isinstance(data, Sequences):
        data, what = data.batch(slice(method.batch_size)), "a batch"
    value = _largest_singular_value(method, params, data, jax.random.key(0), _MOST)
    return (
        f"training loss turned non-finite at step {step}; the path ends at step {step - 1}. The "
        f"largest stable learning rate of plain gradient descent on {what} is "
        f"{float(_stable_rate(value)):.4g} at the start"
        + (f", got {problem.rate:g}" if problem.rate else "")
    )


def _stable_rate(value: Array) -> Array:
    """``2 / lambda_max``, whose square root may be a number where ``lambda_max`` is none."""
    return 2 / value / value


@jax.jit
def _largest_singular_value(
    method: Method, params: Any, data: DataSet, key: Array, most: int | Array
) -> Array:
    """The root of the largest eigenvalue of ``J J^T``, which has half as many digits before it."""

    def outputs_minus_targets(params: Any) -> Array:
        return data.errors(method.apply_fn(params, data.inputs), method.loss)

    errors, push = jax.linearize(outputs_minus_targets, params)
    pull = jax.linear_transpose(push, params)

    def size(vector: Array) -> tuple[Array, Any]:
        """``|J^T v|``, from below the singular value for any ``v`` of norm 1, and ``J^T v``."""
        (change,) = pull(vector)
        return _norm(jax.tree.leaves(change), errors.dtype), change

    def improve(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        vector, value, _, count = state
        found, change = size(vector)
        product = push(jax.tree.map(lambda leaf: _divided(leaf, found), change))
        return _divided(product, _norm([product], errors.dtype)), found, value, count + 1

    def changing(state: tuple[Array, Array, Array, Array]) -> Array:
        _, value, before, count = state
        return (jnp.abs(value - before) > 5e-6 * value) & (count < most)

    start = jax.random.normal(key, errors.shape, errors.dtype)
    infinity = jnp.asarray(jnp.inf, errors.dtype)
    first = improve((start / jnp.linalg.norm(start), infinity, infinity, jnp.asarray(0)))
    vector, *_ = lax.while_loop(changing, improve, improve(first))
    # The derivative of the largest singular value is that at a fixed vector.
    return size(lax.stop_gradient(vector))[0]


def _norm(arrays: list[Array], dtype: Any) -> Array:
    """The norm of all entries, whose squares may be too large or too small to be numbers."""
    parts = [array.astype(dtype) for array in arrays]
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(part), initial=0) for part in parts]))
    scale = lax.stop_gradient(jnp.where(largest > 0, largest, 1))
    squares = [jnp.sum((part / scale) ** 2) for part in parts]
    total = jnp.sum(jnp.stack(squares))
    return scale * jnp.sqrt(jnp.where(total > 0, total, 1)) * (total > 0).astype(dtype)


def _divided(array: Array, norm: Array) -> Array:
    return (array.astype(norm.dtype) / jnp.where(norm > 0, norm, 1)).astype(array.dtype)
