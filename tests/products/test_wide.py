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
