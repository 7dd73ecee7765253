"""Expectations over pairs of Gaussians: closed forms, expansion, and which functions they take."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_rnn.activations.arc_tangent import angle
from ntk_rnn.activations.choice import CLOSED, dual, fitted
from ntk_rnn.activations.closed_forms import PiecewiseLinear
from ntk_rnn.activations.expansion import Expansion
from ntk_rnn.activations.functions import NAMED, as_function, derivative
from ntk_rnn.activations.mixture import TANH

PAIRS = [(0.7, 1.3, 0.6), (0.2, 2.0, -0.8), (1.0, 0.5, 0.0), (3.0, 3.0, 0.999)]


def by_sums(function, a, b, correlation):
    """``V`` and ``D`` by the trapezoidal rule, whose error is below 1e-11 for smooth functions."""
    z = np.linspace(-8, 8, 500)
    weight = np.exp(-(z**2) / 2)
    weight = np.outer(weight, weight) / weight.sum() ** 2
    u = np.sqrt(a) * z
    v = np.sqrt(b) * (correlation * z[:, None] + np.sqrt(1 - correlation**2) * z)
    points = jnp.asarray(np.vstack([u, v]))  # one call for both, which takes one compilation
    values, slopes = map(np.asarray, (function(points), derivative(function, points)))
    return tuple(np.sum(weight * (f[0][:, None] * f[1:])) for f in (values, slopes))


def covariances(pairs):
    """``a``, ``b`` and ``c`` of pairs, as arrays, for which one program is compiled."""
    a, b, correlation = np.transpose(pairs)
    return jnp.asarray(a), jnp.asarray(b), jnp.asarray(correlation * np.sqrt(a * b))


@pytest.fixture(autouse=True)
def float64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("name", NAMED)
def test_expectations_are_those_of_sums(name):
    function = as_function(name)
    # The sums miss jumps of the derivative that lie between their points.
    tol = 5e-3 if name in ("relu", "leaky_relu", "abs") else 1e-10
    a, b, c = covariances(PAIRS)
    found = fitted(dual(name, 1e-12), (a, b), 1e-12)
    moments = found.moments(found.side(a), found.side(b), c)
    expected = np.transpose([by_sums(function, *pair) for pair in PAIRS])
    np.testing.assert_allclose(moments, expected, rtol=0, atol=tol)


@pytest.mark.parametrize("found", [*CLOSED.values(), *TANH.values()], ids=lambda f: str(f)[:20])
def test_the_slope_is_the_derivative_by_the_covariance(found):
    """Price's theorem, and finite derivatives in all three where variables coincide."""

    def twice(*given):
        moments = found.moments(*given)
        return moments, moments

    given = covariances([*PAIRS, (2.0, 2.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)])
    jacobian = jax.jacrev(twice, argnums=(0, 1, 2), has_aux=True)
    by_hand, moments = jax.jit(jax.vmap(jacobian))(*given)
    np.testing.assert_allclose(by_hand.value[2], moments.slope, rtol=1e-12, atol=1e-14)
    assert np.isfinite(by_hand).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_rounding_takes_apart_coincides(dtype):
    """An angle of rounding, 3e-4 in float32, would be in the slope and in its derivative."""
    a = jnp.asarray(1.7, dtype)
    near = a * (1 - jnp.finfo(dtype).eps)
    assert near < a
    found = PiecewiseLinear(0.0)
    assert found.moments(a, a, near).slope == 0.5
    assert jax.grad(lambda c: found.moments(a, a, c).slope)(near) == 0


@pytest.mark.parametrize("name", NAMED)
def test_a_variable_with_itself(name):
    """``own`` is the limit of correlation 1."""
    variance = jnp.asarray([0.3, 2.0])
    found = fitted(dual(name, None), variance, None)
    side = found.side(variance)
    pair, own = found.moments(side, side, variance), found.own(variance)
    np.testing.assert_allclose(pair, own, rtol=1e-8)


@pytest.mark.parametrize("name", ["erf", "sin", "gelu", "cos"])
def test_the_expansion_tends_to_closed_forms(name):
    variances = jnp.asarray([0.4, 1.7])
    closed, expansion = dual(name, None), Expansion(as_function(name), 256)
    c = jnp.asarray([-0.5, 0.0, 0.3, 0.8])
    exact = closed.moments(variances[:1], variances[1:], c)
    side = expansion.side(variances)
    sides = [jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], side) for i in (0, 1)]
    np.testing.assert_allclose(expansion.moments(*sides, c), exact, rtol=1e-10, atol=1e-13)


def test_terms_are_added_until_the_tolerance_is_met():
    def terms(variance, tolerance):
        return fitted(dual("tanh", tolerance), jnp.asarray([variance]), tolerance).terms

    assert terms(0.1, 1e-9) < terms(1.0, 1e-9) < terms(8.0, 1e-9)
    assert terms(1.0, 1e-3) < terms(1.0, 1e-9)


@pytest.mark.parametrize("mixture", TANH.values(), ids=TANH)
def test_the_mixture_stands_for_tanh(mixture):
    """The function, its derivative, and expectations at any variances and correlations."""

    def stand_in(u):
        parts = zip(mixture.weights, mixture.scales, strict=True)
        return sum(w * jax.scipy.special.erf(u / s) for w, s in parts)

    u = jnp.linspace(0, 30, 30_001)
    assert jnp.max(jnp.abs(stand_in(u) - jnp.tanh(u))) < mixture.error
    assert jnp.max(jnp.abs(derivative(stand_in, u) - derivative(jnp.tanh, u))) < mixture.error
    variances = itertools.product((1e-6, 0.02, 1.0, 19.0, 100.0), (0.5, 30.0))
    correlations = (-1.0, -0.9, 0.3, 0.999, 1.0)
    pairs = [(a, b, correlation) for a, b in variances for correlation in correlations]
    found = mixture.moments(*covariances(pairs))
    expected = np.transpose([by_sums(jnp.tanh, *pair) for pair in pairs])
    np.testing.assert_allclose(found, expected, rtol=mixture.error)


def test_tanh_is_the_mixture_where_that_costs_less():
    def found(variance, tolerance=None, dtype=np.float64):
        return fitted(dual("tanh", tolerance), jnp.asarray([variance], dtype), tolerance)

    assert isinstance(found(0.1), Expansion)
    assert found(19.0) is TANH["float64"]
    assert found(19.0, dtype=np.float32) is TANH["float32"]
    assert isinstance(found(1.0, 1e-9), Expansion)
    kinds = []
    jax.jit(lambda q: kinds.append(fitted(dual("tanh", None), q, None)) or q)(jnp.ones(1))
    assert kinds == [TANH["float64"]]


def test_what_is_left_out_is_above_the_error():
    """Of an activation with kinks, whose terms fall slowly."""
    exact = PiecewiseLinear(0.0)
    for terms in (32, 128):
        expansion = Expansion(as_function("relu"), terms)
        one, c = jnp.ones(1), jnp.asarray([-1.0, -0.6, 0.2, 0.9, 1.0])
        side, bound = expansion.side(one), expansion.left_out(one)
        error = np.abs(expansion.moments(side, side, c).value - exact.moments(one, one, c).value)
        assert np.all(error <= max(bound) * exact.own(one).value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_angles(dtype):
    t = np.linspace(-np.pi, np.pi, 10001)
    size = 10.0 ** np.linspace(-6, 6, len(t))
    y, x = (size * np.sin(t)).astype(dtype), (size * np.cos(t)).astype(dtype)
    exact = np.arctan2(y.astype(float), x.astype(float))
    np.testing.assert_allclose(
        angle(jnp.asarray(y), jnp.asarray(x)), exact, rtol=8 * np.finfo(dtype).eps
    )
    assert angle(jnp.zeros(()), jnp.zeros(())) == 0


def jumps(u):
    return jnp.where(u > 1, u, 0.0)


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (jnp.sign, "slope grows without bound"),
        (jumps, "which jumps"),
        (lambda u: jnp.sqrt(jnp.abs(u)), "slope grows without bound"),
        (jnp.square, "slope grows without bound near -1e"),
        (jnp.exp, "not finite at"),
        (lambda u: np.tanh(u), "write it with jax.numpy"),
        (jnp.sum, "keep the shape and type"),
        ("sigmoid", 'be "identity", .*, or a function such as jax.nn.sigmoid, got'),
        (3, 'be "identity", "relu"'),
    ],
)
def test_no_activation(activation, message):
    with pytest.raises(ValueError, match="^activation must (.*)?" + message):
        dual(activation, None)


def test_not_smooth_enough():
    def hard_tanh(u):
        return jnp.clip(u, -1, 1)

    found = dual(hard_tanh, None)
    with pytest.raises(ValueError, match=r"smooth enough .* hard_tanh, of which 1024 terms leave"):
        fitted(found, jnp.asarray([1.0]), None)
    assert fitted(found, jnp.asarray([1.0]), 0.1).terms == 32


@pytest.mark.parametrize("function", [jax.nn.silu, jax.nn.softplus, jnp.arctan, jnp.tanh])
def test_functions_of_the_user(function):
    variance = jnp.asarray([1.0])
    found = fitted(dual(function, None), variance, None)
    side = found.side(variance)
    moments = found.moments(side, side, 0.5 * variance)
    expected = by_sums(function, 1.0, 1.0, 0.5)
    np.testing.assert_allclose(np.ravel(moments), expected, rtol=1e-9)


def test_rounding_of_large_covariances_does_not_count():
    """``sin`` of equal variables of any large variance has ``V = D = 1/2``."""
    a = jnp.float32(1e7)
    for rounding in (2e-7, -2e-7):
        found = dual("sin", None).moments(a, a, a * jnp.float32(1 + rounding))
        np.testing.assert_allclose(found, (0.5, 0.5), rtol=1e-6)
