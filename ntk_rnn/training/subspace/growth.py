"""A descent that goes on in a larger subspace where a chain leaves the one that it is in."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntk_rnn.kernels.finite_width import FiniteWidthGram, gram_of
from ntk_rnn.products.panels import AT_ONCE
from ntk_rnn.products.small import Small, chains_of, scale_of
from ntk_rnn.products.wide import WideRNN
from ntk_rnn.training.loop import epoch_order
from ntk_rnn.training.method import Problem
from ntk_rnn.training.stability import infinite_start
from ntk_rnn.training.subspace.basis import (
    basis_of,
    grown,
    leaking,
    moved_to,
    network_in,
    padded,
)
from ntk_rnn.training.subspace.certificate import Distances, distances
from ntk_rnn.training.subspace.loop import (
    Conditions,
    Rows,
    Setting,
    State,
    advance,
    observe,
)
from ntk_rnn.training.subspace.memory import RankTooLarge, check_growth, refuse_too_wide
from ntk_rnn.training.subspace.network import Network
from ntk_rnn.training.subspace.path import LowRankParams

# The rank that a network of one input and output comes to at the usual tolerance, by half.
_USUAL_RANK = 16

# The rate at which a course is explored, in parts of the largest stable one: such steps still go
# about where small ones go.
_PART_OF_THE_STABLE = 0.5

# What may leak while a course is explored, in parts of what may leak in it.
_PART_OF_THE_TOLERANCE = 0.7


class Descent:
    """A network in training, in a subspace that grows.

    Attributes:
      scale: ``1 / sqrt(n)``, shape ``()``.
    """

    def __init__(
        self,
        network: Network,
        setting: Setting,
        problem: Problem,
        tolerance: float,
        momentum: float,
    ) -> None:
        self._network, self._setting, self._problem = network, setting, problem
        self._seq_len = problem.data.shape[0]
        self._tolerance, self._momentum = tolerance, momentum
        refuse_too_wide(network, _USUAL_RANK * (network.f.shape[1] + len(network.c)))
        self._basis = basis_of(network, self._seq_len, tolerance)
        self.scale = scale_of(network.width, network.f.dtype)
        self._state = self._start()
        while True:
            candidates, leak = self._leaking()
            if leak <= self._tolerance:
                break
            self._grow(candidates)

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
        return gram_of(chains_of(self.small, self.scale, self._seq_len), self.scale)

    def with_drift(self) -> None:
        """Has all records say how far the Gram matrix has moved from what it is now."""
        self._problem = self._problem._replace(initial_gram=self.gram())

    def explore(self, records: Int[np.ndarray, " R"], singular_value: float) -> None:
        """Grows the subspace in steps that are nearly as large as is stable, and so few.

        They come by about where the course to come will, and less may leak there, for a course
        in which the subspace has still to grow is one too many.

        Args:
          records: the steps at which the course to come is recorded.
          singular_value: the largest one of the derivative of the errors by the parameters.
        """
        given, rate = self._problem, self._problem.rate
        largest = _PART_OF_THE_STABLE * 2 / singular_value**2 if singular_value > 0 else rate
        # With momentum, steps add up to 1 / (1 - mu) times as much.
        stride = int((1 - self._momentum) * largest / rate)
        if stride < 2:
            return
        ends = np.unique(-(-records // stride))
        # As many as the course has, so that what is compiled serves for both.
        padded_ends = np.pad(ends, (0, len(records) - len(ends)), mode="edge")
        self._problem, self._state = given._replace(rate=stride * rate), self._start()
        self._tolerance *= _PART_OF_THE_TOLERANCE
        # The course may do with fewer directions; if not, it raises this itself.
        with contextlib.suppress(RankTooLarge):
            self._advanced(self._no_rows(len(records)), padded_ends, len(ends))
        self._tolerance /= _PART_OF_THE_TOLERANCE
        self._problem = given

    def run(
        self, records: Int[np.ndarray, " R"], certified: Int[np.ndarray, " K"]
    ) -> tuple[Rows, list[Distances], int | None]:
        """Trains, until a whole course stays in one subspace.

        A course in which the subspace has grown lacks what gradients had before in the directions
        that it grew by. That is of the size of the tolerance, and meets chains that have come to
        leak more there: its error would not fall as the square of the tolerance. So the network is
        trained once more from the start.

        Args:
          records: the steps at which to record.
          certified: those of them at which to evaluate the whole network, too.

        Returns:
          The records, the distances from the whole network, and the first step with a loss that is
          not finite, or ``None``.
        """
        while True:
            rank = self.rank
            rows, _, bad = self._course(records, certified[:0])
            if rank == self.rank or bad is not None:
                break
        if bad is not None or not len(certified):
            return rows, [], bad
        return self._course(records, certified)

    def params(self, initial: Any) -> LowRankParams:
        """The parameters of the wide network."""
        before = network_in(self._basis, self._network.f, self._network.c)
        if isinstance(initial, WideRNN):
            initial = WideRNN(initial.source, initial.f, initial.c, self._basis.panels)
        change = Small(*(now - then for now, then in zip(self.small, before, strict=True)))
        return LowRankParams(initial, self._basis.panels.basis, change)

    def _start(self) -> State:
        """The network before training."""
        small = network_in(self._basis, self._network.f, self._network.c)
        order, zero = None, jnp.zeros((), self._network.f.dtype)
        if self._setting.batch_size is not None:
            order = epoch_order(self._problem.key, 0, len(self._problem.data.inputs))
        return State(
            small=small,
            velocity=jax.tree.map(jnp.zeros_like, small) if self._setting.with_momentum else None,
            step=jnp.zeros((), jnp.int32),
            order=order,
            loss=zero,
            leak=zero,
            record=jnp.zeros((), jnp.int32),
        )

    def _course(
        self, records: Int[np.ndarray, " R"], certified: Int[np.ndarray, " K"]
    ) -> tuple[Rows, list[Distances], int | None]:
        """``run``, once from the start, in a subspace that grows where a chain leaves it."""
        self._state, found = self._start(), []
        rows = self._no_rows(len(records))
        ends = np.searchsorted(records, certified).tolist()
        for last in sorted({*ends, len(records) - 1}):
            rows = self._advanced(rows, records, last + 1)
            if not np.isfinite(self._state.loss):
                if self._state.step == 0:
                    raise infinite_start()
                return rows, found, int(self._state.step)
            if records[last] in certified:
                data = self._problem.data
                found.append(distances(self._setting, self._network, self._basis, data, self.small))
        return rows, found, None

    def _no_rows(self, count: int) -> Rows:
        """Room for so many records."""
        row = observe.eval_shape(self._setting, self._conditions(), self._problem, self.small)
        return jax.tree.map(lambda a: jnp.zeros((count, *a.shape), a.dtype), row)

    def _advanced(self, rows: Rows, records: Int[np.ndarray, " R"], count: int) -> Rows:
        """The records up to a number of them, at which the state then is."""
        steps = jnp.asarray(records, jnp.int32)
        until = jnp.asarray(count, jnp.int32)
        while int(self._state.record) < count:
            self._state, rows = advance(
                self._setting, self._conditions(), self._problem, self._state, rows, steps, until
            )
            if not np.isfinite(self._state.loss):
                break
            if self._state.leak > self._tolerance:
                self._grow(self._leaking()[0])
        return rows

    def _conditions(self) -> Conditions:
        return Conditions(self.scale, self._basis.leaks, self._tolerance, self._momentum)

    def _leaking(self) -> tuple[Float[Array, "n k"], Float[Array, ""]]:
        return leaking(self._basis, self.small, self._seq_len, self._tolerance)

    def _grow(self, candidates: Float[Array, "n k"]) -> None:
        """Goes on in a larger subspace, with the same changes of the parameters."""
        network, before = self._network, self._basis
        check_growth(network, before.panels, AT_ONCE)
        rank = self.rank
        self._basis = grown(before, network.source, candidates)
        if self.rank == rank:  # what is left is rounding
            self._tolerance = math.inf
        velocity = self._state.velocity
        self._state = self._state._replace(
            small=moved_to(self._basis.core, self.small, before.core),
            velocity=None if velocity is None else padded(velocity, self._basis.panels.capacity),
            leak=jnp.zeros_like(self._state.leak),
        )
