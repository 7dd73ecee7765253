"""Lagged inputs, Toeplitz matrices and causal convolution, each computed a second way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.sequences import convolved, lagged

SHAPES = [
    (1, 1, 1, 1, 1),
    (3, 7, 7, 2, 3),
    (2, 9, 4, 3, 1),
    (2, 4, 9, 1, 2),
    (2, 6, 4, 9, 1),
    (2, 3, 5, 16, 2),
]  # N, T, lags, n_x, n_y


def draw(dtype, num, seq_len, lags, in_dim, out_dim):
    rng = np.random.default_rng(0)
    response = rng.normal(size=(lags, out_dim, in_dim)).astype(dtype)
    x = rng.normal(size=(num, seq_len, in_dim)).astype(dtype)
    return response, x


def convolve_by_definition(response, x):
    num, seq_len, _ = x.shape
    y = np.zeros((num, seq_len, response.shape[1]), x.dtype)
    for t in range(seq_len):
        for j in range(min(t + 1, len(response))):
            y[:, t] += x[:, t - j] @ response[j].T
    return y


@pytest.mark.parametrize("shape", SHAPES)
def test_causal_conv_is_its_definition(dtype, tol, shape):
    response, x = draw(dtype, *shape)
    y = nr.causal_conv(response, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, convolve_by_definition(response, x), rtol=tol, atol=tol)


@pytest.mark.parametrize("shape", SHAPES)
def test_toeplitz_matrix_is_the_convolution(dtype, tol, shape):
    response, x = draw(dtype, *shape)
    num, seq_len, _ = x.shape
    matrix = np.asarray(nr.toeplitz(response, seq_len))
    expected = nr.causal_conv(response, x).reshape(num, -1)
    np.testing.assert_allclose(x.reshape(num, -1) @ matrix.T, expected, rtol=tol, atol=tol)


def test_lagged_inputs_are_earlier_inputs(dtype):
    _, x = draw(dtype, 2, 5, 5, 3, 1)
    lagged = np.asarray(nr.lagged_inputs(x, 7))
    assert lagged.shape == (2, 5, 7, 3)
    for t in range(5):
        for j in range(7):
            expected = x[:, t - j] if j <= t else np.zeros((2, 3))
            np.testing.assert_array_equal(lagged[:, t, j], expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_numpy_arrays_stay_in_float64_on_the_host(dtype, shape):
    """Whatever JAX's setting, to the precision of float64; lagged inputs are those of JAX."""
    response, x = draw(np.float64, *shape)
    y, lagged_x = convolved(response, x), lagged(x, len(response))
    assert isinstance(y, np.ndarray) and y.dtype == lagged_x.dtype == np.float64
    np.testing.assert_allclose(y, convolve_by_definition(response, x), rtol=1e-12, atol=1e-12)
    single = x.astype(dtype)
    np.testing.assert_array_equal(lagged(single, len(response)), nr.lagged_inputs(single, shape[2]))


def test_convolution_is_exactly_causal(dtype):
    response, x = draw(dtype, 2, 8, 8, 2, 2)
    changed = x.copy()
    changed[:, 5:] += 1e6
    before, after = nr.causal_conv(response, x), nr.causal_conv(response, changed)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert np.all(np.any(before[:, 5:] != after[:, 5:], axis=-1))


def test_response_to_unit_impulses_is_the_impulse_response(dtype):
    response, _ = draw(dtype, 1, 6, 6, 3, 2)
    outputs = nr.causal_conv(response, nr.unit_impulses(6, 3, dtype))
    np.testing.assert_array_equal(outputs.transpose(1, 2, 0), response)


def test_convolution_does_not_recompile():
    response, x = draw(np.float32, 2, 6, 6, 1, 1)
    conv = jax.jit(nr.causal_conv)
    conv(response, x)
    conv(response + 1, x + 1)
    assert conv._cache_size() == 1


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((4, 3)), r"x must have shape .* got shape \(4, 3\).*x\[\.\.\., None\]"),
        (np.ones((0, 3, 1)), r"x must not be empty, got shape \(0, 3, 1\)"),
        (np.ones((2, 0, 1)), r"x must not be empty, got shape \(2, 0, 1\)"),
        (np.full((1, 2, 1), np.nan), r"x must be finite, got 2 NaN or infinite of 2 entries"),
        (np.ones((1, 2, 1), complex), "x must be real, got dtype complex"),
    ],
)
def test_bad_sequences_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        nr.causal_conv(jnp.ones((2, 1, 1)), x)


@pytest.mark.usefixtures("unannotated")
def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"must have the same number of inputs, got 2 and 1"):
        nr.causal_conv(jnp.ones((2, 1, 2)), jnp.ones((1, 2, 1)))
    with pytest.raises(ValueError, match=r"impulse_response must have shape .* got shape \(3,\)"):
        nr.causal_conv(jnp.ones(3), jnp.ones((1, 2, 1)))
    with pytest.raises(ValueError, match="num_lags must be a positive integer, got 0"):
        nr.lagged_inputs(jnp.ones((1, 2, 1)), 0)
    with pytest.raises(ValueError, match="seq_len must be a positive integer, got -1"):
        nr.toeplitz(jnp.ones((2, 1, 1)), -1)


@pytest.mark.usefixtures("unannotated")
def test_whole_numbers_are_taken_as_numbers(dtype):
    y = nr.causal_conv(jnp.ones((2, 1, 1)), np.arange(3).reshape(1, 3, 1))
    np.testing.assert_array_equal(y[0, :, 0], [0, 1, 3])
