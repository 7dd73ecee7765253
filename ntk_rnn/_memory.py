"""How much memory there is for what a run or many runs return."""

from __future__ import annotations

import os

import jax


def free_bytes() -> int:
    """Memory of the default device that is not in use."""
    stats = jax.local_devices()[0].memory_stats()
    if stats is not None and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:  # no Linux: a size that any machine has
        return 2**30
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
