"""The path of gradient descent on a kernel between sequences, in closed form, at any step.

A network of infinite width, and one linearized at its start, changes by its kernel alone: the
change of its outputs at new sequences is ``K(new, train)`` times what gradient descent has put on
the training data. So the eigenvectors of ``K(train, train)`` solve the whole path, as those of the
curvature do for the impulse response of a linear network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.kernels.layout import as_matrix
from ntk_rnn.loss import Loss, loss_scale
from ntk_rnn.regression.durations import Duration, duration
from ntk_rnn.regression.eigenmodes import exceeds_rounding, gain, remaining
from ntk_rnn.regression.evaluation import (
    kernel_between,
    num_targets,
    outputs_at_start,
    without_padding,
)
from ntk_rnn.regression.symmetric import eigen_of_diagonal, function_times


@struct.dataclass
class FunctionRegression:
    """The path of gradient descent on a kernel between sequences, from ``kernel_regression``.

    With the eigenvectors ``U`` and the eigenvalues ``lambda`` of ``K(train, train)``, the outputs
    after ``l`` steps are ``f^l(x) = f^0(x) + K(x, train) U (1 - (1 - eta lambda)^l) / lambda u``,
    ``u = U^T (y - f^0(train))`` (Proposition 3.1, Appendix B.4); for gradient flow
    ``exp(-t lambda)`` stands for the power, and with momentum a power of a 2 x 2 matrix.
    Eigenvalues below rounding, relative to the largest, count as 0: along their eigenvectors
    nothing moves.

    The methods take steps and times as those of ``KernelRegression`` do; ``jnp.inf`` gives the
    interpolation of the training data by the kernel. Paths have derivatives in the kernel and in
    the targets.

    Attributes:
      inputs: the training sequences, shape ``(N, T, n_x)``.
      eigenvalues: of the loss's curvature in function space, falling, shape ``(m,)``: those of the
        kernel for the sum loss. ``m`` is ``N T``, or ``N`` for one output a sequence.
      eigenvectors: ``U``, shape ``(m, m)``.
      targets: ``u``, what is to be learned along each eigenvector, shape ``(m, n_y)``.
      curvature: ``U^T K U`` in the scale of the loss, of value ``diag(lambda)``, through which
        derivatives go, shape ``(m, m)``.
      scale: what the sum loss is multiplied by, shape ``()``.
      lengths: numbers of steps of the training sequences, shape ``(N,)``, or ``None`` for ``T``.
      kernel_fn: ``K(x, x')``.
      initial: ``f^0``, or ``None`` for 0.
      loss: ``"sum"`` or ``"mean"``.

    Example:
      >>> from functools import partial
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (20, 6, 2))
      >>> y = x[:, :, :1] * x[:, :, 1:]  # a product, which no linear network learns
      >>> kernel_fn = partial(nr.recurrent_ntk, activation="relu", nu_w=1.0, nu_f=1.0, nu_c=1.0)
      >>> kernel = nr.kernel_regression(kernel_fn, (x, y))
      >>> start, end = kernel.train_loss(time=[0, jax.numpy.inf])
      >>> bool(end < 1e-3 * start)
      True
      >>> kernel.predict(x[:3], step=[0, 100], learning_rate=kernel.max_learning_rate / 2).shape
      (2, 3, 6, 1)
    """

    inputs: Float[Array, "N T n_x"]
    eigenvalues: Float[AnyArray, " m"]
    eigenvectors: Float[Array, "m m"]
    targets: Float[Array, "m n_y"]
    curvature: Float[Array, "m m"]
    scale: Float[Array, ""]
    lengths: Int[Array, " N"] | None
    kernel_fn: Callable[..., Any] = struct.field(pytree_node=False)
    initial: Callable[..., Any] | None = struct.field(pytree_node=False)
    loss: Loss = struct.field(pytree_node=False)

    @property
    def max_learning_rate(self) -> Float[Any, ""]:
        """Gradient descent converges for ``eta < 2 / lambda_max``.

        With momentum ``beta`` it does for ``eta < 2 (1 + beta) / lambda_max``.
        """
        return 2 / self.eigenvalues[0]

    def predict(
        self,
        x: Float[AnyArray, "N2 T2 n_x"],
        step: Any = None,
        learning_rate: Any = None,
        *,
        momentum: Any = 0.0,
        time: Any = None,
        lengths: Int[AnyArray, " N2"] | None = None,
    ) -> Float[Array, "*steps N2 ..."]:
        """Outputs for any sequences, at a step of gradient descent or a time of gradient flow.

        Args:
          x: sequences, shape ``(N2, T2, n_x)``; of any length that the kernel takes.
          step: number of steps, at least 0.
          learning_rate: ``eta``, below ``1 + momentum`` times ``max_learning_rate``.
          momentum: ``beta``, at least 0 and below 1.
          time: time of gradient flow.
          lengths: numbers of steps of the sequences, from 1 to ``T2``, shape ``(N2,)``; what
            follows them is padding. ``T2`` for all if ``None``.

        Returns:
          Shape ``(N2, T2, n_y)``, 0 in the padding, or ``(N2, n_y)`` for one output a sequence, led
          by the shape of ``step`` or ``time``.

        Raises:
          ValueError: as ``KernelRegression.impulse_response``; if ``x`` or its lengths do not fit;
            or if there are lengths that the kernel function does not take.
        """
        inputs = _checks.sequences("x", x).astype(self.inputs.dtype)
        _checks.same(
            "x.shape[2]", inputs.shape[2], "the training data's", self.inputs.shape[2],
            "number of inputs",
        )  # fmt: skip
        _checks.same_devices(**{"this regression": self, "x": inputs})
        if lengths is not None or self.lengths is not None:
            lengths = _checks.lengths("lengths", lengths, inputs)
        kernel = kernel_between(self.kernel_fn, inputs, self.inputs, lengths, self.lengths)
        given = self._until(step, learning_rate, momentum, time)
        goals = function_times(gain, self.curvature, self.targets, given)
        images = jnp.matmul(_matrix(kernel), self.eigenvectors, precision="highest")
        change = jnp.einsum("rm,...mp->...rp", images * self.scale, goals, precision="highest")
        shape = len(inputs), *kernel.shape[2:3], self.targets.shape[1]
        change = change.reshape(*change.shape[:-2], *shape)
        if self.initial is None:
            return change
        start = outputs_at_start(self.initial, inputs, shape, lengths)
        return jnp.broadcast_to(start, change.shape) + change

    def train_loss(
        self, step: Any = None, learning_rate: Any = None, *, momentum: Any = 0.0, time: Any = None
    ) -> Float[Array, "*steps"]:
        """Training loss, in the shape of ``step`` or ``time``."""
        given = self._until(step, learning_rate, momentum, time)
        left = function_times(remaining, self.curvature, self.targets, given)
        return self.scale * jnp.sum(left**2, axis=(-2, -1)) / 2

    def test_loss(
        self,
        data: tuple[Float[AnyArray, "N2 T2 n_x"], Float[AnyArray, "N2 ..."]],
        step: Any = None,
        learning_rate: Any = None,
        *,
        momentum: Any = 0.0,
        time: Any = None,
        lengths: Int[AnyArray, " N2"] | None = None,
    ) -> Float[Array, "*steps"]:
        """Loss on other data ``(x, y)``, in the shape of ``step`` or ``time``.

        Targets in the padding do not count where there are ``lengths``, as in ``predict``.
        """
        x, y = _checks.inputs_and_targets("data", data)
        if lengths is not None:
            lengths = _checks.lengths("lengths", lengths, x)
        found = self.predict(x, step, learning_rate, momentum=momentum, time=time, lengths=lengths)
        ndim = found.ndim - y.ndim
        _checks.same("data[1].shape", y.shape, "that of outputs", found.shape[ndim:], "shape")
        missed = found - jnp.broadcast_to(y.astype(found.dtype), found.shape)
        if y.ndim == 3:
            missed = without_padding(missed, lengths)
        scale = loss_scale(self.loss, num_targets(y, lengths))
        return scale * jnp.sum(missed**2, axis=tuple(range(ndim, found.ndim))) / 2

    def _until(
        self, step: Any, learning_rate: Any, momentum: Any, time: Any
    ) -> tuple[Bool[Array, " m"], Duration]:
        """Which eigenvectors are reached, and how long they are followed."""
        until = duration(self.eigenvalues, step, learning_rate, momentum, time)
        return exceeds_rounding(self.eigenvalues, len(self.eigenvalues)), until


def regress(
    kernel_fn: Callable[..., Any], data: Any, initial: Any, loss: Loss, lengths: Any
) -> FunctionRegression:
    """The path of gradient descent on a kernel between sequences; see ``kernel_regression``."""
    x, y = _checks.inputs_and_targets("data", data)
    x, y = _checks.computed(x), _checks.computed(y)
    if lengths is not None:
        lengths = _checks.lengths("lengths", lengths, x)
    kernel = kernel_between(kernel_fn, x, x, lengths, lengths)
    dtype = jnp.promote_types(kernel.dtype, y.dtype)
    matrix, shape = _matrix(kernel).astype(dtype), (len(x), *kernel.shape[2:3])
    if y.shape[:-1] != shape:
        wanted = "(N, T, n_y)" if kernel.ndim == 4 else "(N, n_y)"
        raise ValueError(
            f"data[1] must have shape {wanted} = {(*shape, 'n_y')} for this kernel, got shape "
            f"{y.shape}; pass y[..., None] for one output, jax.nn.one_hot(y, classes) for classes"
        )
    if initial is not None:
        y = y - outputs_at_start(initial, x, y.shape, lengths).astype(y.dtype)
    if kernel.ndim == 4:
        y = without_padding(y, lengths)
    scale = jnp.asarray(loss_scale(loss, num_targets(y, lengths)), dtype)
    matrix = matrix * scale
    values, vectors = jnp.linalg.eigh(lax.stop_gradient((matrix + matrix.T) / 2))
    if not _checks.is_traced(matrix):
        asymmetry = float(jnp.max(jnp.abs(matrix - matrix.T)))
        ends = float(values[0]), float(jnp.max(jnp.abs(values)))
        _checks.semidefinite_error("kernel(x, x)", asymmetry, *ends, "mend the kernel function")
    values, vectors = values[::-1], vectors[:, ::-1]
    curvature = jnp.diag(values)
    if _checks.is_traced(matrix):
        curvature = jnp.einsum("ri,rs,sj->ij", vectors, matrix, vectors, precision="highest")
        values = eigen_of_diagonal(curvature)[0]
    targets = jnp.matmul(vectors.T, y.reshape(len(vectors), -1).astype(dtype), precision="highest")
    return FunctionRegression(
        x.astype(dtype), values, vectors, targets, curvature, scale, lengths, kernel_fn, initial,
        loss,
    )  # fmt: skip


def _matrix(kernel: Float[Array, "N1 N2 ..."]) -> Float[Array, "rows columns"]:
    return jnp.asarray(as_matrix(kernel)) if kernel.ndim == 4 else kernel
