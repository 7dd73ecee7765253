"""The path of gradient descent on a kernel regression in closed form, at any step.

Under squared loss a kernel over the entries of the impulse response turns gradient descent into a
linear recursion, which one singular value decomposition solves for all steps at once.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Literal

import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Bool, Float

from ntk_rnn import _checks
from ntk_rnn._namespace import compiled, einsum, float64, namespace
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.loss import Loss
from ntk_rnn.objective import as_data_set, host_data_set
from ntk_rnn.regression.dense import Start
from ntk_rnn.regression.durations import Duration, duration, refuse_infinity
from ntk_rnn.regression.eigenmodes import (
    exceeds_rounding,
    gain,
    limiting_gain,
    loss_gain,
    remaining,
    remaining_and_gained,
)
from ntk_rnn.regression.symmetric import function_times, with_derivative_of
from ntk_rnn.sequences import outputs_of_each

#: How it was solved: by factorizations of the size of ``L``, of that of the data, or by products.
Method = Literal["primal", "dual", "matrix_free"]


@struct.dataclass
class KernelRegression:
    """The path of gradient descent on a kernel regression, from ``kernel_regression``.

    With the singular value decomposition ``A G^{1/2} = U S V^T`` and ``u = U^T (y - A L^0)``,
    ``L^l = L^0 + G^{1/2} V S^{-1} (1 - (1 - eta S^2)^l) u``; for gradient flow ``exp(-t S^2)``
    stands for the power, and with momentum a power of a 2 x 2 matrix.

    The methods take either ``step`` and ``learning_rate`` (gradient descent), with ``momentum``
    as in ``optax.sgd``, or ``time`` (gradient flow), for the loss that the regression was made
    with. Steps and times are numbers or arrays, whose shape leads that of the result; ``jnp.inf``
    gives the least-squares fit. Directions whose singular value is below rounding, relative to
    the largest, count as not reached by the data and stay where they are: in float32 with
    ``nu_w = 0.3`` those are lags beyond about 20, in float64 beyond about 55. There the fit at
    infinity is refused. With ``on_host=True`` and factorizations, only what the data do not
    determine stays, however small its lag weight.

    Paths have derivatives in the kernel and in the data, of any rank. Only the fit at infinity has
    none in changes of the data that raise their rank, for it jumps there; they count as 0.

    Attributes:
      initial: ``L^0``, shape ``(T, n_y, n_x)``.
      singular_values: ``S``, falling, shape ``(k,)``.
      directions: ``G^{1/2} V``, shape ``(T, a, n_x, k)``: ``a`` is 1 for lag weights, which treat
        all outputs alike, and ``n_y`` for a dense Gram matrix.
      targets: ``u``, what is to be learned along each direction, shape ``(k, n_y / a)``.
      irreducible: training loss outside the span of the directions, which no impulse response
        removes, shape ``()``. What lies along directions that the data do not reach is not in it.
      loss: ``"sum"`` or ``"mean"``.
      method: how it was solved: ``"primal"`` (of the size of ``L``), ``"dual"`` (of that of the
        data) or ``"matrix_free"``, whose directions are approximate.
      products: how many vectors the matrix was multiplied by, if matrix-free.
      change: if matrix-free, by how much the path differs from that with half as many directions,
        relative to the largest change of an entry of ``L``: an estimate of its error, as a rule
        from above, but no bound.
      lags_reached: how many lags the path can follow to infinity, if the kernel has more; ``None``
        if it can follow all of them.
      curvature: ``U^T A G A^T U``, of value ``diag(S^2)``, shape ``(k, k)``. Where JAX traces the
        kernel or the data, derivatives go through it; ``None`` elsewhere.
      start: where JAX traces data of more points than ``L`` has entries, the gradient and loss at
        ``L^0``, through which derivatives go as well; ``None`` elsewhere.
      in_data: whether JAX traces the data.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> kernel = nr.kernel_regression(nr.lag_weights(5, 0.3, 1.0, 1.0), (x, y))
      >>> kernel.impulse_response(step=[0, 100], learning_rate=kernel.max_learning_rate / 2).shape
      (2, 5, 1, 1)
      >>> kernel.predict(x, time=jax.numpy.inf).shape  # the least-squares fit
      (20, 5, 1)
    """

    initial: Float[AnyArray, "T n_y n_x"]
    singular_values: Float[AnyArray, " k"]
    directions: Float[AnyArray, "T a n_x k"]
    targets: Float[AnyArray, "k b"]
    irreducible: Float[AnyArray, ""]
    loss: Loss = struct.field(pytree_node=False)
    method: Method = struct.field(pytree_node=False)
    products: int | None = struct.field(pytree_node=False, default=None)
    change: float | None = struct.field(pytree_node=False, default=None)
    lags_reached: int | None = struct.field(pytree_node=False, default=None)
    curvature: Float[AnyArray, "k k"] | None = None
    start: Start | None = None
    in_data: bool = struct.field(pytree_node=False, default=False)

    @property
    def eigenvalues(self) -> Float[Any, " k"]:
        """Eigenvalues ``lambda`` of the loss's curvature in the kernel's features, falling.

        For the sum loss they are those of the kernel on the training data, without zeros that
        follow from its size; for lag weights each of them belongs to every output. If matrix-free,
        all but the first are approximate.
        """
        return self.singular_values**2

    @property
    def max_learning_rate(self) -> Float[Any, ""]:
        """Gradient descent converges for ``eta < 2 / lambda_max``.

        With momentum ``beta`` it does for ``eta < 2 (1 + beta) / lambda_max``.
        """
        with np.errstate(divide="ignore"):  # infinite if the data reach nothing
            return self._namespace.asarray(2 / self.eigenvalues[0])

    def impulse_response(
        self, step: Any = None, learning_rate: Any = None, *, momentum: Any = 0.0, time: Any = None
    ) -> Float[Any, "*steps T n_y n_x"]:
        """Impulse response ``L`` at a step of gradient descent, or a time of gradient flow.

        Args:
          step: number of steps, at least 0.
          learning_rate: ``eta``, below ``1 + momentum`` times ``max_learning_rate``. Infinitely
            many steps need none.
          momentum: ``beta`` of ``L^{l+1} = L^l - eta grad + beta (L^l - L^{l-1})``, at least 0
            and below 1.
          time: time of gradient flow, ``eta`` times the number of steps in the limit of small
            ``eta``, divided by ``1 - beta`` with momentum.

        Returns:
          Shape ``(T, n_y, n_x)``, led by the shape of ``step`` or ``time``.

        Raises:
          ValueError: if neither or both of step and time are given, one is negative, the learning
            rate is missing, not positive or past stability, the momentum is not as said, or a step
            or time is infinite where ``lags_reached`` is not ``None``.
        """
        given = self._until(step, learning_rate, momentum, time)
        _, gained = remaining_and_gained(self.eigenvalues, *given)
        sizes = self._namespace.where(given[0], self.singular_values, 1)
        goals = einsum("...k,kb->...kb", gained, self.targets / sizes[:, None])
        if self.curvature is not None:
            path_gain = limiting_gain if self.in_data else gain
            if self.start is None:
                moved = function_times(path_gain, self.curvature, self.targets, given)
                moved = einsum("k,...kb->...kb", lax.stop_gradient(sizes), moved)
            else:
                moved = function_times(path_gain, self.curvature, self.start.gradient, given)
            goals = moved if self.in_data else with_derivative_of(goals, moved)
        return _responses(self.initial, self.directions, goals)

    def predict(
        self,
        x: Float[AnyArray, "N T2 n_x"],
        step: Any = None,
        learning_rate: Any = None,
        *,
        momentum: Any = 0.0,
        time: Any = None,
    ) -> Float[Any, "*steps N T2 n_y"]:
        """Outputs for any sequences, whose length ``T2`` need not be that of the training data.

        Returns:
          Shape ``(N, T2, n_y)``, led by the shape of ``step`` or ``time``.
        """
        inputs = _checks.sequences("x", x)
        in_dim = self.initial.shape[2]
        _checks.same(
            "x.shape[2]", inputs.shape[2], "the training data's", in_dim, "number of inputs"
        )
        _checks.same_devices(**{"this regression": self, "x": inputs})
        responses = self.impulse_response(step, learning_rate, momentum=momentum, time=time)
        # On the host from what was passed, before JAX could round it.
        exact = float64(x) if self._namespace is np else inputs.astype(responses.dtype)
        return outputs_of_each(responses, exact)

    def train_loss(
        self, step: Any = None, learning_rate: Any = None, *, momentum: Any = 0.0, time: Any = None
    ) -> Float[Any, "*steps"]:
        """Training loss, in the shape of ``step`` or ``time``."""
        given = self._until(step, learning_rate, momentum, time)
        left, _ = remaining_and_gained(self.eigenvalues, *given)
        left = einsum("...k,kb->...kb", left, self.targets)
        if self.curvature is not None and self.start is None:
            moved = function_times(remaining, self.curvature, self.targets, given)
            left = with_derivative_of(left, moved)
        loss = (left**2).sum(axis=(-2, -1)) / 2 + self.irreducible
        if self.start is not None:
            gradient = self.start.gradient
            gained = function_times(loss_gain, self.curvature, gradient, given)
            fallen = einsum("kb,...kb->...", gradient, gained) / 2
            loss = with_derivative_of(loss, self.start.loss - fallen)
        return self._namespace.asarray(loss)

    def test_loss(
        self,
        data: tuple[Float[AnyArray, "N T2 n_x"], Float[AnyArray, "N T2 n_y"]] | CompressedData,
        step: Any = None,
        learning_rate: Any = None,
        *,
        momentum: Any = 0.0,
        time: Any = None,
    ) -> Float[Any, "*steps"]:
        """Loss on other data, ``(x, y)`` or compressed, in the shape of ``step`` or ``time``."""
        checked = as_data_set("data", data)
        _checks.same_devices(**{"this regression": self, "data": checked})
        if self._namespace is np:
            checked = host_data_set(data)
        responses = self.impulse_response(step, learning_rate, momentum=momentum, time=time)
        losses = checked.loss_of_response(responses, self.loss)
        return self._namespace.asarray(losses, self.initial.dtype)

    @property
    def _namespace(self) -> ModuleType:
        return namespace(self.singular_values)

    def _until(
        self, step: Any, learning_rate: Any, momentum: Any, time: Any
    ) -> tuple[Bool[AnyArray, " k"], Duration]:
        """Which directions are reached, and how long they are followed."""
        until = duration(self.eigenvalues, step, learning_rate, momentum, time)
        if self.lags_reached is not None:
            refuse_infinity("step" if time is None else "time", until, self.lags_reached)
        if self._namespace is np:  # where rounding has been left out already
            return self.singular_values > 0, until
        size = max(*self.directions.shape, len(self.targets))
        return exceeds_rounding(self.singular_values, size), until


@compiled
def _responses(
    initial: Float[AnyArray, "T n_y n_x"],
    directions: Float[AnyArray, "T a n_x k"],
    goals: Float[AnyArray, "*steps k b"],
) -> Float[AnyArray, "*steps T n_y n_x"]:
    """``L^l = L^0 + G^{1/2} V S^{-1} (1 - (1 - eta S^2)^l) u`` (Appendix B.4)."""
    xp, shape = namespace(initial), (*goals.shape[:-2], *initial.shape)
    change = einsum("taqk,...kb->...tabq", directions, goals)
    return xp.broadcast_to(initial, shape) + change.reshape(shape)
