"""The exact kernel of finite width against neural-tangents and jax.jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn import _neural_tangents
from ntk_rnn.power_law import fit_power_law


def draw(dtype, n, seq_len, in_dim, out_dim, num=3):
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    x1 = jax.random.normal(k1, (num, seq_len, in_dim), dtype)
    x2 = jax.random.normal(k2, (num - 1, seq_len, in_dim), dtype)
    model = nr.LinearRNN(n, out_dim, evaluation="impulse")
    return model, jax.jit(model.init)(k3, x1), x1, x2


def relative_error(actual, expected):
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


# n, T, n_x, n_y: the sizes of the paper's claims at their corners, and two in double precision.
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("float32", (8, 1, 1, 1)),
        ("float32", (500, 7, 3, 2)),
        ("float64", (8, 30, 1, 1)),
        ("float64", (64, 2, 2, 3)),
    ],
    indirect=["dtype"],
)
def test_is_the_kernel_of_neural_tangents(dtype, shape):
    model, params, x1, x2 = draw(dtype, *shape)
    gram = nr.finite_width_gram(params, shape[1])
    bar = {"float32": 1e-5, "float64": 1e-10}[dtype.name]
    expected = np.asarray(nr.empirical_ntk(model, params, x1, x2, trace_axes=()))
    assert relative_error(gram.ntk(x1, x2, full=True), expected) <= bar
    traced = np.trace(expected, axis1=-2, axis2=-1) / shape[3]
    assert relative_error(gram.ntk(x1, x2), traced.astype(dtype)) <= bar


def test_dense_is_the_gram_of_the_gradients(dtype, tol):
    _, params, _, _ = draw(dtype, 9, 5, 2, 3)
    dense = nr.finite_width_gram(params, 5).dense()
    jacobian = jax.jit(jax.jacrev(nr.impulse_response), static_argnums=1)(params, 5)
    rows = np.concatenate([j.reshape(30, -1) for j in jax.tree.leaves(jacobian)], axis=1)
    assert relative_error(dense, (rows @ rows.T).reshape(5, 3, 2, 5, 3, 2)) <= tol


def test_dense_is_symmetric_and_positive_semi_definite(dtype, tol):
    _, params, _, _ = draw(dtype, 9, 5, 2, 3)
    matrix = np.asarray(nr.finite_width_gram(params, 5).dense()).reshape(30, 30)
    assert np.max(np.abs(matrix - matrix.T)) <= tol * np.max(matrix)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues[0] >= -10 * tol * eigenvalues[-1]


def test_x2_defaults_to_x1_and_shorter_sequences_take_the_first_lags(dtype, tol):
    _, params, x1, _ = draw(dtype, 9, 6, 2, 2)
    gram = nr.finite_width_gram(params, 6)
    kernel = gram.ntk(x1)
    np.testing.assert_array_equal(kernel, gram.ntk(x1, x1))
    assert relative_error(gram.ntk(x1[:, :4]), kernel[:, :, :4, :4]) <= tol
    for pair, corner in (((x1[:, :4], x1), kernel[:, :, :4]), ((x1, x1[:, :2]), kernel[..., :2])):
        assert relative_error(gram.ntk(*pair), corner) <= tol


def test_the_size_of_the_rest_keeps_its_digits():
    """Of one unit with W = 1e-4 and F = 1e-3 the only entry beside the diagonal is F^2 W."""
    params = {"W": jnp.full((1, 1), 1e-4), "F": jnp.full((1, 1), 1e-3), "C": jnp.ones((1, 1))}
    rho, rest = nr.finite_width_gram({"params": params}, 2).lag_weights()
    # G = [[1 + F^2, W + F^2 W], [W + F^2 W, F^2 + W^2 + F^2 W^2]]
    off, last = 1e-4 * (1 + 1e-6), 1e-6 + 1e-8 + 1e-14
    np.testing.assert_allclose(rho, [1 + 1e-6, last], rtol=1e-5)
    expected = np.sqrt(2) * off / np.hypot(1 + 1e-6, last)
    np.testing.assert_allclose(rest, expected, rtol=1e-5)
    tiny = nr.finite_width_gram({"params": jax.tree.map(lambda a: 1e-9 * a, params)}, 2)
    assert 0 < tiny.lag_weights()[1] < 1


def test_drift_of_what_has_diverged_is_nan():
    _, params, _, _ = draw(np.float32, 5, 4, 2, 1)
    initial = nr.finite_width_gram(params, 4)
    for factor in (1e3, 1e6, 1e15, 1e25, np.inf, np.nan):
        drift = jax.jit(  # compiled, as in an ensemble, where parameters cannot be refused
            lambda f: nr.finite_width_gram(jax.tree.map(lambda a: f * a, params), 4).drift(initial)
        )(factor)
        assert drift > 1e6 if factor == 1e3 else np.isnan(drift)


def test_diagonal_tends_to_the_lag_weights():
    """Mean over seeds within standard errors of rho, and less and less beside the diagonal."""
    seq_len, seeds = 6, 40
    rho = np.asarray(nr.lag_weights(seq_len, 0.3, 1.0, 1.0))
    x = jnp.zeros((1, seq_len, 1))
    beside = []
    widths = np.array([40, 120, 360])
    for width in widths.tolist():
        model = nr.LinearRNN(width, 1)

        @jax.jit
        @jax.vmap
        def weights(key, model=model):
            return nr.finite_width_gram(model.init(key, x), seq_len).lag_weights()

        diagonal, off = weights(jax.random.split(jax.random.key(0), seeds))
        standard_error = np.std(diagonal, axis=0, ddof=1) / np.sqrt(seeds)
        # Five standard errors, and a bias of order 1/n.
        error = np.abs(np.mean(diagonal, axis=0) - rho)
        assert np.all(error <= 5 * standard_error + 3 * rho / width)
        beside.append(np.asarray(off))
    law = fit_power_law(widths, np.stack(beside))
    assert abs(law.slope + 0.5) <= 4 * law.stderr


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_linearized_network_is_kernel_regression_with_the_gram(dtype, tol):
    """Closed-form descent with the dense Gram is descent of neural-tangents' linearized RNN."""
    model, params, x, _ = draw(dtype, 20, 4, 2, 2, num=6)
    data = (x, jnp.ones((6, 4, 2), dtype))
    gram = nr.finite_width_gram(params, 4).dense()
    kernel = nr.kernel_regression(gram, data, initial=nr.impulse_response(params, 4))
    rate = 0.5 * float(kernel.max_learning_rate)

    linearized = _neural_tangents.load().linearize(model.apply, params)
    path = nr.gradient_descent(linearized, params, data, steps=50, learning_rate=rate)
    predicted = kernel.train_loss(path.step, rate)
    assert np.max(np.abs(predicted - path.train_loss)) <= 10 * tol * path.train_loss[0]


def test_entries_of_long_lags_keep_their_digits():
    """Entries fall by many orders of magnitude; each is right to rounding of its own size."""
    _, params, _, _ = draw(np.float32, 200, 60, 1, 1)
    single = np.einsum("jpqjpq->j", nr.finite_width_gram(params, 60).dense())
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        wide = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, float)), params)
        double = np.einsum("jpqjpq->j", nr.finite_width_gram(wide, 60).dense())
    finally:
        jax.config.update("jax_enable_x64", before)
    normal = double > 1e-30  # of float32, below which digits are lost to underflow
    assert double[normal].min() < 1e-20 * double[0]
    np.testing.assert_allclose(single[normal], double[normal], rtol=1e-4)


def test_drift_is_the_distance_of_the_dense_grams(dtype, tol):
    _, before, _, _ = draw(dtype, 9, 4, 2, 2)
    after = jax.tree.map(lambda a: a + jnp.asarray(0.1, dtype) * jnp.sin(a), before)
    grams = [nr.finite_width_gram(params, 4) for params in (before, after)]
    expected = relative_error(*(np.asarray(gram.dense()) for gram in grams[::-1]))
    assert 0.05 < expected < 2
    np.testing.assert_allclose(grams[1].drift(grams[0]), expected, rtol=10 * tol)
    assert grams[0].drift(grams[0]) == 0
    nothing = nr.finite_width_gram(jax.tree.map(jnp.zeros_like, before), 4)
    assert nothing.drift(nothing) == 0 and nothing.lag_weights()[1] == 0


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    _, params, x, _ = draw(np.float32, 5, 4, 2, 1)
    with pytest.raises(ValueError, match="seq_len must be a positive integer, got 0"):
        nr.finite_width_gram(params, 0)
    with pytest.raises(ValueError, match="params must be those of a LinearRNN"):
        nr.finite_width_gram({"params": {"theta": jnp.ones((2, 1, 1))}}, 3)
    gram = nr.finite_width_gram(params, 3)
    with pytest.raises(ValueError, match=r"x1 must have at most 3 steps, .* got 4; .* seq_len=4"):
        gram.ntk(x)
    with pytest.raises(ValueError, match=r"n_x of the Gram must have the same number of inputs"):
        gram.ntk(x[:, :3, :1])
    with pytest.raises(ValueError, match=r"x2 must have at most 3 steps, .* got 4; .* seq_len=4"):
        gram.ntk(x[:, :3], x)
    with pytest.raises(ValueError, match=r"params\['params'\]\['F'\] must be finite, got 10 NaN"):
        nr.finite_width_gram(
            {"params": {**params["params"], "F": jnp.full((5, 2), jnp.nan, "float32")}}, 3
        )
    with pytest.raises(ValueError, match=r"initial.p.shape .* same shape, got \(2, 2, 1, 1\) and"):
        gram.drift(nr.finite_width_gram(params, 2))
    with pytest.raises(ValueError, match="initial must be a FiniteWidthGram, got dict"):
        gram.drift(params)
