"""Gradient descent of a kernel regression in closed form, at any step.

Under squared loss a kernel over the entries of the impulse response turns gradient descent into a
linear recursion, which one singular value decomposition solves for all steps at once.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from flax import struct
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.loss import Loss, check_loss, loss_scale
from ntk_rnn.regression import eigenmodes as modes, host
from ntk_rnn.regression.dense import Decomposition, decompose
from ntk_rnn.regression.factors import check_kernel, gram_factor, lag_roots
from ntk_rnn.regression.methods import Choice, Method, prepare
from ntk_rnn.regression.progression import progress
from ntk_rnn.sequences import causal_conv


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
    ``nu_w = 0.3`` those are lags beyond about 20, in float64 beyond about 55.

    Attributes:
      initial: ``L^0``, shape ``(T, n_y, n_x)``.
      singular_values: ``S``, falling, shape ``(k,)``.
      directions: ``G^{1/2} V``, shape ``(T, a, n_x, k)``: ``a`` is 1 for lag weights, which treat
        all outputs alike, and ``n_y`` for a dense Gram matrix.
      targets: ``u``, what is to be learned along each direction, shape ``(k, n_y / a)``.
      irreducible: training loss that no impulse response removes, shape ``()``.
      loss: ``"sum"`` or ``"mean"``.
      method: how it was solved: ``"primal"`` (of the size of ``L``), ``"dual"`` (of that of the
        data) or ``"matrix_free"``, whose directions are approximate.
      products: how many vectors the matrix was multiplied by, if matrix-free.
      change: if matrix-free, by how much the path differs from that with half as many directions,
        relative to the largest change of an entry of ``L``: an estimate of its error, as a rule
        from above, but no bound.

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

    @property
    def eigenvalues(self) -> Float[Any, " k"]:
        """Eigenvalues ``lambda`` of the loss's curvature in the kernel's features, falling.

        For the sum loss they are those of the kernel on the training data, without zeros that
        follow from its size; for lag weights each stands for one of every output. Matrix-free
        they are approximate, the first excepted.
        """
        return self.singular_values**2

    @property
    def max_learning_rate(self) -> Float[Any, ""]:
        """Gradient descent converges for ``eta < 2 / lambda_max``.

        With momentum ``beta`` it does for ``eta < 2 (1 + beta) / lambda_max``.
        """
        with np.errstate(divide="ignore"):  # any rate will do where nothing is reached
            return self._namespace.asarray(2 / self.eigenvalues[0])

    def impulse_response(
        self, step: Any = None, learning_rate: Any = None, *, momentum: Any = 0.0, time: Any = None
    ) -> Float[Any, "*steps T n_y n_x"]:
        """Impulse response ``L`` at a step of gradient descent, or a time of gradient flow.

        Args:
          step: number of steps, at least 0.
          learning_rate: ``eta``, below ``1 + momentum`` times ``max_learning_rate``.
          momentum: ``beta`` of ``L^{l+1} = L^l - eta grad + beta (L^l - L^{l-1})``, at least 0
            and below 1.
          time: time of gradient flow, ``eta`` times the number of steps in the limit of small
            ``eta``, divided by ``1 - beta`` with momentum.

        Returns:
          Shape ``(T, n_y, n_x)``, led by the shape of ``step`` or ``time``.

        Raises:
          ValueError: if neither or both of step and time are given, one is negative, the learning
            rate is missing, not positive or past stability, or the momentum is not as said.
        """
        _, gained = self._progress(step, learning_rate, momentum, time)
        return _responses(self.initial, self.directions, self.singular_values, self.targets, gained)

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
        lags, out_dim, in_dim = self.initial.shape
        given = inputs.shape[2]
        _checks.same("x.shape[2]", given, "the training data's", in_dim, "number of inputs")
        responses = self.impulse_response(step, learning_rate, momentum=momentum, time=time)
        # All steps at once, as further outputs of one convolution.
        stacked = responses.reshape(-1, lags, out_dim, in_dim).swapaxes(0, 1)
        stacked = stacked.reshape(lags, -1, in_dim)
        if self._namespace is np:
            outputs = host.causal_conv(np.asarray(stacked), host.float64(x))
        else:
            outputs = causal_conv(stacked, inputs.astype(stacked.dtype))
        outputs = outputs.reshape(*outputs.shape[:2], -1, out_dim).transpose(2, 0, 1, 3)
        return outputs.reshape(*responses.shape[:-3], *outputs.shape[1:])

    def train_loss(
        self, step: Any = None, learning_rate: Any = None, *, momentum: Any = 0.0, time: Any = None
    ) -> Float[Any, "*steps"]:
        """Training loss, in the shape of ``step`` or ``time``."""
        remaining, _ = self._progress(step, learning_rate, momentum, time)
        energy = (self.targets**2).sum(axis=1)
        loss = host.einsum("...k,k->...", remaining**2, energy) / 2 + self.irreducible
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
        if isinstance(data, CompressedData):
            response = self.impulse_response(step, learning_rate, momentum=momentum, time=time)
            return self._namespace.asarray(data.loss(response, self.loss), self.initial.dtype)
        _, y = _checks.data_set("data", data)
        _, out_dim, _ = self.initial.shape
        _checks.same("data[1].shape[2]", y.shape[2], "the training data's", out_dim, "outputs")
        outputs = self.predict(data[0], step, learning_rate, momentum=momentum, time=time)
        xp = self._namespace
        target = xp.broadcast_to(xp.asarray(data[1], outputs.dtype), outputs.shape)
        error = xp.sum((outputs - target) ** 2, axis=(-3, -2, -1))
        return xp.asarray(loss_scale(self.loss, y.size) / 2 * error)

    @property
    def _namespace(self) -> ModuleType:
        return host.namespace(self.singular_values)

    def _progress(
        self, step: Any, learning_rate: Any, momentum: Any, time: Any
    ) -> tuple[Float[AnyArray, "*steps k"], Float[AnyArray, "*steps k"]]:
        """The parts of the targets that remain and that are gained, at each step or time."""
        size = max(*self.directions.shape, len(self.targets))
        reached = modes.reached(self.singular_values, size)
        return progress(self.eigenvalues, reached, step, learning_rate, momentum, time)


def kernel_regression(
    kernel: Float[AnyArray, " T"] | Float[AnyArray, "T n_y n_x T n_y n_x"],
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N T n_y"]] | CompressedData,
    *,
    initial: Float[AnyArray, "T n_y n_x"] | None = None,
    loss: Loss = "sum",
    on_host: bool = False,
    method: Choice = "auto",
    tolerance: float = 1e-6,
    max_rank: int = 500,
) -> KernelRegression:
    """Kernel regression by gradient descent, solved for every step (Proposition 3.1, eq. 20).

    With lag weights it is gradient descent of the scaled convolution, and in the limit of
    infinite width of the linear RNN (Theorem 3.3). With a dense Gram matrix ``G`` over the entries
    of the impulse response, it is that of the network linearized at initialization.

    The matrix of lagged inputs ``A`` is first reduced to the triangular factor of its QR
    factorization, so the singular value decomposition has the smaller of the numbers of data
    points (dual) and of entries of ``L`` (primal). Neither squares the condition number.
    Compressed data bring their triangle: then nothing depends on the number of sequences. Where
    both numbers are large, directions are found by products with the matrix, as many as the
    targets need (Golub-Kahan bidiagonalization, with products by fast Fourier transforms).
    In float32, long lags are lost to rounding: `ntk_rnn.guide.accelerators` says how much.

    Args:
      kernel: lag weights ``rho``, shape ``(T,)``, or a symmetric positive semi-definite ``G``,
        shape ``(T, n_y, n_x, T, n_y, n_x)``.
      data: inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or both compressed
        (``compress``), in whose type all is computed, which is at least float32.
      initial: ``L^0``, shape ``(T, n_y, n_x)``; 0 if ``None``.
      loss: ``"sum"`` for ``1/2 sum ||y_hat - y||^2`` (Appendix B.4), or ``"mean"`` for the mean
        squared error. Learning rates and losses are those of this loss.
      on_host: whether to compute in float64 with NumPy, whatever JAX's setting. Results are then
        NumPy arrays of float64, and nothing can be compiled or differentiated.
      method: ``"dense"`` for factorizations, ``"matrix_free"`` for products alone (always on the
        host, and for lag weights only), or ``"auto"``: dense up to 2^27 numbers in ``A`` and 4096
        singular values. What was done is ``KernelRegression.method``.
      tolerance: matrix-free, directions are added until ``KernelRegression.change`` is below it.
      max_rank: matrix-free, the most directions; a warning tells if they do not suffice.

    Returns:
      The path, as functions of the step.

    Raises:
      ValueError: if shapes do not match, an entry is not finite, a lag weight is not positive,
        ``G`` is not symmetric, or a method is unknown or cannot be.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> data = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> kernel = nr.kernel_regression(nr.lag_weights(5, 0.3, 1.0, 1.0), data)
      >>> before, after = kernel.train_loss(step=[0, 1000], learning_rate=1e-3)
      >>> bool(after < before)
      True
    """
    loss = check_loss(loss)
    checked = data if isinstance(data, CompressedData) else _checks.data_set("data", data)
    check_kernel(kernel)
    done, source = prepare(method, kernel, checked, on_host)
    max_rank = _checks.positive_int("max_rank", max_rank)
    _checks.positive("tolerance", tolerance)
    if isinstance(source, CompressedData):
        shape, dtype = source.shape, source.centre.dtype
    else:
        dtype = np.promote_types(source[0].dtype, np.float32)
        x, y = source = source[0].astype(dtype), source[1].astype(dtype)
        shape = x.shape[1], y.shape[2], x.shape[2]
    if initial is None:
        initial = np.zeros(shape, dtype)
    start = _checks.impulse_response("initial", initial).astype(dtype)
    _checks.same("initial.shape", start.shape, "(T, n_y, n_x) of data", shape, "shape")
    if on_host or done == "matrix_free":
        # From what was passed, before JAX could round it.
        start, kernel = host.float64(initial), host.float64(kernel)
        if not isinstance(source, CompressedData):
            pair: Any = data
            source = host.float64(pair[0]), host.float64(pair[1])
    if done == "matrix_free" and not isinstance(source, CompressedData):
        # SciPy's sparse solvers take a quarter of the time of importing all else here.
        from ntk_rnn.regression.matrix_free import decompose_matrix_free

        parts, products, change = decompose_matrix_free(
            lag_roots(kernel, shape[0], np), source, start, loss,
            tolerance=tolerance, max_rank=max_rank,
        )  # fmt: skip
        return KernelRegression(start, *parts, loss, done, products, change)
    xp = host.namespace(start)
    of_lags = np.ndim(kernel) == 1
    root = lag_roots(kernel, shape[0], xp) if of_lags else gram_factor(kernel, shape, xp)
    parts: Decomposition = decompose(root.astype(start.dtype), source, start, loss)
    return KernelRegression(start, *parts, loss, done)


@host.compiled
def _responses(
    initial: Float[AnyArray, "T n_y n_x"],
    directions: Float[AnyArray, "T a n_x k"],
    singular_values: Float[AnyArray, " k"],
    targets: Float[AnyArray, "k b"],
    gained: Float[AnyArray, "*steps k"],
) -> Float[AnyArray, "*steps T n_y n_x"]:
    xp = host.namespace(initial)
    goals = targets / xp.where(singular_values > 0, singular_values, 1)[:, None]
    change = host.einsum("taqk,...k,kb->...tabq", directions, gained, goals)
    shape = (*gained.shape[:-1], *initial.shape)
    return xp.broadcast_to(initial, shape) + change.reshape(shape)
