"""The impulse response and its derivatives against the definition and autodiff of the loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.impulse import chain

# Chains from the right have a way of their own for two or three rows, and for more.
SHAPES = [(1, 1, 1, 1), (6, 3, 2, 5), (5, 2, 3, 9), (5, 4, 6, 3)]  # n, n_x, n_y, T


def draw_params(dtype, n, in_dim, out_dim):
    rng = np.random.default_rng(1)

    def matrix(*shape):
        return jnp.asarray(rng.normal(size=shape), dtype)

    return {"params": {"W": matrix(n, n), "F": matrix(n, in_dim), "C": matrix(out_dim, n)}}


def by_definition(params, seq_len):
    """eq. (9), each power of W from scratch, in the precision of the parameters."""
    w, f, c = (params["params"][name] for name in "WFC")
    n = w.shape[0]
    mul = partial(jnp.matmul, precision="highest")
    responses = []
    for j in range(seq_len):
        power = jnp.eye(n, dtype=w.dtype)
        for _ in range(j):
            power = mul(power, w)
        responses.append(mul(mul(c, power), f) * n ** (-(j + 1) / 2))
    return jnp.stack(responses)


@pytest.mark.parametrize("shape", SHAPES)
def test_is_equation_9(dtype, tol, shape):
    *sizes, seq_len = shape
    params = draw_params(dtype, *sizes)
    expected = jax.jit(by_definition, static_argnums=1)(params, seq_len)
    actual = nr.impulse_response(params, seq_len)
    assert actual.dtype == dtype
    assert jnp.linalg.norm(actual - expected) <= tol * jnp.linalg.norm(expected)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("float64", SHAPES[0]),
        ("float64", SHAPES[1]),
        ("float32", SHAPES[2]),
        ("float64", SHAPES[3]),
    ],
    indirect=["dtype"],
)
def test_first_derivatives_in_both_modes(dtype, tol, shape):
    *sizes, seq_len = shape
    params = draw_params(dtype, *sizes)
    modes = jax.jacfwd, jax.jacrev

    @jax.jit
    def derivatives(params):
        return [
            jax.jacrev(by_definition)(params, seq_len),
            *(mode(nr.impulse_response)(params, seq_len) for mode in modes),
        ]

    expected, *both = derivatives(params)
    for mode, actual in zip(modes, both, strict=True):
        for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
            assert np.linalg.norm(a - e) <= tol * np.linalg.norm(e), mode


def test_second_derivatives(dtype, tol):
    params = draw_params(dtype, 4, 1, 2)

    def energy(response):
        return lambda p: jnp.sum(response(p, 4) ** 2)

    @jax.jit
    def second(params):
        return [jax.hessian(energy(f))(params) for f in (nr.impulse_response, by_definition)]

    actual, expected = second(params)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(a - e) <= 10 * tol * np.linalg.norm(e)


def test_chain_is_the_same_from_either_side(dtype, tol):
    w, f, c = (draw_params(dtype, 7, 3, 3)["params"][name] for name in "WFC")
    left = jnp.einsum("jpn,nq->jpq", chain(c, w, 6, "left"), f)
    right = jnp.einsum("pn,jqn->jpq", c, chain(f.T, w, 6, "right"))
    assert jnp.linalg.norm(left - right) <= tol * jnp.linalg.norm(left)


def test_batches_over_networks(dtype, tol):
    params = [jax.tree.map(lambda a, s=s: a * s, draw_params(dtype, 5, 1, 2)) for s in (1.0, 0.5)]
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *params)
    together = jax.vmap(lambda p: nr.impulse_response(p, 4))(stacked)
    for response, p in zip(together, params, strict=True):
        np.testing.assert_allclose(response, nr.impulse_response(p, 4), rtol=10 * tol)


def test_float32_agrees_with_float64():
    params = jax.tree.map(np.asarray, draw_params(np.float32, 300, 1, 1))
    single = np.asarray(nr.impulse_response(params, 30))
    w, f, c = (params["params"][name].astype(float) for name in "WFC")
    row, double = c / 300**0.5, []
    for _ in range(30):
        double.append(row @ f)
        row = row @ w / 300**0.5
    scale = np.linalg.norm(f) * np.linalg.norm(c) / 300**0.5
    # Relative to the size of the sums that make up each lag, the dot products' rounding.
    assert np.max(np.abs(single - np.stack(double))) <= 1e-5 * scale


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"params": {"theta": jnp.ones((2, 1, 1))}}, "params must be those of a LinearRNN"),
        ({"W": jnp.ones((2, 2))}, "params must be those of a LinearRNN"),
        (
            {"params": {"W": jnp.ones((2, 3)), "F": jnp.ones((2, 1)), "C": jnp.ones((1, 2))}},
            r"params must hold W \(n, n\).* got shapes \(2, 3\), \(2, 1\) and \(1, 2\)",
        ),
    ],
)
def test_foreign_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        nr.impulse_response(params, 3)


@pytest.mark.usefixtures("unannotated")
def test_length_must_be_positive():
    with pytest.raises(ValueError, match="seq_len must be a positive integer, got 0"):
        nr.impulse_response(draw_params(np.float32, 2, 1, 1), 0)
