"""Predictions of a saved fit for the inputs in a new file, written as a table."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ntk_rnn as nr
from ntk_rnn._files import write_whole
from ntk_rnn.cli.fits.fitting import BAND, read
from ntk_rnn.data.channels import Channel, check_same
from ntk_rnn.data.row_names import row_texts


def predict(
    model: str,
    file: str,
    inputs: Sequence[str] | None,
    time: str | None,
    trial: str | None,
    out: Path,
) -> str:
    """Writes predictions with bands, a row for each row of the file, with its trial and its time.

    Cells are empty where the inputs before a piece are not known.

    Returns:
      What has been done, in words.

    Raises:
      ValueError: if a file cannot be read or written, or its inputs are not those of the fit.
    """
    if out.resolve() in (Path(model).resolve(), Path(file).resolve()):
        raise ValueError(
            f"out must be another file than those that are read, got {str(out)!r}; choose another "
            "--out"
        )
    fit = nr.load(model)
    names = _names(fit.inputs) if inputs is None else list(inputs)
    recording = dataclasses.replace(read(file, names, [], time=time, trial=trial), seq_len=1)
    check_same("inputs", recording.inputs, fit.inputs, f" in {file}")
    _check_steps(recording, fit, file)
    mean, deviation = fit.predict(recording, return_std=True)
    half = BAND * np.hypot(deviation, fit.noise)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    rows = {"row": [str(row + 1) for row in range(len(mean))]}
    rows |= row_texts(file, [name for name in (trial, time) if name is not None])
    header = list(rows)
    for channel in fit.outputs:
        header += [str(channel), f"{channel.name} lower 95 %", f"{channel.name} upper 95 %"]
    writer.writerow(header)
    writer.writerows(
        [*named, *(_cell(number) for number in np.stack(numbers, axis=1).ravel())]
        for named, *numbers in zip(
            zip(*rows.values(), strict=True), mean, mean - half, mean + half, strict=True
        )
    )
    try:
        write_whole(out, text.getvalue().encode())
    except OSError as error:
        raise ValueError(
            f"out must be a file that can be written, got {str(out)!r} "
            f"({error.strerror or error}); choose another --out"
        ) from None
    unknown = int(np.count_nonzero(np.isnan(mean[:, 0])))
    told = f"predictions of {len(mean)} rows: {out}"
    if unknown:
        pieces = len(recording.pieces)
        where = f" of each of {pieces} pieces" if pieces > 1 else ""
        told += (
            f" ({unknown} are empty: the first {len(fit.impulse_response) - 1}{where}, for which "
            "inputs are not all known)"
        )
    if trial is None:
        told += "\nall rows were taken as one recording; if they are of trials, name --trial"
    return told


def _names(channels: Sequence[Channel]) -> list[str]:
    """What inputs are asked for as: without units, except where only these differ."""
    names = [channel.name for channel in channels]
    return [
        channel.name if names.count(channel.name) == 1 else str(channel) for channel in channels
    ]


def _check_steps(recording: nr.data.Recording, fit: nr.ImpulseFit, file: str) -> None:
    """Raises ``ValueError`` if the rows of a file are known to be at other intervals."""
    if recording.interval is None:
        return
    units = recording.time_unit, fit.time_unit
    if np.isclose(recording.interval, fit.interval, rtol=1e-3) and (
        not all(units) or units[0] == units[1]
    ):
        return
    steps = f"{fit.interval:.6g} {fit.time_unit}".strip()
    found = f"{recording.interval:.6g} {recording.time_unit}".strip()
    raise ValueError(
        f"time must go on in the steps of the fit, {steps}, got {found} in {file}; resample the "
        "file to these steps, or leave --time out if they are the same in other units, or if the "
        "fit was made without --time"
    )


def _cell(number: Any) -> str:
    return "" if np.isnan(number) else f"{number:.9g}"
