"""The script with which bash and zsh complete the command line.

The scripts that tyro writes complete options but no names of studies and topics, which have no
option before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from ntk_rnn.cli.fits.commands import KERNELS
from ntk_rnn.cli.layer_memory import LAYERS
from ntk_rnn.reproduction.studies.configs import Implementation

Shell = Literal["bash", "zsh"]
SHELLS: tuple[Shell, ...] = get_args(Shell)

# The values of options that take some, where no values stand for the names of files.
_VALUES = {
    "--implementation": get_args(Implementation),
    "--layer": LAYERS,
    "--kernel": KERNELS,
    "--targets": ("last", "all"),
    "--out": (),
    "--data": (),
}

_FUNCTION = """\
_ntk_rnn() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
    case "${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}
    *)
        case "${{COMP_WORDS[1]}}" in
{commands}
        esac
        [ "$COMP_CWORD" -gt 1 ] || words="{names}"
        ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _ntk_rnn ntk-rnn
"""


def script(shell: Shell, commands: Mapping[str, Sequence[str]]) -> str:
    """What a shell has to read, once, to complete ``ntk-rnn``.

    Args:
      shell: which shell; zsh reads functions of bash after `bashcompinit`.
      commands: the words that may follow each command, its options among them.
    """
    function = _FUNCTION.format(
        names=" ".join(commands),
        commands="\n".join(_case(*each, indent=8) for each in commands.items()),
        values="\n".join(_case(*each, indent=4) for each in _VALUES.items()),
    )
    return (
        f"autoload -U +X bashcompinit && bashcompinit\n{function}" if shell == "zsh" else function
    )


def _case(word: str, following: Sequence[str], indent: int) -> str:
    return f'{" " * indent}{word}) words="{" ".join(following)}" ;;'
