"""Sequences as matrices: lagged inputs and causal convolution.

Every model of this library is a causal linear map of sequences, so all results depend on the
inputs of a data set through the matrix of its lagged inputs alone.

``lagged``, ``convolved`` and ``outputs_of_each`` are for callers inside the library: they check
nothing, and they take and give NumPy arrays as well as JAX arrays.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._namespace import compiled
from ntk_rnn._types import AnyArray

# A sum over lags is used for at most this many lags, because each is compiled on its own, and for
# at least this many inputs per output, where the lagged inputs would be much larger than the
# products with each lag. It is 3 times as fast for the paper's recordings.
_FEW_LAGS, _MANY_INPUTS = 32, 8


def lagged_inputs(
    x: Float[AnyArray, "N T n_x"], num_lags: int | None = None
) -> Float[Array, "N T lags n_x"]:
    """Lagged inputs: ``X[i, t, j] = x[i, t - j]``, and 0 where ``j > t``.

    Reshaped to ``(N T, lags n_x)`` this is the matrix ``A`` of the least-squares problem
    ``1/2 ||A L - y||^2`` that training solves (Appendix B.4 of the paper).

    Args:
      x: input sequences, shape ``(N, T, n_x)``.
      num_lags: number of lags; the length ``T`` of the sequences if ``None``.

    Returns:
      Shape ``(N, T, num_lags, n_x)``.

    Raises:
      ValueError: if ``x`` is empty, not of rank 3 or not finite, or ``num_lags`` is not positive.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = np.array([[[1.0], [2.0], [3.0]]])  # one sequence of three steps
      >>> print(nr.lagged_inputs(x)[0, :, :, 0])
      [[1. 0. 0.]
       [2. 1. 0.]
       [3. 2. 1.]]
    """
    x = _checks.sequences("x", x)
    seq_len = x.shape[1]
    lags = seq_len if num_lags is None else _checks.integer("num_lags", num_lags)
    return lagged(x, lags)


@partial(compiled, static_argnums=1)
def lagged(x: Float[AnyArray, "N T n_x"], lags: int) -> Float[AnyArray, "N T lags n_x"]:
    """``lagged_inputs`` without checks; for a NumPy array it is a view of little memory."""
    num, seq_len, in_dim = x.shape
    if isinstance(x, np.ndarray):
        # The lagged inputs of a time are a stretch of the inputs in reverse, followed by zeros.
        backwards = np.concatenate([x[:, ::-1], np.zeros((num, lags - 1, in_dim), x.dtype)], axis=1)
        stretches = np.lib.stride_tricks.sliding_window_view(backwards, lags, axis=1)
        return stretches[:, ::-1].swapaxes(2, 3)
    padded = jnp.pad(x, ((0, 0), (lags - 1, 0), (0, 0)))
    index = np.arange(seq_len)[:, None] - np.arange(lags)[None, :] + lags - 1
    return padded[:, index]


def toeplitz(
    impulse_response: Float[AnyArray, "lags n_y n_x"], seq_len: int
) -> Float[Array, "M K"]:
    """The block lower-triangular Toeplitz matrix of a causal convolution (eq. 5).

    ``M[(t, p), (s, q)] = L_{t - s}[p, q]``, and 0 where ``s > t``, so that
    ``vec(y) = M vec(x)`` for one sequence.

    Args:
      impulse_response: ``L``, shape ``(lags, n_y, n_x)``.
      seq_len: length ``T`` of the sequences.

    Returns:
      Shape ``(T n_y, T n_x)``.

    Raises:
      ValueError: if ``impulse_response`` is not of rank 3 or ``seq_len`` is not positive.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> L = np.array([1.0, 0.5, 0.25]).reshape(3, 1, 1)
      >>> print(nr.toeplitz(L, seq_len=3))
      [[1.   0.   0.  ]
       [0.5  1.   0.  ]
       [0.25 0.5  1.  ]]
    """
    seq_len = _checks.integer("seq_len", seq_len)
    response = _checks.impulse_response("impulse_response", impulse_response)
    lags, out_dim, in_dim = response.shape
    delay = np.arange(seq_len)[:, None] - np.arange(seq_len)[None, :]  # t - s
    present = jnp.asarray((delay >= 0) & (delay < lags))[:, :, None, None]
    # (eq. 5)
    blocks = jnp.where(present, response[np.clip(delay, 0, lags - 1)], 0)
    return blocks.transpose(0, 2, 1, 3).reshape(seq_len * out_dim, seq_len * in_dim)


def causal_conv(
    impulse_response: Float[AnyArray, "lags n_y n_x"], x: Float[AnyArray, "N T n_x"]
) -> Float[Array, "N T n_y"]:
    """Causal convolution (eq. 5): ``y_t = sum_{j <= t} L_j x_{t-j}``.

    It is one matrix product, exactly causal and differentiable in both arguments. The product is
    with the lagged inputs, which take ``N T lags n_x`` numbers of memory. For few lags and many
    more inputs than outputs it is with the inputs themselves, and its ``N T lags n_y`` results are
    delayed and added. Lags beyond the length of the sequences are not reached; lags beyond those of
    the impulse response are 0.

    Args:
      impulse_response: ``L``, shape ``(lags, n_y, n_x)``.
      x: input sequences, shape ``(N, T, n_x)``.

    Returns:
      Outputs, shape ``(N, T, n_y)``.

    Raises:
      ValueError: if a shape is wrong or the numbers of inputs ``n_x`` differ.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> L = np.array([1.0, 0.5, 0.25]).reshape(3, 1, 1)
      >>> x = np.array([1.0, 0.0, 2.0]).reshape(1, 3, 1)
      >>> print(nr.causal_conv(L, x)[0, :, 0])
      [1.   0.5  2.25]
    """
    response = _checks.impulse_response("impulse_response", impulse_response)
    x = _checks.computed(_checks.sequences("x", x))
    _checks.same(
        "impulse_response.shape[2]", response.shape[2], "x.shape[2]", x.shape[2], "number of inputs"
    )
    _checks.same_devices(impulse_response=response, x=x)
    return convolved(*_checks.common_type(response, x))


@compiled
def convolved(
    response: Float[AnyArray, "lags n_y n_x"], x: Float[AnyArray, "N T n_x"]
) -> Float[AnyArray, "N T n_y"]:
    """``causal_conv`` without checks (eq. 5), without lagged inputs for NumPy arrays.

    It is one program in JAX, because for few sequences calling its parts would take longer.
    """
    seq_len = x.shape[1]
    response = response[:seq_len]
    lags, out_dim, in_dim = response.shape
    if isinstance(x, np.ndarray):
        outputs = np.zeros((*x.shape[:2], out_dim))
        for j in range(lags):
            outputs[:, j:] += x[:, : seq_len - j] @ response[j].T  # (eq. 5)
        return outputs
    if lags > _FEW_LAGS or in_dim < _MANY_INPUTS * out_dim:  # both ways (eq. 5)
        return jnp.einsum("ntjq,jpq->ntp", lagged(x, lags), response, precision="highest")
    products = jnp.einsum("ntq,jpq->jntp", x, response, precision="highest")
    outputs = jnp.zeros_like(products[0])
    for j in range(lags):
        outputs += jnp.pad(products[j, :, : seq_len - j], ((0, 0), (j, 0), (0, 0)))
    return outputs


def outputs_of_each(
    responses: Float[AnyArray, "*batch lags n_y n_x"], x: Float[AnyArray, "N T n_x"]
) -> Float[AnyArray, "*batch N T n_y"]:
    """Outputs of many impulse responses, as further outputs of one convolution (eq. 5)."""
    *batch, lags, out_dim, in_dim = responses.shape
    stacked = responses.reshape(-1, lags, out_dim, in_dim).swapaxes(0, 1)
    outputs = convolved(stacked.reshape(lags, -1, in_dim), x)
    outputs = outputs.reshape(*outputs.shape[:2], -1, out_dim).transpose(2, 0, 1, 3)
    return outputs.reshape(*batch, *outputs.shape[1:])


def unit_impulses(
    seq_len: int, in_dim: int, dtype: np.dtype | type | None = None
) -> Float[Array, "n_x T n_x"]:
    """``n_x`` sequences, the q-th of which is 1 in input q at time 0 and 0 elsewhere.

    The response of a causal linear model to them is its impulse response (eq. 5):
    ``apply_fn(params, impulses)[q, j, p] = L_j[p, q]``.

    Args:
      seq_len: their length ``T``.
      in_dim: number ``n_x`` of inputs.
      dtype: their type; JAX's default floating type if ``None``.

    Returns:
      Shape ``(n_x, T, n_x)``.

    Raises:
      ValueError: if a size is not a positive integer, or ``dtype`` no type of numbers.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> impulses = nr.unit_impulses(seq_len=3, in_dim=1)
      >>> print(impulses[0, :, 0])
      [1. 0. 0.]
      >>> L = np.array([1.0, 0.5, 0.25]).reshape(3, 1, 1)
      >>> print(nr.causal_conv(L, impulses)[0, :, 0])
      [1.   0.5  0.25]
    """
    seq_len = _checks.integer("seq_len", seq_len)
    in_dim = _checks.integer("in_dim", in_dim)
    dtype = None if dtype is None else _checks.number_type("dtype", dtype)
    return _unit_impulses(seq_len, in_dim, dtype)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _unit_impulses(seq_len: int, in_dim: int, dtype: np.dtype | None) -> Float[Array, "n_x T n_x"]:
    # One program, because one call for each of its operations takes longer than a small kernel.
    impulses = jnp.zeros((in_dim, seq_len, in_dim), dtype)
    return impulses.at[:, 0, :].set(jnp.eye(in_dim, dtype=dtype))
