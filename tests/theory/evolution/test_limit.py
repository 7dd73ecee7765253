"""State evolution (Lemma C.1) against closed forms; its derivatives, rules and errors.

Closed forms are those of linear chains, hidden states (eq. 49), rectifiers and squares. That the
recursion itself follows is in ``tests/theory/evolution/test_lemma_c_1.py``.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_rnn import hidden_state_limit
from ntk_rnn.theory.evolution.limit import state_evolution
from ntk_rnn.theory.evolution.problem import GaussianRows
from ntk_rnn.theory.evolution.quadrature import gauss_hermite
from ntk_rnn.theory.evolution.simulation import simulate_evolution
from ntk_rnn.theory.evolution.singular_covariances import regression_coefficients, triangular_root


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
    found = state_evolution((relu,), (1.2,), initial, horizon=3)
    exact = np.zeros((3, 3))
    before = np.zeros((4, 4))
    before[0, 0] = 1.2
    for t in range(3):
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
    found = state_evolution((square,), (0.4,), initial, horizon=3, order=4)
    cov = np.zeros((4, 4))
    cov[0, 0] = 0.5
    for t in range(3):
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
        p, p_slope = jax.jvp(
            lambda x: regression_coefficients(weights @ matrix(x), matrix(x)), (x,), (1.0,)
        )
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
        ({"variances": (None,)}, "variances must hold real numbers, got dtype object"),
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
        ({"method": "monte_carlo", "key": 0}, "key must be a single random key, .* got int"),
        ({"method": "monte_carlo", "key": jax.random.split(jax.random.key(0))}, "single random"),
        ({"method": "monte_carlo", "key": jax.random.key(0), "num_samples": 31},
         "at least 32, got 31"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        evolve(**changes)


@pytest.mark.usefixtures("unannotated")
def test_simulation_refuses_bad_arguments():
    with pytest.raises(ValueError, match="width must be a positive integer, got 0"):
        simulate_evolution(jax.random.key(0), (relu,), (1.0,), POINT, width=0, horizon=2)
    with pytest.raises(ValueError, match=r"key must be a single random key, .* got int"):
        simulate_evolution(0, (relu,), (1.0,), POINT, width=2, horizon=2)
