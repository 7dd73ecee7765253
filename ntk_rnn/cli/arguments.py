"""From the arguments of the command line to the command that they ask for.

tyro reads them. What it says of a mistake fills a box, and becomes one line here.
"""

from __future__ import annotations

import contextlib
import functools
import io
import operator
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import tyro

import ntk_rnn
from ntk_rnn._terminal import UserError
from ntk_rnn.cli import command_help
from ntk_rnn.cli.commands import COMMANDS


def parse(argv: Sequence[str]) -> Callable[[], int]:
    """The command with its options.

    Raises:
      ValueError: if there is something wrong with them.
    """
    name = argv[0] if argv else ""
    if name == "--version":
        return _version
    complaint, told = io.StringIO(), io.StringIO()
    _check_completion(argv[1:] if name in COMMANDS else argv)
    try:
        with _wide_enough(), contextlib.redirect_stderr(complaint):
            if name in COMMANDS:
                command = COMMANDS[name]
                about = f"{command.__doc__}\n{command_help.details(name)}"
                return tyro.cli(command, args=argv[1:], prog=f"ntk-rnn {name}", description=about)
            # Only for its help and complaints: a command has no options before its name.
            commands: Any = _overview()
            with contextlib.redirect_stdout(told):
                about = command_help.OVERVIEW
                return tyro.cli(commands, args=argv, prog="ntk-rnn", description=about)
    except SystemExit as exit_:
        if not exit_.code:  # help was asked for
            # All names of commands are too long for one line, and are listed below it.
            listed = f"{{{','.join(COMMANDS)}}}"
            sys.stdout.write(told.getvalue().replace(f"[-h] {listed}", "[-h] COMMAND ...", 1))
            raise
        raise UserError(_one_line(complaint.getvalue())) from None
    except OSError as error:  # completions for a shell are the one thing that is written here
        raise UserError(
            f"--tyro-write-completion must be followed by a shell and a file, got "
            f"{error.filename}, which cannot be written ({error.strerror}); make its folder first"
        ) from None


def _version() -> int:
    print(f"ntk_rnn {ntk_rnn.__version__}")
    return 0


def _check_completion(argv: Sequence[str]) -> None:
    """Refuses shells for which tyro has no completion."""
    option = argv[0].replace("_", "-") if argv else ""
    if option in ("--tyro-print-completion", "--tyro-write-completion"):
        shells = ("bash", "zsh", "tcsh", "fish")
        if len(argv) < 2 or argv[1] not in shells:
            found = repr(argv[1]) if len(argv) > 1 else "nothing"
            raise UserError(f"{option} must be followed by one of {', '.join(shells)}, got {found}")


# Columns, of which tyro needs 8: with fewer it never ends.
_NARROWEST = 60


@contextlib.contextmanager
def _wide_enough() -> Iterator[None]:
    """A terminal of enough columns, for as long as the block takes."""
    before = os.environ.get("COLUMNS")
    if shutil.get_terminal_size().columns >= _NARROWEST:
        yield
        return
    os.environ["COLUMNS"] = str(_NARROWEST)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def _overview() -> Any:
    """All commands, described by one line each."""
    commands: list[Any] = [
        Annotated[command, tyro.conf.subcommand(name, description=command.__doc__)]
        for name, command in COMMANDS.items()
    ]
    return functools.reduce(operator.or_, commands)


def _one_line(complaint: str) -> str:
    """What tyro writes in a box, with a title and rules between its parts, as one line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", complaint)
    lines = [line.strip("╭╮╰╯│|+ \t") for line in text.splitlines()[1:]]
    parts = [" ".join(part.split()) for part in re.split(r"\n[─-]{3,}\n?", "\n".join(lines))]
    parts = [p.rstrip(".") for p in parts if p and not p.startswith("Argument helptext")]
    # A configuration's own complaint is complete; tyro only says of which class it was.
    own = re.match(r"Error parsing [^-\s]\S*: (.*)", parts[0]) if parts else None
    return own[1] if own else "; ".join(parts) or "invalid arguments; see ntk-rnn --help"
