"""How far gradient descent moves each lag of the impulse response (Theorem 4.1)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, Scalar
from ntk_rnn.kernels.infinite_width import impulse_variances, lag_weights, rho_max
from ntk_rnn.sequences import lagged


class DriftBound(NamedTuple):
    """The bound of Theorem 4.1 for a training problem, from ``drift_bound``.

    Attributes:
      expected_energy: ``E||L_j^0||_F^2`` of the wide RNN at each lag (eq. 24), shape ``(T,)``.
      max_learning_rate: ``B1``, below which the theorem holds, shape ``()``.
      b2: ``B2``, shape ``()``.
      bound: upper bound on ``||L_j^l - L_j^0||_F``, shape ``(T,)`` after the shape of ``steps``.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> data = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> nu = {"nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0}
      >>> theorem = nr.drift_bound(data, **nu, learning_rate=1e-4, steps=[0, 100])
      >>> theorem.bound.shape, theorem.expected_energy.shape
      ((2, 5), (5,))
      >>> bool(1e-4 < theorem.max_learning_rate)
      True
    """

    expected_energy: Float[Array, " T"]
    max_learning_rate: Float[Array, ""]
    b2: Float[Array, ""]
    bound: Float[Array, "*steps T"]


def drift_bound(
    data: tuple[Float[AnyArray, "N T n_x"], Float[AnyArray, "N T n_y"]],
    *,
    nu_w: Scalar,
    nu_f: Scalar,
    nu_c: Scalar,
    learning_rate: Scalar,
    steps: Any,
    initial: Float[AnyArray, "T n_y n_x"] | None = None,
    b2: Literal["rigorous", "paper"] = "rigorous",
) -> DriftBound:
    """Bound on the change of the impulse response in training (Theorem 4.1).

    ``||L_j^l - L_j^0||_F <= B2 rho_j eta l`` (eq. 60) for ``eta < B1 = 1/(rho_max ||A||_2^2)``,
    ``rho_max = nu_C (T nu_F + 1) + nu_F``: long lags, whose ``rho_j`` is small, hardly move. The
    theorem is about gradient descent of the scaled convolution on ``1/2 ||A L - y||^2`` (the sum
    loss), which the RNN follows as its width grows. ``A (N T, T n_x)`` is the matrix of lagged
    inputs and ``b = y - A L^0`` the residual at the start; ``||b||`` and ``||A^T b||`` are
    Frobenius norms.

    Why ``B2 = ||A||_2 ||b||``: with ``D = diag(rho)``, ``L^l - L^0 = D u_l`` and
    ``u_l = eta sum_{k<l} (I - eta A^T A D)^k A^T b = eta A^T sum_{k<l} (I - eta A D A^T)^k b``.
    The last matrix is symmetric, of norm at most 1 as long as ``eta <= 2/lambda_max(A D A^T)``, so
    that ``||u_l|| <= eta l ||A||_2 ||b||``. Nothing here needs ``eta < B1``: the bound holds up to
    the limit of stability (``kernel_regression(...).max_learning_rate``), more than twice ``B1``,
    although only learning rates below ``B1`` are accepted.

    The paper's ``B2 = ||A^T b||`` (``b2="paper"``) rests on ``||u_l|| <= eta l ||A^T b||``
    (eq. 61), which fails, and with it (60) at single lags: ``I - eta A^T A D`` is not symmetric,
    and its norm can exceed 1. For the sequence ``x_t = (-1)^t`` and small variances the ratio of
    the two sides reaches 1.1 for ``T = 2`` and was measured to grow about as ``sqrt(T / 3)``, so
    no constant mends it. It never exceeds the rigorous one, and holds on most problems.

    Args:
      data: training inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``.
      nu_w: variance of the entries of ``W``, below 1.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.
      learning_rate: ``eta``, below ``B1``.
      steps: numbers ``l`` of steps, at least 0: one or an array, as ``TrainingPath.step``.
      initial: ``L^0``, shape ``(T, n_y, n_x)``; 0 if ``None``.
      b2: ``"rigorous"`` or ``"paper"``.

    Returns:
      The bound and its constants, in the floating type of the data.

    Raises:
      ValueError: if shapes do not match, an entry is not finite, a variance not positive,
        ``nu_w >= 1``, the learning rate not positive or not below ``B1``, a step negative or not
        whole, or ``b2`` unknown.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> data = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> nu = {"nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0}
      >>> bound = nr.drift_bound(data, **nu, learning_rate=1e-4, steps=100).bound
      >>> kernel = nr.kernel_regression(nr.lag_weights(5, **nu), data)
      >>> L = kernel.impulse_response(step=100, learning_rate=1e-4)  # from 0
      >>> bool(np.all(np.linalg.norm(L, axis=(1, 2)) <= bound))
      True
    """
    x, y = map(_checks.computed, _checks.data_set("data", data))
    seq_len, in_dim, out_dim = x.shape[1], x.shape[2], y.shape[2]
    _checks.one_of("b2", b2, "rigorous", "paper")
    weights = lag_weights(seq_len, nu_w, nu_f, nu_c).astype(x.dtype)
    if not _checks.is_traced(nu_w) and nu_w >= 1:
        raise ValueError(
            f"nu_w must be below 1 for Theorem 4.1 (drift_bound), got {float(nu_w):g}: from there "
            "on lag weights need not stay below its rho_max"
        )
    _checks.positive(learning_rate=learning_rate)
    learning_rate = _checks.number("learning_rate", learning_rate)
    steps = _checks.nonnegative("steps", steps, whole=True)
    initial = _checks.initial_response(initial, (seq_len, out_dim, in_dim), x.dtype)
    _checks.same_devices(data=x, initial=initial)

    inputs = lagged(x, seq_len)
    a = inputs.reshape(-1, seq_len * in_dim)
    outputs = jnp.einsum("ntjq,jpq->ntp", inputs, initial, precision="highest")
    residual = (y - outputs).reshape(-1, out_dim)
    norm = jnp.linalg.norm(a, 2)
    nu_w, nu_f, nu_c = (jnp.asarray(nu, x.dtype) for nu in (nu_w, nu_f, nu_c))
    b1 = 1 / (rho_max(seq_len, nu_f, nu_c) * norm**2)  # eq. 60
    if not _checks.is_traced((learning_rate, b1)) and learning_rate >= b1:
        raise ValueError(
            f"learning_rate must be below B1 = {float(b1):.4g} for Theorem 4.1, got "
            f"{float(learning_rate):g}; take a smaller one, or rescale the inputs"
        )
    if b2 == "rigorous":
        constant = norm * jnp.linalg.norm(residual)  # ||A||_2 ||b||, in place of that of eq. 60
    else:
        constant = jnp.linalg.norm(jnp.matmul(a.T, residual, precision="highest"))  # eq. 60
    travelled = jnp.asarray(learning_rate, x.dtype) * jnp.asarray(steps, x.dtype)
    return DriftBound(
        expected_energy=in_dim * out_dim * impulse_variances(seq_len, nu_w, nu_f, nu_c),  # eq. 24
        max_learning_rate=b1,
        b2=constant,
        bound=jnp.multiply.outer(constant * travelled, weights),  # Theorem 4.1, from eq. 61
    )
