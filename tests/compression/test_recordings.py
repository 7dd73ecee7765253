"""Compressed recordings: overlapping windows with the target at the last row, a second way."""

import itertools

import jax
import numpy as np
import pytest
from scipy.signal import lfilter

import ntk_rnn as nr
from ntk_rnn.compression import gram
from ntk_rnn.compression.blocks import factor_of
from ntk_rnn.compression.recordings import recording_blocks

T, PIECES, ROWS = 6, [0, 40, 43, 70], 100


def recording(dtype):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(ROWS, 3)).astype(dtype), rng.normal(size=(ROWS, 2)).astype(dtype)
    return x, y, rng.normal(size=(4, T, 2, 3)).astype(dtype)


def by_windows(x, y, weights):
    """All windows that lie in one piece, in memory, of which the last target alone counts."""
    starts = [
        t for first, end in zip(PIECES, [*PIECES[1:], ROWS], strict=True)
        for t in range(first, end - T + 1)
    ]  # fmt: skip
    rows = np.array(starts)[:, None] + np.arange(T)
    known = np.zeros((len(rows), T))
    known[:, -1] = weights[rows[:, -1]]
    return nr.compress(x[rows], np.nan_to_num(y[rows]), known)


def assert_same(data, other, responses, tol):
    for a, b in zip(jax.tree.leaves(data), jax.tree.leaves(other), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    for loss in ("sum", "mean"):
        np.testing.assert_allclose(
            data.loss(responses, loss), other.loss(responses, loss), rtol=tol
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_pieces_and_chunks_are_the_windows(dtype, tol, weighted):
    x, y, responses = recording(dtype)
    weights = np.ones(ROWS)
    if weighted:
        weights[[3, 20, 80]] = 0, 0, 2.5
        y[[2, 3, 20, 41]] = np.nan  # unknown, or without inputs
    expected = by_windows(x, y, weights)
    whole = nr.compress_recording(x, y, weights, seq_len=T, pieces=PIECES)
    assert_same(whole, expected, responses, 0.1 * tol)
    for bounds in ([0, 1, 2, 41, 44, 90, 100], range(101), [0, 100]):
        chunks = ((x[i:j], y[i:j], weights[i:j]) for i, j in itertools.pairwise(bounds))
        data = nr.compress_recording(chunks, seq_len=T, pieces=np.array(PIECES))
        assert_same(data, expected, responses, 0.1 * tol)
    # Pieces of their own, merged.
    parts = [
        nr.compress_recording(x[i:j], y[i:j], weights[i:j], seq_len=T)
        for i, j in ((0, 40), (43, 70), (70, 100))
    ]
    assert_same(nr.merge_compressed(parts), expected, responses, tol)


def test_one_column_and_one_lag(dtype, tol):
    x, y, _ = recording(dtype)
    data = nr.compress_recording(x[:, 0], y[:, 0], seq_len=1)
    slope = (x[:, 0] @ y[:, 0]) / (x[:, 0] @ x[:, 0])
    np.testing.assert_allclose(data.centre, np.full((1, 1, 1), slope), rtol=tol)
    assert data.num_targets == ROWS


def test_many_rows_are_windows_some_at_a_time(monkeypatch):
    """Several chunks of rows from one array: memory beside it grows with none of its length."""
    import tracemalloc

    x = np.random.default_rng(0).normal(size=(60_000, 2))
    y = x[:, :1] + np.roll(x[:, 1:], 3, axis=0)
    tracemalloc.start()
    data = nr.compress_recording(x, y, seq_len=50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    windows = 60_000 * 100 * 8  # bytes of all windows in one array
    assert peak < 3 * windows
    exact = np.zeros((50, 1, 2))
    exact[0, 0, 0] = exact[3, 0, 1] = 1
    np.testing.assert_allclose(data.loss(exact), 0, atol=1e-6)


# Long enough for the Gram matrix: 8000 rows with 200 columns.
LONG, LAGS = 8000, 100


@pytest.mark.parametrize("memory", [0.0, 0.95])
@pytest.mark.parametrize("weights_of", ["ones", "pieces", "gaps", "levels"])
def test_a_long_recording_is_its_rows(monkeypatch, memory, weights_of):
    """The Gram matrix by its diagonals against factorized rows, also as two chunks."""
    rng = np.random.default_rng(3)
    x = lfilter([1.0], [1.0, -memory], rng.normal(size=(LONG, 2)), axis=0)
    y = x + rng.normal(size=(LONG, 2)) + 5
    weights = np.ones(LONG)
    pieces = [0, 150, 200, 4100] if weights_of == "pieces" else [0]
    if weights_of == "gaps":
        weights[rng.integers(LONG, size=60)] = 0
        y[weights == 0] = np.nan
    elif weights_of == "levels":
        weights = np.repeat(rng.random(20) * 3, LONG // 20)
    by_rows = triangle(monkeypatch, 2**60, x, y, weights, pieces)
    for bounds in ([0, LONG], [0, 3900, LONG]):
        fast = triangle(monkeypatch, 0, x, y, weights, pieces, bounds)
        # Both have the condition number of the lagged inputs, of which there are 200.
        norms = np.linalg.norm(by_rows, axis=0)
        np.testing.assert_allclose(fast / norms, by_rows / norms, rtol=0, atol=1e-12)


def triangle(monkeypatch, worth, x, y, weights, pieces, bounds=(0, LONG)):
    """The triangle, with a positive diagonal, which is unique."""
    monkeypatch.setattr(gram, "_WORTH", worth)
    chunks = [("", (x[i:j], y[i:j], weights[i:j])) for i, j in itertools.pairwise(bounds)]
    factor = factor_of(recording_blocks(chunks, LAGS, np.array(pieces), offset=True))
    rows = np.asarray(factor.rows)
    return rows * np.sign(np.diag(rows))[:, None]


@pytest.mark.parametrize("what", ["equal", "exact", "late", "masked"])
def test_rows_are_factorized_where_a_gram_matrix_loses_digits(what):
    """Inputs that are nearly equal, outputs without noise, and a burst that most lags miss."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(LONG, 2))
    y, weights = x[:, :1] + rng.normal(size=(LONG, 1)), np.ones(LONG)
    assert gram.triangle_by_gram(x, y[LAGS - 1 :], weights[LAGS - 1 :], LAGS, False) is not None
    if what == "equal":
        x[:, 1] = x[:, 0] + 1e-5 * x[:, 1]
    elif what == "exact":
        y = x[:, :1]
    elif what == "late":
        x[-5] = 1e5
    else:  # no row has it
        x[4000], weights[4000 : 4000 + LAGS] = 1e6, 0
    assert gram.triangle_by_gram(x, y[LAGS - 1 :], weights[LAGS - 1 :], LAGS, False) is None


@pytest.mark.usefixtures("unannotated")
def test_bad_arguments_are_refused():
    x, y, _ = recording(np.float32)

    def refused(message, *arguments, **options):
        with pytest.raises(ValueError, match=message):
            nr.compress_recording(*arguments, **{"seq_len": T} | options)

    refused("seq_len must be a positive integer, got 0", x, y, seq_len=0)
    refused("seq_len must leave targets .* got 101 and no such target", x, y, seq_len=101)
    refused("seq_len must leave targets .* got 6", x, y, np.zeros(ROWS))
    refused("pieces must begin with 0 and rise, got .30, 0.", x, y, pieces=[30, 0])
    refused("pieces must begin with 0 and rise", x, y, pieces=[-1, 5])
    refused("pieces must be whole numbers .* got dtype float64", x, y, pieces=[0, 1.5])
    refused("pieces must begin within the 100 rows, got one at row 100", x, y, pieces=[0, 100])
    refused(r"len\(x\) and len\(y\) must have the same number of rows, got 100 and 99", x, y[1:])
    refused(r"weights.shape and rows must have the same shape", x, y, np.ones(99))
    refused("weights must be at least 0", x, y, -np.ones(ROWS))
    refused("x must have shape .rows, columns. .* got shape .1, 100, 3.", x[None], y[None])
    refused("y must be given with arrays x and weights", x)
    refused("x must hold at least one chunk", iter([]))
    refused("x and y of batch 1 and of the chunks before", [(x, y), (x[:, :2], y)])
    gap = y.copy()
    gap[50] = np.nan
    refused("y must be finite, got 2 NaN", x, gap)
    refused("x must be finite", np.where(x > 2, np.nan, x), y)
    masked = np.ma.masked_greater(y, 1)
    refused("y must not be masked", x, masked)
    with pytest.raises(ValueError, match=r"y must not be masked, got .* weights of 0"):
        nr.compress(x[None], masked[None])
    for parts, message in (
        (None, "parts must be an iterable"),
        ([None], r"parts\[0\] must be Comp"),
    ):
        with pytest.raises(TypeError, match=message):
            nr.merge_compressed(parts)
