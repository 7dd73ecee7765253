"""The commands ``fit`` and ``predict``, as classes whose fields are their options."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from ntk_rnn import _terminal
from ntk_rnn._terminal import UserError
from ntk_rnn.cli.values import results_folder
from ntk_rnn.reproduction import display

Kernel = Literal["auto", "rnn", "di", "tc", "dc", "ss", "flat"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)

_Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")]
_Name = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]


@dataclass(frozen=True)
class Fit:
    """Fit an impulse response to a recording, test it, and write a report and a model."""

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """Table (CSV), .npz or .mat file, one row a time step."""
    inputs: _Names
    """Columns of the inputs; units in brackets may be left out."""
    outputs: _Names
    """Columns of the outputs."""
    time: _Name = None
    """Column of the times of the rows, at equal steps."""
    trial: _Name = None
    """Column that says to which trial a row belongs."""
    lags: Annotated[
        int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: by evidence)")
    ] = None
    """How many time steps of inputs explain an output."""
    delay: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT [INT ...]")] = (0,)
    """Rows until an input can have an effect: one number, or one each."""
    kernel: Kernel = "auto"
    """What is assumed of a response; auto takes the one of highest evidence."""
    test_fraction: float = 0.2
    """Part of the rows that is held out for test, the last ones."""
    out: Annotated[
        str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: FILE-fit)")
    ] = None
    """Folder to write."""

    def __call__(self) -> int:
        """Fits and writes the folder; returns the exit code."""
        out = results_folder(_default_out(self))
        folder = Path(os.path.abspath(out))  # which has a name, where "." has none
        display.start_jax()
        from ntk_rnn.cli.fits import fitting, writing
        from ntk_rnn.reproduction import results

        status = _terminal.console(stderr=True).status
        try:
            with status(f"reading {self.file}"):
                recording = fitting.read(
                    self.file, self.inputs, self.outputs, time=self.time, trial=self.trial
                )
            with results.replacing(folder.parent, folder.name) as new:
                with status(f"fitting {len(recording.x)} rows"):
                    found = fitting.fitted(
                        recording, self.file, lags=self.lags, delay=self.delay,
                        kernel=self.kernel, test_fraction=self.test_fraction, tell=_terminal.note,
                    )  # fmt: skip
                with status("drawing"):
                    writing.write(new, found, asdict(self))
        except ValueError as error:  # of the library, about the file or an option
            raise UserError(str(error)) from None
        for remark in found.remarks:
            _terminal.note(f"note: {remark}")
        screen = _terminal.console()
        for line in writing.told(found, out):
            screen.print(line, soft_wrap=True)
        return 0


@dataclass(frozen=True)
class Predict:
    """Predict outputs of a new file by a model that `fit` has written."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The file model.npz of a fit."""
    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """New inputs, a file of a kind that `fit` reads."""
    inputs: Annotated[
        tuple[str, ...] | None,
        tyro.conf.arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: as fitted)"),
    ] = None
    """Columns of the inputs, in the order of the fit."""
    time: _Name = None
    """Column of times, as of fit; predictions have it, too."""
    trial: _Name = None
    """Column of trials, as of fit; predictions have it, too."""
    out: Annotated[str, tyro.conf.arg(metavar="FILE.csv")] = "predictions.csv"
    """File to write."""

    def __call__(self) -> int:
        """Writes the predictions; returns the exit code."""
        display.start_jax()
        from ntk_rnn.cli.fits import predicting

        try:
            with _terminal.console(stderr=True).status(f"predicting from {self.file}"):
                told = predicting.predict(
                    self.model, self.file, self.inputs, self.time, self.trial, Path(self.out)
                )
        except ValueError as error:  # of the library, about a file or an option
            raise UserError(str(error)) from None
        _terminal.console().print(told, soft_wrap=True)
        return 0


def _default_out(command: Fit) -> str:
    return f"{Path(command.file).stem}-fit" if command.out is None else command.out
