"""Lemma C.1: the rows of a recursion through fixed random matrices tend to a Gaussian law.

Against the recursion itself on wide matrices, within standard errors over seeds; and against what
is known in closed form: linear chains, hidden states (eq. 49), squares, rectifiers.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_rnn import hidden_state_limit
from ntk_rnn.theory.evolution import state_evolution
from ntk_rnn.theory.expectations import gauss_hermite
from ntk_rnn.theory.innovations import evolve_by_moments
from ntk_rnn.theory.recursion import simulate_evolution
from ntk_rnn.theory.rows import GaussianRows, regression, triangular_root

HORIZON, NARROW, WIDE, SEEDS = 3, 500, 4000, 32
NUM_SAMPLES = 2**15


def line(q, u):
    return 0.8 * q + 0.5 * u + 0.3


def identity(q, u):
    return q


def relu(q, u):
    return jnp.maximum(q, 0)


def shifted_tanh(q, u):
    return jnp.tanh(q + u + 0.5)


def fold(q, u):
    return jnp.maximum(q[::-1] - 0.3 * u, 0)


def square(q, u):
    return q**2


def square_input(q, u):
    return u**2


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


def test_chain_of_a_linear_network(dtype, tol):
    """``(W/sqrt(n))^t F``: uncorrelated over time, of variance ``nu_F nu_W^t`` at each entry."""
    nu_w, nu_f = 0.3, 1.5
    initial = law(np.zeros(2), nu_f * np.eye(2), dtype)
    found = state_evolution((identity,), (nu_w,), initial, horizon=5)
    variances = nu_f * nu_w ** np.arange(1.0, 6)
    expected = np.einsum("t,ts,ij->tisj", variances, np.eye(5), np.eye(2))
    assert found.covariance.dtype == dtype
    np.testing.assert_allclose(found.covariance, expected, rtol=10 * tol)
    assert np.all(found.standard_error == 0)


def test_derivative_by_the_variance():
    initial = law([0.0], [[1.5]])

    @jax.jit
    @jax.jacobian
    def slope(variance):
        found = state_evolution((identity,), variance, initial, horizon=4)
        return jnp.diagonal(found.covariance[:, 0, :, 0])

    times = np.arange(1.0, 5)
    expected = 1.5 * times * 0.3 ** (times - 1)
    np.testing.assert_allclose(slope(jnp.float32([0.3]))[:, 0], expected, rtol=1e-5)


def degenerate(change):
    """Two equal directions, one of no variance, one of its own: of rank 2 whatever the change."""
    root = jnp.asarray([[1.0, 0], [1, 0], [0, 0], [0.5, 0.8]]) * (1 + change)
    return root.at[3, 0].add(change) @ root.at[3, 0].add(change).T


@pytest.mark.parametrize("matrix", [lambda x: degenerate(x) + jnp.eye(4) * (1 + x), degenerate])
def test_roots_and_regressions_have_derivatives(matrix):
    """``R R^T = C`` and ``P C = row``, differentiated, with no NaN where ``C`` is singular."""
    weights = jnp.asarray([[0.3, -0.2, 0.5, 0.1]])

    @jax.jit
    def both(x):
        root, slope = jax.jvp(lambda x: triangular_root(matrix(x)), (x,), (1.0,))
        target, change = jax.jvp(matrix, (x,), (1.0,))
        p, p_slope = jax.jvp(lambda x: regression(weights @ matrix(x), matrix(x)), (x,), (1.0,))
        products = slope @ root.T + root @ slope.T, p_slope @ target + p @ change
        return *products, change, weights @ change

    found_root, found_row, change, row_change = both(0.2)
    np.testing.assert_allclose(found_root, change, atol=1e-4)
    np.testing.assert_allclose(found_row, row_change, atol=1e-4)


@pytest.mark.parametrize("method", ["quadrature", "monte_carlo"])
def test_derivative_of_maps_that_are_not_affine(method):
    """Of the innovations form, beside a central difference, where inputs repeat."""
    inputs = over_time([0.2, 0.2], 0.5 * np.ones((2, 2)))

    @jax.jit
    @jax.value_and_grad
    def total(variance):
        found = state_evolution(
            (shifted_tanh,), variance[None], POINT, inputs, horizon=2, form="innovations",
            method=method, order=8, key=jax.random.key(0), num_samples=2**10,
        )  # fmt: skip
        return jnp.sum(found.covariance)

    (above, _), (_, slope), (below, _) = (total(jnp.float32(v)) for v in (0.82, 0.8, 0.78))
    np.testing.assert_allclose(slope, (above - below) / 0.04, rtol=2e-3)


@pytest.mark.parametrize(
    ("bent", "mean", "variance"),
    [
        (lambda q, u: 1e4 * jnp.tanh(q / 1e4), 0.0, 1e8),
        (lambda q, u: jnp.maximum(q, -500), -1000.0, 1.0),
        (lambda q, u: jnp.clip(q, -300, 300), 0.0, 1e6),
        # Too narrow to be met by chance: where the first state, or only the second, lives.
        (lambda q, u: jnp.where(jnp.abs(q - 1000) < 20, 0, q), 1000.0, 1.0),
        (lambda q, u: jnp.where((q > 900) & (q < 1300), 0, q), 30.0, 1.0),
    ],
)
def test_maps_that_bend_only_far_from_0_are_not_affine(bent, mean, variance):
    with pytest.raises(ValueError, match='must be affine for method="linear"'):
        evolve(maps=(bent,), variances=(500.0,), initial=law([mean], [[variance]]), method="linear")


@pytest.mark.parametrize("order", [8, 400, 2048])
def test_rules_have_the_moments_of_a_normal_variable(order):
    """Of order ``order`` and one less; the weights of large orders underflow to 0, not NaN."""
    points, weights = gauss_hermite(order, 1)
    moments = [np.sum(weights * points[..., 0] ** power, axis=1) for power in (0, 1, 2, 4, 6)]
    np.testing.assert_allclose(moments, np.outer([1, 0, 1, 3, 15], [1, 1]), atol=1e-11)


def test_hidden_state_of_an_rnn(dtype, tol):
    """``q_t = W h_{t-1}/sqrt(n)``, ``h_t = q_t + F x_t`` (eq. 49), of three sequences at once."""
    x = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(dtype)
    nu_w, nu_f = 0.7, 1.5
    products = nu_f * np.einsum("itq,jsq->tisj", x, x)
    start = law(np.zeros(3), np.zeros((3, 3)), dtype)
    inputs = law(np.zeros((4, 3)), products, dtype)
    expected = np.asarray(hidden_state_limit(x, nu_w, nu_f)).transpose(1, 0, 3, 2)

    found = state_evolution((add,), (nu_w,), start, inputs, horizon=4, form="innovations")
    states = products.copy()
    states[1:, :, 1:] += np.asarray(found.covariance)[:3, :, :3]
    np.testing.assert_allclose(states, expected, rtol=100 * tol, atol=100 * tol)


def add(q, u):
    return q + u


def test_rectifier_against_its_closed_form():
    """The arc-cosine kernel; quadrature is within 2 % and says about how far off it is."""
    initial = law([0.0], [[1.2]])
    found = state_evolution((relu,), (1.2,), initial, horizon=HORIZON)
    exact = np.zeros((HORIZON, HORIZON))
    before = np.zeros((HORIZON + 1, HORIZON + 1))
    before[0, 0] = 1.2
    for t in range(HORIZON):
        for s in range(t + 1):
            scale = np.sqrt(before[t, t] * before[s, s])
            angle = np.arccos(np.clip(before[t, s] / scale, -1, 1))
            exact[t, s] = 1.2 * scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
            exact[t, s] = exact[s, t] = exact[t, s] / (2 * np.pi)
            before[t + 1, s + 1] = before[s + 1, t + 1] = exact[t, s]
    off = np.abs(np.asarray(found.covariance[:, 0, :, 0], float) - exact)
    assert np.all(off <= 0.02 * exact)
    assert np.all(off <= np.asarray(found.standard_error)[:, 0, :, 0] + 1e-6)


def test_squares_against_their_closed_form(dtype, tol):
    """``E[X^2 Y^2] = E[X^2] E[Y^2] + 2 E[X Y]^2``: a polynomial, so quadrature is exact."""
    initial = law([0.0], [[0.5]], dtype)
    found = state_evolution((square,), (0.4,), initial, horizon=HORIZON, order=4)
    cov = np.zeros((HORIZON + 1, HORIZON + 1))
    cov[0, 0] = 0.5
    for t in range(HORIZON):
        for s in range(t + 1):
            moment = cov[t, t] * cov[s, s] + 2 * cov[t, s] ** 2
            cov[t + 1, s + 1] = cov[s + 1, t + 1] = 0.4 * moment
    np.testing.assert_allclose(found.covariance[:, 0, :, 0], cov[1:, 1:], rtol=100 * tol)
    assert np.all(found.standard_error <= 100 * tol)


def test_products_that_repeat_have_no_innovation():
    """Inputs that do not change over time give the same ``q`` at all times."""
    inputs = over_time(np.ones(4), np.ones((4, 4)))
    found = state_evolution(
        (square_input,), (0.9,), law([0.0], [[0.0]]), inputs, horizon=4, form="innovations", order=4
    )
    expected = 0.9 * 10  # E[(1 + z)^4], z ~ N(0, 1)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-4)
    left = np.asarray(found.innovation_covariance[0, :, 0, 0])
    assert left[0] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(left[1:], 0, atol=1e-4)
    np.testing.assert_allclose(np.sum(found.coefficients, axis=3)[0, 1:], 1, rtol=1e-4)


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
    compiled = evolve_by_moments._cache_size()
    state_evolution(maps, (0.1,), *laws, horizon=HORIZON)
    assert evolve_by_moments._cache_size() == compiled


class Unhashable:
    __hash__ = None

    def __call__(self, q, u):
        return q


def evolve(**changes):
    given = {"maps": (relu,), "variances": (0.5,), "initial": POINT, "horizon": 2, **changes}
    return state_evolution(**given)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maps": relu}, r"maps must be a sequence of functions .* pass \(g,\)"),
        ({"maps": (0.5,)}, r"maps\[0\] must be a function .* got 0.5"),
        ({"maps": (Unhashable(),)}, r"maps\[0\] \(Unhashable\) must be hashable"),
        ({"variances": 0.5}, r"variances must have shape \(k,\), .* got shape \(\); pass"),
        ({"variances": (0.5j,)}, "variances must be real, got dtype complex"),
        ({"variances": (None,)}, r"variances must be an array of numbers, got \(None,\)"),
        ({"variances": (-0.5,)}, r"variances\[0\] must be positive and finite, got -0.5"),
        ({"variances": (0.5, 0.5)}, "same number of matrices, got 1 and 2"),
        ({"maps": (), "variances": ()}, "maps must hold at least one map, got none"),
        (
            {"maps": (relu, lambda q, u: jnp.ones(3)), "variances": (1, 1)},
            r"maps\[1\] \(<lambda>\) must return shape \(1,\), that of a row of q, got \(3,\)",
        ),
        ({"maps": (lambda q, u: (q, q),)}, r"maps\[0\] .* got \(\(1,\), \(1,\)\)"),
        ({"initial": law([0.0, 0], [[1, 2], [2, 1]])}, "initial.covariance .* eigenvalue of -1 "),
        ({"initial": law([0.0, 0], [[1, 1], [0, 1]])}, "initial.covariance .* asymmetry of 1 "),
        ({"initial": law([0.0], np.eye(2))}, r"initial.covariance .* \(1, 1\), got \(2, 2\)"),
        ({"initial": law([[0.0]], [[1.0]])}, r"initial.mean must have shape \(d,\), got shape"),
        ({"initial": law([], np.zeros((0, 0)))}, "initial must not be empty"),
        ({"initial": law([np.nan], [[1.0]])}, "initial.mean must be finite, got 1 NaN"),
        ({"initial": GaussianRows(np.ones(1) * 1j, np.eye(1))}, "initial.mean must be real"),
        ({"initial": GaussianRows(np.ones(1), 1j * np.eye(1))}, "initial.covariance must be real"),
        ({"initial": np.eye(1)}, r"initial must be GaussianRows\(mean, covariance\), got ndarray"),
        ({"inputs": POINT}, r"inputs.mean must have shape \(times, d\), got shape \(1,\)"),
        ({"inputs": RANDOM}, "same number of times, got 3 and 2"),
        ({"inputs": over_time([0, 0], -np.eye(2))}, "inputs.covariance .* eigenvalue of -1 "),
        ({"horizon": 0}, "horizon must be a positive integer, got 0"),
        ({"form": "both"}, "form must be .* got 'both'"),
        ({"method": "exact"}, "method must be .* got 'exact'"),
        ({"method": "linear"}, r"maps\[0\] \(relu\) must be affine for method=\"linear\""),
        ({"method": "quadrature", "order": 1}, "order must be at least 2 .* got 1"),
        ({"method": "quadrature", "order": 3000}, "order.2 at most 4194304, got 3000"),
        ({"method": "monte_carlo"}, "key must be given .* pass jax.random.key"),
        ({"maps": (fold,), "initial": PLANE, "inputs": law([[0.0], [0]], np.zeros((2, 1, 2, 1)))},
         "key must be given"),
        ({"method": "monte_carlo", "key": 0}, r"key must be a random key, got 0; pass jax"),
        ({"method": "monte_carlo", "key": jax.random.split(jax.random.key(0))}, "single random"),
        ({"method": "monte_carlo", "key": 0, "num_samples": 31}, "at least 32, got 31"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        evolve(**changes)


@pytest.mark.usefixtures("unannotated")
def test_simulation_refuses_bad_arguments():
    with pytest.raises(ValueError, match="width must be a positive integer, got 0"):
        simulate_evolution(jax.random.key(0), (relu,), (1.0,), POINT, width=0, horizon=2)
    with pytest.raises(ValueError, match="key must be a random key, got 0"):
        simulate_evolution(0, (relu,), (1.0,), POINT, width=2, horizon=2)
