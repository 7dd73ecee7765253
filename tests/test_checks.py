"""The checks of arguments that several rooms share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn import _checks


@pytest.mark.parametrize("matrix", [[[1, 0], [0, -1]], [[1, 1], [0, 0]]])
def test_semidefinite_matrices_may_be_a_thousandth_off(matrix):
    """Beside the largest eigenvalue, in the smallest one or in the asymmetry; axes may be split."""
    for size in (1.0, 1e6):
        for shape in ((3, 3), (3, 1, 3, 1)):
            given = np.diag([size, 0, 0])
            given[1:, 1:] = 0.9e-3 * size * np.array(matrix)
            _checks.symmetric_semidefinite("kernel", given.reshape(shape))
            given[1:, 1:] = 1.1e-3 * size * np.array(matrix)
            with pytest.raises(ValueError, match=r"kernel must be symmetric .*; ask for another"):
                _checks.symmetric_semidefinite("kernel", given.reshape(shape), "ask for another")


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "x must be an array of numbers, got None; "),
        ("a\nb", r"x must be an array of numbers, got 'a\\nb'; "),
        ([[1, 2], [3]], r"x must be one array, got list of unequal lengths, \[\[1, 2\], \[3"),
        ([1, None], "x must hold real numbers, got dtype object; "),
        (["1"], "x must hold real numbers, got dtype <U1; convert it, e.g. by np.asarray"),
        (np.array(["2000-01-01"], "M8[D]"), r"got dtype datetime64\[D\]"),
        ([1, 2j], "x must be real, got dtype complex128; pass its real part"),
        (np.ma.masked_array([1, 2], [0, 1]), "must not be masked, got 1 masked .* weights of 0"),
        ([np.ma.masked_array([1.0, 2.0], [1, 1])], "must not be masked, got 2 masked entries"),
        (jax.random.key(0), "x must be an array of numbers"),
        ([1.0, np.nan], r"x must be finite, .* the first at index \(1,\)"),
        ([1e300], r"x must fit float32, got 1e\+300; rescale it, or enable float64"),
        ([0.0, 1e-60], "x must fit float32, got 1e-60"),
        ([10**400], "x must hold real numbers, got dtype object"),
    ],
)  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused_in_one_line(dtype, value, told):
    with pytest.raises(ValueError, match=told) as error:
        _checks.real("x", value)
    assert "\n" not in str(error.value)


def test_arrays_of_any_kind_of_numbers_are_taken_as_they_are(dtype):
    whole = [2**40, -(2**40)]
    for given in (whole, np.array(whole), np.array(whole, ">i8"), np.array(whole, np.longdouble),
                  np.array(whole, ">f8"), np.ma.masked_array(whole, [0, 0])):  # fmt: skip
        array = _checks.real("x", given)
        assert array.dtype == dtype and np.asarray(array, float).tolist() == whole
    assert _checks.real("x", [True, False]).tolist() == [1, 0]
    assert _checks.real("x", np.ones(2, np.float16)).dtype == jnp.float16


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_integers_that_jax_has_no_bits_for_are_refused(dtype):
    with pytest.raises(ValueError, match=r"x must fit int32, got 1.09951e\+12; rescale it"):
        _checks.batch("x", [[2**40, 1]])


@pytest.mark.parametrize("value", [True, "1", None, 1j, [1.0], np.ones(1), np.True_, np.ma.masked])
def test_numbers_are_no_truths_texts_or_lists(value):
    with pytest.raises(ValueError, match="nu_w must be a positive number, got "):
        _checks.positive(nu_w=value)


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_numbers_out_of_range_are_refused(dtype):
    for value, told in ((10**400, "finite, got inf"), (-1, "got -1"), (np.nan, "got nan")):
        with pytest.raises(ValueError, match=f"nu_w must be positive and .*{told}"):
            _checks.positive(nu_w=value)
    with pytest.raises(ValueError, match=r"nu_w must be between 1.2e-38 .* got 1e\+300"):
        _checks.variance(nu_w=1e300)
    with pytest.raises(ValueError, match="n must be at most 2147483646, got 1099511627776"):
        _checks.integer("n", 2**40)
    with pytest.raises(ValueError, match="n must be a positive integer, got True"):
        _checks.integer("n", True)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "got None; pass a string"), ("", "got ''; pass \"\\.\""), (b"a", "got b'a'; pass a"),
        ("a\0b", r"got 'a\\x00b'; take the null"), ("a/" + 300 * "b", "take a shorter one"),
        (3000 * "a/", "take a shorter one"), (3, "got 3; pass a string"),
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused(value, told):
    with pytest.raises(ValueError, match=f"path must be a path, .*{told}"):
        _checks.path("path", value)


def test_a_seed_is_no_key(unannotated):
    for call in (
        lambda: nr.data.teacher(0, 3, 4),
        lambda: nr.impulse_response_moments(0, 4, 3),
        lambda: nr.data.teacher(jax.random.split(jax.random.key(0)), 3, 4),
        lambda: nr.data.teacher(np.zeros(3, np.uint32), 3, 4),
    ):
        with pytest.raises(ValueError, match=r"key must be .*; pass jax.random.key\(seed\)"):
            call()
    stored = np.asarray(jax.random.key_data(jax.random.key(5)))
    np.testing.assert_array_equal(
        nr.data.teacher(stored, 3, 4)[0], nr.data.teacher(jax.random.key(5), 3, 4)[0]
    )
