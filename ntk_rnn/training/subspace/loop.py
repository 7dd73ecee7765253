"""The compiled loop of training in a subspace, up to a step at which a chain would leave it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ntk_rnn._types import AnyArray
from ntk_rnn.kernels.finite_width import gram_of
from ntk_rnn.loss import Loss
from ntk_rnn.objective import DataSet
from ntk_rnn.products.small import (
    Chains,
    Leaks,
    Small,
    chains_of,
    gradient_of,
    response_of,
)
from ntk_rnn.training.loop import steps_up_to
from ntk_rnn.training.method import Problem

# Steps from one look at what leaks to the next, for a look takes half of the time of a step. In so
# few steps it hardly changes. Records have a look of their own.
_BETWEEN_LEAKS = 8


class Setting(NamedTuple):
    """How a network is trained in a subspace: what is compiled in.

    Attributes:
      loss: ``"sum"`` or ``"mean"``.
      batch_size: sequences a step, or ``None`` for all.
      with_momentum: whether steps have a momentum.
    """

    loss: Loss
    batch_size: int | None
    with_momentum: bool


class Conditions(NamedTuple):
    """What is not compiled in: how steps are taken, and where a chain leaves the subspace.

    Attributes:
      scale: ``1 / sqrt(n)`` of the wide network, shape ``()``.
      leaks: what ``W`` makes of the subspace outside of it.
      tolerance: what may leak of a chain, relative to its start.
      momentum: of the steps.
    """

    scale: Float[Array, ""]
    leaks: Leaks
    tolerance: Any
    momentum: Any


class State(NamedTuple):
    """All that the steps to come depend on.

    Attributes:
      small: the network in the subspace.
      velocity: the sum of gradients that momentum keeps, or ``None``.
      step: number of steps taken, shape ``()``.
      order: the order of the data in the epoch of ``step``, or ``None`` without mini-batches.
      loss: the last loss seen, shape ``()``; training stops where it is not finite.
      leak: the last leak seen, shape ``()``; training stops where it is not tolerated.
      record: the record to be made next, shape ``()``.
    """

    small: Small
    velocity: Small | None
    step: Int[Array, ""]
    order: Int[Array, " N"] | None
    loss: Float[Array, ""]
    leak: Float[Array, ""]
    record: Int[Array, ""]


class Rows(NamedTuple):
    """The records, in arrays with room for all of them.

    Attributes:
      train_loss: training loss, shape ``(R,)``.
      test_loss: test loss, shape ``(R,)``; ``None`` without a test set.
      impulse_response: ``L``, shape ``(R, T, n_y, n_x)``.
      kernel_drift: drift of the Gram matrix, shape ``(R,)``; ``None`` if not asked for.
      leak: the largest leak, shape ``(R,)``.
    """

    train_loss: Float[AnyArray, "*R"]
    test_loss: Float[AnyArray, "*R"] | None
    impulse_response: Float[Array, "*R T n_y n_x"]
    kernel_drift: Float[Array, "*R"] | None
    leak: Float[Array, "*R"]


@partial(jax.jit, static_argnums=0)
def advance(
    setting: Setting,
    conditions: Conditions,
    problem: Problem,
    state: State,
    rows: Rows,
    records: Int[Array, " R"],
    count: Int[Array, ""],
) -> tuple[State, Rows]:
    """Trains and records, up to a number of records, a leak or a loss that is not finite.

    Args:
      setting: what is compiled in.
      conditions: what is not.
      problem: what the network is trained on.
      state: where to go on.
      rows: the records so far.
      records: all steps at which to record.
      count: how many of them to come to.
    """
    step = partial(_step, setting, conditions, problem.rate)
    unfinished = partial(_unfinished, conditions.tolerance)

    def go_on(carry: tuple[State, Rows]) -> tuple[State, Rows]:
        state, rows = carry
        end = records[state.record]
        state = steps_up_to(end, state, problem, setting.batch_size, step, unfinished)
        row = observe(setting, conditions, problem, state.small)
        # With mini-batches the loss on all data may be the first one that is not finite.
        loss = jnp.where(jnp.isfinite(row.train_loss), state.loss, row.train_loss)
        due = (state.step == end) & jnp.isfinite(loss) & (row.leak <= conditions.tolerance)
        rows = jax.tree.map(
            lambda all_, new: all_.at[state.record].set(jnp.where(due, new, all_[state.record])),
            rows, row,
        )  # fmt: skip
        leak = jnp.maximum(state.leak, row.leak)
        return state._replace(
            loss=loss, leak=leak, record=state.record + due.astype(jnp.int32)
        ), rows

    def more(carry: tuple[State, Rows]) -> Bool[Array, ""]:
        state, _ = carry
        good = jnp.isfinite(state.loss) & (state.leak <= conditions.tolerance)
        return (state.record < count) & good

    return lax.while_loop(more, go_on, (state, rows))


@partial(jax.jit, static_argnums=0)
def observe(setting: Setting, conditions: Conditions, problem: Problem, small: Small) -> Rows:
    """A record of a network in the subspace."""
    data, test = problem.data, problem.test
    chains = chains_of(small, conditions.scale, data.shape[0])
    response = response_of(small, chains, conditions.scale)
    initial = problem.initial_gram
    drift = None if initial is None else gram_of(chains, conditions.scale).drift(initial)
    test_loss = None if test is None else test.loss_of_response(response, setting.loss)
    return Rows(
        data.loss_of_response(response, setting.loss), test_loss, response, drift,
        conditions.leaks.largest(chains),
    )  # fmt: skip


def _step(
    setting: Setting, conditions: Conditions, rate: Any, data: DataSet, state: State
) -> State:
    """The state after a step of gradient descent on some of the data, or all, if it stays."""
    chains, velocity = chains_of(state.small, conditions.scale, data.shape[0]), state.velocity
    loss, gradient = _loss_and_gradient(setting, conditions.scale, data, state.small, chains)
    if setting.with_momentum:
        velocity = jax.tree.map(lambda v, g: conditions.momentum * v + g, velocity, gradient)
    moved = jax.tree.map(
        lambda p, g: p - rate * g, state.small, velocity if setting.with_momentum else gradient
    )
    leak = lax.cond(
        state.step % _BETWEEN_LEAKS == 0,
        lambda: conditions.leaks.largest(chains),
        lambda: jnp.zeros_like(state.leak),
    )
    taken = jnp.isfinite(loss) & (leak <= conditions.tolerance)
    small, velocity = jax.tree.map(
        partial(jnp.where, taken), (moved, velocity), (state.small, state.velocity)
    )
    return state._replace(
        small=small,
        velocity=velocity,
        step=state.step + taken.astype(jnp.int32),
        loss=loss,
        leak=leak,
    )


def _loss_and_gradient(
    setting: Setting, scale: Float[Array, ""], data: DataSet, small: Small, chains: Chains
) -> tuple[Float[Array, ""], Small]:
    """The loss on some of the data, or all, and its gradient in the subspace."""
    loss, slope = jax.value_and_grad(partial(data.loss_of_response, loss=setting.loss))(
        response_of(small, chains, scale)
    )
    return loss, gradient_of(chains, slope, scale)


def _unfinished(tolerance: Any, end: Int[Array, ""], state: State) -> Bool[Array, ""]:
    return (state.step < end) & jnp.isfinite(state.loss) & (state.leak <= tolerance)


@partial(jax.jit, static_argnums=0)
def evaluated(
    setting: Setting, scale: Array, data: DataSet, small: Small
) -> tuple[Float[Array, "T n_y n_x"], Small]:
    """The impulse response of a network, and the gradient of its loss on all data."""
    chains = chains_of(small, scale, data.shape[0])
    _, gradient = _loss_and_gradient(setting, scale, data, small, chains)
    return response_of(small, chains, scale), gradient
