"""The synthetic teacher and its noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr


def test_noise_has_the_ratio_asked_for(dtype):
    key = jax.random.key(0)
    shape = {"in_dim": 2, "out_dim": 3}
    x, clean = nr.data.teacher(key, 2000, 5, snr_db=None, **shape)
    x2, noisy = nr.data.teacher(key, 2000, 5, snr_db=10.0, **shape)
    assert x.dtype == noisy.dtype == dtype
    np.testing.assert_array_equal(x, x2)
    noise = np.asarray(noisy - clean, float)
    ratio = np.mean(np.asarray(clean, float) ** 2, axis=(0, 1)) / np.mean(noise**2, axis=(0, 1))
    # The power of 10,000 normal samples has relative standard error sqrt(2 / 10,000) = 1.4 %.
    np.testing.assert_allclose(ratio, 10.0, rtol=5 * np.sqrt(2 / 10_000))


def test_teacher_is_one_causal_linear_map(dtype, tol):
    """Sequences of one call have one teacher: its impulse response explains them exactly."""
    x, y = nr.data.teacher(jax.random.key(1), 40, 6, width=4, snr_db=None)
    kernel = nr.kernel_regression(jnp.ones(6, dtype), (x, y))
    assert kernel.train_loss(time=jnp.inf) <= (10 * tol) ** 2 * kernel.train_loss(time=0)


def test_inputs_are_white(dtype):
    x, _ = nr.data.teacher(jax.random.key(2), 2000, 5)
    entries = np.asarray(x, float).ravel()
    assert abs(entries.mean()) < 5 / np.sqrt(entries.size)
    assert abs(entries.var() - 1) < 5 * np.sqrt(2 / entries.size)


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="num_sequences must be a positive integer, got 0"):
        nr.data.teacher(key, 0, 5)
    with pytest.raises(ValueError, match="seq_len must be a positive integer, got 0"):
        nr.data.teacher(key, 5, 0)
    with pytest.raises(ValueError, match="width must be a positive integer, got -4"):
        nr.data.teacher(key, 5, 5, width=-4)
    for bad in (float("inf"), float("nan"), "a", [1, 2], -1e6, 1j, True):
        with pytest.raises(ValueError, match="snr_db must be a finite number of decibels"):
            nr.data.teacher(key, 5, 5, snr_db=bad)
        with pytest.raises(ValueError, match="snr_db must be a finite number of decibels"):
            nr.data.add_noise(key, np.ones((2, 3, 1)), bad)
    noisy = nr.data.add_noise(key, np.ones((2, 3, 1), np.float32), -300)
    assert np.all(np.isfinite(noisy))
    for call in (nr.data.teacher, lambda key, *_: nr.data.add_noise(key, np.ones((2, 3, 1)), 20)):
        with pytest.raises(
            ValueError, match=r"key must be a single random key, .* pass jax.random.key"
        ):
            call(0, 3, 4)


def test_delayed_outputs_are_those_of_a_delayed_impulse_response(dtype):
    _, y = nr.data.teacher(jax.random.key(0), 3, 6, out_dim=2, snr_db=None)
    late = nr.data.delay(y, 2)
    np.testing.assert_array_equal(late[:, 2:], y[:, :4])
    assert late.shape == y.shape and late.dtype == dtype and np.all(late[:, :2] == 0)
    np.testing.assert_array_equal(nr.data.delay(y, 0), y)
    for steps, message in ((6, "below the length of the sequences, 6, got 6"), (-1, "got -1")):
        with pytest.raises(ValueError, match=message):
            nr.data.delay(y, steps)
