"""Gradient descent of wide linear RNNs at a cost that does not depend on the width."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, ApplyFn, Params
from ntk_rnn.compression.triangle import compress
from ntk_rnn.impulse import rnn_matrices
from ntk_rnn.kernels.finite_width import FiniteWidthGram, gram_of
from ntk_rnn.loss import Loss, check_loss
from ntk_rnn.models import LinearRNN
from ntk_rnn.objective import Data, DataSet, Impulses, Sequences, as_data_set
from ntk_rnn.products.panels import Matrix, Panels, Source, no_products
from ntk_rnn.products.small import Small, chains_of, response_of
from ntk_rnn.products.wide import WideRNN
from ntk_rnn.sequences import convolved
from ntk_rnn.training.long_runs import check_batches, number_of_steps, train
from ntk_rnn.training.loop import epoch_order
from ntk_rnn.training.method import Method, Problem
from ntk_rnn.training.records import record_steps
from ntk_rnn.training.stability import divergence_warning, infinite_start, refuse_unstable
from ntk_rnn.training.subspace.basis import basis_of, grown, network_in, padded
from ntk_rnn.training.subspace.loop import (
    Bounds,
    Rows,
    Setting,
    State,
    advance,
    largest_leak,
    observe,
)
from ntk_rnn.training.subspace.path import LowRankParams, SubspacePath

# Past this part of the width, a step in the subspace saves too little over one with W.
_MOST_OF_THE_WIDTH = 4


def subspace_descent(
    params: Params | WideRNN,
    data: Data,
    *,
    learning_rate: float | Float[AnyArray, ""],
    steps: int | None = None,
    epochs: int | None = None,
    momentum: float = 0.0,
    batch_size: int | None = None,
    key: Shaped[Array, "*key"] | None = None,
    test: Data | None = None,
    loss: Loss = "sum",
    record_at: Sequence[int] | Int[np.ndarray, " R"] | None = None,
    kernel_drift: bool = False,
    tolerance: float = 1e-2,
    allow_unstable: bool = False,
) -> SubspacePath:
    """Gradient descent of a wide linear RNN, in the subspace that its gradients reach.

    Gradients of the loss with respect to ``W`` are sums of products ``A_a^T g B_b^T`` of vectors of
    both chains of the impulse response (eq. 9). So descent, with momentum and mini-batches too,
    changes ``W`` in the span ``P (n, r)`` of what the chains reach alone, whose dimension ``r``
    does not grow with the width. With ``W P`` and ``W^T P`` at hand a step costs ``O(T r^2)`` in
    place of ``2 T`` products with ``W``. A vector ``P b`` of a chain leaves the subspace by
    ``|(I - P P^T) W P b| / sqrt(n)``, which is known without ``W``: where it passes the
    tolerance, the subspace grows by the directions that it leaks into. What is missed of the
    impulse response is a product of a leak of either chain, so it falls as the square of the
    tolerance.

    Args:
      params: those of a ``LinearRNN``, as ``init`` returned them, or a ``wide_rnn``.
      data: training inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or both compressed.
      learning_rate: ``eta``, a number. Optimizers that are not linear in the gradients, such as
        Adam, leave the subspace at once: train with ``gradient_descent`` or ``train`` there.
      steps: number of steps; or give ``epochs``.
      epochs: number of passes over the data, of ``N // batch_size`` steps each.
      momentum: ``mu`` of ``v <- mu v + grad``, ``params <- params - eta v``.
      batch_size: sequences a step, in the order that ``train`` takes them; all if ``None``.
      key: random key of that order.
      test: test inputs and targets, or compressed ones.
      loss: ``"sum"`` for ``1/2 sum ||y_hat - y||^2`` (Appendix B.4), or ``"mean"`` for the mean
        squared error.
      record_at: the steps at which to record, shape ``(R,)``; every step if ``None``.
      kernel_drift: whether to record how far the kernel has moved from its start.
      tolerance: the largest part of a chain's vector that may leave the subspace, relative to the
        start of the chain.
      allow_unstable: whether to take a learning rate past the largest that is stable at the start.

    Returns:
      The path, with the leak at every record and the rank at the end.

    Raises:
      ValueError: if data are empty, not finite or do not match the parameters, which are not those
        of a linear RNN; if neither or both of ``steps`` and ``epochs`` are given; or a number is
        out of its range.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> wide = nr.wide_rnn(jax.random.key(1), width=100_000, in_dim=1, out_dim=1)
      >>> path = nr.subspace_descent(wide, (x, y), steps=100, learning_rate=1e-3)
      >>> path.impulse_response.shape, path.rank < 50
      ((101, 5, 1, 1), True)
    """
    network = _network(params)
    checked = _matching("data", data, network)
    checked_test = None if test is None else _matching("test", test, network)
    if isinstance(learning_rate, optax.GradientTransformation) or callable(learning_rate):
        raise ValueError(
            f"learning_rate must be a positive number, got {learning_rate!r}; with optimizers "
            "such as Adam, which are not linear in gradients, training leaves the subspace: use "
            "train or gradient_descent"
        )
    _checks.positive(learning_rate=learning_rate, tolerance=tolerance)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and below 1, got {momentum!r}")
    steps_an_epoch = 1 if batch_size is None else check_batches(batch_size, key, checked)
    steps = number_of_steps(steps, epochs, steps_an_epoch)
    records = record_steps(record_at, steps)
    setting = Setting(len(network.f), check_loss(loss), batch_size, momentum > 0)
    problem = Problem(
        checked if batch_size is not None else _compressed(checked),
        None if checked_test is None else _compressed(checked_test),
        float(learning_rate), key,
    )  # fmt: skip
    bounds = tolerance, momentum
    try:
        with jax.default_matmul_precision("highest"):
            descent = _Descent(network, setting, problem, *bounds)
            if kernel_drift:
                problem = problem._replace(initial_gram=descent.gram())
            method, start = Method(_model(len(network.f)), None, loss, batch_size), descent.small
            if batch_size is None and not allow_unstable:
                refuse_unstable(method, start, checked, learning_rate)
            rows, bad = descent.run(problem, records)
            if bad is not None:
                # Once more up to the last good step, which is sooner done than kept at every step.
                records = np.unique(np.minimum(records, bad - 1))
                descent = _Descent(network, setting, problem, *bounds)
                rows, _ = descent.run(problem, records)
                text = divergence_warning(method, problem, start, bad)
                warnings.warn(text, RuntimeWarning, stacklevel=2)
    except _RankTooLarge:
        width = len(network.f)
        warnings.warn(
            f"the subspace passes {width // _MOST_OF_THE_WIDTH} dimensions, a quarter of the width "
            f"{width}, where it saves little; training goes on with the whole of W",
            RuntimeWarning,
            stacklevel=2,
        )
        return _in_full(params, checked, checked_test, setting, problem, records, momentum)
    return SubspacePath(
        step=records, params=descent.params(params), diverged_at=bad, rank=descent.rank,
        **rows._asdict(),
    )  # fmt: skip


class _RankTooLarge(Exception):
    """The subspace would take up so much of the whole space that a step there saves little."""


class _Descent:
    """A descent that goes on in a larger subspace where a chain leaves the one that it is in."""

    def __init__(
        self, network: _Network, setting: Setting, problem: Problem, tolerance: float,
        momentum: float,
    ) -> None:  # fmt: skip
        source, f, c, known = network
        self._network, self._setting = network, setting
        self._seq_len, self._tolerance = problem.data.shape[0], tolerance
        self._momentum = momentum
        self._basis = basis_of(known, source, f, c)
        small = network_in(self._basis, f, c)
        order = None
        if setting.batch_size is not None:
            order = epoch_order(problem.key, 0, len(problem.data.inputs))
        self._state = State(
            small=small,
            velocity=jax.tree.map(jnp.zeros_like, small) if setting.with_momentum else None,
            step=jnp.zeros((), jnp.int32),
            order=order,
            loss=jnp.zeros((), f.dtype),
            leak=jnp.zeros((), f.dtype),
            record=jnp.zeros((), jnp.int32),
        )
        while largest_leak(setting.width, self._basis.leaks, small, self._seq_len) > tolerance:
            self._grow()
            small = self.small

    @property
    def small(self) -> Small:
        """The network in the subspace."""
        return self._state.small

    @property
    def rank(self) -> int:
        """Dimension of the subspace."""
        return int(self._basis.panels.rank)

    def gram(self) -> FiniteWidthGram:
        """The Gram matrix of the gradients of the impulse response."""
        width = self._setting.width
        return gram_of(chains_of(self.small, width, self._seq_len), width)

    def run(self, problem: Problem, records: Int[np.ndarray, " R"]) -> tuple[Rows, int | None]:
        """The records, and the first step with a loss that is not finite, or ``None``."""
        setting, tolerance = self._setting, self._tolerance

        def bounds() -> Bounds:
            return Bounds(self._basis.leaks, tolerance, self._momentum)

        rows = jax.tree.map(
            lambda a: jnp.zeros((len(records), *a.shape), a.dtype),
            jax.eval_shape(partial(observe, setting), bounds(), problem, self.small),
        )
        steps = jnp.asarray(records, jnp.int32)
        while int(self._state.record) < len(records):
            self._state, rows = advance(setting, bounds(), problem, self._state, rows, steps)
            if not np.isfinite(self._state.loss):
                if self._state.step == 0:
                    raise infinite_start()
                return rows, int(self._state.step)
            if self._state.leak > tolerance:
                self._grow()
        return rows, None

    def params(self, initial: Any) -> LowRankParams:
        """The parameters of the wide network."""
        before = network_in(self._basis, self._network.f, self._network.c)
        if isinstance(initial, WideRNN):
            initial = initial.replace(panels=self._basis.panels)
        change = Small(*(now - then for now, then in zip(self.small, before, strict=True)))
        return LowRankParams(initial, self._basis.panels.basis, change)

    def _grow(self) -> None:
        """Goes on in a larger subspace, with the same changes of the parameters."""
        source, width = self._network.source, self._setting.width
        if isinstance(source, Matrix) and _MOST_OF_THE_WIDTH * self.rank > width:
            raise _RankTooLarge
        small, before = self.small, self._basis.core
        self._basis = grown(self._basis, source, small, self._seq_len, self._tolerance)
        room = self._basis.panels.capacity
        changed = padded(small._replace(w=small.w - before), room)
        velocity = self._state.velocity
        self._state = self._state._replace(
            small=changed._replace(w=changed.w + self._basis.core),
            velocity=None if velocity is None else padded(velocity, room),
            leak=jnp.zeros_like(self._state.leak),
        )


class _Network(NamedTuple):
    """The network before training.

    Attributes:
      source: where products with ``W`` come from.
      f: ``F``, shape ``(n, n_x)``.
      c: ``C``, shape ``(n_y, n)``.
      known: the products with ``W`` that are known.
    """

    source: Source
    f: Float[Array, "n n_x"]
    c: Float[Array, "n_y n"]
    known: Panels


def _in_full(
    params: Params, data: DataSet, test: DataSet | None, setting: Setting, problem: Problem,
    records: Int[np.ndarray, " R"], momentum: float,
) -> SubspacePath:  # fmt: skip
    """The path by products with ``W``."""
    path = train(
        LinearRNN(setting.width, data.shape[1]), params, data.given, steps=int(records[-1]),
        batch_size=setting.batch_size, key=problem.key, optimizer=optax.sgd(problem.rate, momentum),
        test=None if test is None else test.given, loss=setting.loss, record_at=records,
    )  # fmt: skip
    basis = jnp.zeros((setting.width, 0), path.train_loss.dtype)
    nothing = Small(basis[:0], jnp.zeros((0, data.shape[2])), jnp.zeros((data.shape[1], 0)))
    return SubspacePath(
        **path._replace(params=LowRankParams(path.params, basis, nothing))._asdict(),
        leak=jnp.zeros_like(path.train_loss), rank=setting.width,
    )  # fmt: skip


def _network(params: Any) -> _Network:
    """The network of parameters; raises ``ValueError`` unless they are those of a linear RNN."""
    if isinstance(params, WideRNN):
        return _Network(params.source, params.f, params.c, params.panels)
    w, f, c = rnn_matrices(params)
    return _Network(Matrix(w), f, c, no_products(len(f), f.dtype))


def _matching(name: str, data: Any, network: _Network) -> DataSet:
    """Data that are checked, of as many inputs and outputs as the network has."""
    checked = as_data_set(name, data)
    _, out_dim, in_dim = checked.shape
    _checks.same(f"inputs of {name}", in_dim, "F.shape[1]", network.f.shape[1], "number")
    _checks.same(f"outputs of {name}", out_dim, "C.shape[0]", network.c.shape[0], "number")
    return checked


def _compressed(data: DataSet) -> DataSet:
    """The same loss by a triangle, so that a step costs the same for data of any size."""
    return Impulses(compress(*data)) if isinstance(data, Sequences) else data


@lru_cache(maxsize=16)
def _model(width: int) -> ApplyFn:
    """A network in a subspace as a model."""

    def apply_fn(small: Small, x: Array) -> Array:
        return convolved(response_of(small, chains_of(small, width, x.shape[1]), width), x)

    return apply_fn
