"""By which way a kernel regression is solved: chosen by size, and said."""

from __future__ import annotations

from typing import Any, Literal

import jax
import numpy as np

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData, compress

#: What a caller asks for.
Choice = Literal["auto", "dense", "matrix_free"]

#: What is done: factorizations of the size of ``L``, of that of the data, or products alone.
Method = Literal["primal", "dual", "matrix_free"]

# Numbers in a matrix of lagged inputs (1 GiB in float64), and columns of one whose singular values
# take about a minute on two cores.
_MOST_ENTRIES, _MOST_COLUMNS = 2**27, 2**12


def by_size(rows: int, columns: int) -> Literal["dense", "compress", "matrix_free"]:
    """How to treat a matrix of lagged inputs of ``N T`` rows and ``T n_x`` columns.

    Dense up to 2^27 numbers and 4096 singular values. Beyond, data of no more than 4096 columns
    are compressed first, in chunks of rows, and others are left to products.
    """
    entries = rows * columns
    if entries <= _MOST_ENTRIES and min(rows, columns) <= _MOST_COLUMNS:
        return "dense"
    return "compress" if columns <= _MOST_COLUMNS else "matrix_free"


def prepare(
    choice: str,
    kernel: Any,
    data: tuple[AnyArray, AnyArray] | CompressedData,
    on_host: bool = False,
) -> tuple[Method, tuple[AnyArray, AnyArray] | CompressedData]:
    """The method for a kernel and data, and the data, compressed if that is better for them.

    Dense methods are primal where there are at least as many data points as columns, and dual
    elsewhere. Gram matrices, compressed data and what JAX traces are never matrix-free.

    Args:
      choice: ``"auto"``, ``"dense"`` or ``"matrix_free"``.
      kernel: lag weights or a Gram matrix.
      data: inputs and targets, or both compressed.
      on_host: whether factorizations are in float64: data are then never compressed, but
        factorized in chunks of rows as they are.

    Raises:
      ValueError: if the choice is unknown, or matrix-free or on the host where it cannot be.
    """
    if choice not in ("auto", "dense", "matrix_free"):
        raise ValueError(f'method must be "auto", "dense" or "matrix_free", got {choice!r}')
    traced = any(map(_checks.is_traced, jax.tree.leaves((kernel, data))))
    if on_host and traced:
        raise ValueError("on_host must be False for what JAX is tracing, got True")
    if isinstance(data, CompressedData):
        what, (rows, seq_len, in_dim) = "compressed data", data.triangle.shape
    else:
        what = "what JAX is tracing" if traced else "a Gram matrix" if np.ndim(kernel) > 1 else ""
        rows, (_, seq_len, in_dim) = data[0].shape[0] * data[0].shape[1], data[0].shape
    if choice == "matrix_free" and what:
        raise ValueError(
            f"method must be dense for {what}, got 'matrix_free', which takes lag weights and "
            "concrete data (x, y)"
        )
    columns = seq_len * in_dim
    dense: Method = "primal" if rows >= columns else "dual"
    if choice == "auto" and not isinstance(data, CompressedData) and not traced:
        choice = by_size(rows, columns)
        if choice == "compress" and not on_host:
            return dense, compress(*data)
    return ("matrix_free" if choice == "matrix_free" and not what else dense), data
