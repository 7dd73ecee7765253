"""Lemma B.1: the kernel as a mean over random directions, within its own standard errors."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn._networks import separated
from ntk_rnn.kernels.monte_carlo import _estimate, monte_carlo_ntk

KEY = jax.random.key(3)


class Tanh(nn.Module):
    """A recurrent network that is not linear in its inputs."""

    out_dim: int = 2

    @nn.compact
    def __call__(self, x):
        cell = nn.SimpleCell(5, dtype=x.dtype, param_dtype=x.dtype)
        return nn.Dense(self.out_dim, dtype=x.dtype, param_dtype=x.dtype)(nn.RNN(cell)(x))


def draw(dtype, model, num=3, seq_len=4, in_dim=2):
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    x1 = jax.random.normal(k1, (num, seq_len, in_dim), dtype)
    x2 = jax.random.normal(k2, (num - 1, seq_len, in_dim), dtype)
    return jax.jit(model.init)(k3, x1), x1, x2


def jacobian_product(apply_fn, params, x1, x2):
    """``J(x1) J(x2)^T``, shape (N1, N2, T, T, n_y, n_y)."""

    def rows(x):
        jacobian = jax.jit(jax.jacrev(apply_fn))(params, x)
        return np.concatenate([j.reshape(*j.shape[:3], -1) for j in jax.tree.leaves(jacobian)], -1)

    return np.einsum("itpz,ksqz->iktspq", rows(x1), rows(x2))


def assert_within(estimate, expected, num_errors=5):
    """Each entry within five standard errors, and all together as many as they should be."""
    kernel, error = estimate
    assert kernel.shape == error.shape == expected.shape
    assert kernel.dtype == error.dtype == expected.dtype
    z = np.asarray((kernel - expected) / error)
    assert np.max(np.abs(z)) <= num_errors
    assert 0.5 <= np.sqrt(np.mean(z**2)) <= 1.6  # of entries that are not independent


def test_is_the_exact_kernel_of_a_linear_rnn():
    model = nr.LinearRNN(30, 2, evaluation="impulse")
    params, x1, x2 = draw(np.float32, model)
    gram = nr.finite_width_gram(params, 4)
    estimate = monte_carlo_ntk(model, params, x1, x2, KEY, 2000, full=True, batch_size=64)
    assert_within(estimate, gram.ntk(x1, x2, full=True))


def test_is_the_product_of_jacobians_of_a_network_that_is_not_linear():
    model = Tanh()
    params, x1, x2 = draw(np.float32, model)
    expected = jacobian_product(model.apply, params, x1, x2)
    # The second half of the pair of outputs is neither symmetric nor zero, so order shows.
    assert np.abs(expected[..., 0, 1] - expected[..., 1, 0]).max() < np.abs(expected).max()
    full = monte_carlo_ntk(model, params, x1, x2, KEY, 4000, full=True, batch_size=100)
    assert_within(full, expected)
    traced = monte_carlo_ntk(model, params, x1, x2, KEY, 4000, batch_size=100)
    assert_within(traced, np.trace(expected, axis1=-2, axis2=-1) / 2)
    # The same samples: the trace of the estimate is the estimate of the trace.
    of_full = np.trace(full.kernel, axis1=-2, axis2=-1) / 2
    np.testing.assert_allclose(traced.kernel, of_full, atol=1e-5 * np.abs(of_full).max())


def test_standard_error_is_the_spread_of_independent_repeats():
    model = nr.LinearRNN(20, 2)
    params, x1, x2 = draw(np.float32, model)
    expected = nr.finite_width_gram(params, 4).ntk(x1, x2, full=True)
    repeats, samples = 400, 25

    @jax.vmap
    def repeat(key):
        return monte_carlo_ntk(model, params, x1, x2, key, samples, full=True, batch_size=25)

    kernels, errors = jax.jit(repeat)(jax.random.split(KEY, repeats))
    spread = np.std(kernels, axis=0, ddof=1)
    ratio = np.sqrt(np.mean(errors**2, axis=0)) / spread
    # The spread of 400 repeats of a distribution with heavy tails is right to some 5 %.
    assert abs(np.mean(ratio) - 1) <= 0.03 and np.max(np.abs(ratio - 1)) <= 0.25
    # Unbiased: the mean of the repeats within standard errors of the kernel.
    z = (np.mean(kernels, axis=0) - expected) / (spread / repeats**0.5)
    assert np.max(np.abs(z)) <= 5


def test_standard_error_is_that_of_products_of_gaussians():
    """``var (u w) = var u var w + cov(u, w)^2`` for the entries of the full kernel."""
    model = Tanh()
    params, x, _ = draw(np.float32, model)
    expected = jacobian_product(model.apply, params, x, x)
    own = np.einsum("iittpp->itp", expected)
    variance = own[:, None, :, None, :, None] * own[None, :, None, :, None, :] + expected**2
    _, error = monte_carlo_ntk(model, params, x, None, KEY, 10_000, full=True, batch_size=100)
    np.testing.assert_allclose(error, np.sqrt(variance / 10_000), rtol=0.15)


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_x2_defaults_to_x1_and_the_kernel_is_symmetric_and_positive_semi_definite(dtype, tol):
    model = Tanh()
    params, x, _ = draw(dtype, model)
    kernel, error = monte_carlo_ntk(model, params, x, None, KEY, 60, full=True)
    again = monte_carlo_ntk(model, params, x, x, KEY, 60, full=True)
    np.testing.assert_allclose(kernel, again.kernel, atol=tol * np.max(np.abs(kernel)))
    for each in (kernel, error):
        matrix = np.asarray(each).transpose(0, 2, 4, 1, 3, 5).reshape(24, 24)
        assert np.max(np.abs(matrix - matrix.T)) <= tol * np.max(np.abs(matrix))
    matrix = np.asarray(kernel).transpose(0, 2, 4, 1, 3, 5).reshape(24, 24)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues[0] >= -10 * tol * eigenvalues[-1]


@pytest.mark.parametrize(
    ("dtype", "batch_size"), [("float32", 1), ("float64", 7)], indirect=["dtype"]
)
def test_samples_do_not_depend_on_how_many_are_taken_at_once(dtype, tol, batch_size):
    model = nr.LinearRNN(4, 2, evaluation="scan")
    params, x1, x2 = draw(dtype, model)
    kernel, error = monte_carlo_ntk(model, params, x1, x2, KEY, 50, batch_size=batch_size)

    def sample(index):
        keys = jax.random.split(jax.random.fold_in(KEY, index), 3)
        leaves, tree = jax.tree.flatten(params)
        draws = [jax.random.normal(k, p.shape, dtype) for k, p in zip(keys, leaves, strict=True)]
        change = jax.tree.unflatten(tree, draws)
        u1, u2 = (jax.jvp(lambda p, x=x: model.apply(p, x), (params,), (change,))[1]
                  for x in (x1, x2))  # fmt: skip
        return jnp.einsum("itp,ksp->ikts", u1, u2) / 2

    values = np.asarray(jax.jit(jax.vmap(sample))(jnp.arange(50)), float)
    scale = np.abs(values).max()
    np.testing.assert_allclose(kernel, values.mean(0), atol=tol * scale)
    np.testing.assert_allclose(
        error, values.std(0, ddof=1) / np.sqrt(50), rtol=10 * tol, atol=tol * scale
    )


def test_standard_error_keeps_its_digits_where_samples_hardly_differ():
    """Many parameters in one sum of squares: the mean square less the squared mean is noise.

    Within batches and between them alike.
    """

    def apply_fn(params, x):
        return x * params["w"][None]

    width = 200_000
    params = {"w": jnp.ones(width)}
    kernel, error = monte_carlo_ntk(
        apply_fn, params, jnp.ones((1, width)), None, KEY, 200, batch_size=10
    )
    np.testing.assert_allclose(kernel, 1, atol=5 * np.sqrt(2 / width / 200))
    np.testing.assert_allclose(error, np.sqrt(2 / width / 200), rtol=0.25)


def test_outputs_of_any_rank():
    """Every axis of the output twice in a row, as ``empirical_ntk`` has them."""

    def apply_fn(params, x):
        return jnp.tanh(jnp.einsum("nd,dabp->nabp", x, params["w"]))

    w = jax.random.normal(KEY, (4, 2, 3, 2))
    x1, x2 = jax.random.normal(jax.random.key(1), (2, 3, 4))
    for full, axes in ((False, (-1,)), (True, ())):
        expected = nr.empirical_ntk(apply_fn, {"w": w}, x1, x2[:2], trace_axes=axes)
        kernel, error = monte_carlo_ntk(
            apply_fn, {"w": w}, x1, x2[:2], KEY, 2000, full=full, batch_size=50
        )
        assert kernel.shape == expected.shape
        assert np.all(np.abs(kernel - expected) <= 5.5 * error + 1e-6)


def test_memory_does_not_grow_with_the_samples_and_products_run_at_full_precision():
    model = nr.LinearRNN(30, 2)
    params, x1, _ = draw(np.float32, model)

    def memory(num_samples):
        args = (num_samples, 1, None, False, *separated(model, params), x1, KEY)
        return _estimate.lower(*args).compile().memory_analysis().temp_size_in_bytes

    assert memory(100_000) <= memory(100)
    text = str(jax.make_jaxpr(lambda x: monte_carlo_ntk(model, params, x, None, KEY, 3))(x1))
    assert text.count("dot_general[") == text.count("precision=(Precision.HIGHEST") > 0


def test_second_call_does_not_compile_again():
    calls = []

    def counting(params, x):
        calls.append(x.shape)
        return x @ params["w"]

    params, x = {"w": jnp.ones((2, 3))}, jnp.ones((1, 4, 2))
    monte_carlo_ntk(counting, params, x, None, KEY, 5)
    before = len(calls)
    assert before > 0
    monte_carlo_ntk(counting, {"w": 2 * params["w"]}, x - 1, None, jax.random.key(5), 5)
    assert len(calls) == before
    # Nor does a new module that equals the last one.
    params, x, _ = draw(np.float32, Tanh(3))
    monte_carlo_ntk(Tanh(3), params, x, None, KEY, 5)
    compiled = _estimate._cache_size()
    monte_carlo_ntk(Tanh(3), params, x, None, KEY, 5)
    assert _estimate._cache_size() == compiled


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": 1}, "num_samples must be at least 2, for a standard error, got 1"),
        ({"num_samples": 0}, "num_samples must be a positive integer, got 0"),
        ({"num_samples": 2.5}, "num_samples must be a positive integer, got 2.5"),
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
        ({"x1": np.full((3, 4, 2), np.nan, np.float32)}, "x1 must be finite"),
        ({"x2": np.full((3, 4, 2), np.inf, np.float32)}, "x2 must be finite"),
        ({"x1": np.zeros((0, 4, 2), np.float32)}, r"x1 must not be empty, got shape \(0, 4, 2"),
        ({"x1": np.zeros(4, np.float32)}, r"x1 must have a batch axis .* pass x1\[None\]"),
        ({"x2": np.zeros((3, 4, 5), np.float32)}, r"same shape, got \(4, 2\) and \(4, 5\)"),
        ({"params": {"w": np.ones((2, 3), int)}}, "params must hold .* floating or complex number"),
        ({"params": {"w": np.full((2, 3), np.nan)}}, r"params\['w'\] must be finite"),
        ({"params": {}}, "params must hold at least one array"),
        ({"apply_fn": lambda p, x: (x @ p["w"]).sum()}, "apply_fn must return one array"),
        ({"apply_fn": lambda p, x: (x @ p["w"], x)}, "apply_fn must return one array"),
        ({"apply_fn": lambda p, x: (x @ p["w"])[:1]}, "the batch axis of its input first"),
        ({"apply_fn": 3}, "apply_fn must be a function"),
        ({"key": 0}, r"key must be a single random key, .* got int 0"),
    ],
)
def test_errors_name_the_argument(change, message):
    arguments = {
        "apply_fn": lambda p, x: x @ p["w"],
        "params": {"w": jnp.ones((2, 3), np.float32)},
        "x1": np.ones((3, 4, 2), np.float32),
        "x2": None,
        "key": KEY,
        "num_samples": 4,
    }
    with pytest.raises(ValueError, match=message):
        monte_carlo_ntk(**arguments | change)
