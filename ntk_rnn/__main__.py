"""The program ``ntk-rnn``, also ``python -m ntk_rnn``: how it ends, whatever happens to it."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, NoReturn, TextIO

# The exit code of a program with a defect, unlike 1, which says that a claim does not hold.
DEFECT = 70


def run() -> NoReturn:
    """Runs the command line and ends the process."""
    sys.stdout, sys.stderr = _Output(sys.stdout, 1), _Output(sys.stderr, 2)  # pyright: ignore
    try:
        # Loaded here, so that an interrupt while it is has no traceback either.
        from ntk_rnn.cli import main

        code = main()
    except KeyboardInterrupt:
        os._exit(130)
    except Exception:
        traceback.print_exc()
        code = DEFECT
    from ntk_rnn._terminal import leave

    leave(code)


class _Output:
    """Stdout or stderr. After a failure, all that is written goes nowhere.

    Of stdout, an exception tells of it. Of stderr nobody can be told, and what is shown there is
    not worth ending a study for.
    """

    def __init__(self, stream: TextIO | None, descriptor: int) -> None:
        if stream is None:  # closed, as by `>&-`; its number is not to become that of another file
            stream = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
        self._stream, self._descriptor = stream, descriptor

    def write(self, text: str) -> None:
        self._tried(self._stream.write, text)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _tried(self, action: Any, *args: Any) -> None:
        try:
            action(*args)
        except OSError as error:
            # What is left in buffers goes there, also when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if self._descriptor == 1:
                from ntk_rnn._terminal import Unwritable

                raise Unwritable(error) from None


if __name__ == "__main__":
    run()
