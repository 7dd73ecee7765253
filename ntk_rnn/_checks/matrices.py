"""Checks that matrices are symmetric and positive semi-definite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ntk_rnn._checks.inspection import is_traced


def symmetric_semidefinite(
    name: str, matrix: Any, remedy: str = "symmetrize it and set negative eigenvalues to 0"
) -> None:
    """Raises ``ValueError`` unless a square matrix is positive semi-definite (or traced).

    Its rows and columns may be split into the same axes each, as in shape ``(H, d, H, d)``.
    """
    if is_traced(matrix) or not np.size(matrix):
        return
    array = np.asarray(matrix, float)
    array = array.reshape(math.isqrt(array.size), -1)
    values = np.linalg.eigvalsh((array + array.T) / 2)
    asymmetry = np.max(np.abs(array - array.T))
    semidefinite_error(name, asymmetry, values[0], np.max(np.abs(values)), remedy)


def semidefinite_error(
    name: str, asymmetry: float, smallest: float, largest: float, remedy: str
) -> None:
    """Raises ``ValueError`` for a matrix that is far from symmetric and positive semi-definite.

    Rounding leaves far less than 1e-3 of the largest eigenvalue; what was estimated from samples
    may be farther off, and its user should decide how to repair it.

    Args:
      name: name of the matrix.
      asymmetry: its largest difference from its transpose.
      smallest: its smallest eigenvalue.
      largest: the largest absolute value of its eigenvalues.
      remedy: what to do about it.
    """
    if asymmetry > 1e-3 * largest or smallest < -1e-3 * largest:
        raise ValueError(
            f"{name} must be symmetric and positive semi-definite, got an asymmetry of "
            f"{asymmetry:.2g} and a smallest eigenvalue of {smallest:.2g} beside a largest of "
            f"{largest:.2g}; {remedy}"
        )
