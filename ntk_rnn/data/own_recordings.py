"""Recordings as sequences: from arrays, or from the columns of a CSV file.

The models take ``y_t = sum_{j <= t} L_j x_{t-j}`` within a sequence, which starts at rest. So a
recording of many rows is cut where a sequence begins: by a column that names the trial of each row,
or into windows of equal length. Whatever rows cannot be such sequences are refused, and the message
says where in the file they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.data.csv_files import Table, read_table

Pair = tuple[Float[np.ndarray, "N T n_x"], Float[np.ndarray, "N T n_y"]]


def from_csv(
    path: str | Path,
    inputs: str | Sequence[str],
    outputs: str | Sequence[str],
    *,
    seq_len: int | None = None,
    group: str | None = None,
) -> Pair:
    """Sequences ``x (N, T, n_x)`` and ``y (N, T, n_y)`` from the columns of a CSV file.

    The first line names the columns, every other one is a time step, in the order of time.
    Commas, semicolons and tabs may separate them. Columns that are not asked for may hold anything.

    Args:
      path: the file, UTF-8 text, as spreadsheet programs export it.
      inputs: names of the input columns, in the order that ``x`` is to have; their units are kept.
      outputs: names of the output columns.
      seq_len: number ``T`` of rows a sequence. The rows of each group, or of the whole file, are
        cut into windows of this length, one after the other and without overlap; what is left at
        the end is not used.
      group: name of a column that says which sequence a row belongs to, e.g. the trial; text or
        numbers. The rows of one must follow each other. Without ``seq_len`` each group is a
        sequence, and all must have the same number of rows.

    Returns:
      ``x`` and ``y`` in float64, whatever JAX's setting.

    Raises:
      ValueError: if the file cannot be had or read, a column is missing, a cell is empty, NaN or
        no number, a line has too few or too many cells, or the rows do not make sequences; names
        the file, the line, the column and the value, and what to do.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> rows = [[1.0, 0.5], [0.0, 0.25], [2.0, 1.0], [1.0, 0.75]]
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "recording.csv")
      ...     np.savetxt(path, rows, delimiter=",", header="stimulus,response", comments="")
      ...     x, y = nr.data.from_csv(path, inputs="stimulus", outputs="response", seq_len=2)
      >>> x.shape, y[:, :, 0].tolist()
      ((2, 2, 1), [[0.5, 0.25], [1.0, 0.75]])
    """
    columns_in, columns_out = _columns("inputs", inputs), _columns("outputs", outputs)
    both = sorted(set(columns_in) & set(columns_out))
    if both:
        raise ValueError(
            f"inputs and outputs must be different columns, got {both[0]!r} as both: it would "
            "predict itself; leave it out of the inputs"
        )
    table = read_table(Path(path))
    labels = None if group is None else table.text(group)
    x, y = table.numbers(columns_in), table.numbers(columns_out)
    return _cut(x, y, seq_len, labels, table)


def from_arrays(
    inputs: Shaped[AnyArray, "rows ..."],
    outputs: Shaped[AnyArray, "rows ..."],
    *,
    seq_len: int | None = None,
    groups: Sequence[Any] | Shaped[AnyArray, " rows"] | None = None,
) -> Pair:
    """Sequences ``x (N, T, n_x)`` and ``y (N, T, n_y)`` from a recording in arrays.

    Args:
      inputs: one row a time step, in the order of time, shape ``(rows, n_x)``, or ``(rows,)`` for
        one input.
      outputs: shape ``(rows, n_y)``, or ``(rows,)`` for one output.
      seq_len: number ``T`` of rows a sequence, as ``from_csv`` has it.
      groups: which sequence each row belongs to, shape ``(rows,)``.

    Returns:
      ``x`` and ``y`` in float64, whatever JAX's setting.

    Raises:
      ValueError: if numbers of rows differ, an entry is NaN, infinite or no number, or the rows
        do not make sequences.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.from_arrays(np.ones((60, 3)), np.ones(60), seq_len=20)
      >>> x.shape, y.shape
      ((3, 20, 3), (3, 20, 1))
    """
    x, y = _rows("inputs", inputs), _rows("outputs", outputs)
    sizes = {"inputs": len(x), "outputs": len(y)}
    if groups is not None:
        if np.ndim(groups) != 1:
            raise ValueError(f"groups must have shape (rows,), got shape {np.shape(groups)}")
        sizes["groups"] = len(groups)
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        raise ValueError(
            f"inputs and outputs must have one row a time step each, got unequal lengths: {found}; "
            "cut or resample them so that row t of each is the same time"
        )
    labels = None if groups is None else [str(label) for label in np.asarray(groups)]
    return _cut(x, y, seq_len, labels, None)


def _cut(
    x: np.ndarray, y: np.ndarray, seq_len: int | None, labels: list[str] | None, table: Table | None
) -> Pair:
    """The rows of ``x`` and ``y`` as sequences; ``table`` says where rows are in a file."""
    if seq_len is not None:
        seq_len = _checks.integer("seq_len", seq_len)
    if labels is None:
        if seq_len is None:
            raise ValueError(
                "seq_len or a group must be given, got neither: say seq_len=20 to cut the rows "
                "into sequences of 20, or which column or array says where sequences begin"
            )
        runs = [("", 0, len(x))]
    else:
        runs = _runs(labels, table)
    if seq_len is None:
        _check_equal(runs, table)
        seq_len = runs[0][2] - runs[0][1]
    starts = []
    for label, first, end in runs:
        if end - first < seq_len:
            what = "the recording" if labels is None else f"group {label!r}"
            raise ValueError(
                f"seq_len must be at most the rows that there are of each, got {seq_len} where "
                f"{what} has {end - first} ({_where(table, first, end)}); take a smaller seq_len"
                + ("" if labels is None else ", or remove that group")
            )
        starts += range(first, end - seq_len + 1, seq_len)
    index = np.asarray(starts)[:, None] + np.arange(seq_len)
    return x[index], y[index]


def _runs(labels: list[str], table: Table | None) -> list[tuple[str, int, int]]:
    """Label, first row and the row after the last, of each group."""
    bounds = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]]
    runs, seen = [], {}
    for first, end in zip(bounds, [*bounds[1:], len(labels)], strict=True):
        label = labels[first]
        if label in seen:
            raise ValueError(
                f"the rows of a group must follow each other, got group {label!r} at "
                f"{_where(table, *seen[label])} and again at {_where(table, first, end)}; sort the "
                "rows by group, and by time within each"
            )
        seen[label] = (first, end)
        runs.append((label, first, end))
    return runs


def _check_equal(runs: list[tuple[str, int, int]], table: Table | None) -> None:
    sizes = [end - first for _, first, end in runs]
    other = next((run for run, size in zip(runs, sizes, strict=True) if size != sizes[0]), None)
    if other is not None:
        raise ValueError(
            f"groups must have equal lengths, got {sizes[0]} rows in {runs[0][0]!r} "
            f"({_where(table, *runs[0][1:])}) and {other[2] - other[1]} in {other[0]!r} "
            f"({_where(table, *other[1:])}); say seq_len={min(sizes)}, the length of the shortest, "
            "to cut windows of that length from each, or remove the groups that are too short"
        )


def _where(table: Table | None, first: int, end: int) -> str:
    """Lines of a file or rows of an array, the first and the last."""
    places = (first, end - 1) if table is None else (table.lines[first], table.lines[end - 1])
    kind = "row" if table is None else f"{table.path.name}, line"
    one, last = places
    return f"{kind} {one}" if one == last else f"{kind}s {one} to {last}"


def _columns(name: str, value: Any) -> list[str]:
    columns = [value] if isinstance(value, str) else list(value)
    if not columns or not all(isinstance(column, str) for column in columns):
        raise ValueError(
            f"{name} must be the name of a column or a list of names, got {value!r}; e.g. "
            f'{name}=["force"]'
        )
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise ValueError(f"{name} must not name a column twice, got {twice!r} more than once")
    return columns


def _rows(name: str, value: Any) -> Float[np.ndarray, "rows features"]:
    array = np.asarray(value)
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise ValueError(
            f"{name} must have shape (rows, columns) and not be empty, got shape {array.shape}; "
            "sequences (N, T, n) need no cutting"
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must hold real numbers, got dtype {array.dtype}; convert it, e.g. by "
            f"np.asarray({name}, float)"
        )
    array = np.asarray(array, np.float64)
    _checks.finite(name, array, "fill them in, or remove the whole sequence: without single rows, "
                   "time would skip")  # fmt: skip
    return array.reshape(len(array), -1)
