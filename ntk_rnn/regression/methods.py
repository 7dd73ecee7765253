"""Which method solves a kernel regression, by what is given and by its size."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ntk_rnn import _checks
from ntk_rnn.compression.triangle import compress
from ntk_rnn.objective import DataSet, Impulses, Sequences, as_data_set
from ntk_rnn.regression.prediction import Method

# Numbers in a matrix of lagged inputs (1 GiB in float64), and columns of one whose singular values
# take about a minute on two cores; operations of a factorization that takes about a second.
_MOST_ENTRIES, _MOST_COLUMNS, _SECOND = 2**27, 2**12, 2**31


def choose_method(
    choice: str, kernel: Any, data: DataSet, on_host: bool = False, max_rank: int = 500
) -> tuple[Method, DataSet]:
    """The method for a kernel and data, and the data, compressed if that is better for them.

    Dense methods are primal where there are at least as many data points as columns, and dual
    elsewhere. Gram matrices, compressed data and what JAX traces are never matrix-free.

    Args:
      choice: ``"auto"``, ``"dense"`` or ``"matrix_free"``.
      kernel: lag weights or a Gram matrix.
      data: what is trained on.
      on_host: whether factorizations are in float64: data are then never compressed, but
        factorized in chunks of rows as they are.
      max_rank: matrix-free, the most directions.

    Raises:
      ValueError: if the choice is unknown, or is matrix-free or on the host where that is not
        possible.
    """
    _checks.one_of("method", choice, "auto", "dense", "matrix_free")
    traced = _checks.is_traced((kernel, data))
    if on_host and traced:
        raise ValueError("on_host must be False for what JAX is tracing, got True")
    only_dense = ""
    if isinstance(data, Impulses):
        only_dense = "compressed data"
    elif traced or np.ndim(kernel) > 1:
        only_dense = "what JAX is tracing" if traced else "a Gram matrix"
    if choice == "matrix_free" and only_dense:
        raise ValueError(
            f"method must be dense for {only_dense}, got 'matrix_free', which takes lag weights "
            "and concrete data (x, y)"
        )
    seq_len, out_dim, in_dim = data.shape
    rows, columns = data.num_rows, seq_len * in_dim
    dense: Method = "primal" if rows >= columns else "dual"
    if choice == "auto" and isinstance(data, Sequences) and not traced:
        few = (
            None
            if np.ndim(kernel) > 1
            else _directions(kernel, (seq_len, out_dim, in_dim), max_rank)
        )
        choice = method_by_size(rows, columns, few)
        if choice == "compress" and not on_host:
            return dense, as_data_set("data", compress(data.inputs, data.targets))
    return ("matrix_free" if choice == "matrix_free" and not only_dense else dense), data


def method_by_size(
    rows: int, columns: int, directions: int | None = None
) -> Literal["dense", "compress", "matrix_free"]:
    """How to treat a matrix of lagged inputs of ``N T`` rows and ``T n_x`` columns.

    Dense up to 2^27 numbers and 4096 singular values, unless that takes more than about a second
    and products less than a quarter of it. Larger data of no more than 4096 columns are compressed
    first, in chunks of rows. For all others there are only products.

    Args:
      rows: number of rows.
      columns: number of columns.
      directions: how many directions products need to find; ``None`` if they would be too many.
    """
    entries, size = rows * columns, min(rows, columns)
    if entries <= _MOST_ENTRIES and size <= _MOST_COLUMNS:
        # Multiplications and additions: two factorizations; or two orthogonalizations of each
        # direction against the others on both sides, and some factorizations of what is found.
        dense = 2 * entries * size + 22 * size**3
        if directions is None or dense < _SECOND:
            return "dense"
        products = 8 * directions**2 * (rows + columns) + 55 * directions**3
        return "matrix_free" if 4 * products < dense else "dense"
    return "compress" if columns <= _MOST_COLUMNS else "matrix_free"


def _directions(kernel: Any, shape: tuple[int, int, int], max_rank: int) -> int | None:
    """How many directions of lag weights exceed rounding, or ``None`` for more than are allowed.

    Singular values fall at least as ``sqrt(rho)`` does, and one of a lag below 1e-15 of the largest
    is rounding.
    """
    rho = np.sort(_checks.weight_per_lag("kernel", kernel))[::-1]
    reached = int(np.sum(rho > 1e-30 * rho[0])) * max(shape[1:])
    return reached if reached <= max_rank else None
