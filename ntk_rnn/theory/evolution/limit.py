"""State evolution: the Gaussian limit of a recursion through fixed random matrices (Lemma C.1).

The recursion ``q_{t+1} = sum_l A_l G_l(q_t, u_t) / sqrt(n)`` (eq. 66) uses the same ``A_l`` at all
times, so its rows depend on each other over time. As ``n`` grows, one covariance holds all of that
dependence: given ``G_l`` at two times, products with ``A_l`` are Gaussian, and their covariance is
the inner product of the ``G_l``. So the limit is computed forward in time, each step from
expectations over the law of the steps before it. Both forms of the lemma do so, and are equal:

* covariance: ``cov(Q_{t+1}, Q_{s+1}) = sum_l nu_l E[G_l(Q_t, U_t)^T G_l(Q_s, U_s)]``.
* innovations (eq. 70): each product is a regression on the products before it, with the
  coefficients of ``G_l(Q_t, U_t)`` on the earlier ``G_l(Q_s, U_s)``, and an independent innovation
  with ``nu_l`` times the covariance of the residual. The paper has ``nu_W`` in (70f), and no
  variance in (74) and (98), where it must be ``nu_l``, the variance of the entries of ``A_l``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.affine import affine_near_and_far, affine_under_laws
from ntk_rnn.theory.evolution.problem import GaussianRows, Laws, RowMap, checked_problem, map_name
from ntk_rnn.theory.evolution.quadrature import two_quadratures
from ntk_rnn.theory.evolution.recursions import (
    Evolved,
    evolve_affine,
    evolve_by_paths,
    evolve_by_quadrature,
)

# Repetitions whose spread is the standard error: enough to know it to a fifth.
_BATCHES = 16


class StateEvolution(NamedTuple):
    """The Gaussian law of the rows of ``(q_1, ..., q_H)`` in the limit, from ``state_evolution``.

    Attributes:
      covariance: of ``(Q_1, ..., Q_H)``, whose mean is 0, shape ``(H, d, H, d)``.
      standard_error: of the covariance, of the same shape. It is 0 for linear maps, and for Monte
        Carlo comes from the spread over independent repetitions. For quadrature it is the change
        if the order is 1 less: above the error for smooth maps, and about as large as the error
        for kinks, where it is no bound.
      coefficients: of the innovations form, else ``None``: ``P[l, t, :, s, :]`` multiplies
        ``Z_{s+1,l}`` in ``Z_{t+1,l}``, 0 for ``s >= t``, shape ``(k, H, d, H, d)``.
      innovation_covariance: likewise, ``nu_l`` times that of the residual at each ``t``, shape
        ``(k, H, d, d)``.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> def unchanged(q, u):
      ...     return q
      >>> start = nr.GaussianRows(np.zeros(1), np.eye(1))
      >>> limit = nr.state_evolution([unchanged], [0.5], start, horizon=3, form="innovations")
      >>> print(limit.covariance[:, 0, :, 0])
      [[0.5   0.    0.   ]
       [0.    0.25  0.   ]
       [0.    0.    0.125]]
      >>> limit.coefficients.shape, limit.innovation_covariance.shape
      ((1, 3, 1, 3, 1), (1, 3, 1, 1))
    """

    covariance: Float[Array, "H d H d"]
    standard_error: Float[Array, "H d H d"]
    coefficients: Float[Array, "k H d H d"] | None
    innovation_covariance: Float[Array, "k H d d"] | None


def state_evolution(
    maps: Sequence[RowMap],
    variances: Sequence[float] | Float[AnyArray, " k"],
    initial: GaussianRows,
    inputs: GaussianRows | None = None,
    *,
    horizon: int,
    form: Literal["covariance", "innovations"] = "covariance",
    method: Literal["auto", "linear", "quadrature", "monte_carlo"] = "auto",
    order: int | None = None,
    key: Array | None = None,
    num_samples: int = 2**17,
) -> StateEvolution:
    """The limit of ``q_{t+1} = sum_l A_l G_l(q_t, u_t) / sqrt(n)`` (eq. 66, Lemma C.1).

    As ``n`` grows, the rows of ``(q_1, ..., q_H)`` tend to a Gaussian ``(Q_1, ..., Q_H)`` of mean
    0, independent of ``Q_0`` and of the inputs ``U``, whose covariance is computed here. At finite
    ``n`` the recursion is ``simulate_evolution``.

    Expectations are exact for affine maps (``method="linear"``), Gauss-Hermite sums over pairs of
    times (``"quadrature"``), or means over sample paths of the limit (``"monte_carlo"``). The
    method ``"auto"`` takes linear if all maps are affine, quadrature if states and those inputs
    that are random have one dimension, and Monte Carlo otherwise.

    A map counts as affine if it is affine at 128 points: at lengths from 0.01 to 1e8 on both sides
    of 0, and within 6 standard deviations of the means of states and inputs at each time, so far
    as those are not traced. A bend that lies between these points is not seen, nor, where laws are
    traced, a narrow one far from 0: name the method for such maps.

    Derivatives by the variances and by the laws are those of the numbers computed. Two remain
    undefined and count as 0: that by the variance of a direction of a law that has none, except in
    the covariance form of affine maps, and those of ``standard_error``.

    Monte Carlo runs 16 independent repetitions of the whole recursion and returns their mean. Its
    error therefore covers what errors of early steps do to later ones. It does not cover the bias
    of a repetition, which is relatively of the order of ``16 / num_samples``, and far below the
    error if ``num_samples`` is far above 256.

    Args:
      maps: ``G_l``, ``k`` functions ``(q (d,), u (d_u,)) -> (d,)`` of one row. Pass the same
        ones again, not new lambdas, to use again what was compiled for them.
      variances: ``nu_l``, of the entries of each ``A_l``, shape ``(k,)``.
      initial: law of a row of ``q_0``: mean ``(d,)``, covariance ``(d, d)``.
      inputs: joint law of a row of ``u_0, ..., u_{H-1}``: mean ``(H, d_u)``, covariance
        ``(H, d_u, H, d_u)``, 0 for inputs that are not random; ``None`` means ``d_u = 0``.
      horizon: number ``H`` of steps.
      form: which of the two equal forms to compute.
      method: how expectations are computed.
      order: points of the quadrature along each of its ``2 d`` axes, or ``2 d + 2 d_u`` if inputs
        are random, at least 2; ``None`` means at most 64, and about 2^18 points in all. Smooth
        maps need few; at kinks the error falls as 1 / order, and is about 1 % at 64.
      key: random key of Monte Carlo, which alone needs one.
      num_samples: sample paths of Monte Carlo, over all repetitions; at least 32.

    Returns:
      The covariance, its error, and for ``form="innovations"`` what that form consists of.

    Raises:
      ValueError: if a variance is not positive, a number or a shape does not fit, a covariance is
        not positive semi-definite, a map is not a hashable function, or is not affine although
        ``method="linear"``, an option is unknown or too small, or Monte Carlo has no random key.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> def saturate(q, u):
      ...     return jnp.tanh(q)
      >>> start = nr.GaussianRows(np.zeros(1), np.eye(1))
      >>> limit = nr.state_evolution([saturate], [1.0], start, horizon=2)
      >>> print(f"{limit.covariance[0, 0, 0, 0]:.3f}")  # E[tanh(z)^2], z of N(0, 1)
      0.394
    """
    maps, laws = checked_problem(maps, variances, initial, inputs, horizon)
    _checks.one_of("form", form, "covariance", "innovations")
    _checks.one_of("method", method, "auto", "linear", "quadrature", "monte_carlo")
    # Also those that the method at hand does not take, which another call will.
    num_samples = _checks.integer("num_samples", num_samples)
    order = None if order is None else _checks.integer("order", order)
    key = None if key is None else _checks.random_key("key", key)
    with jax.default_matmul_precision("highest"):
        found = None
        if method in ("auto", "linear"):
            found = _evolve_if_affine(maps, form, laws, required=method == "linear")
        if found is None:
            covariance = laws.inputs.covariance
            random = _checks.is_traced(covariance) or bool(np.any(covariance))
            in_dim = laws.inputs.mean.shape[1] * random
            if method == "auto":
                method = "quadrature" if laws.dim == 1 and in_dim <= 1 else "monte_carlo"
            if method == "quadrature":
                quadratures = two_quadratures(order, 2 * (laws.dim + in_dim), laws.dtype)
                found = evolve_by_quadrature(maps, form, laws, quadratures)
            else:
                keys, num = _keys(key, num_samples), num_samples // _BATCHES
                found = evolve_by_paths(maps, form, num, laws, keys)
    covariance, error, innovations = found
    return StateEvolution(covariance, error, *(innovations or (None, None)))


def _evolve_if_affine(
    maps: tuple[RowMap, ...], form: str, laws: Laws, required: bool
) -> Evolved | None:
    """The evolution if all maps are affine; if not, ``None``, or an error if it is required."""
    affine, holds = affine_near_and_far(maps, laws)
    found = None
    if holds.all():
        found = evolve_affine(form, laws, affine)
        holds = affine_under_laws(maps, laws, found[0])
    if required and not holds.all():
        first = int(np.argmin(holds))
        raise ValueError(
            f'{map_name(first, maps[first])} must be affine for method="linear"; take '
            '"quadrature" or "monte_carlo"'
        )
    return found if holds.all() else None


def _keys(key: Array | None, num_samples: int) -> Array:
    if key is None:
        raise ValueError(
            'key must be given for method="monte_carlo", got None; pass jax.random.key(seed)'
        )
    if num_samples < 2 * _BATCHES:
        raise ValueError(f"num_samples must be at least {2 * _BATCHES}, got {num_samples}")
    return jax.random.split(key, _BATCHES)
