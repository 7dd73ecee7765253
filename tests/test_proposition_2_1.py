"""Proposition 2.1(b): every impulse response is that of some linear RNN."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn import hankel_singular_values, realize

METHODS = ("shift", "vandermonde", "balanced")
SIDES = [(1, 1), (2, 3), (4, 1)]  # n_y, n_x


def draw(shape, dtype=np.float32, decay=np.inf, seed=0):
    response = np.random.default_rng(seed).normal(size=shape)
    return (response * np.exp(-np.arange(shape[0]) / decay)[:, None, None]).astype(dtype)


def width(params):
    return params["params"]["W"].shape[0]


def error(params, response):
    """Relative error of the impulse response that the RNN has, by eq. 9 as it stands."""
    out_dim, in_dim = response.shape[1:]
    shapes = {name: p.shape for name, p in params["params"].items()}
    n = width(params)
    assert shapes == {"W": (n, n), "F": (n, in_dim), "C": (out_dim, n)}
    w, f, c = (np.asarray(params["params"][name]) for name in "WFC")
    scale, actual = np.sqrt(w.dtype.type(n)), []
    for _ in response:
        c = c / scale
        actual.append(c @ f)
        c = c @ w
    assert actual[0].dtype == response.dtype
    difference = np.asarray(actual, float) - np.asarray(response, float)
    return np.linalg.norm(difference) / np.linalg.norm(np.asarray(response, float))


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("seq_len", [1, 29, 200])
def test_shift_register_is_exact_at_any_length(dtype, seq_len, sides):
    response = draw((seq_len, *sides), dtype)
    params = realize(response)
    assert width(params) == seq_len * min(sides)
    actual = np.asarray(nr.impulse_response(params, seq_len + 3), float)
    difference = np.linalg.norm(actual[:seq_len] - response)
    bar = {"float32": 1e-6, "float64": 1e-15}[dtype.name]
    assert difference <= bar * np.linalg.norm(np.asarray(response, float))
    # Block-nilpotent: nothing is left after lag T.
    assert not np.any(actual[seq_len:])


@pytest.mark.parametrize("seq_len", [55, 68, 72, 193])
def test_rounding_of_the_weight_does_not_add_up(seq_len):
    """Every lag on its own, at widths whose square root is not exact (at two no weight is 1)."""
    response = draw((seq_len, 1, 1))
    params = realize(response)
    unit = np.max(params["params"]["W"]) * np.float32(seq_len**-0.5)
    assert (unit == 1) == (seq_len not in (68, 72))
    actual = nr.impulse_response(params, seq_len)
    np.testing.assert_allclose(actual, response, rtol=5e-7)


def test_shift_register_compiles_and_has_a_gradient():
    response = jnp.asarray(draw((5, 2, 3)))
    back = jax.jit(lambda r: nr.impulse_response(realize(r), 5))
    np.testing.assert_allclose(back(response), response, rtol=1e-6)
    jacobian = jax.jit(jax.jacfwd(back))(response).reshape(30, 30)
    np.testing.assert_allclose(jacobian, np.eye(30), atol=1e-6)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("dtype", "seq_lens"), [("float32", (1, 2, 5, 9))])
def test_vandermonde_is_exact_at_few_lags(dtype, seq_lens, sides):
    for seq_len in seq_lens:
        response = draw((seq_len, *sides), dtype)
        params = realize(response, "vandermonde")
        assert width(params) == seq_len * min(sides)
        assert error(params, response) <= 2e-5
        w = np.asarray(params["params"]["W"])
        assert not np.any(w - np.diag(np.diag(w)))


def test_vandermonde_warns_where_its_condition_number_takes_all_digits():
    with pytest.warns(RuntimeWarning, match=r'20 lags .* number 7\.4e\+06.*use method="shift"'):
        params = realize(draw((20, 1, 1)), "vandermonde")
    assert error(params, draw((20, 1, 1))) > 1e-3  # so the warning is not idle
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        realize(draw((11, 2, 1)), "vandermonde")


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_vandermonde_reaches_further_in_double_precision(dtype):
    response = draw((30, 1, 2), dtype)
    assert error(realize(response, "vandermonde"), response) <= 1e-4
    with pytest.warns(RuntimeWarning, match="condition number"):
        realize(draw((40, 1, 1), dtype), "vandermonde")


@pytest.mark.parametrize("sides", [(1, 1), (2, 3), (3, 1)])
@pytest.mark.parametrize("nu_w", [0.3, 0.9])  # in the second it is cut off far from 0
@pytest.mark.parametrize("seed", [0])
def test_balanced_recovers_a_teacher_and_its_order(sides, nu_w, seed):
    out_dim, in_dim = sides
    model = nr.LinearRNN(4, out_dim, nu_w)
    teacher = model.init(jax.random.key(seed), jnp.zeros((1, 20, in_dim)))
    response = nr.impulse_response(teacher, 20)
    params = realize(response, "balanced")
    assert width(params) == 4
    assert error(params, response) <= 1e-5
    # It goes on as the teacher does, where nothing was given.
    expected, actual = (nr.impulse_response(p, 30)[20:] for p in (teacher, params))
    scale = np.max(np.abs(response))
    np.testing.assert_allclose(actual, expected, atol=1e-5 * scale)
    values = hankel_singular_values(response)
    assert values.dtype == np.float64 and np.all(np.diff(values) <= 0)
    # The order a rounding of L makes no difference to, and a coarser one.
    assert values[4] <= 1e-6 * values[0] < values[3]
    coarse = (values[1] + values[2]) / 2 / values[0]
    assert width(realize(response, "balanced", tolerance=coarse)) == 2


@pytest.mark.parametrize("seq_len", [1, 2, 3, 5, 8, 19, 20, 40])
@pytest.mark.parametrize("sides", [(1, 1), (2, 3), (3, 2)])
def test_balanced_is_exact_where_no_small_rnn_is_hidden(seq_len, sides):
    response = draw((seq_len, *sides))
    params = realize(response, "balanced")
    assert width(params) <= seq_len * min(sides)
    assert error(params, response) <= 1e-5


@pytest.mark.parametrize("shape", [(20, 1, 1), (19, 3, 2), (40, 2, 3)])
def test_error_of_a_given_order_is_within_the_singular_values_left_out(shape):
    response = draw(shape, decay=8)
    values = hankel_singular_values(response, zeros_beyond=True)
    assert len(values) == shape[0] * min(shape[1:])
    norm = np.linalg.norm(response)
    for order in (1, 2, 3, 5, 8, 13, len(values)):
        params = realize(response, "balanced", order=order)
        assert width(params) == order
        # Twice the sum is the theorem, for the largest singular value at each frequency.
        bound = 2 * np.sqrt(min(shape[1:])) * values[order:].sum()
        assert error(params, response) * norm <= bound + 1e-5 * norm
        # Observed: the sum itself, for the Frobenius norm.
        assert error(params, response) * norm <= values[order:].sum() + 1e-5 * norm
    assert error(realize(response, "balanced", order=8), response) < 0.6


def spectral_radius(params):
    w = np.asarray(params["params"]["W"], float)
    return np.max(np.abs(np.linalg.eigvals(w / np.sqrt(len(w)))))


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("seed", [0])
def test_balanced_is_stable_at_every_width(sides, seed):
    """A fitted response has noise, which an RNN of T / 2 units hits and then goes on from."""
    response = draw((12, *sides), decay=5, seed=seed)
    limit = np.cos(np.pi / 13)
    assert spectral_radius(realize(response, "balanced")) <= limit + 1e-6
    for order in range(1, 12 * min(sides) + 1, 2):
        params = realize(response, "balanced", order=order)
        assert spectral_radius(params) < 1
        zeros = realize(response, "balanced", order=order, zeros_beyond=True)
        assert spectral_radius(zeros) <= limit + 1e-6
        assert error(params, response) <= error(zeros, response)
    full = realize(response, "balanced", order=12 * min(sides))
    assert error(full, response) <= 1e-5
    assert np.max(np.abs(nr.impulse_response(full, 40)[12:])) <= 1e-5


def test_the_smallest_rnn_with_the_given_lags_is_had_by_asking():
    noisy, growing = (
        draw((20, 1, 1), decay=8),
        (1.1 ** np.arange(20.0).reshape(20, 1, 1)).astype("f4"),
    )
    smallest = realize(noisy, "balanced", zeros_beyond=False)
    assert width(smallest) == 10 and error(smallest, noisy) <= 1e-4
    assert spectral_radius(smallest) > 1
    assert width(realize(growing, "balanced", zeros_beyond=False)) == 1
    stable = realize(growing, "balanced")
    assert spectral_radius(stable) < 1 and error(stable, growing) <= 1e-5


def test_singular_values_are_those_of_the_hankel_matrix():
    response = draw((5, 2, 3)).astype(float)
    given = np.block([[response[i + j] for j in range(3)] for i in range(3)])
    zero = np.zeros((2, 3))
    whole = np.block([[response[i + j] if i + j < 5 else zero for j in range(5)]
                      for i in range(5)])  # fmt: skip
    for zeros_beyond, matrix in ((False, given), (True, whole)):
        values = hankel_singular_values(response.astype(np.float32), zeros_beyond=zeros_beyond)
        np.testing.assert_allclose(values, np.linalg.svd(matrix, compute_uv=False), rtol=1e-12)


def test_balanced_factors_are_balanced():
    """Reachability and observability Gramians are equal and hold the singular values."""
    response = draw((30, 1, 1), decay=3)
    p = realize(response, "balanced", order=6)["params"]
    w, f, c = (np.asarray(p[name], float) for name in "WFC")
    a, b, c = w / 6**0.5, f / 6**0.25, c / 6**0.25
    reach, observe = np.zeros((6, 6)), np.zeros((6, 6))
    power = np.eye(6)
    for _ in range(300):
        reach += power @ b @ b.T @ power.T
        observe += power.T @ c.T @ c @ power
        power = power @ a
    values = hankel_singular_values(response, zeros_beyond=True)[:6]
    np.testing.assert_allclose(observe, np.diag(np.diag(observe)), atol=0.2 * values[0])
    np.testing.assert_allclose(reach, observe, atol=0.2 * values[0])


@pytest.mark.parametrize("evaluation", ["scan", "impulse"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sides", [(2, 3), (3, 2)])
def test_outputs_are_the_causal_convolution(dtype, method, evaluation, sides):
    response = draw((7, *sides), dtype)
    params = realize(response, method)
    model = nr.LinearRNN(width(params), sides[0], evaluation=evaluation)
    x = jnp.asarray(draw((4, 7, sides[1]), dtype, seed=1))
    expected = nr.causal_conv(response, x)
    actual = model.apply(params, x)
    bar = {"float32": 2e-5, "float64": 1e-13}[dtype.name]
    np.testing.assert_allclose(actual, expected, atol=bar * np.max(np.abs(expected)))


@pytest.mark.parametrize("method", METHODS)
def test_the_zero_response_is_realized(method):
    params = realize(np.zeros((4, 1, 2), np.float32), method)
    assert not np.any(nr.impulse_response(params, 4))


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (np.eye(3)[:, :, None], "shift", None, None, True),
            "zeros_beyond must be None for method",
        ),
        ((draw((3, 1, 1)), "balanced", 3, None, False), "zeros_beyond must be True for"),
        ((draw((3, 1, 1)), "balanced", 3, None, "no"), "must be True or False, got 'no'"),
        ((np.ones((3, 1)),), r"must have shape \(lags, outputs, inputs\), got shape \(3, 1\)"),
        ((np.ones((0, 1, 1)),), "must not be empty"),
        ((np.array([[[1.0]], [[np.nan]]]),), "impulse_response must be finite"),
        ((np.ones((3, 1, 1)), "hankel"), "method must be .* got 'hankel'"),
        ((np.ones((3, 1, 1)), "shift", 2), "order must be None for method 'shift'"),
        ((np.ones((3, 1, 1)), "vandermonde", 2), "order must be None for method 'vandermonde'"),
        ((np.ones((3, 1, 1)), "shift", None, 0.1), "tolerance must be None for method 'shift'"),
        ((np.ones((3, 1, 2)), "balanced", 4), "order must be at most 3.* got 4"),
        ((np.ones((3, 1, 2)), "balanced", 0), "order must be a positive integer, got 0"),
        ((np.ones((3, 1, 2)), "balanced", None, 1.0), "tolerance must be at least 0 and below 1"),
        (
            (np.ones((3, 1, 2)), "balanced", None, np.nan),
            "tolerance must be at least 0 and below 1",
        ),
    ],
)
def test_errors_name_the_argument(arguments, message):
    response, *rest = arguments
    names = ("method", "order", "tolerance", "zeros_beyond")
    with pytest.raises(ValueError, match=message):
        realize(response, **dict(zip(names, rest, strict=False)))


@pytest.mark.usefixtures("unannotated")
def test_methods_on_the_host_refuse_traced_values():
    for function in (lambda r: realize(r, "balanced"), hankel_singular_values):
        with pytest.raises(ValueError, match=r"must be concrete for .* outside jax\.jit"):
            jax.jit(function)(jnp.ones((3, 1, 1)))
