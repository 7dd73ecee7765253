"""Text, lists and tables in Markdown, of which reports are made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence


def plain(text: str) -> str:
    """Text in one line, in which Markdown finds nothing to mark up."""
    line = " ".join(text.split()).replace("+-", "±")
    # An underscore within a word marks nothing up, and is easier to read as it is.
    line = re.sub(r"[\\`*<>|\[\]~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)
    # What makes a heading or an item of a line that it begins.
    return re.sub(r"^(\d*)([-+#=]|(?<=\d)[.)])(?=[-+#=]*( |$))", r"\1\\\2", line)


def items(sentences: Iterator[str] | Sequence[str]) -> str:
    """A list of sentences."""
    return "\n".join(f"- {plain(sentence)}" for sentence in sentences)


def table(header: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    """A table of cells that are marked up already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
