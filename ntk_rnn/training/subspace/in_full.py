"""Training by products with the whole of ``W``, where a subspace would save little."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Int

from ntk_rnn.models import LinearRNN
from ntk_rnn.products.small import Small
from ntk_rnn.training.full_batch import gradient_descent
from ntk_rnn.training.long_runs import train
from ntk_rnn.training.method import Problem
from ntk_rnn.training.subspace.loop import Setting
from ntk_rnn.training.subspace.path import Certificate, LowRankParams, SubspacePath


def path_in_full(
    params: Any,
    setting: Setting,
    problem: Problem,
    records: Int[np.ndarray, " R"],
    certified: Int[np.ndarray, " K"],
    momentum: float,
    kernel_drift: bool,
    allow_unstable: bool,
) -> SubspacePath:
    """The path of ``subspace_descent``, which nothing leaks from.

    Args:
      params: those of a ``LinearRNN``.
      setting: how it is trained.
      problem: what it is trained on.
      records: the steps at which to record, rising.
      certified: those of them at which the result is to be certified.
      momentum: of the steps.
      kernel_drift: whether to record how far the kernel has moved from its start.
      allow_unstable: whether to take a learning rate past the largest that is stable.
    """
    data, steps = problem.data, int(records[-1])
    width = len(params["params"]["F"])
    model = LinearRNN(width, data.shape[1])
    how: dict[str, Any] = {
        "steps": steps,
        "test": None if problem.test is None else problem.test.given,
        "loss": setting.loss,
        "record_at": records,
        "allow_unstable": allow_unstable,
    }
    how |= (
        {"optimizer": optax.sgd(problem.rate, momentum)}
        if setting.with_momentum
        else {"learning_rate": problem.rate}
    )
    if setting.batch_size is None:
        path = gradient_descent(model, params, data.given, kernel_drift=kernel_drift, **how)
    elif kernel_drift:
        raise ValueError(
            "kernel_drift must be left out with mini-batches where the subspace takes up more than "
            f"a quarter of the width {width}, got True; take a larger width, or a larger tolerance"
        )
    else:
        path = train(
            model, params, data.given, batch_size=setting.batch_size, key=problem.key, **how
        )
    dtype = path.train_loss.dtype
    nothing = Small(
        jnp.zeros((0, 0), dtype), jnp.zeros((0, data.shape[2]), dtype),
        jnp.zeros((data.shape[1], 0), dtype),
    )  # fmt: skip
    certified = np.unique(np.minimum(certified, path.step[-1]))
    exact = jnp.zeros(len(certified), dtype)
    return SubspacePath(
        **path._replace(
            params=LowRankParams(path.params, jnp.zeros((width, 0), dtype), nothing)
        )._asdict(),
        leak=jnp.zeros_like(path.train_loss),
        rank=width,
        certificate=Certificate(certified, exact, exact) if len(certified) else None,
    )
