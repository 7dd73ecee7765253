"""Rows of a recording in continuous pieces: those of trials, and those between gaps in time.

Whatever rows cannot be such pieces are refused, and the message says where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn.data.cells import MISSING
from ntk_rnn.data.channels import Channel
from ntk_rnn.data.csv_files import read_table
from ntk_rnn.data.recordings import Recording
from ntk_rnn.data.times import clock

#: Says where rows ``[first, end)`` are.
Where = Callable[[int, int], str]


def in_pieces(
    x: Float[np.ndarray, "rows n_x"],
    y: Float[np.ndarray, "rows n_y"],
    seq_len: int | None,
    labels: list[str] | None,
    times: Float[np.ndarray, " rows"] | None,
    where: Where,
    *,
    rounded: Float[np.ndarray, " rows"] | None = None,
    inputs: tuple[Channel, ...] = (),
    outputs: tuple[Channel, ...] = (),
    time_unit: str = "",
) -> Recording:
    """The recording of these rows: a piece for each run of labels, and after each gap in time.

    Args:
      x: inputs, shape ``(rows, n_x)``.
      y: outputs, shape ``(rows, n_y)``.
      seq_len: number of inputs that explain an output, if that is known.
      labels: to which trial each row belongs; one trial if ``None``.
      times: of the rows, shape ``(rows,)``; ``None`` if these are at unknown, equal intervals.
      where: says where rows are.
      rounded: what times are rounded to, shape ``(rows,)``; as their digits have it if ``None``.
      inputs: what the columns of ``x`` are.
      outputs: what the columns of ``y`` are.
      time_unit: the unit of the times.
    """
    if seq_len is not None:
        seq_len = _checks.integer("seq_len", seq_len)
    runs = [("", 0, len(x))] if labels is None else _runs(labels, where)
    for label, first, end in runs:
        if seq_len is not None and end - first < seq_len:
            what = "the recording" if labels is None else f"group {label!r}"
            raise ValueError(
                f"seq_len must be at most the rows that there are of each, got {seq_len} where "
                f"{what} has {end - first} ({where(first, end)}); take a smaller seq_len"
                + ("" if labels is None else ", or remove that group")
            )
    starts = np.zeros(len(x), bool)
    starts[[first for _, first, _ in runs]] = True
    interval, remarks = None, ()
    if times is not None:
        found = clock(times, starts, where, rounded)
        starts[found.gaps] = True
        interval, remarks = found.interval, ((found.remark,) if found.remark else ())
    return Recording(
        x, y, np.flatnonzero(starts), seq_len, inputs=inputs, outputs=outputs, interval=interval,
        time_unit=time_unit, remarks=remarks,
    )  # fmt: skip


def label_texts(groups: Any, name: str = "groups") -> list[str]:
    """Names of groups as text; raises ``ValueError`` where one is missing."""
    _checks.unmasked(name, groups)
    is_array = isinstance(groups, jax.Array)  # of which single entries are slow to take
    labels = [str(label) for label in (np.asarray(groups) if is_array else groups)]
    for row, label in enumerate(labels):
        if label.strip().lower() in MISSING | {"nat", "<na>"}:
            raise ValueError(
                f"{name} must name the piece of every row, got {label!r} at row {row}; fill it in, "
                "for rows without a name would be taken for one piece"
            )
    return labels


def in_arrays(first: int, end: int) -> str:
    """Where rows of arrays are, counted from 0."""
    return _from_to("row", first, end - 1)


def in_file(file: Path) -> Where:
    """Says on which lines of a CSV file rows are."""

    def where(first: int, end: int) -> str:
        lines = read_table(file).lines  # read once more, for a message alone
        return _from_to(f"{file.name}, line", lines[first], lines[end - 1])

    return where


def _from_to(kind: str, one: int, last: int) -> str:
    return f"{kind} {one}" if one == last else f"{kind}s {one} to {last}"


def _runs(labels: list[str], where: Where) -> list[tuple[str, int, int]]:
    """Label, first row and the row after the last, of each group."""
    bounds = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]]
    runs, seen = [], {}
    for first, end in zip(bounds, [*bounds[1:], len(labels)], strict=True):
        label = labels[first]
        if label in seen:
            raise ValueError(
                f"the rows of a group must follow each other, got group {label!r} at "
                f"{where(*seen[label])} and again at {where(first, end)}; sort the rows by group, "
                "and by time within each"
            )
        seen[label] = (first, end)
        runs.append((label, first, end))
    return runs
