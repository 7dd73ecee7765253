"""Compressed data: the loss of the data itself, by its definition in float64, a second way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.compression.triangle import compress

# N, T, n_x, n_y: more data than unknowns, and fewer.
SHAPES = [(20, 6, 3, 2), (1, 5, 4, 2)]


def problem(dtype, num, seq_len, in_dim, out_dim):
    """Inputs, targets and impulse responses, all at random."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(num, seq_len, in_dim)).astype(dtype)
    y = rng.normal(size=(num, seq_len, out_dim)).astype(dtype)
    responses = rng.normal(size=(4, seq_len, out_dim, in_dim)).astype(dtype)
    return x, y, responses


def definition(response, x, y, weights=None):
    """Sum loss and its gradient, lag by lag in float64."""
    response, x, error = np.asarray(response, float), np.asarray(x, float), -np.asarray(y, float)
    weights = np.ones(x.shape[:2]) if weights is None else weights
    seq_len = x.shape[1]
    for j, matrix in enumerate(response):
        error[:, j:] += x[:, : seq_len - j] @ matrix.T
    error = np.where(weights[:, :, None] > 0, error, 0)
    pull = weights[:, :, None] * error
    gradient = [
        np.einsum("ntp,ntq->pq", pull[:, j:], x[:, : seq_len - j]) for j in range(len(response))
    ]
    return np.sum(pull * error) / 2, np.stack(gradient)


def assert_same(data, other, responses, tol):
    """Two compressed data sets are the same loss, as a sum and as a mean."""
    for loss in ("sum", "mean"):
        np.testing.assert_allclose(
            data.loss(responses, loss), other.loss(responses, loss), rtol=tol
        )


@jax.jit
def value_and_grad(data, response):
    return jax.value_and_grad(lambda r: data.loss(r))(response)


def relative_errors(data, response, x, y, weights=None):
    loss, gradient = value_and_grad(data, response)
    expected, slope = definition(response, x, y, weights)
    apart = np.linalg.norm(np.asarray(gradient, float) - slope) / np.linalg.norm(slope)
    return abs(float(loss) - expected) / expected, apart


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradient_are_those_of_the_data(dtype, tol, shape, weighted):
    x, y, responses = problem(dtype, *shape)
    num, seq_len, _, out_dim = shape
    weights = np.random.default_rng(1).gamma(1.0, size=(num, seq_len)) if weighted else None
    data = compress(x, y, weights)
    assert data.shape == responses.shape[1:]
    assert data.dtype == dtype
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(data))
    assert data.loss(responses).dtype == data.errors(responses).dtype == dtype
    for response in responses:
        assert max(relative_errors(data, response, x, y, weights)) <= 0.1 * tol
    total = num * seq_len if weights is None else np.sum(weights)
    expected = [2 / (total * out_dim) * definition(r, x, y, weights)[0] for r in responses]
    np.testing.assert_allclose(data.loss(responses, "mean"), expected, rtol=0.1 * tol)


@pytest.mark.parametrize("inputs", ["white", "scaled", "smooth"])
def test_nothing_cancels_near_the_fit(inputs):
    """In float32, where the loss is 1e-4 of that at the start, as good as in float64."""
    x, _, responses = problem(np.float32, 40, 6, 3, 2)
    if inputs == "scaled":
        x = x * np.asarray([1e-4, 1, 1e4], np.float32)
    if inputs == "smooth":
        x[:, 0] *= 2
        x = np.cumsum(x, axis=1)
    units = np.std(x, axis=(0, 1))
    teacher = responses[0] / units
    y = np.zeros((40, 6, 2))
    for j in range(6):
        y[:, j:] += x[:, : 6 - j].astype(float) @ teacher[j].T.astype(float)
    y = y.astype(np.float32)
    data = compress(x, y)
    away = responses[1] / units
    near = teacher + np.float32(0.01) * away
    start, end = (definition(r, x, y)[0] for r in (teacher + away, near))
    assert 0.9e-4 < end / start < 1.1e-4
    assert max(relative_errors(data, near, x, y)) <= 1e-6
    # At the fit itself next to nothing is left, and that is known to its first digits.
    loss, _ = definition(teacher, x, y)
    assert loss < 1e-13 * start
    np.testing.assert_allclose(data.loss(teacher), loss, rtol=1e-3)


def test_centre_stays_moderate_where_the_fit_does_not(dtype):
    """An input that all but repeats another one has a fit of size 1e5, and a centre of size 1."""
    x, y, responses = problem(dtype, 30, 4, 1, 1)
    tiny = np.asarray(1e-5, dtype) * np.random.default_rng(2).normal(size=x.shape).astype(dtype)
    twins = np.concatenate([x, x + tiny], axis=2)
    data = compress(twins, y)
    assert np.max(np.abs(data.centre)) < 1
    response = np.repeat(responses[0], 2, axis=2)
    assert max(relative_errors(data, response, twins, y)) <= {4: 1e-6, 8: 1e-12}[dtype.itemsize]
    repeated = compress(np.concatenate([x, x], axis=2), y)
    np.testing.assert_allclose(
        repeated.loss(np.stack([response, 2 * response])),
        [definition(factor * response[..., :1], x, y)[0] for factor in (2, 4)],
        rtol=1e-6,
    )


def test_weights_stand_for_lengths_gaps_and_repetitions(dtype, tol):
    x, y, responses = problem(dtype, *SHAPES[0])
    tail = np.ones((20, 6))
    tail[:, 4:] = 0
    junk = np.where(tail[:, :, None] > 0, y, np.nan).astype(dtype)
    short = compress(x[:, :4], y[:, :4])
    assert_same(compress(x, junk, tail), short, responses[:, :4], 0.1 * tol)
    # Lags that the short sequences do not reach, and that the long ones have not, as in the model.
    np.testing.assert_allclose(short.loss(responses), short.loss(responses[:, :4]), rtol=tol)
    padded = np.concatenate([responses[:, :4], 0 * responses[:, 4:]], axis=1)
    whole = compress(x, y)
    np.testing.assert_allclose(whole.loss(responses[:, :4]), whole.loss(padded), rtol=tol)

    counts = np.arange(20) % 3
    repeated = compress(np.repeat(x, counts, axis=0), np.repeat(y, counts, axis=0))
    counted = compress(x, y, np.repeat(counts[:, None], 6, axis=1).astype(dtype))
    assert_same(counted, repeated, responses, 0.1 * tol)

    last = np.zeros((20, 6))
    last[:, -1] = 1
    data = compress(x, y, last)
    assert data.triangle.shape == (18, 6, 3)
    outputs = np.einsum("ntq,btpq->bnp", np.asarray(x[:, ::-1], float), responses.astype(float))
    expected = np.mean((outputs - y[:, -1]) ** 2, axis=(1, 2))
    np.testing.assert_allclose(data.loss(responses, "mean"), expected, rtol=0.1 * tol)


def test_streams_and_chunks_are_the_whole(dtype, tol):
    x, y, responses = problem(dtype, *SHAPES[0])
    weights = np.random.default_rng(1).integers(0, 3, size=(20, 6)).astype(dtype)
    weights[:5] = 1
    whole = compress(x, y, weights)
    batches = [(x[:5], y[:5])] + [(x[i : i + 3], y[i : i + 3], weights[i : i + 3])
                                  for i in range(5, 20, 3)]  # fmt: skip
    order = np.random.default_rng(2).permutation(20)
    for data in (
        compress(batches),
        compress(iter(batches[::-1]), chunk_size=1),
        compress((batch for batch in batches), chunk_size=4),
        compress(jnp.asarray(x), jnp.asarray(y), jnp.asarray(weights), chunk_size=7),
        compress(x[order], y[order], weights[order]),
    ):
        assert_same(data, whole, responses, 0.1 * tol)
        for a, b in zip(jax.tree.leaves(data), jax.tree.leaves(whole), strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)


def test_many_chunks_of_many_sequences():
    """A default chunk has 16384 rows: this is several of them, and the last one is small."""
    x, y, responses = problem(np.float32, 9000, 4, 1, 1)
    data = compress(x, y)
    assert data.triangle.shape == (4, 4, 1)
    expected = [definition(response, x, y)[0] for response in responses]
    np.testing.assert_allclose(data.loss(responses), expected, rtol=1e-6)


@pytest.mark.usefixtures("unannotated")
def test_is_of_the_type_of_the_data_and_finer_than_it(dtype):
    x, y, _ = problem(np.float64, *SHAPES[0])
    assert compress(x, y).dtype == dtype
    assert compress(x.astype(np.float32), y.astype(np.float32)).dtype == np.float32
    assert compress(x.astype(np.float16), y.astype(np.float16)).dtype == np.float32
    whole = np.arange(120).reshape(20, 6, 1) % 7
    assert compress(whole, whole).dtype == dtype
    # An exact fit of a signal on a large offset, of which float32 would leave errors of 0.1.
    offset = x + 1e6
    fitted = compress(offset, 3 * offset)
    assert fitted.constant < 1e-12


def test_is_a_tree_that_compiled_functions_take(dtype, tol):
    count = 0

    @jax.jit
    def loss(data, responses):
        nonlocal count
        count += 1
        return data.loss(responses)

    x, y, responses = problem(dtype, *SHAPES[0])
    first, second = compress(x, y), compress(x[:10], 2 * y[:10])
    for data in (first, second):
        np.testing.assert_allclose(loss(data, responses), data.loss(responses), rtol=tol)
    assert count == 1
    np.testing.assert_allclose(first.errors(responses)[1], first.errors(responses[1]), rtol=tol)


@pytest.mark.usefixtures("unannotated")
def test_is_shown_in_one_line():
    x, y, _ = problem(np.float32, *SHAPES[0])
    data = compress(x, y)
    shown = "CompressedData(triangle (18, 6, 3), centre (6, 2, 3), num_targets=240.0)"
    assert repr(data) == shown
    assert "triangle None" in repr(jax.tree.map(lambda _: None, data))


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    x, y, responses = problem(np.float32, *SHAPES[0])
    ones = np.ones((20, 6))

    def refused(message, *arguments, **options):
        with pytest.raises(ValueError, match=message):
            compress(*arguments, **options)

    refused(r"weights must be at least 0, got -1", x, y, -ones)
    refused(r"weights must not all be 0", x, y, 0 * ones)
    refused(r"weights must be finite, got 120 NaN", x, y, np.nan * ones)
    refused(r"shape of weights and shape\[:2\] of x .* got \(20, 5\) and", x, y, ones[:, 1:])
    refused(
        r"weights must have shape \(sequences, time steps\) .* got shape \(20,\)", x, y, ones[:, 0]
    )
    refused(
        r"x must have shape .* features\) and not be empty, got shape \(0, 6, 3\)", x[:0], y[:0]
    )
    refused(r"shape\[:2\] of x and of y must have the same number and length", x, y[:, :5])
    refused(r"y must be given with arrays x and weights; .* got ndarray", x)
    refused(r"y must be given", [(x, y)], None, ones)
    refused(r"y must be given .* got int", 3)
    refused(r"got ndarray as batch 0; pass one data set as x and y", (x, y))
    refused(r"x must hold at least one batch \(x, y\), got an empty iterable", iter([]))
    refused(r"weights must not all be 0", [(x, y, 0 * ones)] * 2)
    refused(
        r"x and y of batch 1 must have the \(T, n_x, n_y\) = \(6, 3, 2\) .* got \(5, 3, 2\); pad",
        [(x, y), (x[:, :5], y[:, :5])],
    )
    refused(r"chunk_size must be a positive integer, got 0", x, y, chunk_size=0)
    refused(r"x must be real, got dtype complex64", x + np.complex64(1j), y)
    refused(
        r"x and y, compressed, must be finite, got .* NaN or infinite .* rescale them to fit float",
        np.full(x.shape, 1e308),
        y,
    )
    with pytest.raises(ValueError, match=r"x and y, compressed, must be finite"):
        compress(x * np.float32(1e-35), y * np.float32(1e10))
    gap = y.copy()
    gap[2, 3, 1] = np.nan
    refused(r"y must be finite, got 1 NaN .* \(2, 3, 1\); .* a weight of 0", x, gap, ones)
    refused(r"y of batch 1 must be finite", [(x, y), (x, gap)])
    refused(r"x must be finite", np.where(x > 3, np.inf, x * np.inf), y, 0 * ones)
    with pytest.raises(ValueError, match="x must be concrete, got a tracer; compress data outside"):
        jax.jit(lambda x: compress(x, y).constant)(x)
    data = compress(x, y)
    for bad in (responses[0, 0], responses[0, :, :1], responses[0, :0]):
        with pytest.raises(
            ValueError, match=r"impulse_response must have the shape .* \(6, 2, 3\)"
        ):
            data.loss(bad)
    with pytest.raises(ValueError, match="impulse_response must be finite"):
        data.loss(responses[0] * np.nan)
    with pytest.raises(ValueError, match='loss must be "sum"'):
        data.loss(responses[0], "mse")


def test_the_host_computes_with_what_was_not_rounded():
    """Smooth inputs, of which float32 leaves a fit no digit: in float64 it is least squares."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 30, 1))
    for _ in range(3):
        x = np.cumsum(x, axis=1)
    y, last = rng.normal(size=x.shape), np.zeros((100, 30))
    last[:, -1] = 1
    kernel = nr.kernel_regression(np.ones(30), nr.compress(x, y, last), on_host=True)
    L = kernel.impulse_response(time=np.inf)
    A, b = x[:, ::-1, 0], y[:, -1, 0]
    expected = np.linalg.lstsq(A, b)[0]
    assert np.linalg.norm(L[:, 0, 0] - expected) <= 1e-6 * np.linalg.norm(expected)
    loss = np.sum((A @ expected - b) ** 2) / 2
    np.testing.assert_allclose(kernel.train_loss(time=np.inf), loss, rtol=1e-9)
