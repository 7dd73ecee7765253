"""What a benchmark is made of: comparisons of contenders, and rows of what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

Role = Literal["ours", "own", "peer", "floor"]
Status = Literal[
    "timed", "not installed", "too large", "failed", "differs", "left out", "not compared"
]


class Missing(Exception):
    """What a contender needs is not here; the message says what."""


class Work(NamedTuple):
    """A contender made ready, on inputs that lie where it wants them.

    Attributes:
      call: what is timed. JAX's arrays are waited for; anything else waits for itself.
      result: what it returns as the numbers to compare.
      lowered: the program to ask XLA for its operations and bytes; ``None`` where there is none.
      warm: whether the first call is like any other: nothing is left to compile, or every call is a
        process of its own.
    """

    call: Callable[[], Any]
    result: Callable[[Any], Any] = np.asarray
    lowered: Callable[[], Any] | None = None
    warm: bool = False


@dataclass(frozen=True)
class Contender:
    """One way to compute something.

    Attributes:
      name: what tables call it.
      make: makes it ready; raises ``ImportError`` or ``Missing`` where it is not installed.
      role: ``"ours"``; ``"own"``, another way that this library has; ``"peer"``, what a user would
        otherwise run; or ``"floor"``: the time of something that all must do, whose result is not
        compared.
      needs: bytes that it takes, estimated; it is left out where they are not free.
      at_least: what its time divided by ours is meant to be at least, if anything is.
      quick: whether ``--quick`` has it.
    """

    name: str
    make: Callable[[], Work]
    role: Role = "peer"
    needs: float = 0
    at_least: float | None = None
    quick: bool = True


@dataclass(frozen=True)
class Comparison:
    """Contenders at one size, the first of which is ours.

    Attributes:
      case: the case it belongs to.
      variant: what is computed, where a case computes several things.
      sizes: the sizes, by the symbols of the paper.
      contenders: who takes part.
      tolerance: relative Frobenius distance from our result up to which a time counts; ``None``
        where there is no result.
      steps: how many steps a call takes; times and counts are those of one.
      flops: floating-point operations of ours a step, counted by hand.
      moved: bytes that ours must move a step, counted by hand.
      working_set: bytes among which they are, which decides whether a cache holds them.
      quick: whether ``--quick`` has it.
      memory: whether the full sweep measures memory.
      behind: why another may be faster, where one may.
    """

    case: str
    variant: str
    sizes: Mapping[str, int]
    contenders: tuple[Contender, ...]
    tolerance: float | None
    steps: int = 1
    flops: float | None = None
    moved: float | None = None
    working_set: float = 0
    quick: bool = False
    memory: bool = False
    behind: str = ""

    @property
    def label(self) -> str:
        """Variant and sizes, which tell the comparisons of a case apart."""
        sizes = " ".join(f"{name}={value}" for name, value in self.sizes.items())
        return ", ".join(part for part in (self.variant, sizes) if part)


@dataclass(frozen=True)
class Row:
    """What was found of one contender in one comparison.

    Attributes:
      case: the case.
      variant: what was computed.
      label: variant and sizes.
      sizes: the sizes.
      contender: its name.
      role: its role.
      status: ``"timed"``, or why it was not.
      note: more about that.
      seconds: median of a step.
      low: lower quartile.
      high: upper quartile.
      samples: how many times it was timed.
      compile_seconds: what the first call took beyond a later one; ``None`` for processes.
      ratio: its time divided by ours.
      at_least: what the ratio is meant to be at least.
      error: relative distance of its result from ours.
      tolerance: how much was allowed.
      peak_bytes: memory at the peak of a call, beyond what was taken before.
      flops: operations of a step by hand.
      moved: bytes of a step by hand.
      xla_flops: operations as XLA counts them, loops once.
      xla_bytes: bytes as XLA counts them, loops once.
      floor_share: seconds that ``flops`` and ``moved`` must take here, divided by ``seconds``.
      behind: why another may be faster, where one may.
    """

    case: str
    variant: str
    label: str
    sizes: Mapping[str, int]
    contender: str
    role: Role
    status: Status = "not compared"
    note: str = ""
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    samples: int = 0
    compile_seconds: float | None = None
    ratio: float | None = None
    at_least: float | None = None
    error: float | None = None
    tolerance: float | None = None
    peak_bytes: float | None = None
    flops: float | None = None
    moved: float | None = None
    xla_flops: float | None = None
    xla_bytes: float | None = None
    floor_share: float | None = None
    behind: str = ""

    @property
    def key(self) -> str:
        """The name of its ratio in a baseline."""
        return f"{self.case}: {self.label}: {self.contender}"

    @property
    def well(self) -> bool:
        """Whether nothing is wrong with it that this library could be to blame for."""
        return self.status != "differs" and (self.role != "ours" or self.status == "timed")


def one_line(error: BaseException) -> str:
    """An error as one line of at most 160 characters."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 160 else text[:157] + "..."
