"""Which columns or variables of a file are asked for, checked before it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ntk_rnn import _checks


class Asked(NamedTuple):
    """Which columns are asked for.

    Attributes:
      inputs: names of the inputs.
      outputs: names of the outputs.
      group: name of the column that says to which piece a row belongs, if there is one.
      time: name of the column of times, if there is one.
    """

    inputs: list[str]
    outputs: list[str]
    group: str | None
    time: str | None

    @classmethod
    def checked(cls, inputs: Any, outputs: Any, group: Any, time: Any) -> Asked:
        """What a user passed; raises ``ValueError`` unless these are names."""
        for name, value, without in (
            ("group", group, "one continuous recording"),
            ("time", time, "rows at equal intervals"),
        ):
            if value is not None and not isinstance(value, str):
                raise ValueError(
                    f"{name} must be the name of a column, got {_checks.shown(value)}; leave it "
                    f"out for {without}"
                )
        asked = cls(_columns("inputs", inputs), _columns("outputs", outputs, least=0), group, time)
        asked.check_different(asked.numbers)
        return asked

    @property
    def numbers(self) -> list[str]:
        """The columns of numbers: inputs, outputs and the time, in this order."""
        return [*self.inputs, *self.outputs, *([] if self.time is None else [self.time])]

    def check_different(self, written: Sequence[str]) -> None:
        """Raises ``ValueError`` if a column is asked for twice, as an input or an output.

        Args:
          written: what the file calls each of ``numbers``, for a column may be named without its
            unit.
        """
        n_x, n_y = len(self.inputs), len(self.outputs)
        inputs, outputs = list(written[:n_x]), list(written[n_x : n_x + n_y])
        both = sorted(set(inputs) & set(outputs))
        if both:
            raise ValueError(
                f"inputs and outputs must be different columns, got {both[0]!r} as both: it would "
                "predict itself; leave it out of the inputs"
            )
        for name, names in (("inputs", inputs), ("outputs", outputs)):
            twice = next((each for each in names if names.count(each) > 1), None)
            if twice is not None:
                raise ValueError(
                    f"{name} must not name a column twice, got {twice!r} more than once"
                )


def _columns(name: str, value: Any, least: int = 1) -> list[str]:
    """The names of one column or of several, at least so many."""
    listed = value if isinstance(value, str | list | tuple) else [value]
    columns = [listed] if isinstance(listed, str) else list(listed)
    if len(columns) < least or not all(isinstance(column, str) for column in columns):
        raise ValueError(
            f"{name} must be the name of a column or a list of names, got "
            f'{_checks.shown(value)}; e.g. {name}=["force"]'
        )
    return columns
