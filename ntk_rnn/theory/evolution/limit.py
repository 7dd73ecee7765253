"""State evolution: the Gaussian limit of a recursion through fixed random matrices (Lemma C.1).

``q_{t+1} = sum_l A_l G_l(q_t, u_t) / sqrt(n)`` uses the same ``A_l`` at all times, so its rows
depend on each other over time. As ``n`` grows that dependence is all in one covariance: given
``G_l`` at two times, products with ``A_l`` are Gaussian with the inner product of the ``G_l`` as
their covariance. So the limit is computed forward in time, each step from expectations over the
law of the steps before it. Both forms of the lemma do so, and are equal:

* covariance: ``cov(Q_{t+1}, Q_{s+1}) = sum_l nu_l E[G_l(Q_t, U_t)^T G_l(Q_s, U_s)]``.
* innovations (eq. 70): each product is a regression on the products before it, with the
  coefficients of ``G_l(Q_t, U_t)`` on the earlier ``G_l(Q_s, U_s)``, and an independent innovation
  with ``nu_l`` times the covariance of the residual. The paper has ``nu_W`` in (70f), and no
  variance in (74) and (98), where it must be ``nu_l``, the variance of the entries of ``A_l``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.theory.evolution.expectations import Rule, affine_maps, affine_under, gauss_hermite
from ntk_rnn.theory.evolution.innovations import Evolved, evolve_by_moments, evolve_by_paths
from ntk_rnn.theory.evolution.recursion import RowMap, checked_key, checked_problem, map_name
from ntk_rnn.theory.evolution.rows import GaussianRows

# Repetitions whose spread is the standard error: enough to know it to a fifth.
_BATCHES = 16
# Points of a quadrature by default and at most.
_DEFAULT_POINTS, _MOST_POINTS = 2**18, 2**22


class StateEvolution(NamedTuple):
    """The Gaussian law of the rows of ``(q_1, ..., q_H)`` in the limit, from ``state_evolution``.

    Attributes:
      covariance: of ``(Q_1, ..., Q_H)``, whose mean is 0, shape ``(H, d, H, d)``.
      standard_error: of the covariance, of the same shape. 0 for linear maps; the spread over
        independent repetitions for Monte Carlo; for quadrature no standard error but the change
        if the order is 1 less: above the error for smooth maps, and about as large for kinks, where
        it is no bound.
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
    times (``"quadrature"``), or means over sample paths of the limit (``"monte_carlo"``). With
    ``"auto"`` that is: linear if all maps are affine, quadrature if states and those inputs that
    are random have one dimension, and Monte Carlo otherwise.

    A map counts as affine if it is one at 128 points: at lengths from 0.01 to 1e8 on both sides of
    0, and within 6 standard deviations of the means of states and inputs at each time, so far as
    those are not traced. A bend that all of these miss, narrower than they are dense or, where
    laws are traced, far from 0 but narrow, is not seen: name the method for such maps.

    Derivatives by the variances and by the laws are those of the numbers computed. Two remain
    undefined and count as 0: by the variance of a direction of a law that has none, except in
    the covariance form of affine maps, and those of ``standard_error``.

    Monte Carlo runs 16 independent repetitions of the whole recursion and returns their mean, with
    an error that so covers what errors of early steps do to later ones. It does not cover the
    bias of a repetition, relatively of the order of ``16 / num_samples``, which is far below the
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
      ValueError: if a variance is not positive, a number or a shape does not fit, a law is not
        one, a map is no hashable function, or not affine though ``method="linear"``, an option is
        unknown or too small, or Monte Carlo has no random key.

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
    maps, variances, initial, inputs = checked_problem(maps, variances, initial, inputs, horizon)
    if form not in ("covariance", "innovations"):
        raise ValueError(f'form must be "covariance" or "innovations", got {form!r}')
    if method not in ("auto", "linear", "quadrature", "monte_carlo"):
        raise ValueError(
            f'method must be "auto", "linear", "quadrature" or "monte_carlo", got {method!r}'
        )
    with jax.default_matmul_precision("highest"):
        found = None
        if method in ("auto", "linear"):
            found = _affinely(maps, form, variances, initial, inputs, method == "linear")
        if found is None:
            random = _checks.is_traced(inputs.covariance) or bool(np.any(inputs.covariance))
            dim, in_dim = initial.mean.size, inputs.mean.shape[1] * random
            if method == "auto":
                method = "quadrature" if dim == 1 and in_dim <= 1 else "monte_carlo"
            if method == "quadrature":
                rule = _rule(order, 2 * (dim + in_dim), initial.mean.dtype)
                found = evolve_by_moments(maps, form, variances, initial, inputs, rule)
            else:
                keys, num = _keys(key, num_samples), num_samples // _BATCHES
                found = evolve_by_paths(maps, form, num, variances, initial, inputs, keys)
    covariance, error, innovations = found
    return StateEvolution(covariance, error, *(innovations or (None, None)))


def _affinely(
    maps: tuple[RowMap, ...],
    form: str,
    variances: Array,
    initial: GaussianRows,
    inputs: GaussianRows,
    required: bool,
) -> Evolved | None:
    """The evolution if all maps are affine, or ``None`` if some are not."""
    sizes = initial.mean.size, inputs.mean.shape[1]
    affine = affine_maps(maps, *sizes, np.dtype(initial.mean.dtype))
    found, holds = None, np.asarray(affine.holds)
    if holds.all():
        found = evolve_by_moments(maps, form, variances, initial, inputs, affine)
        holds = affine_under(maps, initial, inputs, found[0])
    if required and not holds.all():
        first = int(np.argmin(holds))
        raise ValueError(
            f'{map_name(first, maps[first])} must be affine for method="linear"; take '
            '"quadrature" or "monte_carlo"'
        )
    return found if holds.all() else None


def _rule(order: int | None, dim: int, dtype: Any) -> Rule:
    if order is None:
        order = max(2, min(64, int(_DEFAULT_POINTS ** (1 / dim))))
    if _checks.positive_int("order", order) < 2 or order**dim > _MOST_POINTS:
        raise ValueError(
            f"order must be at least 2 and order^{dim} at most {_MOST_POINTS}, got {order}; take "
            'method="monte_carlo" for many dimensions'
        )
    return Rule(*(jnp.asarray(a, dtype) for a in gauss_hermite(order, dim)))


def _keys(key: Array | None, num_samples: int) -> Array:
    if key is None:
        raise ValueError(
            'key must be given for method="monte_carlo", got None; pass jax.random.key(seed)'
        )
    if _checks.positive_int("num_samples", num_samples) < 2 * _BATCHES:
        raise ValueError(f"num_samples must be at least {2 * _BATCHES}, got {num_samples}")
    return jax.random.split(checked_key(key), _BATCHES)
