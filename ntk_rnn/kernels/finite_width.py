"""The exact neural tangent kernel of a linear RNN of any width.

The kernel is ``X G X'^T`` with the Toeplitz matrix ``X`` of the inputs and the Gram matrix ``G`` of
the gradients of the impulse response, which depends on the network alone. ``G`` in turn is made of
the Gram matrices of the two chains of the impulse response. So what other tools pay per pair of
sequences is paid here once per network.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, Params
from ntk_rnn.impulse import chain, rnn_matrices
from ntk_rnn.kernels.convolution import causal_conv_2d
from ntk_rnn.kernels.layout import refuse_too_large
from ntk_rnn.products.small import Chains, einsum
from ntk_rnn.products.wide import WideRNN
from ntk_rnn.sequences import lagged


class FiniteWidthGram(NamedTuple):
    """Gram matrix of the gradients of the impulse response (from ``finite_width_gram``).

    ``G[j,p,q; k,r,s] = <dL_j[p,q], dL_k[r,s]> = delta_{pr} Q_{jk}[q,s] + delta_{qs} P_{jk}[p,r] +
    sum_{a<j, b<k} P_{ab}[p,r] Q_{j-1-a,k-1-b}[q,s]``: the gradients with respect to ``C``, ``F``
    and ``W``.

    Attributes:
      p: ``P_{ab} = A_a A_b^T / n`` with ``A_a = C (W/sqrt(n))^a``, shape ``(T, T, n_y, n_y)``.
      q: ``Q_{ab} = B_a^T B_b / n`` with ``B_a = (W/sqrt(n))^a F``, shape ``(T, T, n_x, n_x)``.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
      >>> params = nr.LinearRNN(width=50, out_dim=1).init(jax.random.key(1), x)
      >>> gram = nr.finite_width_gram(params, seq_len=5)
      >>> gram.p.shape, gram.q.shape
      ((5, 5, 1, 1), (5, 5, 2, 2))
      >>> rho, rest = gram.lag_weights()  # rho tends to lag_weights(5, ...), the rest to 0
      >>> rho.shape, rest.shape
      ((5,), ())
    """

    p: Float[Array, "T T n_y n_y"]
    q: Float[Array, "T T n_x n_x"]

    def dense(self) -> Float[Array, "T n_y n_x T n_y n_x"]:
        """``G`` over the entries of the impulse response, shape ``(T, n_y, n_x, T, n_y, n_x)``."""
        return _gram(self.p, self.q).transpose(0, 2, 4, 1, 3, 5)

    def lag_weights(self) -> tuple[Float[Array, " T"], Float[Array, ""]]:
        """The diagonal of ``G`` averaged over entries of each lag, and the size of the rest.

        Returns:
          The finite-width lag weights, shape ``(T,)``, which tend to ``rho`` (eq. 21) as the width
          grows; and the Frobenius norm of ``G`` without them, relative to theirs, shape ``()``,
          which tends to 0 as ``1 / sqrt(n)``.
        """
        gram = _gram(self.p, self.q)
        entries = gram.shape[2] * gram.shape[4]
        rho = jnp.einsum("jjppqq->j", gram) / entries
        units = (jnp.eye(size, dtype=rho.dtype) for size in gram.shape[::2])
        diagonal = jnp.einsum("j,jk,pr,qs->jkprqs", rho, *units)
        return rho, _relative_norm(gram - diagonal, diagonal)

    def drift(self, initial: FiniteWidthGram) -> Float[Array, ""]:
        """How far the kernel has moved: ``||G - G^0||_F / ||G^0||_F``, shape ``()``.

        During training it measures how lazy the network is: as the width grows it tends to 0, and
        the network to its linearization at the start.

        Args:
          initial: ``G^0``, of as many lags, inputs and outputs.

        Returns:
          The distance, NaN where training has diverged.
        """
        if not isinstance(initial, FiniteWidthGram):
            raise ValueError(
                f"initial must be a FiniteWidthGram, got {type(initial).__name__}; pass "
                "finite_width_gram(params, seq_len) at the start"
            )
        for name, here, there in (("p", self.p, initial.p), ("q", self.q, initial.q)):
            _checks.same(
                f"initial.{name}.shape", there.shape, f"this Gram's {name}.shape", here.shape,
                "shape",
            )  # fmt: skip
        return _relative_distance(self, initial)

    def ntk(
        self,
        x1: Float[AnyArray, "N1 T n_x"],
        x2: Float[AnyArray, "N2 T2 n_x"] | None = None,
        *,
        full: bool = False,
    ) -> Float[Array, "N1 N2 T T2"] | Float[Array, "N1 N2 T T2 n_y n_y"]:
        """Neural tangent kernel (eq. 11), exact: ``K(x, x') = X G X'^T``.

        Args:
          x1: sequences, shape ``(N1, T, n_x)``, of at most as many steps as the Gram has lags.
          x2: sequences, shape ``(N2, T2, n_x)``, likewise; ``x1`` if ``None``.
          full: whether to keep all pairs of outputs, rather than their trace divided by ``n_y``.

        Returns:
          Shape ``(N1, N2, T, T2)``, or ``(N1, N2, T, T2, n_y, n_y)`` if ``full``.

        Raises:
          ValueError: if shapes do not fit, an entry is not finite, or the kernel is larger than
            the memory.
        """
        x1, x2 = _checks.both_sequences(x1, x2)
        full = _checks.flag("full", full)
        _checks.same_devices(**{"this Gram matrix": self, "x1": x1})
        _checks.same(
            "x1.shape[2]", x1.shape[2], "n_x of the Gram", self.q.shape[2], "number of inputs"
        )
        lags, outputs = len(self.p), self.p.shape[2]
        for name, seq_len in (("x1", x1.shape[1]), ("x2", x2.shape[1])):
            if seq_len > lags:
                raise ValueError(
                    f"{name} must have at most {lags} steps, the lags of this Gram matrix, got "
                    f"{seq_len}; compute it with seq_len={seq_len}"
                )
        shape = (len(x1), len(x2), x1.shape[1], x2.shape[1])
        refuse_too_large(shape + ((outputs, outputs) if full else ()), self.q.dtype)
        return _kernel(self, x1, x2, full)


def finite_width_gram(params: Params | WideRNN, seq_len: int) -> FiniteWidthGram:
    """Gram matrix of the gradients of a linear RNN's impulse response, at its parameters.

    With it, ``finite_width_gram(params, T).ntk(x1, x2)`` is the neural tangent kernel that
    ``empirical_ntk`` computes from Jacobians, exact at every width, at the cost of two chains of
    ``T`` products with ``W``. It is not in the paper; `ntk_rnn.guide.theory` has the equation.

    Args:
      params: what ``init`` of a ``LinearRNN`` returned, or any later parameters; or a ``wide_rnn``.
      seq_len: number ``T`` of lags.

    Returns:
      The Gram matrix, by its two factors.

    Raises:
      ValueError: if ``params`` are not those of a linear RNN or ``seq_len`` is not positive.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
      >>> params = nr.LinearRNN(width=50, out_dim=1).init(jax.random.key(1), x)
      >>> K = nr.finite_width_gram(params, seq_len=5).ntk(x)
      >>> K.shape
      (3, 3, 5, 5)
    """
    seq_len = _checks.integer("seq_len", seq_len)
    if isinstance(params, WideRNN):
        _, chains, scale = params.chains(seq_len)
        return gram_of(chains, scale)
    return _factors(*map(_checks.computed, rnn_matrices(params)), seq_len)


def gram_of(chains: Chains, scale: Float[Array, ""]) -> FiniteWidthGram:
    """``finite_width_gram`` of both chains, in the coordinates of an orthonormal basis."""
    return FiniteWidthGram(
        einsum("apr,bqr->abpq", chains.rows, chains.rows) * scale**2,
        einsum("arp,brq->abpq", chains.columns, chains.columns) * scale**2,
    )


@partial(jax.jit, static_argnames="full")
def _kernel(gram: FiniteWidthGram, x1: Array, x2: Array, full: bool) -> Array:
    """``FiniteWidthGram.ntk`` as one program: for few sequences, calls would outlast it."""
    lengths = x1.shape[1], x2.shape[1]
    dtype = jnp.result_type(x1.dtype, x2.dtype, gram.q.dtype)
    x1, x2 = x1.astype(dtype), x2.astype(dtype)
    p, q = (a[: max(lengths), : max(lengths)].astype(dtype) for a in gram)
    if not full:  # the mean over outputs
        p = jnp.einsum("abpp->ab", p)[:, :, None, None] / p.shape[2]
    lags1, lags2 = (lagged(x, x.shape[1]) for x in (x1, x2))
    g = _gram(p, q)[: lengths[0], : lengths[1]]
    # X G X'^T (eq. 11)
    half = jnp.einsum("itjq,jlprqv->itlvpr", lags1, g, precision="highest")
    kernel = jnp.einsum("itlvpr,kslv->iktspr", half, lags2, precision="highest")
    return kernel if full else kernel[..., 0, 0]


@jax.jit
def _relative_distance(gram: FiniteWidthGram, initial: FiniteWidthGram) -> Float[Array, ""]:
    before = _gram(*initial)
    return _relative_norm(_gram(*gram) - before, before)


def _relative_norm(part: Array, whole: Array) -> Float[Array, ""]:
    """``||part|| / ||whole||``, 0 for nothing of nothing, as at zero parameters.

    It is NaN if an entry is not finite, as after training has diverged.
    """
    # Squares of small entries would underflow.
    largest = jnp.max(jnp.abs(whole))
    scale = jnp.where(largest > 0, largest, 1)
    amount, size = (jnp.sqrt(jnp.sum((each / scale) ** 2)) for each in (part, whole))
    ratio = jnp.where(amount == 0, 0, amount / jnp.where(amount == 0, 1, size))
    return jnp.where(jnp.isnan(ratio) | ~jnp.all(jnp.isfinite(part)), jnp.nan, ratio)


@jax.jit
def _gram(
    p: Float[Array, "T T a a"], q: Float[Array, "T T n_x n_x"]
) -> Float[Array, "T T a a n_x n_x"]:
    """``G`` with the axes of lags first, then those of outputs and of inputs."""
    (seq_len, _, a, _), in_dim = p.shape, q.shape[2]
    conv = causal_conv_2d(p.reshape(seq_len, seq_len, -1), q.reshape(seq_len, seq_len, -1))
    conv = conv.reshape(seq_len, seq_len, a, a, in_dim, in_dim)
    through_w = jnp.pad(conv[:-1, :-1], ((1, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 0)))
    through_c = jnp.einsum("jkqs,pr->jkprqs", q, jnp.eye(a, dtype=p.dtype))
    through_f = jnp.einsum("jkpr,qs->jkprqs", p, jnp.eye(in_dim, dtype=p.dtype))
    return through_w + through_c + through_f


@partial(jax.jit, static_argnums=3)
def _factors(w: Array, f: Array, c: Array, seq_len: int) -> FiniteWidthGram:
    n = w.shape[0]
    rows, columns = chain(c, w, seq_len, "left"), chain(f.T, w, seq_len, "right")
    return FiniteWidthGram(
        jnp.einsum("apn,brn->abpr", rows, rows, precision="highest") / n,
        jnp.einsum("aqn,bsn->abqs", columns, columns, precision="highest") / n,
    )
