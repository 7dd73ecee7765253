"""The machine: what it is, what memory it has free, and how fast it copies and multiplies."""

from __future__ import annotations

import functools
import importlib.metadata
import math
import os
import platform
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks import timing

_PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "neural-tangents", "numpy", "scipy", "torch", "scikit-learn",
)  # fmt: skip

# What is left free of memory, and how many bytes a bandwidth is measured with at most.
_USABLE = 0.8
_LARGEST_COPY, _SMALLEST_COPY = 2**28, 2**20

# Bytes of all passes of one measurement.
_PASSED = 2**28


def describe() -> dict[str, Any]:
    """Device, versions and the machine in general words, which names no one's."""
    device = jax.devices()[0]
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return {
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": len(jax.devices()),
        },
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {_total_bytes() / 1e9:.0f} GB, "
        f"{platform.system()}",
        "versions": found,
    }


def memory_is_resident() -> bool:
    """Whether arrays lie in the process's own memory, as on a CPU, which counts none of them."""
    return not device_memory()


def device_memory() -> dict[str, int]:
    """What the first device says of its memory; empty where it says nothing."""
    return jax.devices()[0].memory_stats() or {}


def peak_since(before: dict[str, int]) -> float | None:
    """Bytes by which the device's peak has passed what was in use before; ``None`` if unknown.

    Peaks are those of the process, so one that does not pass an earlier one is not seen.
    """
    after = device_memory()
    if not before or after["peak_bytes_in_use"] <= before["peak_bytes_in_use"]:
        return None
    return float(after["peak_bytes_in_use"] - before["bytes_in_use"])


def available_bytes() -> float:
    """Memory that may be taken, of the device where it says so and of the host otherwise."""
    stats = device_memory()
    if "bytes_limit" in stats:
        return _USABLE * (stats["bytes_limit"] - stats["bytes_in_use"])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":") for line in lines)
        return _USABLE * 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError):  # not Linux: half of what there is
        return _total_bytes() / 2


def floor_seconds(flops: float, moved: float, working_set: float) -> float:
    """Seconds that so many operations and bytes take at the least, by measured rates."""
    return max(flops / product_rate(), moved / bandwidth(_size_class(working_set)))


@functools.lru_cache
def bandwidth(num_bytes: int) -> float:
    """Bytes a second of passes over so many, the faster of copying and of reading.

    Copied are ``-a``, which reads and writes; read is a matrix, by products with one row. Below
    the size of a cache both are rates of the cache.
    """
    side = math.isqrt(num_bytes // 4)
    passes = max(1, _PASSED // num_bytes)
    matrix, row = jnp.ones((side, side)), jnp.ones((1, side))

    @jax.jit
    def copies(a: jax.Array) -> jax.Array:
        return lax.fori_loop(0, passes, lambda _, b: -b, a)

    @jax.jit
    def reads(a: jax.Array, r: jax.Array) -> jax.Array:
        return lax.fori_loop(0, passes, lambda _, b: b @ a / side, r)

    calls = {"copy": lambda: copies(matrix), "read": lambda: reads(matrix, row)}
    for call in calls.values():
        timing.once(call)
    seconds = {name: _best(s) for name, s in timing.interleaved(calls, budget=0.5).items()}
    passed = passes * matrix.nbytes
    return max(2 * passed / seconds["copy"], passed / seconds["read"])


@functools.lru_cache
def product_rate() -> float:
    """Operations a second of products of float32 matrices, at full precision."""
    side = 2048
    matrix = jnp.ones((side, side)) / side
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    timing.once(lambda: product(matrix))
    samples = timing.interleaved({"product": lambda: product(matrix)}, budget=1.0)
    return 2 * side**3 / _best(samples["product"])


def rates() -> dict[str, float]:
    """The rates measured so far and those of large arrays, for a report."""
    return {
        "bandwidth of 4 MB (GB/s)": bandwidth(_size_class(4e6)) / 1e9,
        "bandwidth of 268 MB (GB/s)": bandwidth(_LARGEST_COPY) / 1e9,
        "float32 products (GFLOP/s)": product_rate() / 1e9,
    }


def _size_class(num_bytes: float) -> int:
    """The power of 2 next to a size, so that few sizes are measured."""
    power = 2 ** round(math.log2(max(num_bytes, _SMALLEST_COPY)))
    return min(power, _LARGEST_COPY)


def _best(samples: list[float] | Exception) -> float:
    if isinstance(samples, Exception):
        raise samples
    return min(samples)


def _total_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 4e9
