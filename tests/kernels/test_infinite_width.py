"""Lag weights (eqs. 21 and 22) and the analytic kernel (eqs. 17 and 20)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ntk_rnn as nr

variances = st.floats(0.05, 3.0)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(nu_w=variances, nu_f=variances, nu_c=variances)
def test_lag_weights_are_the_two_pole_filter(nu_w, nu_f, nu_c):
    rho = np.asarray(nr.lag_weights(12, nu_w, nu_f, nu_c), float)
    assert np.isclose(rho[0], nu_c + nu_f, rtol=1e-5)
    assert np.isclose(rho[1], nu_c * (nu_f + nu_w) + nu_f * nu_w, rtol=1e-5)
    expected = 2 * nu_w * rho[1:-1] - nu_w**2 * rho[:-2]
    # The recursion subtracts numbers of the size of its first term.
    np.testing.assert_allclose(rho[2:], expected, atol=1e-5 * np.max(np.abs(rho[1:-1])) * nu_w)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(nu_w=st.floats(0.05, 1.0), nu_f=variances, nu_c=variances)
def test_equation_22_bounds_the_lag_weights(nu_w, nu_f, nu_c):
    rho = nr.lag_weights(20, nu_w, nu_f, nu_c)
    bound = nr.lag_weight_bound(20, nu_w, nu_f, nu_c)
    assert np.all(rho <= bound * (1 + 1e-5))


def test_equation_22_is_attained_at_the_last_lag_of_a_marginally_stable_rnn(dtype, tol):
    """At nu_W = 1 lag T - 1 misses the bound by nu_C nu_F alone."""
    rho, bound = nr.lag_weights(9, 1.0, 2.0, 3.0), nr.lag_weight_bound(9, 1.0, 2.0, 3.0)
    assert np.isclose(bound[-1] - rho[-1], 6.0, rtol=10 * tol)


def test_lag_weights_are_the_mean_square_gradient(dtype):
    """At initialization rho_j is E |dL_j / d(W, F, C)|^2, here over seeds and entries.

    For one input and one output that is the diagonal of the finite-width Gram matrix.
    """
    seq_len, width, seeds = 6, 60, 200

    @jax.jit
    @jax.vmap
    def squared_gradients(key):
        x = jnp.zeros((1, seq_len, 1), dtype)
        params = nr.LinearRNN(width, 1, nu_w=0.5, nu_f=1.5, nu_c=0.7).init(key, x)
        jacobian = jax.jacrev(nr.impulse_response)(params, seq_len)
        return sum(jnp.sum(j**2, axis=range(1, j.ndim)) for j in jax.tree.leaves(jacobian))

    samples = np.asarray(squared_gradients(jax.random.split(jax.random.key(0), seeds)), float)
    error = samples.mean(0) - np.asarray(nr.lag_weights(seq_len, 0.5, 1.5, 0.7))
    standard_error = samples.std(0, ddof=1) / np.sqrt(seeds)
    # Five standard errors, and the bias of order 1/n of a finite width.
    assert np.all(np.abs(error) <= 5 * standard_error + 3 / width)


def kernel_by_definition(x1, x2, rho):
    lengths = x1.shape[1], x2.shape[1]
    kernel = np.zeros((len(x1), len(x2), *lengths))
    for t in range(lengths[0]):
        for s in range(lengths[1]):
            for j in range(min(t, s, len(rho) - 1) + 1):
                kernel[:, :, t, s] += rho[j] * x1[:, t - j] @ x2[:, s - j].T
    return kernel


@pytest.mark.parametrize("in_dim", [1, 3])
def test_kernel_is_its_definition(dtype, tol, in_dim):
    rng = np.random.default_rng(0)
    x1 = rng.normal(size=(3, 7, in_dim)).astype(dtype)
    x2 = rng.normal(size=(2, 7, in_dim)).astype(dtype)
    rho = nr.lag_weights(7, 0.4, 1.0, 2.0)
    for second in (x2, None, x2[:, :4], np.concatenate([x2, x2], axis=1)):
        kernel = nr.analytic_ntk(x1, second, rho)
        assert kernel.dtype == dtype
        other = x1 if second is None else second
        expected = kernel_by_definition(x1.astype(float), other.astype(float), np.asarray(rho))
        assert np.linalg.norm(kernel - expected) <= tol * np.linalg.norm(expected)


def test_a_kernel_beyond_a_cache_is_that_of_its_sequences(dtype, tol):
    """40 MB and more, by some sequences at a time, of which the last are fewer, in two lengths."""
    x1 = jax.random.normal(jax.random.key(0), (101, 20, 2), dtype)
    x2 = jax.random.normal(jax.random.key(1), (130, 40, 2), dtype)
    rho = nr.lag_weights(30, 0.3, 1.0, 1.0)
    kernel = nr.analytic_ntk(x1, x2, rho)
    few = np.array([0, 1, 57, 99, 100])  # together they are 2 MB
    parts = nr.analytic_ntk(x1[few], x2, rho)
    assert kernel.dtype == dtype
    np.testing.assert_allclose(kernel[few], parts, rtol=tol, atol=tol * np.abs(parts).max())


def test_kernel_is_symmetric_and_positive_semi_definite(dtype, tol):
    x = jax.random.normal(jax.random.key(0), (4, 6, 2), dtype)
    kernel = np.asarray(nr.analytic_ntk(x, None, nr.lag_weights(6, 0.3, 1.0, 1.0)))
    matrix = nr.as_matrix(kernel)
    np.testing.assert_allclose(matrix, matrix.T, rtol=100 * tol, atol=10 * tol)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues[0] >= -10 * tol * eigenvalues[-1]


def test_kernel_of_a_shorter_prefix_is_the_corner(dtype):
    """Causality: times after t play no part in K[t, s]."""
    x = jax.random.normal(jax.random.key(0), (3, 8, 1), dtype)
    rho = nr.lag_weights(8, 0.3, 1.0, 1.0)
    whole = nr.analytic_ntk(x, None, rho)[:, :, :5, :5]
    prefix = nr.analytic_ntk(x[:, :5], None, rho)
    np.testing.assert_allclose(prefix, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.3, 1, 1), "seq_len must be a positive integer, got 0"),
        ((4, -0.3, 1, 1), "nu_w must be positive and finite, got -0.3"),
        ((4, 0.3, np.nan, 1), "nu_f must be positive and finite, got nan"),
        ((4, 0.3, 1, "1.0x"), "nu_c must be a positive number, got '1.0x'"),
    ],
)
def test_bad_variances_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nr.lag_weights(*arguments)
    with pytest.raises(ValueError, match=message):
        nr.lag_weight_bound(*arguments)


@pytest.mark.usefixtures("unannotated")
def test_bad_kernel_arguments_are_refused():
    x, rho = jnp.ones((2, 3, 1)), jnp.ones(3)
    with pytest.raises(ValueError, match=r"nu_w must be at most 1 .* got 1.5"):
        nr.lag_weight_bound(3, 1.5, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"same number of inputs, got 1 and 2"):
        nr.analytic_ntk(x, jnp.ones((2, 4, 2)), rho)
    with pytest.raises(
        ValueError, match="rho must be real, got dtype complex128; pass its real part"
    ):
        nr.analytic_ntk(x, None, 1j * np.ones(3))
    with pytest.raises(ValueError, match=r"fits into memory, .*e\+06 GB of .* write_ntk"):
        jax.eval_shape(lambda x: nr.analytic_ntk(x, None, rho), jnp.ones((3 * 10**4, 10**3, 1)))
    huge = float(jnp.finfo(jnp.result_type(float)).max) ** 0.9
    for function in (nr.lag_weights, nr.lag_weight_bound, nr.gaussian_limit):
        small = function is nr.lag_weight_bound  # which holds for nu_w <= 1 alone
        with pytest.raises(ValueError, match=r"nu_w must keep all lags below .* from lag \d+ on"):
            function(400, *((1.0, huge, huge) if small else (100.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match=r"rho must have shape \(lags,\)"):
        nr.analytic_ntk(x, None, jnp.ones((3, 1)))
    with pytest.raises(ValueError, match=r"x2 must be finite, got 6 NaN"):
        nr.analytic_ntk(x, x * jnp.nan, rho)
