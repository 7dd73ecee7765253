"""Recordings from arrays, or from the columns of a CSV file.

A recording is kept as it is, in continuous pieces where a column names the trial or the session of
each row. Whatever rows cannot be such pieces are refused, and the message says where in the file
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.batches import host_rows
from ntk_rnn.data.csv_files import MISSING, read_columns, read_table
from ntk_rnn.data.csv_source import file_path
from ntk_rnn.data.recordings import Recording

# Where an entry is not finite.
_REMEDY = "fill them in, or remove the whole sequence: without single rows, time would skip"


def from_csv(
    path: str | Path,
    inputs: str | Sequence[str],
    outputs: str | Sequence[str],
    *,
    seq_len: int | None = None,
    group: str | None = None,
) -> Recording:
    """A recording from the columns of a CSV file.

    The first line names the columns, and every other line is a time step, in the order of time.
    Columns are separated by commas, semicolons or tabs; where they are not separated by commas,
    numbers may have decimal commas. Comment lines above the first line begin with ``#``. Columns
    that are not asked for may hold anything.

    Args:
      path: the file, UTF-8 text, as spreadsheet programs export it; it may be compressed by gzip.
      inputs: names of the input columns, in the order that ``x`` is to have; their units are kept.
      outputs: names of the output columns.
      seq_len: number ``T`` of inputs that explain an output: how far back a model looks. Nothing
        is cut: ``Recording.compress`` takes the recording as it is.
      group: name of a column that says which continuous piece a row belongs to, e.g. the trial;
        text or numbers. The rows of a group must follow each other. Without ``seq_len`` each group
        is a sequence that begins at rest, and all must have the same number of rows.

    Returns:
      The recording, in float64 whatever JAX's setting. ``compress`` makes a data set of it as it
      is, ``at_rest`` cuts it into sequences that begin at rest.

    Raises:
      ValueError: if the file cannot be found or read, a column is missing, a cell is empty, NaN or
        no number, a line has too few or too many cells, or the rows do not make pieces. The message
        names the file, the line, the column and the value, and what to do.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> rows = [[1.0, 0.5], [0.0, 0.25], [2.0, 1.0], [1.0, 0.75]]
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "recording.csv")
      ...     np.savetxt(path, rows, delimiter=",", header="stimulus,response", comments="")
      ...     nr.data.from_csv(path, inputs="stimulus", outputs="response", seq_len=2)
      Recording(4 rows in 1 pieces, n_x=1, n_y=1, seq_len=2)
    """
    columns_in, columns_out = _columns("inputs", inputs), _columns("outputs", outputs)
    both = sorted(set(columns_in) & set(columns_out))
    if both:
        raise ValueError(
            f"inputs and outputs must be different columns, got {both[0]!r} as both: it would "
            "predict itself; leave it out of the inputs"
        )
    if group is not None and not isinstance(group, str):
        raise ValueError(
            f"group must be the name of a column, got {_checks.shown(group)}; leave it out for one "
            "continuous recording"
        )
    file = file_path(path)
    values, labels = read_columns(file, columns_in + columns_out, group)
    x, y = np.split(values, [len(columns_in)], axis=1)
    return _recording(x, y, seq_len, labels, file)


def from_arrays(
    inputs: Shaped[AnyArray, "rows ..."],
    outputs: Shaped[AnyArray, "rows ..."],
    *,
    seq_len: int | None = None,
    groups: Sequence[Any] | Shaped[AnyArray, " rows"] | None = None,
) -> Recording:
    """A recording from arrays.

    Args:
      inputs: one row per time step, in the order of time, shape ``(rows, n_x)``, or ``(rows,)`` for
        one input.
      outputs: shape ``(rows, n_y)``, or ``(rows,)`` for one output.
      seq_len: number ``T`` of inputs that explain an output, as ``from_csv`` has it.
      groups: which continuous piece each row belongs to, shape ``(rows,)``, as ``group`` of
        ``from_csv``.

    Returns:
      The recording, in float64 whatever JAX's setting.

    Raises:
      ValueError: if numbers of rows differ, an entry is NaN, infinite, masked or no number, a
        group has no name, or the rows do not make pieces.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> recording = nr.data.from_arrays(np.ones((60, 3)), np.ones(60), seq_len=20)
      >>> recording.compress().shape  # (T, n_y, n_x)
      (20, 1, 3)
      >>> x, y = recording.at_rest()
      >>> x.shape, y.shape
      ((3, 20, 3), (3, 20, 1))
    """
    (x, _), (y, _) = host_rows("inputs", inputs, _REMEDY), host_rows("outputs", outputs, _REMEDY)
    sizes = {"inputs": len(x), "outputs": len(y)}
    if groups is not None:
        try:
            shape = np.shape(groups)
        except ValueError:  # lists of unequal lengths
            raise ValueError(
                f"groups must have shape (rows,), got {_checks.shown(groups)}; pass one label a row"
            ) from None
        if len(shape) != 1:
            raise ValueError(f"groups must have shape (rows,), got shape {shape}")
        sizes["groups"] = len(groups)
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        raise ValueError(
            f"inputs and outputs must have one row a time step each, got unequal lengths: {found}; "
            "cut or resample them so that row t of each is the same time"
        )
    return _recording(x, y, seq_len, None if groups is None else _labels(groups), None)


def _recording(
    x: np.ndarray, y: np.ndarray, seq_len: int | None, labels: list[str] | None, file: Path | None
) -> Recording:
    """The rows in pieces, one for each run of labels; ``file`` is where they are from."""
    if seq_len is not None:
        seq_len = _checks.integer("seq_len", seq_len)
    if labels is None:
        if seq_len is None:
            raise ValueError(
                "seq_len or a group must be given, got neither: say seq_len=20 for outputs that "
                "depend on 20 rows, or which column or array says where sequences begin"
            )
        runs = [("", 0, len(x))]
    else:
        runs = _runs(labels, file)
    if seq_len is None:
        _check_equal(runs, file)
    for label, first, end in runs:
        if seq_len is not None and end - first < seq_len:
            what = "the recording" if labels is None else f"group {label!r}"
            raise ValueError(
                f"seq_len must be at most the rows that there are of each, got {seq_len} where "
                f"{what} has {end - first} ({_where(file, first, end)}); take a smaller seq_len"
                + ("" if labels is None else ", or remove that group")
            )
    return Recording(x, y, np.asarray([first for _, first, _ in runs]), seq_len)


def _labels(groups: Any) -> list[str]:
    """Names of groups as text; raises ``ValueError`` where one is missing."""
    _checks.unmasked("groups", groups)
    is_array = isinstance(groups, jax.Array)  # of which single entries are slow to take
    labels = [str(label) for label in (np.asarray(groups) if is_array else groups)]
    for row, label in enumerate(labels):
        if label.strip().lower() in MISSING | {"nat", "<na>"}:
            raise ValueError(
                f"groups must name the piece of every row, got {label!r} at row {row}; fill it in, "
                "for rows without a name would be taken for one piece"
            )
    return labels


def _runs(labels: list[str], file: Path | None) -> list[tuple[str, int, int]]:
    """Label, first row and the row after the last, of each group."""
    bounds = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]]
    runs, seen = [], {}
    for first, end in zip(bounds, [*bounds[1:], len(labels)], strict=True):
        label = labels[first]
        if label in seen:
            raise ValueError(
                f"the rows of a group must follow each other, got group {label!r} at "
                f"{_where(file, *seen[label])} and again at {_where(file, first, end)}; sort the "
                "rows by group, and by time within each"
            )
        seen[label] = (first, end)
        runs.append((label, first, end))
    return runs


def _check_equal(runs: list[tuple[str, int, int]], file: Path | None) -> None:
    sizes = [end - first for _, first, end in runs]
    other = next((run for run, size in zip(runs, sizes, strict=True) if size != sizes[0]), None)
    if other is not None:
        raise ValueError(
            f"groups must have equal lengths, got {sizes[0]} rows in {runs[0][0]!r} "
            f"({_where(file, *runs[0][1:])}) and {other[2] - other[1]} in {other[0]!r} "
            f"({_where(file, *other[1:])}); say seq_len={min(sizes)}, the length of the shortest, "
            "to take the rows of each as they are, or remove the groups that are too short"
        )


def _where(file: Path | None, first: int, end: int) -> str:
    """Lines of a file or rows of an array, the first and the last."""
    kind, one, last = "row", first, end - 1
    if file is not None:
        lines = read_table(file).lines  # read once more, for a message alone
        kind, one, last = f"{file.name}, line", lines[first], lines[end - 1]
    return f"{kind} {one}" if one == last else f"{kind}s {one} to {last}"


def _columns(name: str, value: Any) -> list[str]:
    try:
        columns = [value] if isinstance(value, str) else list(value)
    except TypeError:
        columns = []
    if not columns or not all(isinstance(column, str) for column in columns):
        raise ValueError(
            f"{name} must be the name of a column or a list of names, got "
            f'{_checks.shown(value)}; e.g. {name}=["force"]'
        )
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise ValueError(f"{name} must not name a column twice, got {twice!r} more than once")
    return columns
