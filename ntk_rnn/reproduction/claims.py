"""A claim of a study with its verdict, and a number of the paper beside ours."""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["holds", "does not hold", "cannot be told"]


class Claim(NamedTuple):
    """One statement that a study checks.

    Attributes:
      statement: what is claimed, in words.
      value: what was measured.
      bar: what it has to satisfy.
      verdict: whether the value satisfies the bar, or that seeds are too few to tell.
    """

    statement: str
    value: str
    bar: str
    verdict: Verdict

    @property
    def holds(self) -> bool:
        """Whether the verdict is that it holds."""
        return self.verdict == "holds"


class Number(NamedTuple):
    """One number of the paper, beside the one that a study finds.

    Attributes:
      quantity: what it is, in words.
      paper: what the paper prints; empty where it prints none.
      ours: what the study finds, with its standard error if there is one.
    """

    quantity: str
    paper: str
    ours: str
