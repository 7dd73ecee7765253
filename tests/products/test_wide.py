"""Wide networks that are drawn through products, against networks with a ``W``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr

NU = (0.6, 0.5, 2.0)


def gram_numbers(gram):
    return jnp.concatenate([gram.p.ravel(), gram.q.ravel()])


def test_law_is_that_of_a_matrix():
    """Mean and variance of L and of both factors of the Gram matrix, over 600 draws of width 64.

    All z-scores of 2 x 80 statistics are below 4.5; the largest of so many is near 3. Here r
    comes to 16, a quarter of the width, where a wrong conditioning would show.
    """
    width, lags, draws = 64, 4, 600
    model = nr.LinearRNN(width, 2, *NU)

    def drawn(key):
        wide = nr.wide_rnn(key, width, 2, 2, *NU)
        gram = nr.finite_width_gram(wide, lags)
        return jnp.concatenate([nr.impulse_response(wide, lags).ravel(), gram_numbers(gram)])

    def explicit(key):
        params = model.init(key, jnp.zeros((1, 1, 2)))
        gram = nr.finite_width_gram(params, lags)
        return jnp.concatenate([nr.impulse_response(params, lags).ravel(), gram_numbers(gram)])

    keys = jax.random.split(jax.random.key(0), (2, draws))
    a = np.asarray(jax.lax.map(drawn, keys[0], batch_size=100), float)
    b = np.asarray(jax.lax.map(explicit, keys[1], batch_size=100), float)
    for x, y in ((a, b), ((a - a.mean(0)) ** 2, (b - b.mean(0)) ** 2)):
        error = np.sqrt((x.var(0) + y.var(0)) / draws)
        assert np.max(np.abs(x.mean(0) - y.mean(0)) / error) < 4.5


def test_products_are_those_of_one_matrix(dtype, tol):
    """Linear, and consistent with those of the transpose, after as many directions as units."""
    wide = nr.wide_rnn(jax.random.key(0), 40, 1, 1, *NU)
    for i in range(8):
        block = jax.random.normal(jax.random.key(i), (40, 5))
        first, wide = wide.product(block)
    again, after = wide.product(block)
    np.testing.assert_allclose(again, first, rtol=0, atol=100 * tol)
    assert int(after.panels.rank) == 40
    # All of W is known now: its columns are products with unit vectors, and so are those of W^T.
    panels = after.panels
    w = panels.forward @ panels.basis.T
    np.testing.assert_allclose(panels.basis @ panels.backward.T, w, rtol=0, atol=100 * tol)
    np.testing.assert_allclose(w @ block, first, rtol=0, atol=100 * tol)
    # Its entries have the variance of W / sqrt(n); the standard error of 1600 is 3.5 %.
    assert abs(float(jnp.mean(w**2)) * 40 / NU[0] - 1) < 0.15
    assert first.dtype == dtype


def test_the_chain_stays_orthogonal():
    """After 300 directions, each from the product before it."""
    wide = nr.wide_rnn(jax.random.key(0), 1000, 1, 1, 0.9).with_chains(150)
    basis = np.asarray(wide.panels.basis, float)[:, : int(wide.panels.rank)]
    assert basis.shape[1] == 300
    eps = np.finfo(wide.panels.basis.dtype).eps
    assert np.max(np.abs(basis.T @ basis - np.eye(300))) < 50 * eps


def test_same_questions_same_answers():
    wide = nr.wide_rnn(jax.random.key(0), 100, 1, 2)
    known = wide.with_chains(6)
    response = nr.impulse_response(known, 6)
    np.testing.assert_array_equal(nr.impulse_response(known, 6), response)
    np.testing.assert_allclose(nr.impulse_response(wide, 6), response, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nr.impulse_response(known, 4), response[:4], rtol=1e-5, atol=1e-6)
    assert int(wide.panels.rank) == 0  # as it was


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be a positive integer, got 0"),
        ({"in_dim": 1.5}, "in_dim must be a positive integer, got 1.5"),
        ({"nu_w": -1.0}, "nu_w must be positive and finite, got -1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        nr.wide_rnn(jax.random.key(0), **{"width": 10, "in_dim": 1, "out_dim": 1} | arguments)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_products_of_vectors_of_any_size(dtype, tol, size):
    """Their squares are no numbers, or 0."""
    wide = nr.wide_rnn(jax.random.key(0), 50, 1, 1)
    vectors = np.random.default_rng(0).normal(size=(50, 2)).astype(dtype)
    expected, known = wide.product(vectors)
    found, _ = wide.product(vectors * dtype.type(size))
    np.testing.assert_allclose(found / dtype.type(size), expected, rtol=0, atol=10 * tol)
    again, _ = known.product(jnp.asarray(vectors))
    np.testing.assert_allclose(again, expected, rtol=0, atol=10 * tol)
    assert found.dtype == dtype


def test_rounding_does_not_change_which_network_it_is(tol):
    """Starts of equal length have singular vectors that rounding turns."""
    wide = nr.wide_rnn(jax.random.key(0), 100, 2, 2)
    equal = wide.replace(f=wide.f / jnp.linalg.norm(wide.f, axis=0, keepdims=True))
    other = equal.replace(f=equal.f * (1 + 2 * jnp.finfo(wide.f.dtype).eps))
    found, expected = (nr.impulse_response(each, 6) for each in (other, equal))
    np.testing.assert_allclose(found, expected, rtol=0, atol=100 * tol)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ("a", "vectors must be an array of numbers, got 'a'"),
        (np.ones(20), r"vectors must have shape \(20, k\), got shape \(20,\)"),
        (np.ones((19, 1)), r"vectors must have shape \(20, k\), got shape \(19, 1\)"),
        (np.full((20, 1), np.nan), "vectors must be finite"),
        (np.full((20, 1), 1j), "vectors must be real"),
        (np.ma.masked_array(np.ones((20, 1)), np.ones((20, 1))), "vectors must not be masked"),
    ],
)
def test_bad_vectors(vectors, message):
    wide = nr.wide_rnn(jax.random.key(0), 20, 1, 1)
    for ask in (wide.product, wide.knowing):
        with pytest.raises(ValueError, match=message):
            ask(vectors)


def test_a_width_that_does_not_fit_is_refused_before_it_is_drawn():
    with pytest.raises(ValueError, match=r"width must be such that .*; take a width of"):
        nr.wide_rnn(jax.random.key(0), 2_000_000_000, 50, 50)


@pytest.mark.usefixtures("unannotated")
def test_where_a_matrix_is_needed_errors_say_what_takes_a_wide_rnn():
    x = jnp.ones((3, 4, 1))
    wide, model = nr.wide_rnn(jax.random.key(0), 20, 1, 1), nr.LinearRNN(20, 1)
    for call in (
        lambda: nr.empirical_ntk(model, wide, x),
        lambda: nr.gradient_descent(model, wide, (x, x), steps=1, learning_rate=1e-4),
        lambda: nr.train(model, wide, (x, x), steps=1, learning_rate=1e-4),
        lambda: nr.max_learning_rate(model, wide, x),
        lambda: model.apply(wide, x),
    ):
        with pytest.raises(ValueError, match="a wide_rnn has no W: impulse_response"):
            call()
