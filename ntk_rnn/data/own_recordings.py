"""Recordings from arrays, or from the columns of a CSV file.

A recording is kept as it is, in continuous pieces where a column names the trial or the session of
each row. Whatever rows cannot be such pieces are refused, and the message says where in the file
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.batches import host_rows
from ntk_rnn.data.asked import Asked
from ntk_rnn.data.channels import channel
from ntk_rnn.data.csv_files import read_columns
from ntk_rnn.data.csv_source import file_path
from ntk_rnn.data.pieces import in_arrays, in_file, in_pieces, label_texts
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
    time: str | None = None,
) -> Recording:
    """A recording from the columns of a CSV file.

    The first line names the columns, and every other line is a time step, in the order of time.
    Columns are separated by commas, semicolons or tabs; where they are not separated by commas,
    numbers may have decimal commas. Comment lines above the first line begin with ``#``. Columns
    that are not asked for may hold anything. A column ``force [N]`` or ``force (N)`` may be asked
    for as ``force``; its unit is kept. Units may also stand in a row of their own below the names.

    Args:
      path: the file, UTF-8 text, as spreadsheet programs export it; it may be compressed by gzip.
      inputs: names of the input columns, in the order that ``x`` is to have.
      outputs: names of the output columns; an empty list where they are yet to be predicted.
      seq_len: number ``T`` of inputs that explain an output: how far back a model looks. Nothing
        is cut: ``Recording.compress`` takes the recording as it is. ``None`` if it is to be found,
        or if each group is a sequence that begins at rest.
      group: name of a column that says which continuous piece a row belongs to, e.g. the trial;
        text or numbers. The rows of a group must follow each other.
      time: name of a column of the times of the rows, which rise in equal steps within a group:
        numbers, or dates as ``2024-05-01 12:00:00.5``, or times of day as ``12:00:00.5``, which
        are then in seconds. It says what ``Recording.interval`` is. A new piece begins where times
        skip.

    Returns:
      The recording, in float64 whatever JAX's setting. ``compress`` makes a data set of it as it
      is, ``at_rest`` cuts it into sequences that begin at rest.

    Raises:
      ValueError: if the file cannot be found or read, a column is missing, a cell is empty, NaN or
        no number, a line has too few or too many cells, the rows do not make pieces, or times are
        not at equal steps. The message names the file, the line, the column and the value, and
        what to do.

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
    asked = Asked.checked(inputs, outputs, group, time)
    file = file_path(path)
    found = read_columns(file, asked.numbers, group, timed=time is not None)
    values, headers = found.values, found.headers
    asked.check_different(headers)
    channels = tuple(map(channel, headers))
    n_x, n_y = len(asked.inputs), len(asked.outputs)
    return in_pieces(
        values[:, :n_x], values[:, n_x : n_x + n_y], seq_len, found.labels,
        None if time is None else values[:, -1], in_file(file),
        inputs=channels[:n_x], outputs=channels[n_x : n_x + n_y],
        time_unit="s" if found.dated else "" if time is None else channels[-1].unit,
    )  # fmt: skip


def from_arrays(
    inputs: Shaped[AnyArray, "rows ..."],
    outputs: Shaped[AnyArray, "rows ..."],
    *,
    seq_len: int | None = None,
    groups: Sequence[Any] | Shaped[AnyArray, " rows"] | None = None,
    times: Shaped[AnyArray, " rows"] | None = None,
) -> Recording:
    """A recording from arrays.

    Args:
      inputs: one row per time step, in the order of time, shape ``(rows, n_x)``, or ``(rows,)`` for
        one input.
      outputs: shape ``(rows, n_y)``, or ``(rows,)`` for one output.
      seq_len: number ``T`` of inputs that explain an output, as ``from_csv`` has it.
      groups: which continuous piece each row belongs to, shape ``(rows,)``, as ``group`` of
        ``from_csv``.
      times: of the rows, shape ``(rows,)``, as ``time`` of ``from_csv``.

    Returns:
      The recording, in float64 whatever JAX's setting.

    Raises:
      ValueError: if numbers of rows differ, an entry is NaN, infinite, masked or no number, a
        group has no name, the rows do not make pieces, or times are not at equal steps.

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
    rounded = None
    if times is not None:
        if getattr(times, "dtype", None) == np.float32:
            rounded = np.spacing(np.abs(np.asarray(times))).astype(np.float64)
        rows, _ = host_rows("times", times, _REMEDY)
        if rows.shape[1] > 1:
            raise ValueError(f"times must have shape (rows,), got shape {rows.shape}")
        sizes["times"], times = len(rows), rows[:, 0]
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        raise ValueError(
            f"inputs and outputs must have one row a time step each, got unequal lengths: {found}; "
            "cut or resample them so that row t of each is the same time"
        )
    labels = None if groups is None else label_texts(groups)
    return in_pieces(x, y, seq_len, labels, times, in_arrays, rounded=rounded)
