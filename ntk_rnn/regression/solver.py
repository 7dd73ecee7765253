"""Solves kernel regressions, by the method and in the precision that suit them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import jax
import numpy as np
from jaxtyping import Float, Int

from ntk_rnn import _checks
from ntk_rnn._namespace import float64, namespace
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.loss import Loss, check_loss
from ntk_rnn.objective import Sequences, as_data_set, host_data_set
from ntk_rnn.regression.dense import Decomposition, decompose
from ntk_rnn.regression.functions import FunctionRegression, regress
from ntk_rnn.regression.methods import choose_method
from ntk_rnn.regression.prediction import KernelRegression
from ntk_rnn.regression.roots import check_kernel, kernel_root


@overload
def kernel_regression(
    kernel: Float[AnyArray, " lags"] | Float[AnyArray, "T n_y n_x T n_y n_x"],
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N T n_y"]] | CompressedData,
    *,
    initial: Float[AnyArray, "T n_y n_x"] | None = None,
    loss: Loss = "sum",
    on_host: bool = False,
    method: Literal["auto", "dense", "matrix_free"] = "auto",
    tolerance: float = 1e-6,
    max_rank: int = 500,
) -> KernelRegression: ...
@overload
def kernel_regression(
    kernel: Callable[..., Any],
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N ..."]],
    *,
    initial: Callable[..., Any] | None = None,
    loss: Loss = "sum",
    lengths: Int[AnyArray, " N"] | None = None,
) -> FunctionRegression: ...
def kernel_regression(
    kernel: Any,
    data: Any,
    *,
    initial: Any = None,
    loss: Loss = "sum",
    on_host: bool = False,
    method: Literal["auto", "dense", "matrix_free"] = "auto",
    tolerance: float = 1e-6,
    max_rank: int = 500,
    lengths: Int[AnyArray, " N"] | None = None,
) -> KernelRegression | FunctionRegression:
    """Kernel regression by gradient descent, solved for every step (Proposition 3.1, eq. 20).

    With lag weights, this is gradient descent of the scaled convolution, and, in the limit of
    infinite width, of the linear RNN (Theorem 3.3). With a dense Gram matrix ``G`` over the entries
    of the impulse response, it is that of the network linearized at initialization. With a function
    that gives the kernel between sequences, such as ``recurrent_ntk``, it is that of any network of
    infinite width, and what is solved is the path of its outputs.

    For lag weights and Gram matrices, the matrix of lagged inputs ``A`` is first reduced to the
    triangular factor of its QR factorization, so the size of the singular value decomposition is
    the number of data points (dual) or that of entries of ``L`` (primal), whichever is smaller.
    Neither squares the condition number. Compressed data already are a triangle: then nothing
    depends on the number of sequences. Where both numbers are large, products with the matrix find
    as many directions as the targets need (Golub-Kahan bidiagonalization, with products by fast
    Fourier transforms).
    In float32, long lags are lost to rounding: `ntk_rnn.guide.accelerators` says how much.

    Args:
      kernel: lag weights ``rho``, shape ``(lags,)``; lags beyond them, up to ``T``, weigh 0 and
        stay at the start, as for a short filter on a long record. Or a symmetric positive
        semi-definite ``G``, shape ``(T, n_y, n_x, T, n_y, n_x)``. Or a function
        ``kernel(x1, x2) -> (N1, N2, T, T)``, or ``-> (N1, N2)`` for one output a sequence, the same
        for every output, such as ``partial(recurrent_ntk, activation="erf", ...)``.
      data: inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or both compressed
        (``compress``). Everything is computed in their type, or in float32 if that is less. For
        one output a sequence, targets are ``y (N, n_y)``; classes are ``jax.nn.one_hot``.
      initial: ``L^0``, shape ``(T, n_y, n_x)``; 0 if ``None``. With a kernel function, a function
        of sequences that gives the outputs at the start, such as ``partial(model.apply, params)``.
      loss: ``"sum"`` for ``1/2 sum ||y_hat - y||^2`` (Appendix B.4), or ``"mean"`` for the mean
        squared error. Learning rates and losses are those of this loss.
      on_host: whether to compute in float64 with NumPy, whatever JAX's setting. Results are then
        NumPy arrays of float64, and nothing can be compiled or differentiated.
      method: ``"dense"`` for factorizations, ``"matrix_free"`` for products alone (always on the
        host, and for lag weights only), or ``"auto"``: dense up to 2^27 numbers in ``A`` and 4096
        singular values, unless few lags have a weight that matters and products are much faster,
        as for one long record. ``KernelRegression.method`` says which one was used.
      tolerance: if matrix-free, directions are added until ``KernelRegression.change`` is below it.
      max_rank: if matrix-free, the largest number of directions; a warning says if they do not
        suffice.
      lengths: with a kernel function, numbers of steps of the sequences, from 1 to ``T``, shape
        ``(N,)``; targets in what follows them do not count. The function is then called as
        ``kernel(x1, x2, lengths1=..., lengths2=...)``, which ``recurrent_ntk`` takes, and
        ``initial`` as ``initial(x, lengths=...)``. ``None`` if all have ``T`` steps.

    Returns:
      The whole path: its methods give impulse responses, outputs and losses at any step or time.
      With a kernel function it is a ``FunctionRegression``, which has no impulse response.

    Raises:
      ValueError: if shapes do not match, an entry is not finite, a lag weight is negative, ``G`` is
        not symmetric, a method is unknown or not possible, or lengths do not fit or are not taken.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> data = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> kernel = nr.kernel_regression(nr.lag_weights(5, 0.3, 1.0, 1.0), data)
      >>> before, after = kernel.train_loss(step=[0, 1000], learning_rate=1e-3)
      >>> bool(after < before)
      True
    """
    loss, on_host = check_loss(loss), _checks.flag("on_host", on_host)
    if callable(kernel):
        _refuse_host_and_products(on_host, method)
        return regress(kernel, data, initial, loss, lengths)
    if lengths is not None:
        raise ValueError(
            "lengths must be None for lag weights and Gram matrices, got "
            f"{_checks.shown(lengths)}; pass data compress(x, y, weights=weights), whose weights "
            "are 0 in the padding"
        )
    checked = as_data_set("data", data)
    check_kernel(kernel)
    max_rank = _checks.integer("max_rank", max_rank)
    chosen, checked = choose_method(method, kernel, checked, on_host, max_rank)
    _checks.positive(tolerance=tolerance)
    leaves = jax.tree.leaves(checked)
    seq_len, out_dim, in_dim = checked.shape
    shape = seq_len, out_dim, in_dim
    dtype = np.promote_types(leaves[0].dtype, np.float32)
    checked = jax.tree.map(lambda leaf: leaf.astype(dtype), checked)
    start = _checks.initial_response(initial, shape, dtype)
    _checks.same_devices(data=checked, kernel=kernel, initial=start)
    if on_host or chosen == "matrix_free":
        # From what was passed, before JAX could round it.
        start = float64(start if initial is None else initial)
        kernel, checked = float64(kernel), host_data_set(data)
    root = kernel_root(kernel, shape, namespace(start)).astype(start.dtype)
    if chosen == "matrix_free" and isinstance(checked, Sequences):
        # SciPy's sparse solvers take a quarter of the time of importing all else here.
        from ntk_rnn.regression.matrix_free import decompose_matrix_free

        parts, products, change = decompose_matrix_free(
            root, checked, start, loss, tolerance=tolerance, max_rank=max_rank
        )
        reached = _lags_reached(kernel, start.dtype)
        return KernelRegression(start, *parts[:4], loss, chosen, products, change, reached)
    traced = _checks.is_traced((root, checked, start))
    in_data = _checks.is_traced(data)
    solved: Decomposition = decompose(root, checked, start, loss, traced, in_data)
    reached = None if on_host or traced else _lags_reached(kernel, start.dtype)
    return KernelRegression(
        start, *solved[:4], loss, chosen, lags_reached=reached, curvature=solved.curvature,
        start=solved.start, in_data=in_data,
    )  # fmt: skip


def _refuse_host_and_products(on_host: bool, method: str) -> None:
    """Raises ``ValueError`` for what a kernel function cannot do."""
    _checks.one_of("method", method, "auto", "dense", "matrix_free")
    if on_host:
        raise ValueError(
            "on_host must be False for a kernel function, which JAX computes, got True; enable "
            'float64 by jax.config.update("jax_enable_x64", True)'
        )
    if method == "matrix_free":
        raise ValueError(
            "method must be dense for a kernel function, got 'matrix_free', which takes lag "
            "weights and concrete data (x, y)"
        )


def _lags_reached(kernel: Any, dtype: np.dtype) -> int | None:
    """Up to which lag directions are found to 1 % or so; ``None`` if that is all that weigh."""
    if np.ndim(kernel) > 1:
        return None
    rho = np.asarray(kernel, float)
    lost = (rho > 0) & (rho < (100 * np.finfo(dtype).eps) ** 2 * rho.max())
    return int(np.argmax(lost)) if lost.any() else None
