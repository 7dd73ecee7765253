"""Values that more than one command takes, checked before anything heavy is loaded."""

from __future__ import annotations

import os
import reprlib
from pathlib import Path
from typing import Annotated

import tyro

from ntk_rnn._terminal import UserError

Folder = Annotated[str, tyro.conf.arg(metavar="DIR")]


def check_seed(seed: int) -> None:
    """Refuses seeds that JAX does not take as they are."""
    if not 0 <= seed < 2**32:
        raise UserError(f"seed must be from 0 to 2^32 - 1, got {seed}")


def results_folder(out: str) -> Path:
    """The path of the folder of the results, which need not be there.

    Raises:
      ValueError: if there can be none of this name.
    """
    problem = "" if out else "which is empty"
    try:
        os.lstat(os.path.join(out, "report.html"))
    except (FileNotFoundError, PermissionError):
        pass  # it is made, or told of, when results are written
    except (OSError, ValueError) as error:
        problem = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if problem:
        raise UserError(
            f"out must be the path of a folder, got {reprlib.repr(out)} ({problem}); choose "
            "another --out"
        )
    return Path(out)
