"""Kernels as matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr


@pytest.mark.parametrize("outputs", [1, 2])
def test_matrix_is_the_kernel_over_triples(outputs):
    """Eigenvalues are those of J J^T, with the Jacobian of all outputs at once."""
    x1, x2 = (jax.random.normal(jax.random.key(n), (n, 4, 2)) for n in (3, 2))
    params = nr.LinearRNN(5, outputs).init(jax.random.key(1), x1)
    gram, model = nr.finite_width_gram(params, 4), nr.LinearRNN(5, outputs)

    def jacobian(x):
        leaves = jax.tree.leaves(jax.jacrev(lambda p: model.apply(p, x))(params))
        return jnp.concatenate([leaf.reshape(x.shape[0] * 4 * outputs, -1) for leaf in leaves], 1)

    j1, j2 = jacobian(x1), jacobian(x2)
    matrix = nr.as_matrix(gram.ntk(x1, x2, full=True))
    assert isinstance(matrix, jax.Array)
    np.testing.assert_allclose(matrix, j1 @ j2.T, rtol=1e-4, atol=1e-4)
    itself = nr.as_matrix(np.asarray(gram.ntk(x1, full=True)))
    assert isinstance(itself, np.ndarray)
    values = np.linalg.eigvalsh(itself)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(j1 @ j1.T), atol=1e-4 * values[-1])
    assert values[0] >= -1e-5 * values[-1]
    # Averaged over outputs, it is the mean of the blocks of each output.
    mean = np.mean([itself[p::outputs, p::outputs] for p in range(outputs)], axis=0)
    np.testing.assert_allclose(nr.as_matrix(gram.ntk(x1)), mean, rtol=1e-4, atol=1e-4)


def test_sequences_may_differ_in_length():
    x1, x2 = (jax.random.normal(jax.random.key(n), (n, n + 1, 2)) for n in (3, 2))
    kernel = nr.analytic_ntk(x1, x2, nr.lag_weights(3, 0.3, 1.0, 1.0))
    matrix = nr.as_matrix(kernel)
    assert matrix.shape == (12, 6)
    assert matrix[2 * 4 + 3, 1 * 3 + 2] == kernel[2, 1, 3, 2]


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("shape", [(), (3, 3), (2, 2, 3, 3, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"kernel must have shape \(N1, N2, T1, T2\)"):
        nr.as_matrix(np.ones(shape))


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves_are_computed_in_single_precision(half):
    """Sums of 1e5 overflow float16, and are lost beyond three digits in bfloat16."""
    x = jnp.full((1, 100, 20), 50, half)
    wide, rho = x.astype(np.float32), nr.lag_weights(100, 0.3, 1.0, 1.0)
    params = nr.LinearRNN(4, 1).init(jax.random.key(0), wide)
    narrow = jax.tree.map(lambda a: a.astype(half), params)
    again = jax.tree.map(lambda a: a.astype(np.float32), narrow)
    response = np.ones((100, 1, 20), np.float32)
    for found, expected in (
        (nr.analytic_ntk(x, None, rho), nr.analytic_ntk(wide, None, rho)),
        (nr.finite_width_gram(narrow, 100).ntk(x), nr.finite_width_gram(again, 100).ntk(wide)),
        (nr.causal_conv(jnp.asarray(response, half), x), nr.causal_conv(response, wide)),
        (nr.impulse_response(narrow, 9), nr.impulse_response(again, 9)),
        (nr.hidden_state_limit(x, 0.3, 1.0), nr.hidden_state_limit(wide, 0.3, 1.0)),
        (nr.compress(x, x[..., :1]).errors(response),
         nr.compress(wide, wide[..., :1]).errors(response)),
        (nr.kernel_regression(rho[:9], (x[:, :9], x[:, :9])).singular_values,
         nr.kernel_regression(rho[:9], (wide[:, :9], wide[:, :9])).singular_values),
    ):  # fmt: skip
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)
