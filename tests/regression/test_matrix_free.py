"""Kernel regression on the host, in float64, and from products with Toeplitz matrices alone."""

import tracemalloc
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator, lsmr

import ntk_rnn as nr
from ntk_rnn.compression import least_squares
from ntk_rnn.objective import Sequences
from ntk_rnn.regression import methods
from ntk_rnn.regression.matrix_free import LaggedInputs
from ntk_rnn.regression.methods import choose_method, method_by_size as by_size

STEPS = np.asarray([0, 1, 10, 1000, np.inf])

# N, T, n_x, n_y, nu_W: more data than unknowns, and fewer.
SHAPES = [(12, 20, 2, 2, 0.5), (2, 25, 3, 1, 0.9)]


def problem(num, seq_len, in_dim, out_dim, nu_w):
    """Data in float64, whatever JAX's setting."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(num, seq_len, in_dim))
    y = rng.normal(size=(num, seq_len, out_dim))
    lag = np.arange(seq_len)
    rho = nu_w**lag + lag * nu_w ** (lag - 1.0) + nu_w**lag
    return (x, y), rho, rng.normal(size=(seq_len, out_dim, in_dim))


def gap(actual, expected):
    return np.max(np.abs(actual - expected)) / np.max(np.abs(expected))


@pytest.mark.parametrize("beta", [0.0, 0.8])
def test_on_host_is_gradient_descent_in_float64(dtype, beta, lagged, by_loop):
    """To 1e-11, also where JAX has no float64, by every method of the regression."""
    data, rho, initial = problem(*SHAPES[0])
    kernel = nr.kernel_regression(rho, data, initial=initial, on_host=True)
    assert kernel.method == "primal"
    rate = 0.6 * float(kernel.max_learning_rate)
    response, loss = (path[-1] for path in by_loop(data, rho, initial, 300, rate, beta))
    outputs = (lagged(data[0]) @ response.transpose(0, 2, 1).reshape(-1, 2)).reshape(data[1].shape)
    results = (
        (kernel.impulse_response(300, rate, momentum=beta), response),
        (kernel.predict(data[0], [300], rate, momentum=beta)[0], outputs),
        (kernel.train_loss(300, rate, momentum=beta), loss),
        (kernel.test_loss(data, 300, rate, momentum=beta), loss),
    )
    for actual, expected in results:
        assert isinstance(actual, np.ndarray) and actual.dtype == np.float64
        assert gap(actual, expected) <= 1e-11


@pytest.mark.parametrize("compressed", [False, True])
def test_on_host_all_lags_are_learned(compressed, lagged):
    """Of lags down to weights of 1e-18, none is lost; in JAX's float32 those from 24 on are."""
    rng = np.random.default_rng(0)
    x, teacher = rng.normal(size=(50, 40, 1)), rng.normal(size=(40, 1, 1))
    y = (lagged(x) @ teacher[:, :, 0]).reshape(50, 40, 1)
    rho = np.asarray(nr.lag_weights(40, 0.3, 1.0, 1.0))
    data = nr.compress(np.float32(x), np.float32(y)) if compressed else (x, y)
    kernel = nr.kernel_regression(rho, data, on_host=True)
    errors = np.abs(kernel.impulse_response(time=np.inf) - teacher)
    # Compressed, targets have been rounded to float32.
    assert np.max(errors) <= (1e-5 if compressed else 1e-11)
    left = kernel.test_loss(nr.compress(x, y), time=np.inf)
    assert isinstance(left, np.ndarray) and left.dtype == np.float64
    assert left <= 1e-6 * kernel.train_loss(time=0)


@pytest.mark.parametrize("gram", [False, True])
def test_on_host_rounding_of_compressed_data_is_not_learned(gram):
    """Fewer data than unknowns, of which lag 0 is fixed: what is left of rank 5 is in float32."""
    (x, y), rho, initial = problem(2, 3, 5, 1, 0.5)
    data, rho = (np.float32(x), np.float32(y)), rho * [0, 1, 1]
    kernel = np.diag(np.repeat(rho, 5)).reshape(2 * initial.shape) if gram else rho
    raw, compressed = (
        nr.kernel_regression(kernel, source, initial=initial, on_host=True)
        for source in (data, nr.compress(*data))
    )
    times = np.asarray([1.0, 1e20, np.inf]) / raw.eigenvalues[0]
    expected = raw.impulse_response(time=times)
    assert gap(compressed.impulse_response(time=times), expected) <= 1e-5
    assert gap(compressed.train_loss(time=times), raw.train_loss(time=times)) <= 1e-5


def test_on_host_in_chunks(monkeypatch):
    """Sequences factorized some at a time, as where there are many: never rounded to float32."""
    data, rho, initial = problem(*SHAPES[0])
    whole = nr.kernel_regression(rho, data, initial=initial, on_host=True)
    with monkeypatch.context() as patch:
        patch.setattr(methods, "_MOST_ENTRIES", 1000)
        patch.setattr(least_squares, "_CHUNK_ROWS", 1)
        parts = nr.kernel_regression(rho, data, initial=initial, on_host=True)
    time = np.asarray([1.0, 1e3]) / whole.eigenvalues[0]
    assert gap(parts.impulse_response(time=time), whole.impulse_response(time=time)) <= 1e-11
    assert gap(parts.train_loss(time=np.inf), whole.train_loss(time=np.inf)) <= 1e-11


@pytest.mark.parametrize("method", ["dense", "matrix_free"])
@pytest.mark.parametrize("what", ["inputs", "weights"])
def test_nothing_that_is_reached_stays_at_the_start(method, what):
    data, rho, initial = problem(3, 4, 2, 1, 0.5)
    data, rho = ((0 * data[0], data[1]), rho) if what == "inputs" else (data, 0 * rho)
    kernel = nr.kernel_regression(rho, data, initial=initial, method=method, on_host=True)
    assert kernel.max_learning_rate == np.inf
    np.testing.assert_array_equal(kernel.impulse_response([0, 10, np.inf], 1.0), [initial] * 3)
    losses = kernel.train_loss(time=[0, np.inf])
    np.testing.assert_allclose(losses, kernel.test_loss(data, time=[0, np.inf]), rtol=1e-12)


@pytest.mark.parametrize("max_rank", [40, 10**9])
def test_all_directions_are_enough(max_rank):
    """As many as there are, and more than could be stored: nothing to warn of."""
    data, rho, _ = problem(*SHAPES[0])
    free = nr.kernel_regression(rho, data, method="matrix_free", max_rank=max_rank, tolerance=1e-15)
    dense = nr.kernel_regression(rho, data, on_host=True)
    assert free.change <= 1e-15
    assert gap(free.impulse_response(time=np.inf), dense.impulse_response(time=np.inf)) <= 1e-9


def test_few_data_with_many_inputs_take_no_square_matrix():
    """Of 20 data points and 40,000 unknowns: below 100 MB, where a square would take 12.8 GB."""
    data, rho, _ = problem(4, 5, 8000, 1, 0.5)
    tracemalloc.start()
    kernel = nr.kernel_regression(rho, data, on_host=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kernel.method == "dual" and peak < 1e8


def test_on_host_with_a_gram_matrix():
    data, rho, initial = problem(5, 4, 2, 2, 0.5)
    gram = np.diag(np.repeat(rho, 4)).reshape(2 * initial.shape)
    by_gram, by_lag = (
        nr.kernel_regression(kernel, data, initial=initial, loss="mean", on_host=True)
        for kernel in (gram, rho)
    )
    time = 3 * float(by_lag.max_learning_rate)
    assert gap(by_gram.impulse_response(time=time), by_lag.impulse_response(time=time)) <= 1e-12
    assert gap(by_gram.train_loss(time=time), by_lag.train_loss(time=time)) <= 1e-12


def test_products_are_those_with_the_matrix(lagged):
    (x, _), rho, _ = problem(*SHAPES[1])
    operator = LaggedInputs(x, np.sqrt(rho))
    matrix = lagged(x) * np.sqrt(np.repeat(rho, x.shape[2]))
    rng = np.random.default_rng(0)
    v, u = (rng.normal(size=(size, 3)) for size in matrix.shape[::-1])
    np.testing.assert_allclose(operator @ v, matrix @ v, atol=1e-12)
    np.testing.assert_allclose(operator.rmatmat(u), matrix.T @ u, atol=1e-12)
    np.testing.assert_allclose(operator @ v[:, 0], matrix @ v[:, 0], atol=1e-12)
    assert operator.products == 7


@pytest.mark.parametrize(("shape", "loss"), [*zip(SHAPES, ["mean", "sum"], strict=True)])
def test_matrix_free_is_dense(shape, loss):
    """Primal and dual, at all steps, to 1e-9."""
    data, rho, initial = problem(*shape)
    dense, free = (
        nr.kernel_regression(
            rho, data, initial=initial, loss=loss, method=method, on_host=True, tolerance=1e-12
        )
        for method in ("dense", "matrix_free")
    )
    assert dense.method == ("primal" if shape == SHAPES[0] else "dual")
    assert free.method == "matrix_free" and free.products > len(free.singular_values)
    rate = 0.6 * float(dense.max_learning_rate)
    assert gap(free.max_learning_rate, dense.max_learning_rate) <= 1e-12
    for momentum in (0.0, 0.9):
        for name in ("impulse_response", "train_loss", "predict"):
            inputs = data[:1] if name == "predict" else ()
            actual, expected = (
                getattr(kernel, name)(*inputs, STEPS, rate, momentum=momentum)
                for kernel in (free, dense)
            )
            assert gap(actual, expected) <= 1e-9


def test_fewer_directions_are_exact_for_fewer_steps():
    """k / n_y steps by k directions; later the error is below what half as many change."""
    data, rho, initial = problem(12, 40, 2, 2, 0.98)
    rank = 24
    with pytest.warns(UserWarning, match="with max_rank = 24 directions"):
        free = nr.kernel_regression(rho, data, initial=initial, method="matrix_free", max_rank=rank)
    dense = nr.kernel_regression(rho, data, initial=initial, on_host=True)
    assert rank <= len(free.singular_values) <= rank + 1  # the largest is found apart
    rate = 0.9 * float(dense.max_learning_rate)
    steps = np.arange(rank // 2 + 1)
    exact = dense.impulse_response(steps, rate)
    assert gap(free.impulse_response(steps, rate), exact) <= 1e-11
    fit, approximate = (kernel.impulse_response(np.inf, rate) for kernel in (dense, free))
    error = np.max(np.abs(approximate - fit)) / np.max(np.abs(fit - initial))
    assert 1e-2 < error < free.change


def test_tolerance_is_what_the_error_is_about():
    data, rho, initial = problem(12, 40, 2, 1, 0.98)
    dense = nr.kernel_regression(rho, data, initial=initial, on_host=True)
    times = np.append(np.geomspace(0.1, 1e6, 30), np.inf) / float(dense.eigenvalues[0])
    exact = dense.impulse_response(time=times)
    for tolerance in (1e-1, 1e-2):
        free = nr.kernel_regression(
            rho, data, initial=initial, method="matrix_free", tolerance=tolerance
        )
        assert len(free.singular_values) < 80
        assert free.change <= tolerance
        assert gap(free.impulse_response(time=times), exact) <= tolerance


def test_fit_is_that_of_lsmr():
    (x, y), rho, _ = problem(3, 30, 3, 1, 0.9)
    kernel = nr.kernel_regression(rho, (x, y), method="matrix_free")
    operator = LaggedInputs(x, np.sqrt(rho))
    theta = lsmr(aslinearoperator(operator), y.ravel(), atol=1e-15, btol=1e-15, maxiter=5000)[0]
    fit = (np.repeat(np.sqrt(rho), 3) * theta).reshape(30, 1, 3)
    assert gap(kernel.impulse_response(time=np.inf), fit) <= 1e-9


@pytest.mark.parametrize("direction", [None, 3])
def test_largest_rate_does_not_depend_on_targets(direction, lagged):
    """Nothing to learn, and something along one of the flatter directions alone."""
    (x, _), rho, initial = problem(4, 10, 1, 1, 0.5)
    matrix = lagged(x) * np.sqrt(rho)
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    outputs = (lagged(x) @ initial[:, :, 0]).ravel()
    y = outputs if direction is None else outputs + u[:, direction]
    kernel = nr.kernel_regression(
        rho, (x, y.reshape(4, 10, 1)), initial=initial, method="matrix_free"
    )
    np.testing.assert_allclose(kernel.max_learning_rate, 2 / s[0] ** 2, rtol=1e-10)
    remains = 0 if direction is None else 0.5 * (1 - 1e-3 * s[direction] ** 2) ** 20
    np.testing.assert_allclose(kernel.train_loss(10, 1e-3), remains, rtol=1e-10, atol=1e-20)


@pytest.mark.parametrize(
    ("shape", "nu_w"), [((240, 60, 1), 0.3), ((40, 90, 1), 0.1), ((60, 12, 3), 0.9)]
)
def test_the_end_on_the_host_is_least_squares_at_any_number_of_lags(shape, nu_w, lagged):
    """Weights of the last lags are 1e-30 of the first, and the fit does not depend on them."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.normal(size=(*shape[:2], 2))
    lag = np.arange(shape[1])
    rho = 2 * nu_w**lag + lag * nu_w ** (lag - 1.0)
    kernel = nr.kernel_regression(rho, (x, y), on_host=True, method="dense")
    matrix, goal = lagged(x), y.reshape(-1, 2)
    fit = np.linalg.lstsq(matrix, goal, rcond=None)[0]
    expected = fit.reshape(shape[1], shape[2], 2).transpose(0, 2, 1)
    for until in ({"step": np.inf}, {"time": np.inf}):
        response = kernel.impulse_response(**until)
        np.testing.assert_allclose(response, expected, atol=1e-11 * np.max(np.abs(expected)))
        left = np.sum((matrix @ fit - goal) ** 2) / 2
        np.testing.assert_allclose(kernel.train_loss(**until), left, rtol=1e-12)


def test_the_end_of_few_data_is_nearest_to_the_start_in_the_kernels_norm(lagged):
    """``L = D A^T (A D A^T)^{-1} y`` in rational numbers, for weights down to 1e-33."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1, 12, 2)), rng.normal(size=(1, 12, 1))
    rho = 1e-3 ** np.arange(12.0)
    kernel = nr.kernel_regression(rho, (x, y), on_host=True)
    exact = np.vectorize(Fraction)(lagged(x))
    half = np.vectorize(Fraction)(np.repeat(rho, 2))[:, None] * exact.T
    rows = np.concatenate([exact @ half, np.vectorize(Fraction)(y[0])], axis=1)
    for i in range(12):  # Gauss and Jordan
        rows[i] = rows[i] / rows[i, i]
        for other in set(range(12)) - {i}:
            rows[other] = rows[other] - rows[other, i] * rows[i]
    expected = (half @ rows[:, -1]).astype(float).reshape(12, 1, 2)
    response = kernel.impulse_response(time=np.inf)
    np.testing.assert_allclose(response, expected, rtol=1e-9)


@pytest.mark.parametrize("method", ["dense", "matrix_free"])
def test_an_end_out_of_reach_is_refused_with_the_number_of_lags(method):
    data, _, _ = problem(3, 80, 1, 1, 0.3)
    lags = 0.3 ** np.arange(80.0)
    kernel = nr.kernel_regression(lags, data, method=method)
    for until in ({"step": [1, np.inf], "learning_rate": 1e-4}, {"time": np.inf}):
        name = next(iter(until))
        with pytest.raises(
            ValueError, match=rf"{name} must be finite .* from {kernel.lags_reached}"
        ):
            kernel.train_loss(**until)
    kernel.train_loss(time=1e9)
    short = nr.kernel_regression(lags[: kernel.lags_reached], data, method=method)
    assert short.lags_reached is None and np.isfinite(short.train_loss(time=np.inf))


def test_the_method_is_chosen_by_size():
    assert by_size(200_000, 10) == by_size(4096, 4096) == by_size(100, 10**5) == "dense"
    assert by_size(10**8, 10) == "compress"
    assert by_size(50_000, 10_000) == by_size(5000, 5000) == by_size(4000, 10**5) == "matrix_free"
    # Few directions of many are found by products in a small part of the time.
    assert by_size(1000, 1000, 60) == by_size(4000, 4000, 500) == "matrix_free"
    assert by_size(1000, 1000, 500) == by_size(300, 300, 20) == by_size(10**5, 100, 60) == "dense"
    x = np.broadcast_to(np.zeros(()), (1, 1000, 1))
    rho = nr.lag_weights(1000, 0.3, 1.0, 1.0)
    for weights, method in (
        (rho, "matrix_free"),
        (rho[:50], "matrix_free"),
        (np.ones(1000), "primal"),
    ):
        assert choose_method("auto", weights, Sequences(x, x))[0] == method
    # An array of one number, so large that no factorization fits.
    x = np.broadcast_to(np.zeros(()), (50, 1000, 10))
    assert choose_method("auto", np.ones(1000), Sequences(x, x))[0] == "matrix_free"
    gram = np.broadcast_to(np.zeros(()), 2 * (1000, 10, 10))
    assert choose_method("auto", gram, Sequences(x, x))[0] == "primal"


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    data, rho, _ = problem(5, 4, 1, 1, 0.5)
    regress = nr.kernel_regression
    with pytest.raises(ValueError, match='method must be "auto", "dense" or "matrix_free", got'):
        regress(rho, data, method="primal")
    with pytest.raises(ValueError, match="method must be dense for compressed data, got"):
        regress(rho, nr.compress(*data), method="matrix_free")
    with pytest.raises(ValueError, match="method must be dense for a Gram matrix, got"):
        regress(jnp.eye(4).reshape(4, 1, 1, 4, 1, 1), data, method="matrix_free")
    with pytest.raises(ValueError, match=r"kernel must have at most as many lags .* 4, got 5"):
        regress(np.ones(5), data, method="matrix_free")
    with pytest.raises(ValueError, match="max_rank must be a positive integer, got 0"):
        regress(rho, data, method="matrix_free", max_rank=0)
    with pytest.raises(ValueError, match="tolerance must be positive and finite, got 0"):
        regress(rho, data, method="matrix_free", tolerance=0.0)
    with pytest.raises(ValueError, match="on_host must be False for what JAX is tracing"):
        jax.jit(lambda x: regress(rho, (x, data[1]), on_host=True).singular_values)(data[0])
    regress(rho, data, on_host=True).impulse_response([0, 5, np.inf], 1e-3)  # no warning
