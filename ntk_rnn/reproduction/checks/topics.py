"""The names of the topics, apart from the checks so that the command line need not load them."""

from __future__ import annotations

from typing import Literal, get_args

Topic = Literal[
    "representation", "kernels", "training", "initialization", "drift", "evolution", "figures"
]
TOPICS: tuple[Topic, ...] = get_args(Topic)
