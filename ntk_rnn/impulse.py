"""The impulse response of a linear RNN, by one chain along the narrower side.

With ``A_j = C (W/sqrt(n))^j`` and ``B_j = (W/sqrt(n))^j F`` the impulse response (eq. 9) is
``L_j = A_j F / sqrt(n) = C B_j / sqrt(n)``: ``T`` products of ``W`` with ``n_y`` rows or ``n_x``
columns, however many sequences there are.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, Params
from ntk_rnn.products.small import response_of
from ntk_rnn.products.wide import WideRNN

# At most this many turns of a loop are unrolled, because each of them is compiled on its own.
_UNROLLED = 32

# Rows times a matrix, and rows times its transpose.
_PRODUCT = {"left": "...n,nk->...k", "right": "...n,kn->...k"}

# Up to so many rows, chains from the right take half of the time on a CPU if each row has a loop of
# its own: its product reads the matrix once, as it lies in memory, and loops run side by side.
_FEW_ROWS = 3


def impulse_response(params: Params | WideRNN, seq_len: int) -> Float[Array, "T n_y n_x"]:
    """Impulse response of a linear RNN (eq. 9): ``L_j = n^{-(j+1)/2} C W^j F``.

    Differentiable in forward and in reverse mode, to any order.

    Args:
      params: what ``init`` of a ``LinearRNN`` returned, ``{"params": {"W": (n, n), "F": (n, n_x),
        "C": (n_y, n)}}``; or a ``wide_rnn``.
      seq_len: number ``T`` of lags.

    Returns:
      ``L``, shape ``(T, n_y, n_x)``.

    Raises:
      ValueError: if ``params`` are not those of a linear RNN or not finite, or ``seq_len`` is not
        positive.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
      >>> model = nr.LinearRNN(width=50, out_dim=1)
      >>> params = model.init(jax.random.key(1), x)
      >>> L = nr.impulse_response(params, seq_len=5)
      >>> L.shape
      (5, 1, 2)
      >>> np.allclose(model.apply(params, x), nr.causal_conv(L, x), atol=1e-5)
      True
    """
    seq_len = _checks.integer("seq_len", seq_len)
    if isinstance(params, WideRNN):
        return response_of(*params.chains(seq_len))
    w, f, c = map(_checks.computed, rnn_matrices(params))
    return response(w, f, c, seq_len)


def response(
    w: Float[AnyArray, "n n"],
    f: Float[AnyArray, "n n_x"],
    c: Float[AnyArray, "n_y n"],
    seq_len: int,
) -> Float[Array, "T n_y n_x"]:
    """``impulse_response`` of given matrices (eq. 9), without checks."""
    scale = w.shape[0] ** -0.5
    if c.shape[0] <= f.shape[1]:
        rows = chain(c, w, seq_len, "left")
        return jnp.einsum("jpn,nq->jpq", rows, f, precision="highest") * scale  # A_j F (eq. 9)
    columns = chain(f.T, w, seq_len, "right")
    return jnp.einsum("pn,jqn->jpq", c, columns, precision="highest") * scale  # C B_j (eq. 9)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def chain(
    start: Float[AnyArray, "m n"],
    matrix: Float[AnyArray, "n n"],
    seq_len: int,
    side: Literal["left", "right"],
) -> Float[Array, "T m n"]:
    """Krylov chain of few rows: ``A_0 = start``, ``A_{j+1} = A_j matrix / sqrt(n)``.

    It has ``T`` lags. From the right, the rows hold the columns of ``B_{j+1} = matrix B_j /
    sqrt(n)`` instead, and ``matrix`` is used as it lies in memory: a transposed copy would cost a
    pass over it.

    The derivative is ``dA_{j+1} = dA_j matrix / sqrt(n) + A_j dmatrix / sqrt(n)``, where the
    second term is one product for all lags. Transposed, it is one backward chain and one product
    of rank ``T m`` for ``matrix``, where differentiating the loop would add ``T`` outer products
    of the size of ``matrix``, one after the other.
    """
    start = jnp.asarray(start)
    if side == "right" and len(start) > _FEW_ROWS and jax.default_backend() != "gpu":
        return _by_columns(start, matrix, seq_len)
    return _lags(start, None, matrix, seq_len, side, apart=side == "right")


@chain.defjvp
def _chain_jvp(
    seq_len: int,
    side: Literal["left", "right"],
    primals: tuple[Array, Array],
    tangents: tuple[Array, Array],
) -> tuple[Array, Array]:
    start, matrix = primals
    d_start, d_matrix = tangents
    rows = chain(start, matrix, seq_len, side)
    forcing = jnp.einsum(_PRODUCT[side], rows[:-1], d_matrix, precision="highest")
    forcing *= matrix.shape[0] ** -0.5
    # The recursion is linear, so it is its own derivative everywhere. Written as a derivative, it
    # transposes on every JAX; some do not recognize a bare loop over tangents as linear. A chain
    # from the left is one from the right once transposed, as it is where a loss is differentiated.
    recursion = partial(_lags, matrix=matrix, seq_len=seq_len, side=side, apart=side == "left")
    change = d_start, forcing
    return rows, jax.jvp(recursion, jax.tree.map(jnp.zeros_like, change), change)[1]


def _lags(
    start: Float[Array, "m n"],
    forcing: Float[Array, "_ m n"] | None,
    matrix: Float[AnyArray, "n n"],
    seq_len: int,
    side: Literal["left", "right"],
    *,
    apart: bool,
) -> Float[Array, "T m n"]:
    """``A_0 = start``, ``A_{j+1} = A_j matrix / sqrt(n) + forcing_j``.

    Few rows may be taken apart, with a loop for each.
    """
    if seq_len == 1:
        return start[None]
    on_gpu = jax.default_backend() == "gpu"
    if apart and not on_gpu and 1 < len(start) <= _FEW_ROWS:
        chains = [
            _lags(
                _only(start, i), None if forcing is None else _only(forcing, i), matrix, seq_len,
                side, apart=False,
            )
            for i in range(len(start))
        ]  # fmt: skip
        return jnp.concatenate(chains, axis=1)
    scale = matrix.shape[0] ** -0.5

    def step(row: Array, force: Array | None) -> tuple[Array, Array]:
        # Scale the few rows, not the matrix: a scaled copy of the matrix costs a pass over it.
        following = jnp.einsum(_PRODUCT[side], row, matrix, precision="highest") * scale
        following = following if force is None else following + force
        return following, following

    # On a GPU the host starts each turn of a loop, which outlasts a product of few rows: unrolled,
    # a kernel of width 1000 takes a third of the time. On a CPU a loop is the faster one.
    unroll = _UNROLLED if on_gpu else 1
    _, rows = lax.scan(step, start, forcing, length=seq_len - 1, unroll=unroll)
    return jnp.concatenate([start[None], rows])


def _by_columns(
    start: Float[Array, "m n"], matrix: Float[AnyArray, "n n"], seq_len: int
) -> Float[Array, "T m n"]:
    """``chain`` from the right, as products of the matrix with columns.

    On a CPU products with four to sixteen columns take half to two thirds of the time of products
    of as many rows with the transpose, and products with more columns take as long. Derivatives do
    not come this way, because the transpose of these products is slow.
    """
    scale = matrix.shape[0] ** -0.5

    def step(columns: Array, _: None) -> tuple[Array, Array]:
        following = jnp.einsum("kn,nm->km", matrix, columns, precision="highest") * scale
        return following, following.T

    _, rows = lax.scan(step, start.T, None, length=seq_len - 1)
    return jnp.concatenate([start[None], rows])


def rnn_matrices(params: Params) -> tuple[Array, Array, Array]:
    """The matrices ``W (n, n)``, ``F (n, n_x)``, ``C (n_y, n)`` of a linear RNN's parameters.

    Raises:
      ValueError: if ``params`` lack one of them, their shapes do not fit together, or an entry is
        not finite.
    """
    if isinstance(params, WideRNN):
        raise ValueError(f"params must have a W, got a WideRNN; {params._instead}")
    try:
        w, f, c = (
            _checks.real(f"params['params'][{name!r}]", params["params"][name]) for name in "WFC"
        )
    except (KeyError, TypeError, IndexError):
        raise ValueError(
            'params must be those of a LinearRNN, {"params": {"W", "F", "C"}}, got '
            f"{jax.tree.map(jnp.shape, params)}; pass what LinearRNN(...).init returned"
        ) from None
    n = w.shape[0] if w.ndim == 2 else 0
    if w.shape != (n, n) or f.ndim != 2 or c.ndim != 2 or f.shape[0] != n or c.shape[1] != n:
        raise ValueError(
            "params must hold W (n, n), F (n, n_x) and C (n_y, n), got shapes "
            f"{w.shape}, {f.shape} and {c.shape}"
        )
    _checks.one_dtype("params", W=w, F=f, C=c)
    _checks.finite_leaves("params", {"params": {"W": w, "F": f, "C": c}})
    return w, f, c


def _only(rows: Float[Array, "*lags m n"], index: int) -> Float[Array, "*lags 1 n"]:
    """One of the rows, by padding that takes away the others.

    neural-tangents' structured derivatives have a rule for padding, and none for slices.
    """
    none = (0, 0, 0)
    taken = (-index, index + 1 - rows.shape[-2], 0)
    return lax.pad(rows, jnp.zeros((), rows.dtype), [*[none] * (rows.ndim - 2), taken, none])
