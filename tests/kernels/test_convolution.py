"""Two-dimensional causal convolution: both ways against the definition and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_rnn.kernels.convolution import causal_conv_2d, direct_conv_2d, fourier_conv_2d


def decaying(seq_len, channels, rate, dtype, seed=0):
    """Matrices that fall off as Gram matrices of chains do: by ``rate`` a lag on either side."""
    rng = np.random.default_rng(seed)
    size = np.float64(rate) ** np.arange(seq_len)
    draws = rng.normal(size=(seq_len, seq_len, channels)) / 10
    draws += np.eye(seq_len)[:, :, None]
    return (draws * np.multiply.outer(size, size)[:, :, None]).astype(dtype)


@pytest.mark.parametrize("conv", [direct_conv_2d, fourier_conv_2d])
def test_is_its_definition(dtype, tol, conv):
    p, q = decaying(5, 2, 0.6, dtype), decaying(5, 3, 0.8, dtype, seed=1)
    expected = np.zeros((5, 5, 2, 3))
    for j, k, a, b in np.ndindex(5, 5, 5, 5):
        if a <= j and b <= k:
            expected[j, k] += np.multiply.outer(p[a, b], q[j - a, k - b])
    found = jax.jit(conv)(p, q)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tol, atol=tol * np.abs(expected).max())


def test_single_lag(dtype):
    one = jnp.full((1, 1, 1), 2, dtype)
    assert causal_conv_2d(one, one).tolist() == [[[[4.0]]]]


@pytest.mark.parametrize("rates", [(0.55, 0.55), (0.9, 0.3), (1.05, 1.0)])
def test_transforms_keep_the_digits_of_long_lags(dtype, tol, rates):
    """Each entry is right relative to its own size, although sizes range over 1e-30."""
    p, q = (decaying(60, 1, rate, dtype, seed=k) for k, rate in enumerate(rates))
    expected = np.asarray(jax.jit(direct_conv_2d)(p, q), float)[..., 0, 0]
    found = np.asarray(jax.jit(fourier_conv_2d)(p, q), float)[..., 0, 0]
    size = np.sqrt(np.multiply.outer(expected.diagonal(), expected.diagonal()))
    representable = size > 1e-30
    np.testing.assert_array_less(np.abs(found - expected)[representable], tol * size[representable])


def test_what_underflows_does_no_harm():
    """In float32 lags beyond 73 are 0 at this rate, and those before as right as ever."""
    p = decaying(160, 1, 0.55, np.float32)
    assert p[100, 100, 0] == 0
    found = np.asarray(jax.jit(fourier_conv_2d)(p, p))
    assert np.all(np.isfinite(found)) and abs(found[159, 159, 0, 0]) < 1e-30
    expected = np.asarray(jax.jit(direct_conv_2d)(p[:30, :30], p[:30, :30]))
    np.testing.assert_allclose(found[:30, :30].diagonal(), expected.diagonal(), rtol=1e-4)


def test_transforms_have_the_derivative_of_the_definition(dtype, tol):
    p, q = decaying(6, 1, 0.6, dtype), decaying(6, 1, 0.8, dtype, seed=1)
    p[3:], q[4:] = 0, 0  # as after a nilpotent W: no logarithm of 0 may enter

    def gradients(conv):
        return jax.jit(jax.grad(lambda p, q: jnp.sum(jnp.sin(conv(p, q))), argnums=(0, 1)))(p, q)

    for found, expected in zip(gradients(fourier_conv_2d), gradients(direct_conv_2d), strict=True):
        np.testing.assert_allclose(found, expected, rtol=10 * tol, atol=10 * tol)
