"""How far the hidden state of a linear RNN is from its Gaussian limit (Appendix A)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, Params, Scalar
from ntk_rnn.kernels.finite_width import finite_width_gram
from ntk_rnn.kernels.infinite_width import weighted_products
from ntk_rnn.regression.symmetric import symmetric_root
from ntk_rnn.sequences import lagged
from ntk_rnn.theory.initialization import gaussian_limit


def hidden_state_covariance(
    params: Params, x: Float[AnyArray, "N T n_x"]
) -> Float[Array, "N T N T"]:
    """Covariance of the hidden state over units: ``<h_t(x), h_s(x')> / n``, mean 0 (Appendix A).

    The hidden state is ``h_t = sum_{j <= t} B_j x_{t-j}`` with ``B_j = (W/sqrt(n))^j F``, and the
    ``n`` rows of ``B_j`` tend to a Gaussian law. So the covariance is the Gram matrix
    ``Q_{ab} = B_a^T B_b / n`` of ``FiniteWidthGram`` between lagged inputs.

    Args:
      params: what ``init`` of a ``LinearRNN`` returned.
      x: sequences, shape ``(N, T, n_x)``; ``unit_impulses`` give the law of ``W^j F`` itself.

    Returns:
      Shape ``(N, T, N, T)``.

    Raises:
      ValueError: if ``params`` are not those of a linear RNN, or do not fit ``x``.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (2, 3, 1))
      >>> params = nr.LinearRNN(width=50, out_dim=1).init(jax.random.key(1), x)
      >>> nr.hidden_state_covariance(params, x).shape
      (2, 3, 2, 3)
    """
    x = _checks.computed(_checks.sequences("x", x))
    _checks.same_devices(params=params, x=x)
    q = finite_width_gram(params, x.shape[1]).q
    _checks.same("params F.shape[1]", q.shape[2], "x.shape[2]", x.shape[2], "number of inputs")
    lags = lagged(x, x.shape[1]).astype(q.dtype)
    half = jnp.einsum("itaq,abqr->itbr", lags, q, precision="highest")
    return jnp.einsum("itbr,jsbr->itjs", half, lags, precision="highest")


def hidden_state_limit(
    x: Float[AnyArray, "N T n_x"], nu_w: Scalar, nu_f: Scalar
) -> Float[Array, "N T N T"]:
    """Limit of ``hidden_state_covariance`` (eqs. 43 and 49), at infinite width.

    ``sum_{j <= min(t, s)} nu_F nu_W^j <x_{t-j}, x'_{s-j}>``.

    Args:
      x: sequences, shape ``(N, T, n_x)``.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.

    Returns:
      Shape ``(N, T, N, T)``.

    Raises:
      ValueError: if ``x`` is not of rank 3 or not finite, or a variance not positive and finite.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> limit = nr.hidden_state_limit(np.ones((1, 3, 1)), nu_w=0.5, nu_f=1.0)
      >>> print(limit[0, :, 0])
      [[1.   1.   1.  ]
       [1.   1.5  1.5 ]
       [1.   1.5  1.75]]
    """
    x = _checks.computed(_checks.sequences("x", x))
    # The sum of eq. 20, with the variances nu_F nu_W^j of W^j F (eq. 43) in place of lag weights.
    variances = gaussian_limit(x.shape[1], nu_w, nu_f, 1.0).astype(x.dtype)
    return weighted_products(x, x, variances).swapaxes(1, 2)  # eq. 49


def gaussian_wasserstein(
    cov1: Float[AnyArray, "d d"], cov2: Float[AnyArray, "d d"]
) -> Float[Array, ""]:
    """Wasserstein-2 distance between two Gaussians of mean 0 (eq. 32).

    ``W2^2 = tr(C1) + tr(C2) - 2 tr((C1^{1/2} C2 C1^{1/2})^{1/2})``. It is computed as the equal
    ``min_O ||C1^{1/2} - C2^{1/2} O||_F^2`` over orthogonal ``O``, which subtracts no traces, so
    that the distance of nearly equal covariances is not lost in rounding. Covariances may be
    singular: a direction whose variance is below rounding, beside the largest, counts as having
    none. The derivative is 0 where they are equal.

    Args:
      cov1: covariance ``C1``, symmetric positive semi-definite, shape ``(d, d)``.
      cov2: covariance ``C2``, likewise, shape ``(d, d)``.

    Returns:
      ``W2``, shape ``()``.

    Raises:
      ValueError: if the matrices are not square, of one shape, finite, symmetric and positive
        semi-definite.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> print(f"{nr.gaussian_wasserstein(np.eye(2), 4 * np.eye(2)):.4f}")  # sqrt(2) (2 - 1)
      1.4142
    """
    root1, root2 = _square_root("cov1", cov1), _square_root("cov2", cov2)
    _checks.same("cov1.shape", root1.shape, "cov2.shape", root2.shape, "shape")
    _checks.same_devices(cov1=root1, cov2=root2)
    root1, root2 = _checks.common_type(root1, root2)
    # The best O is the orthogonal factor of C2^{1/2} C1^{1/2}; its distance is that of eq. 32.
    rotation = _orthogonal_factor(jnp.matmul(root2, root1, precision="highest"))
    square = jnp.sum((root1 - jnp.matmul(root2, rotation, precision="highest")) ** 2)
    # Equal covariances are a minimum, from where the distance rises on all sides. Of what is
    # rounding there, the derivative would be that of any direction.
    size = jnp.sum(root1**2) + jnp.sum(root2**2)
    apart = square > (10 * len(root1) * jnp.finfo(root1.dtype).eps) ** 2 * size
    rounding = lax.stop_gradient(jnp.sqrt(square))
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1)), rounding)


@jax.custom_jvp
def _orthogonal_factor(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """The orthogonal ``O`` that is nearest to a matrix ``M``: ``U V^T`` for ``M = U S V^T``."""
    u, _, vt = jnp.linalg.svd(matrix)
    return jnp.matmul(u, vt, precision="highest")


@_orthogonal_factor.defjvp
def _orthogonal_factor_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    """``dO = U K V^T``, ``K_ij = (U^T dM V - V^T dM^T U)_ij / (s_i + s_j)``.

    It has no ``1 / (s_i - s_j)``, and where two singular values are 0, ``O`` may stay.
    """
    (matrix,), (d_matrix,) = primals, tangents
    u, s, vt = jnp.linalg.svd(matrix)
    change = jnp.einsum("ia,ij,bj->ab", u, d_matrix, vt, precision="highest")
    sums = s[:, None] + s[None, :]
    moves = sums > len(s) * jnp.finfo(s.dtype).eps * jnp.max(s)
    turn = jnp.where(moves, (change - change.T) / jnp.where(moves, sums, 1), 0)
    turned = jnp.einsum("ia,ab,bj->ij", u, turn, vt, precision="highest")
    return _orthogonal_factor(matrix), turned


def _square_root(name: str, covariance: Float[AnyArray, "d d"]) -> Float[Array, "d d"]:
    """The symmetric root of a symmetric positive semi-definite matrix."""
    matrix = _checks.computed(_checks.real(name, covariance))
    shape = matrix.shape
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"{name} must be a square matrix, got shape {shape}")
    _checks.symmetric_semidefinite(name, matrix)
    return jnp.asarray(symmetric_root(matrix))
