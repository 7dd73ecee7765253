"""Gradient descent of a kernel regression in closed form, at any step.

Under squared loss a kernel over the entries of the impulse response turns gradient descent into a
linear recursion, which one singular value decomposition solves for all steps at once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression import CompressedData
from ntk_rnn.dynamics import modes
from ntk_rnn.dynamics.factors import gram_factor, lag_factor
from ntk_rnn.dynamics.loss import Loss, check_loss, loss_scale
from ntk_rnn.sequences import causal_conv, lagged_inputs


@struct.dataclass
class KernelRegression:
    """The path of gradient descent on a kernel regression, from :func:`kernel_regression`.

    With the singular value decomposition ``A G^{1/2} = U S V^T`` and ``u = U^T (y - A L^0)``,
    ``L^l = L^0 + G^{1/2} V S^{-1} (1 - (1 - eta S^2)^l) u``; for gradient flow ``exp(-t S^2)``
    stands for the power.

    The methods take either ``step`` and ``learning_rate`` (gradient descent) or ``time``
    (gradient flow), for the loss that the regression was made with. Steps and times are numbers
    or arrays, whose shape leads that of the result; ``jnp.inf`` gives the least-squares fit.
    Directions whose singular value is below rounding, relative to the largest, count as not
    reached by the data and stay where they are: in float32 with ``nu_w = 0.3`` those are lags
    beyond about 20, in float64 beyond about 55.

    Attributes:
      initial: ``L^0``, shape ``(T, n_y, n_x)``.
      singular_values: ``S``, falling, shape ``(k,)``.
      directions: ``G^{1/2} V``, shape ``(T, a, n_x, k)``: ``a`` is 1 for lag weights, which treat
        all outputs alike, and ``n_y`` for a dense Gram matrix.
      targets: ``u``, what is to be learned along each direction, shape ``(k, n_y / a)``.
      irreducible: training loss that no impulse response removes, shape ``()``.
      loss: ``"sum"`` or ``"mean"``.
    """

    initial: Float[Array, "T n_y n_x"]
    singular_values: Float[Array, " k"]
    directions: Float[Array, "T a n_x k"]
    targets: Float[Array, "k b"]
    irreducible: Float[Array, ""]
    loss: Loss = struct.field(pytree_node=False)

    @property
    def eigenvalues(self) -> Float[Array, " k"]:
        """Eigenvalues ``lambda`` of the loss's curvature in the kernel's features, falling.

        For the sum loss they are those of the kernel on the training data, without zeros that
        follow from its size; for lag weights each stands for one of every output.
        """
        return self.singular_values**2

    @property
    def max_learning_rate(self) -> Float[Array, ""]:
        """Gradient descent converges for ``eta < 2 / lambda_max``."""
        return 2 / self.eigenvalues[0]

    def impulse_response(
        self, step: Any = None, learning_rate: Any = None, *, time: Any = None
    ) -> Float[Array, "*steps T n_y n_x"]:
        """Impulse response ``L`` at a step of gradient descent, or a time of gradient flow.

        Args:
          step: number of steps, at least 0.
          learning_rate: ``eta``, below :attr:`max_learning_rate`.
          time: time of gradient flow, ``eta`` times the number of steps in the limit of small
            ``eta``.

        Returns:
          Shape ``(T, n_y, n_x)``, led by the shape of ``step`` or ``time``.

        Raises:
          ValueError: if neither or both of step and time are given, one is negative, or the
            learning rate is missing, not positive or past stability.
        """
        _, gained = self._progress(step, learning_rate, time)
        return _responses(self, gained)

    def predict(
        self,
        x: Float[AnyArray, "N T2 n_x"],
        step: Any = None,
        learning_rate: Any = None,
        *,
        time: Any = None,
    ) -> Float[Array, "*steps N T2 n_y"]:
        """Outputs for any sequences, whose length ``T2`` need not be that of the training data.

        Returns:
          Shape ``(N, T2, n_y)``, led by the shape of ``step`` or ``time``.
        """
        x = _checks.sequences("x", x).astype(self.initial.dtype)
        lags, out_dim, in_dim = self.initial.shape
        _checks.same("x.shape[2]", x.shape[2], "the training data's", in_dim, "number of inputs")
        responses = self.impulse_response(step, learning_rate, time=time)
        # All steps at once, as further outputs of one convolution.
        stacked = responses.reshape(-1, lags, out_dim, in_dim).swapaxes(0, 1)
        outputs = causal_conv(stacked.reshape(lags, -1, in_dim), x)
        outputs = jnp.moveaxis(outputs.reshape(*outputs.shape[:2], -1, out_dim), 2, 0)
        return outputs.reshape(*responses.shape[:-3], *outputs.shape[1:])

    def train_loss(
        self, step: Any = None, learning_rate: Any = None, *, time: Any = None
    ) -> Float[Array, "*steps"]:
        """Training loss, in the shape of ``step`` or ``time``."""
        remaining, _ = self._progress(step, learning_rate, time)
        energy = jnp.sum(self.targets**2, axis=1)
        return jnp.einsum("...k,k->...", remaining**2, energy, precision="highest") / 2 + (
            self.irreducible
        )

    def test_loss(
        self,
        data: tuple[Float[AnyArray, "N T2 n_x"], Float[AnyArray, "N T2 n_y"]] | CompressedData,
        step: Any = None,
        learning_rate: Any = None,
        *,
        time: Any = None,
    ) -> Float[Array, "*steps"]:
        """Loss on other data, ``(x, y)`` or compressed, in the shape of ``step`` or ``time``."""
        if isinstance(data, CompressedData):
            return data.loss(self.impulse_response(step, learning_rate, time=time), self.loss)
        x, y = _checks.data_set("data", data)
        _, out_dim, _ = self.initial.shape
        _checks.same("data[1].shape[2]", y.shape[2], "the training data's", out_dim, "outputs")
        outputs = self.predict(x, step, learning_rate, time=time)
        y = y.astype(outputs.dtype)
        target = jnp.broadcast_to(y, outputs.shape)
        error = jnp.sum((outputs - target) ** 2, axis=(-3, -2, -1))
        return loss_scale(self.loss, y.size) / 2 * error

    def _progress(
        self, step: Any, learning_rate: Any, time: Any
    ) -> tuple[Float[Array, "*steps k"], Float[Array, "*steps k"]]:
        """The parts of the targets that remain and that are gained, at each step or time."""
        if (step is None) == (time is None) or (time is not None and learning_rate is not None):
            raise ValueError(
                f"give either step and learning_rate, or time, got step={step!r}, "
                f"learning_rate={learning_rate!r}, time={time!r}"
            )
        s = self.singular_values
        rank_tolerance = jnp.finfo(s.dtype).eps * max(*self.directions.shape, len(self.targets))
        reached = s > rank_tolerance * s[0]
        if time is not None:
            _checks.nonnegative("time", time)
            return modes.flow(self.eigenvalues, reached, jnp.asarray(time, s.dtype))
        _checks.nonnegative("step", step)
        _checks.whole("step", step)
        self._check_learning_rate(learning_rate)
        rate = jnp.asarray(learning_rate, s.dtype)
        return modes.descent(self.eigenvalues, reached, jnp.asarray(step), rate)

    def _check_learning_rate(self, learning_rate: Any) -> None:
        if learning_rate is None:
            raise ValueError(
                "learning_rate must be given with step; it must be below max_learning_rate = "
                f"{self.max_learning_rate}"
            )
        _checks.positive("learning_rate", learning_rate)
        largest = self.max_learning_rate
        if not (_checks.is_traced(learning_rate) or _checks.is_traced(largest)) and (
            learning_rate >= largest
        ):
            raise ValueError(
                f"learning_rate must be below {float(largest):.4g}, past which gradient descent "
                f"with this kernel and data diverges, got {float(learning_rate):g}"
            )


def kernel_regression(
    kernel: Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x T n_y n_x"],
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N T n_y"]] | CompressedData,
    *,
    initial: Float[AnyArray, "T n_y n_x"] | None = None,
    loss: Loss = "sum",
) -> KernelRegression:
    """Kernel regression by gradient descent, solved for every step (Proposition 3.1, eq. 20).

    With lag weights it is gradient descent of the scaled convolution, and in the limit of
    infinite width of the linear RNN (Theorem 3.3). With a dense Gram matrix ``G`` over the entries
    of the impulse response, it is that of the network linearized at initialization.

    The matrix of lagged inputs ``A`` is first reduced to the triangular factor of its QR
    factorization, so the singular value decomposition has the smaller of the numbers of data
    points (dual) and of entries of ``L`` (primal). Neither squares the condition number.
    Compressed data bring their triangle: then nothing depends on the number of sequences.

    Args:
      kernel: lag weights ``rho``, shape ``(T,)``, or a symmetric positive semi-definite ``G``,
        shape ``(T, n_y, n_x, T, n_y, n_x)``.
      data: inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or both compressed
        (:func:`~ntk_rnn.compression.compress`), in whose type all is computed.
      initial: ``L^0``, shape ``(T, n_y, n_x)``; 0 if ``None``.
      loss: ``"sum"`` for ``1/2 sum ||y_hat - y||^2`` (Appendix B.4), or ``"mean"`` for the mean
        squared error. Learning rates and losses are those of this loss.

    Returns:
      The path, as functions of the step.

    Raises:
      ValueError: if shapes do not match, an entry is not finite, a lag weight is not positive, or
        ``G`` is not symmetric.
    """
    loss = check_loss(loss)
    if isinstance(data, CompressedData):
        shape, dtype = data.shape, data.centre.dtype
    else:
        data = x, y = _checks.data_set("data", data)
        shape, dtype = (x.shape[1], y.shape[2], x.shape[2]), x.dtype
    if initial is None:
        initial = jnp.zeros(shape, dtype)
    initial = _checks.impulse_response("initial", initial).astype(dtype)
    _checks.same("initial.shape", initial.shape, "(T, n_y, n_x) of data", shape, "shape")

    half = lag_factor(kernel, shape) if jnp.ndim(kernel) == 1 else gram_factor(kernel, shape)
    return _solve(half.astype(dtype), data, initial, loss)


@partial(jax.jit, static_argnames="loss")
def _solve(
    half: Float[Array, "T a n_x P"],
    data: tuple[Array, Array] | CompressedData,
    initial: Float[Array, "T n_y n_x"],
    loss: Loss,
) -> KernelRegression:
    a = half.shape[1]
    if isinstance(data, CompressedData):
        triangle, goal, beyond = data.triangle, -data.errors(initial), data.constant
        scale = data.scale(loss)
    else:
        triangle, goal, beyond = _triangular(*data, initial)
        scale = loss_scale(loss, data[1].size)
    # The mean loss of the data is the sum loss of data scaled by the root of its factor.
    triangle, goal = scale**0.5 * triangle, scale**0.5 * goal

    features = jnp.einsum("rtq,taqk->rak", triangle, half, precision="highest")
    features, goal = (m.reshape(len(triangle) * a, -1) for m in (features, goal))
    u, s, vt = jnp.linalg.svd(features, full_matrices=False)
    directions = jnp.einsum("taqe,ke->taqk", half, vt, precision="highest")
    targets = jnp.matmul(u.T, goal, precision="highest")
    unreached = goal - jnp.matmul(u, targets, precision="highest")
    irreducible = scale * beyond + jnp.sum(unreached**2) / 2
    return KernelRegression(initial, s, directions, targets, irreducible, loss)


def _triangular(
    x: Float[Array, "N T n_x"], y: Float[Array, "N T n_y"], initial: Float[Array, "T n_y n_x"]
) -> tuple[Float[Array, "K T n_x"], Float[Array, "K n_y"], Float[Array, ""]]:
    """``R`` and ``Q^T (y - A L^0)`` with ``A = Q R``, and the loss that ``Q`` does not span."""
    lags, _, in_dim = initial.shape
    design = lagged_inputs(x).reshape(-1, lags * in_dim)
    residual = (y - causal_conv(initial, x)).reshape(len(design), -1)
    basis, triangle = jnp.linalg.qr(design)
    goal = jnp.matmul(basis.T, residual, precision="highest")
    beyond = residual - jnp.matmul(basis, goal, precision="highest")
    return triangle.reshape(-1, lags, in_dim), goal, jnp.sum(beyond**2) / 2


@jax.jit
def _responses(
    kernel: KernelRegression, gained: Float[Array, "*steps k"]
) -> Float[Array, "*steps T n_y n_x"]:
    s = kernel.singular_values
    goals = kernel.targets / jnp.where(s > 0, s, 1)[:, None]
    change = jnp.einsum(
        "taqk,...k,kb->...tabq", kernel.directions, gained, goals, precision="highest"
    )
    shape = (*gained.shape[:-1], *kernel.initial.shape)
    return jnp.broadcast_to(kernel.initial, shape) + change.reshape(shape)
