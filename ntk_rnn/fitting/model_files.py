"""The file of a fit: a NumPy archive of arrays and of a description in JSON.

Reading it runs no code, and each array has the checksum of the archive.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ntk_rnn import _checks
from ntk_rnn._files import write_whole

# What such files say they are, and the version that is written and the newest that is read.
_FORMAT, _VERSION = "ntk_rnn.ImpulseFit", 1


def write(path: str | Path, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Replaces the file at ``path``; raises ``ValueError`` if it cannot be written."""
    file = _checks.path("path", path)
    header = json.dumps({"format": _FORMAT, "version": _VERSION, **description})
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, header=np.array(header), **arrays)
    try:
        write_whole(file, content.getvalue())
    except OSError as error:
        raise ValueError(
            f"path must be a file that can be written, but {str(path)!r} cannot "
            f"({error.strerror or error}); choose another"
        ) from error


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays in the file at ``path``.

    Raises:
      ValueError: if it cannot be read, is damaged, is another file, or is of a newer version.
    """
    file = _checks.path("path", path)
    try:
        content = io.BytesIO(file.read_bytes())
    except OSError as error:
        raise ValueError(
            f"path must be a file that ImpulseFit.save wrote, but {str(path)!r} cannot be read "
            f"({error.strerror or error})"
        ) from error
    try:
        with np.load(content, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays.pop("header")))
    except (ValueError, KeyError, AttributeError, EOFError, OSError, NotImplementedError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        # What NumPy and zipfile raise for any other bytes.
        raise ValueError(
            f"path must be a file that ImpulseFit.save wrote, but {str(path)!r} is damaged or "
            f"another file ({type(error).__name__}); take a copy, or save the fit again"
        ) from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ValueError(
            f"path must be a file that ImpulseFit.save wrote, but {str(path)!r} is another archive "
            "of arrays; pass the file of a fit"
        )
    version = header.get("version")
    if not isinstance(version, int) or not 1 <= version <= _VERSION:
        raise ValueError(
            f"path must be a file of version 1 to {_VERSION}, but {str(path)!r} is of version "
            f"{_checks.shown(version)}; install a newer ntk_rnn"
        )
    return header, arrays
