"""The text of a CSV file, and the line that names its columns.

What programs write before that line is passed over: comments, and the separator that Excel names.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import itertools
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from ntk_rnn import _checks
from ntk_rnn.data import channels

_SEPARATORS = ",;\t"
# The marks of byte order with which files in UTF-16 begin.
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Header(NamedTuple):
    """The line that names the columns.

    Attributes:
      file: name of the file, for messages.
      columns: the names.
      separator: what is between cells.
      line: the line of the file that it is on, counted from 1.
      first: the line of the file that follows it.
    """

    file: str
    columns: list[str]
    separator: str
    line: int
    first: int

    def place(self, name: str) -> int:
        """The place of a column, which may be named without its unit.

        Raises:
          ValueError: unless it is there, and once.
        """
        found = channels.places(name, self.columns)
        if len(found) == 1:
            return found[0]
        if found:
            written = [self.columns[place] for place in found]
            told = "" if set(written) == {name} else f", as {', '.join(map(repr, written))}"
            raise ValueError(
                f"{self.file}, line {self.line}: column {name!r} is there {len(found)} times"
                f"{told}; " + ("name it in full" if told else "give its columns different names")
            )
        listed = ", ".join(repr(column) for column in self.columns)
        near = nearest(name, self.columns)
        raise ValueError(
            f"{self.file}, line {self.line}: there is no column {name!r}, the columns are "
            f"{listed}; "
            + (f"did you mean {near!r}?" if near else "the first line must name the columns")
        )

    def written(self, names: list[str]) -> list[str]:
        """What the file calls these columns."""
        return [self.columns[self.place(name)] for name in names]


def open_text(path: Path) -> TextIOWrapper:
    """The text of a file, which may be compressed by gzip; lines keep their ends.

    Raises:
      ValueError: if there is no such file, or it cannot be read or is not text.
    """
    if path.is_dir():
        raise ValueError(f"path must be a CSV file, got the folder {str(path)!r}; add its name")
    if path.exists() and not path.is_file():
        raise ValueError(
            f"path must be a file on disk, got {str(path)!r}, a pipe or device; save what comes "
            "from it to a file"
        )
    try:
        with path.open("rb") as file:
            start = file.read(8)
        packed = start.startswith(b"\x1f\x8b")
        if packed:
            with gzip.open(path) as file:
                start = file.read(8)
    except FileNotFoundError:
        raise ValueError(not_there(path, ".csv")) from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"path must be a file that can be read, got {str(path)!r} ({reason}); see who may "
            "read it, or copy it elsewhere"
        ) from None
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError(
            f"{path.name} must be a CSV file, got a workbook of a spreadsheet program; open it "
            'there and save the sheet as "CSV UTF-8"'
        )
    if start.startswith(b"\xff\xfe\0\0") or (b"\0" in start and start[:2] not in _UTF16):
        raise ValueError(
            f"{path.name} must be text in UTF-8, got bytes of 0 at its beginning; save the file as "
            '"CSV UTF-8"'
        )
    encoding = "utf-16" if start.startswith(_UTF16) else "utf-8-sig"
    opener: Any = gzip.open if packed else open
    return opener(path, "rt", encoding=encoding, newline="")


def file_path(path: Any) -> Path:
    """The argument ``path``, with ``~`` for the home folder; ``ValueError`` if it is no path."""
    file = _checks.path("path", path)
    try:
        return file.expanduser()
    except RuntimeError as error:  # ~ and a user who does not exist
        raise ValueError(f"path must be a file that is there, got {str(path)!r}; {error}") from None


def read_header(file: str, lines: Iterator[str]) -> tuple[Header, Iterator[str]] | None:
    """The line that names the columns and the lines after it; ``None`` if all lines are empty.

    Comments above it begin with ``#``, and so may it itself, as NumPy writes it.
    """
    separator, comment, comment_line = "", "", 0
    for number, text in enumerate(lines, start=1):
        bare = text.rstrip("\r\n").strip('"')
        if bare[:4].lower() == "sep=" and len(bare) == 5:
            separator = bare[4]
        elif bare.lstrip().startswith("#"):
            comment, comment_line = text, number
        elif bare.strip():
            break
    else:
        return None
    following = next(lines, "")
    rest = itertools.chain([text, following], lines)
    # As NumPy writes it: the comment has as many names as the first row has numbers.
    for each in separator or _SEPARATORS:
        cells, names = _cells(text, each), _cells(comment.replace("#", "", 1), each)
        if len(cells) == len(names) > 1 and any(map(_numeric, cells)):
            return Header(file, _stripped(names), each, comment_line, number), rest
    separator = separator or _separator(text, following)
    reader = csv.reader(rest, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        columns = next(reader)
    except csv.Error as error:
        raise not_csv(file, number, error) from None
    return Header(file, _stripped(columns), separator, number, number + reader.line_num), rest


def not_csv(file: str, line: int, error: csv.Error) -> ValueError:
    """What is said of a line that the format does not allow."""
    return ValueError(
        f"{file}, line {line}: this is not a line of a CSV file ({error}); look for a double quote "
        "that is not closed"
    )


def _separator(header: str, following: str) -> str:
    """What separates the names of columns: as many as the cells below them, or else most."""

    def key(separator: str) -> tuple[bool, int]:
        names = len(_cells(header, separator))
        return names > 1 and names == len(_cells(following, separator)), names

    return max(_SEPARATORS, key=key)


def not_utf8(path: Path) -> ValueError:
    """Which byte of a file is not text, and where."""
    with open_text(path) as lines:
        raw = bytes(lines.buffer.read())
    encoding = "utf-16" if raw.startswith(_UTF16) else "utf-8"
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return ValueError(
            f"{path.name}, line {line}: the text is not in UTF-8, got the byte "
            f'{raw[error.start]:#04x}; save the file as "CSV UTF-8"'
        )
    raise AssertionError("the text can be decoded")


def _cells(text: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # what is wrong is said where the header is read
        return [text]


def _stripped(names: list[str]) -> list[str]:
    return [name.strip() for name in names]


def _numeric(cell: str) -> bool:
    """Whether a cell is a number, with a decimal point or comma."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def not_there(path: Path, suffix: str) -> str:
    """What is said of a file that is not there, with others of this suffix in its folder."""
    message = f"path must be a file that is there, got {str(path)!r}; "
    folder = path.parent
    if not folder.is_dir():
        return message + f"there is no folder {str(folder)!r} either: check the whole path"
    kind = "CSV" if suffix == ".csv" else suffix
    others = sorted(other.name for other in folder.iterdir() if other.suffix.lower() == suffix)
    near = nearest(path.name, others)
    if near:
        return message + f"did you mean {near!r}?"
    if others:
        return message + f"the {kind} files in that folder are {', '.join(map(repr, others[:5]))}"
    return message + f"there are no {kind} files in {str(folder.absolute())!r}: check the path"


def nearest(name: str, names: list[str]) -> str | None:
    """The name that a name is likely meant to be, whatever its case and its unit."""
    lowered = {other.lower(): other for other in names}
    lowered |= {channels.channel(other).name.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[found[0]] if found else None
