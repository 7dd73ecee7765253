"""Kernels as arrays: their size in memory, and the matrix that they stand for."""

from __future__ import annotations

import math
import os
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray


def as_matrix(
    kernel: Shaped[AnyArray, "N1 N2 T1 T2"] | Shaped[AnyArray, "N1 N2 T1 T2 m1 m2"],
) -> Shaped[AnyArray, "rows columns"]:
    """The matrix of a kernel, over pairs (sequence, time), or triples (sequence, time, output).

    ``M[(i, t), (k, s)] = K[i, k, t, s]``. Of a kernel of sequences with themselves it is symmetric
    and positive semi-definite: its eigenvalues are the rates at which gradient descent learns, and
    it is what solvers, Gaussian processes and support vector machines take. Layouts are not in the
    paper, whose kernel this matrix holds (eq. 11).

    Args:
      kernel: shape ``(N1, N2, T1, T2)``, or ``(N1, N2, T1, T2, m, m)`` with all pairs of outputs.

    Returns:
      Shape ``(N1 T1, N2 T2)``, or ``(N1 T1 m, N2 T2 m)``, in NumPy or JAX as the kernel is.

    Raises:
      ValueError: if the kernel has another number of axes.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = np.random.default_rng(0).normal(size=(4, 3, 1))
      >>> matrix = nr.as_matrix(nr.analytic_ntk(x, None, nr.lag_weights(3, 0.5, 1.0, 1.0)))
      >>> matrix.shape
      (12, 12)
      >>> values = np.linalg.eigvalsh(matrix)
      >>> int(np.sum(values > 1e-5 * values[-1]))  # one for each lag of the one input
      3
    """
    array: Any = _checks.numbers("kernel", kernel)
    if array.ndim not in (4, 6):
        raise ValueError(
            "kernel must have shape (N1, N2, T1, T2), or (N1, N2, T1, T2, m, m) with all pairs of "
            f"outputs, got shape {array.shape}"
        )
    _checks.not_empty("kernel", array.shape)
    axes = (0, 2, 1, 3) if array.ndim == 4 else (0, 2, 4, 1, 3, 5)
    rows = math.prod(array.shape[axis] for axis in axes[: array.ndim // 2])
    return array.transpose(axes).reshape(rows, -1)


def refuse_too_large(
    shape: tuple[int, ...],
    dtype: Any,
    names: str = "x1 and x2",
    remedy: str = "write it to a file in blocks with write_ntk, or call with fewer sequences at a "
    "time",
) -> None:
    """Raises ``ValueError`` for a kernel larger than all memory, which would end the process."""
    size, memory = math.prod(shape) * np.dtype(dtype).itemsize, _memory()
    if memory is not None and size > memory:
        raise ValueError(
            f"{names} must give a kernel that fits into memory, got shape {shape} of "
            f"{np.dtype(dtype)}: {size / 1e9:.4g} GB of {memory / 1e9:.4g} GB; {remedy}"
        )


def _memory() -> int | None:
    """Bytes of memory of the device where arrays are made, or of this machine."""
    settings: Any = jax.config
    device = settings.jax_default_device or jax.local_devices()[0]
    stats = device.memory_stats() if isinstance(device, jax.Device) else None
    if stats and stats.get("bytes_limit"):
        return int(stats["bytes_limit"])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on every system
        return None
