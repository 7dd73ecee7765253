"""Lemma C.1: the rows of a recursion through fixed random matrices tend to a Gaussian law.

Against the recursion itself on wide matrices, within standard errors over seeds; closed forms are
in ``tests/theory/evolution/test_limit.py``.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_rnn.theory.evolution.limit import state_evolution
from ntk_rnn.theory.evolution.problem import GaussianRows
from ntk_rnn.theory.evolution.recursions import evolve_affine
from ntk_rnn.theory.evolution.simulation import simulate_evolution

HORIZON, NARROW, WIDE, SEEDS = 3, 350, 1400, 32
NUM_SAMPLES = 2**15


def line(q, u):
    return 0.8 * q + 0.5 * u + 0.3


def relu(q, u):
    return jnp.maximum(q, 0)


def shifted_tanh(q, u):
    return jnp.tanh(q + u + 0.5)


def fold(q, u):
    return jnp.maximum(q[::-1] - 0.3 * u, 0)


def law(mean, covariance, dtype=np.float32):
    return GaussianRows(np.asarray(mean, dtype), np.asarray(covariance, dtype))


def over_time(mean, covariance, dtype=np.float32):
    """One input, with a mean and a covariance over times."""
    return law(np.reshape(mean, (-1, 1)), np.asarray(covariance)[:, None, :, None], dtype)


POINT = law([0.3], [[1.2]])
PLANE = law([0.3, -0.5], [[1.2, 0.4], [0.4, 0.8]])
RANDOM = over_time([0.2, -0.1, 0.4], 0.5 * np.eye(3) + 0.25)
FIXED = over_time([0.6, -0.8, 0.1], np.zeros((3, 3)))

# Linear, rectified, shifted and in a plane; one matrix and two; with inputs that are random, none,
# and not random: by each of the three methods, which are those that "auto" takes.
CASES = {
    "linear": ((line,), (0.8,), POINT, RANDOM),
    "rectified": ((relu,), (1.2,), POINT, None),
    "shifted": ((shifted_tanh, relu), (1.3, 0.5), POINT, RANDOM),
    "plane": ((shifted_tanh, fold), (0.7, 1.2), PLANE, FIXED),
}


@cache
def limit(name, form):
    key = jax.random.key(["covariance", "innovations"].index(form))
    found = state_evolution(
        *CASES[name], horizon=HORIZON, form=form, key=key, num_samples=NUM_SAMPLES
    )
    return jax.tree.map(np.asarray, found)


@cache
def simulations(name):
    """``q_t^T q_s / n`` for ``t, s <= H``: of narrow matrices for all seeds, and of wide ones."""

    @partial(jax.jit, static_argnums=1)
    def moments(key, width):
        q = simulate_evolution(key, *CASES[name], width=width, horizon=HORIZON)
        return jnp.einsum("tni,snj->tisj", q, q, precision="highest") / width

    keys = jax.random.split(jax.random.key(0), SEEDS)
    narrow = [moments(key, NARROW) for key in keys]
    # Matrices of this width cost the most, so these are of one seed.
    wide = [moments(jax.random.key(1), WIDE)] if name != "plane" else []
    return np.asarray(narrow, float), [np.asarray(w, float) for w in wide]


def ratio(name, found):
    """The largest deviation in standard errors, of the mean over narrow seeds and of a wide one.

    Rows of one seed share the moments of all rows, so errors are taken from the spread over
    seeds, which falls as the root of the width. ``Q_0`` is independent of what follows.
    """
    narrow, wide = simulations(name)
    mean, covariance = (np.asarray(a, float) for a in CASES[name][2])
    expected, own = np.zeros((2, *narrow.shape[1:]))
    expected[0, :, 0] = covariance + np.outer(mean, mean)
    expected[1:, :, 1:], own[1:, :, 1:] = map(np.asarray, found[:2])
    spread = narrow.std(axis=0, ddof=1)
    ratios = [(narrow.mean(axis=0) - expected) / np.hypot(spread / np.sqrt(SEEDS), own)]
    for moments in wide:
        ratios.append((moments - expected) / np.hypot(spread * np.sqrt(NARROW / WIDE), own))
    return [np.abs(r).max() for r in ratios]


@pytest.mark.parametrize("name", CASES)
def test_wide_recursion_has_the_covariance_of_either_form(name):
    """Within 5 standard errors at every pair of times, of the simulation and of the method."""
    one, other = limit(name, "covariance"), limit(name, "innovations")
    assert max(ratio(name, one)) <= 5
    assert max(ratio(name, other)) <= 5
    # The errors are small enough to be of use: the spread is 3 % of the largest entry or less.
    spread = simulations(name)[0].std(axis=0) / np.sqrt(SEEDS)
    assert spread.max() <= 0.03 * np.max(one.covariance)
    if name == "plane":
        error = np.hypot(one.standard_error, other.standard_error)
        assert np.all(np.abs(one.covariance - other.covariance) <= 5 * error)
        assert np.all(error <= 0.02 * np.max(one.covariance))
    else:
        np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_innovations_make_the_covariance(name):
    """``Z = P Z + innovations`` for each matrix, so ``cov = sum_l (I - P)^-1 N (I - P)^-T``."""
    found = limit(name, "innovations")
    p, n = np.asarray(found.coefficients, float), np.asarray(found.innovation_covariance, float)
    matrices, times, dim = p.shape[:3]
    size = times * dim
    total = np.zeros((size, size))
    for matrix in range(matrices):
        blocks = np.zeros((times, dim, times, dim))
        for t in range(times):
            blocks[t, :, t] = n[matrix, t]
            assert np.all(p[matrix, t, :, t:] == 0)
        assert np.all(np.linalg.eigvalsh(n[matrix]) >= -1e-6)
        inverse = np.linalg.inv(np.eye(size) - p[matrix].reshape(size, size))
        total += inverse @ blocks.reshape(size, size) @ inverse.T
    # The mean over repetitions of Monte Carlo comes after the product there, and before it here.
    atol = 1e-2 if name == "plane" else 1e-5
    expected = np.reshape(limit(name, "innovations").covariance, (size, size))
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=atol)
    assert limit(name, "covariance").coefficients is None


def test_every_matrix_counts_with_its_own_variance():
    """With ``nu_W``, the first variance, in place of ``nu_l``, as in (70f), it does not agree."""
    maps, (nu_w, _), *laws = CASES["shifted"]
    printed = state_evolution(maps, (nu_w, nu_w), *laws, horizon=HORIZON)
    assert min(ratio("shifted", printed)) > 10
    assert max(ratio("shifted", limit("shifted", "covariance"))) <= 5


def test_standard_error_is_the_spread_of_the_estimates():
    """Over 24 keys, the spread of Monte Carlo, known to 15 %, beside its root mean square error."""

    def evolve(key):
        return state_evolution(
            *CASES["plane"], horizon=HORIZON, form="innovations", key=key, num_samples=NUM_SAMPLES
        )

    found = [evolve(key) for key in jax.random.split(jax.random.key(0), 24)]
    spread = np.std([f.covariance for f in found], axis=0, ddof=1)
    error = np.sqrt(np.mean([np.square(f.standard_error) for f in found], axis=0))
    assert np.all((spread > 0.6 * error) & (spread < 1.5 * error))


def test_other_variances_compile_nothing():
    limit("linear", "covariance")
    maps, _, *laws = CASES["linear"]
    compiled = evolve_affine._cache_size()
    state_evolution(maps, (0.1,), *laws, horizon=HORIZON)
    assert evolve_affine._cache_size() == compiled
