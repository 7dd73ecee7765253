"""The command line: ``ntk-rnn reproduce``, ``kernel``, ``memory``, ``theory`` and others.

Nothing heavy is imported until the arguments have been read, so that help and mistakes answer at
once.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

from ntk_rnn import _terminal
from ntk_rnn._terminal import Unwritable, UserError
from ntk_rnn.cli.arguments import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: arguments; those of the process if ``None``.

    Returns:
      Exit code: 0, 1 if a claim does not hold or something is wrong, 2 for a user's mistake or if
      stdout cannot be written, 130 after an interrupt, 141 if nobody reads on.
    """
    try:
        return _answered(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"ntk-rnn: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ntk-rnn: interrupted; earlier results are as they were", file=sys.stderr)
        return _terminal.INTERRUPTED
    except Unwritable as error:
        if error.errno == errno.EPIPE:  # the reader of stdout has seen enough, e.g. `| head`
            return 141
        print(f"ntk-rnn: error: stdout cannot be written ({error})", file=sys.stderr)
        return 2


def _answered(argv: Sequence[str]) -> int:
    try:
        return parse(argv)()
    finally:
        sys.stdout.flush()  # if this fails, it is to be told now, not when the process ends
