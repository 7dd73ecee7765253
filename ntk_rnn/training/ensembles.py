"""Many runs at once: seeds and hyper-parameters as one batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from ntk_rnn import _checks
from ntk_rnn._memory import free_bytes

# The part of free memory that a batch may take. It is not all, because the estimate is of one run
# alone.
_SHARE = 0.5


def ensemble(run: Callable[..., Any], members: PyTree, *, max_bytes: int | None = None) -> PyTree:
    """``[run(member) for member in members]``, stacked, with as many at once as memory holds.

    ``run`` is compiled once and batched (``jax.vmap``), so it takes what may differ between
    members as arrays: random keys, ``nu_w``, learning rates.

    Args:
      run: a function of one member, that JAX can compile; what it returns is stacked.
      members: a pytree of arrays, one row a member, with the same number ``S`` of them.
      max_bytes: memory for a batch; half of what the device has free if ``None``. One run takes
        what its compiled program says it does, and at least one run is made at a time.

    Returns:
      What ``run`` returns, with a leading axis of ``S``.

    Raises:
      ValueError: if ``members`` have no arrays or different numbers of rows, or ``max_bytes`` is
        not positive.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> def run(member):
      ...     model = nr.LinearRNN(width=50, out_dim=1, nu_w=member["nu_w"])
      ...     params = model.init(member["key"], x)
      ...     path = nr.gradient_descent(
      ...         model, params, (x, y), steps=20, learning_rate=member["learning_rate"]
      ...     )
      ...     return path.train_loss
      >>> members = {
      ...     "key": jax.random.split(jax.random.key(1), 4),
      ...     "nu_w": jax.numpy.array([0.1, 0.2, 0.3, 0.4]),
      ...     "learning_rate": jax.numpy.full(4, 1e-3),
      ... }
      >>> nr.ensemble(run, members).shape
      (4, 21)
    """
    _checks.function("run", run, "of one member")
    members = jax.tree.map(_checked_member, members)
    rows = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(members)}
    if len(rows) != 1 or () in rows or (0,) in rows:
        raise ValueError(
            "members must be arrays with one row each for every member, got leading axes "
            f"{sorted(rows)}; repeat what is the same for all, or leave it to run"
        )
    ((count,),) = rows
    if max_bytes is None:
        max_bytes = int(_SHARE * free_bytes())
    max_bytes = _checks.integer("max_bytes", max_bytes, most=2**63 - 1)
    one = jax.tree.map(lambda leaf: jax.eval_shape(lambda a: a[0], leaf), members)
    batch = min(count, max(1, max_bytes // _bytes_of(run, one)))
    return _batched(run, members, batch)


def _checked_member(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):  # random keys, too
        return leaf
    return _checks.fitting("members", _checks.numbers("members", leaf, or_complex=True))


@partial(jax.jit, static_argnums=(0, 2))
def _batched(run: Callable[..., Any], members: PyTree, batch: int) -> PyTree:
    return jax.lax.map(run, members, batch_size=batch)


def _bytes_of(run: Callable[..., Any], member: PyTree) -> int:
    """What one run takes beside its argument."""
    analysis = jax.jit(run).lower(member).compile().memory_analysis()
    if analysis is None:  # a backend that does not tell
        return 1 << 62
    return max(1, analysis.temp_size_in_bytes + analysis.output_size_in_bytes)
