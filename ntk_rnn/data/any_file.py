"""Recordings from files of several kinds: tables, and arrays of NumPy and of MATLAB."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ntk_rnn import _checks
from ntk_rnn.data.asked import Asked
from ntk_rnn.data.channels import channel, numbered, places
from ntk_rnn.data.csv_source import file_path, nearest, not_there
from ntk_rnn.data.own_recordings import from_csv
from ntk_rnn.data.pieces import in_arrays, in_pieces, label_texts
from ntk_rnn.data.recordings import Recording


def from_file(
    path: str | Path,
    inputs: str | Sequence[str],
    outputs: str | Sequence[str],
    *,
    seq_len: int | None = None,
    group: str | None = None,
    time: str | None = None,
) -> Recording:
    """A recording from a table, or from variables of a file of NumPy or MATLAB.

    What the file is follows from the end of its name: ``.npz`` for NumPy, ``.mat`` for MATLAB (up
    to version 7), and anything else is a table as ``from_csv`` reads it. A variable has one row a
    time step, shape ``(rows,)``, ``(rows, 1)`` or ``(1, rows)``, or ``(rows, columns)`` for several
    inputs or outputs at once, which are numbered from 1: a single one is ``force 2``.

    Args:
      path: the file.
      inputs: names of columns or variables.
      outputs: names of columns or variables; an empty list where they are yet to be predicted.
      seq_len: number ``T`` of inputs that explain an output, as ``from_csv`` has it.
      group: name of the column or variable that says to which piece a row belongs, numbers or
        texts.
      time: name of the column or variable of times, as ``from_csv`` has it.

    Returns:
      The recording, in float64 whatever JAX's setting.

    Raises:
      ValueError: as ``from_csv``, and if a variable is missing, or has no such shape.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> t = np.arange(60) / 100
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "recording.npz")
      ...     np.savez(path, t=t, force=np.ones((60, 3)), position=np.ones(60))
      ...     recording = nr.data.from_file(path, "force", "position", time="t")
      >>> recording.interval, [str(channel) for channel in recording.inputs]
      (0.01, ['force 1', 'force 2', 'force 3'])
    """
    file = file_path(path)
    if is_table(file):
        return from_csv(path, inputs, outputs, seq_len=seq_len, group=group, time=time)
    asked = Asked.checked(inputs, outputs, group, time)
    if not file.is_file():
        raise ValueError(not_there(file, file.suffix.lower()))
    found = variables(file)
    found |= _single_columns(found, asked.numbers)
    names = {name: _name(file, name, found) for name in asked.numbers}
    asked.check_different([names[name] for name in asked.numbers])
    columns = {name: _columns(file, name, found[names[name]]) for name in asked.numbers}
    labels = None
    if group is not None:
        texts = _labels(file, group, found[_name(file, group, found)])
        labels = label_texts(texts, f"{group} in {file.name}")
    _check_lengths(file, columns, group, labels)
    times, rounded = None, None
    if time is not None:
        if columns[time].shape[1] > 1:
            raise ValueError(
                f"{time} in {file.name} must be one time a row, got shape {columns[time].shape}; "
                "save a single column"
            )
        times = columns[time][:, 0]
        if found[names[time]].dtype == np.float32:
            rounded = np.spacing(np.abs(times).astype(np.float32)).astype(np.float64)
    x, y = (
        np.concatenate([columns[name] for name in some], axis=1)
        if some
        else np.empty((len(columns[asked.inputs[0]]), 0))
        for some in (asked.inputs, asked.outputs)
    )
    return in_pieces(
        x, y, seq_len, labels, times, in_arrays, rounded=rounded,
        inputs=_channels(asked.inputs, names, columns),
        outputs=_channels(asked.outputs, names, columns),
        time_unit="" if time is None else channel(names[time]).unit,
    )  # fmt: skip


def is_table(file: Path) -> bool:
    """Whether a file is read as a table, by the end of its name."""
    return file.suffix.lower() not in (".npz", ".mat")


def variables(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that is no table; raises ``ValueError`` if it cannot be read."""
    return (_numpy_variables if file.suffix.lower() == ".npz" else _matlab_variables)(file)


def _numpy_variables(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` file, of which nothing is unpickled."""
    try:
        # Opened here, since NumPy leaves a file that it cannot read open.
        with file.open("rb") as opened:
            arrays = np.load(opened, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise ValueError("it holds one array without a name")
            return dict(arrays)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"path must be a file that NumPy's savez has written, got {str(file)!r} ({error}); "
            "save it once more, by np.savez(path, u=u, y=y) with arrays of numbers or texts"
        ) from None


def _matlab_variables(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a ``.mat`` file up to version 7."""
    import scipy.io

    try:
        found = scipy.io.loadmat(file, chars_as_strings=True)
    except NotImplementedError:
        raise ValueError(
            f"path must be a MATLAB file up to version 7, got {str(file)!r} of version 7.3; save "
            "it in MATLAB by save('file.mat', 'u', 'y', '-v7')"
        ) from None
    except Exception as error:  # what loadmat raises for other files is not documented
        raise ValueError(
            f"path must be a MATLAB file, got {str(file)!r}, which is not read as one ({error}); "
            "save it once more, by save('file.mat', 'u', 'y', '-v7')"
        ) from None
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def _name(file: Path, name: str, found: dict[str, np.ndarray]) -> str:
    """The full name of a variable, which may be named without its unit."""
    names = list(found)
    matching = places(name, names)
    if len(matching) == 1:
        return names[matching[0]]
    listed = ", ".join(map(repr, names)) or "none"
    near = nearest(name, names)
    raise ValueError(
        f"{file.name} must have one variable {name!r}, its variables are {listed}; "
        + (f"did you mean {near!r}?" if near else "name one of these")
    )


def _single_columns(found: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    """Columns of variables that are asked for by their numbers, as ``force 2`` of ``force``."""
    columns = {}
    for name in names:
        whole, _, number = channel(name).name.rpartition(" ")
        if places(name, list(found)) or not number.isdecimal():
            continue
        for written in (list(found)[place] for place in places(whole, list(found))):
            value, column = found[written], int(number) - 1
            if value.ndim == 2 and not _is_vector(value) and 0 <= column < value.shape[1]:
                header = str(numbered(written, value.shape[1])[column])
                columns[header] = value[:, column]
    return columns


def _columns(file: Path, name: str, value: np.ndarray) -> np.ndarray:
    """A variable in float64, shape ``(rows, columns)``."""
    what = f"{name} in {file.name}"
    if value.dtype.kind not in "fiub":
        kind = "text" if value.dtype.kind in "US" else f"dtype {value.dtype}"
        raise ValueError(
            f"{what} must be an array of numbers, got {kind}; save numbers, and the fields of "
            "a structure or the cells of a cell array as variables of their own"
        )
    array = value.reshape(-1, 1) if _is_vector(value) else value
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"{what} must have shape (rows,) or (rows, columns), got {value.shape}; put trials one "
            "below the other, with a variable that says to which trial a row belongs"
        )
    _checks.finite(what, array, "fill them in, or remove the trial that has them")
    return array.astype(np.float64)


def _is_vector(value: np.ndarray) -> bool:
    return value.ndim == 1 or (value.ndim == 2 and 1 in value.shape)


def _labels(file: Path, name: str, value: np.ndarray) -> list[Any]:
    """A variable of groups as a list: of numbers, of texts, or of MATLAB's cells of texts."""
    if value.dtype == object and all(isinstance(cell, np.ndarray) for cell in value.flat):
        value = np.asarray([cell.item() if cell.size == 1 else "" for cell in value.flat])
    if not _is_vector(value) or value.dtype.kind not in "fiubUS":
        raise ValueError(
            f"{name} in {file.name} must be one number or text a row, got shape {value.shape} and "
            f"dtype {value.dtype}; save a single column"
        )
    return value.reshape(-1).tolist()


def _check_lengths(
    file: Path, columns: dict[str, np.ndarray], group: str | None, labels: list[str] | None
) -> None:
    sizes = {name: len(column) for name, column in columns.items()}
    if group is not None and labels is not None:
        sizes[group] = len(labels)
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{size} in {name!r}" for name, size in sizes.items())
        raise ValueError(
            f"variables of {file.name} must have one row a time step each, got {told} rows; put "
            "time along the rows of each, and cut or resample them to the same times"
        )


def _channels(names: list[str], written: dict[str, str], columns: dict[str, np.ndarray]) -> tuple:
    return tuple(each for name in names for each in numbered(written[name], columns[name].shape[1]))
