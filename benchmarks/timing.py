"""Medians of interleaved runs, so that a machine's moods fall on all contenders alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax

# What a sample takes at least: quicker calls are repeated within one.
_SAMPLE_SECONDS = 0.01

# Up to so many seconds, what others left in caches and memory matters to a call.
_SHORT = 0.5


def once(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the seconds until it is there rather than dispatched."""
    start = time.perf_counter()
    output = jax.block_until_ready(call())
    return output, time.perf_counter() - start


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
    *,
    budget: float,
    least: int = 3,
    most: int = 15,
    first: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, list[float] | Exception]:
    """Seconds of calls, in rounds in which every one is timed once.

    Before a sample of a short call it is made without being timed, because it would otherwise find
    caches and memory as the others left them.

    Args:
      calls: what to time, each called before, so that nothing is left to compile.
      budget: seconds for all, of which each has an equal share.
      least: rounds that each takes part in beyond its share, until it has taken the whole budget.
      most: rounds at most.
      first: samples that there are already.

    Returns:
      Seconds a call, one number a round, or what a call raised; others go on without it.
    """
    share = budget / max(1, len(calls))
    samples = {name: [first[name]] if name in first else [] for name in calls}
    repeats = dict.fromkeys(calls, 1)
    spent = {name: sum(taken) for name, taken in samples.items()}
    failures: dict[str, Exception] = {}
    short: set[str] = set()
    for number in range(most):
        for name, call in calls.items():
            allowed = share if len(samples[name]) >= least else budget
            if name in failures or spent[name] > allowed:
                continue
            begun = time.perf_counter()
            try:
                seconds = _seconds(call, repeats[name])
                if number == 0 and seconds < _SHORT:
                    quickest = max(seconds, _SAMPLE_SECONDS / 100)
                    repeats[name] = math.ceil(_SAMPLE_SECONDS / quickest)
                    short.add(name)
                if name in short:  # what was timed has warmed it up
                    seconds = _seconds(call, repeats[name])
            except Exception as error:
                failures[name] = error
                continue
            spent[name] += time.perf_counter() - begun
            samples[name].append(seconds / repeats[name])
    return {**samples, **failures}


def _seconds(call: Callable[[], Any], times: int) -> float:
    """What so many calls take together."""
    start = time.perf_counter()
    for _ in range(times):
        jax.block_until_ready(call())
    return time.perf_counter() - start
