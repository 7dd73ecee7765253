"""Data sets under squared loss as triangular least-squares problems.

A squared loss depends on the matrix ``A`` of lagged inputs only through the triangle of its QR
factorization, which has ``T n_x`` rows in place of ``N T``. The triangle is computed in float64,
whatever the precision of JAX.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.batches import Batch, checked_batches
from ntk_rnn.compression.blocks import Block, factor_of, rows_at_once
from ntk_rnn.loss import Loss, check_loss, loss_scale
from ntk_rnn.sequences import lagged

# The centre is a fit along the singular directions with values above this, relative to the
# largest: what training learns soon. Along others the fit may be huge, and far from training.
_CENTRE_CUTOFF = 1e-3


@struct.dataclass
class CompressedData:
    """A data set as a triangular least-squares problem, from ``compress``.

    With ``A`` the lagged inputs, ``b`` the targets and ``W = diag(weights)``, for every ``L``
    ``1/2 ||W^{1/2} (A L - b)||^2 = 1/2 ||R (L - C) - r||^2 + constant`` with the triangle ``R``
    of ``W^{1/2} A = Q R`` and ``r = Q^T W^{1/2} b - R C``. The centre ``C`` is near the
    least-squares fit, so near the end of training ``L - C`` and ``r`` are small: there nothing
    cancels, as ``R L`` and ``Q^T W^{1/2} b`` would. In float32 losses are right to 1e-6, and
    gradients to about 1e-7 times the condition number of ``R``, its columns in units of their
    norm; where ``R`` is singular, a gradient loses the same with the data themselves.

    Attributes:
      triangle: ``R``, its columns as (lag, input), shape ``(K, T, n_x)``: ``K`` is ``T n_x``, or
        the number of targets of positive weight if that is smaller.
      centre: ``C``, shape ``(T, n_y, n_x)``.
      residual: ``r``, shape ``(K, n_y)``.
      constants: loss of the targets of each output that ``Q`` does not span, which no ``L``
        changes, shape ``(n_y,)``.
      num_targets: what the mean loss divides by: ``n_y`` times the sum of the weights, shape
        ``()``.
      dtype: the type in which JAX computes with the data. The arrays are in float64 on the host,
        for what is computed there.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> data = nr.compress(x, y)
      >>> data.triangle.shape, data.shape  # (K, T, n_x) and (T, n_y, n_x)
      ((5, 5, 1), (5, 1, 1))
      >>> L = np.zeros(data.shape)
      >>> np.allclose(data.loss(L), np.sum(y**2) / 2, rtol=1e-5)  # as of the data themselves
      True
    """

    triangle: Float[AnyArray, "K T n_x"]
    centre: Float[AnyArray, "T n_y n_x"]
    residual: Float[AnyArray, "K n_y"]
    constants: Float[AnyArray, " n_y"]
    num_targets: Float[AnyArray, ""]
    dtype: np.dtype = struct.field(pytree_node=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(T, n_y, n_x)`` of impulse responses."""
        seq_len, out_dim, in_dim = self.centre.shape
        return seq_len, out_dim, in_dim

    @property
    def constant(self) -> Float[AnyArray, ""]:
        """The sum of ``constants``, shape ``()``."""
        return self.constants.sum()

    def __repr__(self) -> str:
        # JAX also makes trees of this kind whose leaves are no arrays.
        triangle, centre = (getattr(x, "shape", x) for x in (self.triangle, self.centre))
        return (
            f"CompressedData(triangle {triangle}, centre {centre}, num_targets={self.num_targets})"
        )

    def errors(
        self, impulse_response: Float[AnyArray, "*batch lags n_y n_x"]
    ) -> Float[Array, "*batch K n_y"]:
        """Outputs minus targets as far as the loss depends on them, ``R (L - C) - r``.

        Half of their summed squares is the sum loss, but for ``constant``. Lags beyond ``T``
        are not reached, and those beyond the impulse response are 0.

        Args:
          impulse_response: ``L``, shape ``(lags, n_y, n_x)``, or many at once.

        Returns:
          Shape ``(K, n_y)``, led by the axes that lead those of ``L``.

        Raises:
          ValueError: if the shape does not match, or an entry is not finite.
        """
        response = _checks.numbers("impulse_response", impulse_response)
        shape = response.shape
        if len(shape) < 3 or shape[-3] == 0 or shape[-2:] != self.shape[-2:]:
            raise ValueError(
                "impulse_response must have the shape (T, n_y, n_x) of the data, "
                f"{self.shape}, with any axes in front, got {shape}"
            )
        _checks.same_devices(**{"impulse_response": response, "these data": self})
        data = for_jax(self)
        return _errors(data, _checks.real("impulse_response", response).astype(data.centre.dtype))

    def loss(
        self, impulse_response: Float[AnyArray, "*batch lags n_y n_x"], loss: Loss = "sum"
    ) -> Float[Array, "*batch"]:
        """Squared loss, ``1/2 sum w ||y_hat - y||^2`` (Appendix B.4 of the paper), or its mean.

        The mean is ``sum w ||y_hat - y||^2 / (n_y sum w)``.

        Args:
          impulse_response: ``L``, shape ``(lags, n_y, n_x)``, or many at once.
          loss: ``"sum"`` or ``"mean"``.

        Returns:
          Shape ``()``, or that of the axes that lead those of ``L``.

        Raises:
          ValueError: if the shape does not match, an entry is not finite, or ``loss`` is unknown.
        """
        scale = self.scale(loss)
        squares = jnp.sum(self.errors(impulse_response) ** 2, axis=(-2, -1))
        return scale * (squares / 2 + for_jax(self).constant)

    def scale(self, loss: Loss) -> float | Float[Array, ""]:
        """What the sum loss is multiplied by: 1, or ``2 / num_targets`` for the mean."""
        return loss_scale(check_loss(loss), for_jax(self).num_targets)


def for_jax(data: CompressedData) -> CompressedData:
    """The data rounded to the type in which JAX computes with them."""
    dtype = jax.dtypes.canonicalize_dtype(data.dtype)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), data)


def compress(
    x: Float[AnyArray, "N T n_x"] | Iterable[Any],
    y: Float[AnyArray, "N T n_y"] | None = None,
    weights: Float[AnyArray, "N T"] | None = None,
    *,
    chunk_size: int | None = None,
) -> CompressedData:
    """Compresses a data set to the triangle of a QR factorization, whatever its size.

    ``[A b] = Q [R z; 0 S]`` with the lagged inputs ``A`` and the targets ``b``, each row scaled
    by the root of its weight. Chunks of rows are factorized one after the other, below the
    triangle so far, in float64 by NumPy; memory grows with that of a batch and of a chunk alone.

    Weights multiply squared errors, so weights of 0 give sequences of different lengths (padded
    with any finite inputs), gaps in the targets, which may be NaN there, or targets at the last
    step only.

    Args:
      x: inputs, shape ``(N, T, n_x)``, all finite; or, with neither ``y`` nor ``weights``, an
        iterable of batches ``(x, y)`` or ``(x, y, weights)`` of any numbers of sequences, all of
        one length, which is gone through once.
      y: targets, shape ``(N, T, n_y)``, finite where the weight is not 0.
      weights: at least 0, shape ``(N, T)``; 1 if ``None``.
      chunk_size: number of sequences that are factorized at once; some 10,000 rows if ``None``.

    Returns:
      The compressed data, in float64. JAX computes with them in the type of ``x`` and ``y`` as it
      has it, and at least float32: float64 where JAX's float64 is enabled and ``x`` or ``y`` is of
      that type.

    Raises:
      ValueError: if shapes do not match, anything is empty or not finite, a weight is negative or
        all are 0, or sequences of a stream differ in length or in numbers of inputs or outputs.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = np.random.default_rng(0).normal(size=(1000, 5, 1))
      >>> y = np.cumsum(x, axis=1)
      >>> y[0, 3:] = np.nan  # of the first sequence only three targets are known
      >>> data = nr.compress(x, y, weights=np.isfinite(y[..., 0]).astype(float))
      >>> data.triangle.shape  # in place of (1000, 5, 5, 1)
      (5, 5, 1)
      >>> print(np.round(data.centre[:, 0, 0], 3))
      [1. 1. 1. 1. 1.]
    """
    if chunk_size is not None:
        chunk_size = _checks.integer("chunk_size", chunk_size)
    factor = factor_of(_blocks(checked_batches(x, y, weights), chunk_size), chunk_size)
    if factor is None:
        raise ValueError("x must hold at least one batch (x, y), got an empty iterable")
    if factor.weight == 0:
        raise ValueError("weights must not all be 0, got no positive one; there is nothing to fit")
    return centred(factor)


def _blocks(batches: Iterable[Batch], chunk_size: int | None) -> Iterator[Block]:
    """Rows ``sqrt(w) [A b]`` of some sequences at a time."""
    for batch in batches:
        _, seq_len, in_dim = batch.inputs.shape
        sizes = seq_len, in_dim, batch.targets.shape[2]
        size = -(-rows_at_once(*sizes) // seq_len) if chunk_size is None else chunk_size
        for start in range(0, len(batch.inputs), size):
            x, y, weights = (array[start : start + size] for array in batch[:3])
            kept = weights > 0
            inputs = lagged(x, seq_len)[kept]  # of a view, so each row is copied once
            rows = np.concatenate([inputs.reshape(-1, seq_len * in_dim), y[kept]], axis=1)
            rows *= np.sqrt(weights[kept])[:, None]
            yield Block(rows, sizes, float(np.sum(weights)), batch.dtype)


@np.errstate(over="ignore", invalid="ignore")  # what overflows is refused
def centred(factor: Block) -> CompressedData:
    """Compressed data from the triangle ``[R z; 0 S]`` of inputs and targets."""
    rows, sizes, total_weight, dtype = factor
    seq_len, in_dim, out_dim = sizes
    columns = seq_len * in_dim
    triangle, goal = rows[:columns, :columns], rows[:columns, columns:]
    _check_finite(rows)
    # The units of an input must not decide which directions count as small.
    norms = np.linalg.norm(triangle, axis=0)
    norms = np.where(norms > 0, norms, 1)
    fit = np.linalg.lstsq(triangle / norms, goal, rcond=_CENTRE_CUTOFF)[0] / norms[:, None]
    # The residual is that of the centre as JAX has it, so rounding it costs nothing.
    fit = fit.astype(dtype).astype(np.float64)
    residual = goal - triangle @ fit
    parts = (
        triangle.reshape(-1, seq_len, in_dim),
        fit.reshape(seq_len, in_dim, out_dim).swapaxes(1, 2),
        residual,
        np.sum(rows[columns:, columns:] ** 2, axis=0) / 2,
        np.float64(total_weight * out_dim),
    )
    for part in parts:
        _check_finite(np.asarray(part, dtype))
    return CompressedData(*map(np.asarray, parts), dtype=dtype)


def _check_finite(part: np.ndarray) -> None:
    _checks.finite("x and y, compressed,", part, f"rescale them to fit {part.dtype}")


@jax.jit
def _errors(
    data: CompressedData, impulse_response: Float[Array, "*batch lags n_y n_x"]
) -> Float[Array, "*batch K n_y"]:
    seq_len = data.centre.shape[0]
    response = impulse_response[..., :seq_len, :, :]
    missing = [(0, 0)] * response.ndim
    missing[-3] = (0, seq_len - response.shape[-3])
    shift = jnp.pad(response, missing)
    shift = shift - jnp.broadcast_to(data.centre, shift.shape)
    outputs = jnp.einsum("ktq,...tpq->...kp", data.triangle, shift, precision="highest")
    return outputs - jnp.broadcast_to(data.residual, outputs.shape)
