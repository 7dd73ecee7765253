"""The folder of a fit: the report, its figures, the model, and the response as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ntk_rnn import plotting
from ntk_rnn.cli.fits import report
from ntk_rnn.cli.fits.figures import drawn
from ntk_rnn.cli.fits.fitting import BAND, Fitted

REPORT, MODEL, RESPONSE = "report.html", "model.npz", "response.csv"


def write(folder: Path, found: Fitted, options: dict[str, Any]) -> None:
    """Writes everything into an empty folder.

    Args:
      folder: where to.
      found: the fit.
      options: those of the command, which are kept beside it.
    """
    pictures = {}
    for name, figure in drawn(found).items():
        plotting.save(figure, folder, name)
        pictures[name] = (folder / f"{name}.png").read_bytes()
    text = report.page(found, pictures)
    # A name of a file may have bytes that are not UTF-8.
    (folder / REPORT).write_bytes(text.encode(errors="backslashreplace"))
    found.fit.save(folder / MODEL)
    with (folder / RESPONSE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(_response(found))
    text = json.dumps(options, indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def told(found: Fitted, folder: Path) -> list[str]:
    """What the command says on stdout."""
    return [*report.summary(found), f"report: {folder / REPORT}", f"model: {folder / MODEL}"]


def _response(found: Fitted) -> Iterator[list[Any]]:
    """A row for each output, input and lag, in the units of the file."""
    yield [
        "output", "input", "lag (time steps)", f"lag ({found.time_unit})", "response",
        "standard deviation", "lower 95 %", "upper 95 %", "unit",
    ]  # fmt: skip
    response, deviation = found.fit.impulse_response, found.fit.standard_deviation
    for p, y in enumerate(found.train.outputs):
        for q, x in enumerate(found.train.inputs):
            unit = f"{y.unit or 'units'} per {x.unit or 'unit'}"
            for lag in range(len(response)):
                middle, sd = response[lag, p, q], deviation[lag, p, q]
                numbers = middle, sd, middle - BAND * sd, middle + BAND * sd
                time = f"{lag * found.interval:.9g}"
                yield [y.name, x.name, lag, time, *map("{:.9g}".format, numbers), unit]
