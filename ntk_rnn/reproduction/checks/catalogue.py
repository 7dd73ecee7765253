"""The catalogue of checks: all results of the paper, in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import jax
from jaxtyping import Array

from ntk_rnn.reproduction.checks import (
    drift,
    evolution,
    figures,
    initialization,
    kernels,
    recurrent,
    representation,
    training,
)
from ntk_rnn.reproduction.checks.outcome import Outcome
from ntk_rnn.reproduction.checks.topics import TOPICS

Check = Callable[[Array], Iterator[Outcome]]

# By topic, in the order of the paper.
CHECKS: dict[str, tuple[Check, ...]] = {
    "representation": (
        representation.convolution,
        representation.stability,
        representation.realization,
    ),
    "kernels": (
        kernels.analytic,
        kernels.lag_weights,
        kernels.infinite_width,
        recurrent.special_cases,
        recurrent.infinite_width,
    ),
    "training": (
        training.linearization,
        training.closed_form,
        training.laziness,
        recurrent.training,
    ),
    "initialization": (
        initialization.impulse_response,
        initialization.energy,
        initialization.hidden_state,
    ),
    "drift": (drift.bound, drift.counterexample),
    "evolution": (evolution.hidden_state, evolution.gaussian_limit, recurrent.states),
    "figures": (figures.delay, figures.loss),
}


def verify(topics: Sequence[str] = TOPICS, seed: int = 0) -> Iterator[Outcome]:
    """Checks one result after the other.

    Args:
      topics: the topics to check, among :data:`TOPICS`.
      seed: the seed of everything random. Statistical checks allow about four standard errors, or
        their equal for the largest of several: about one seed in a hundred shows a failure.
    """
    for topic in topics:
        for index, check in enumerate(CHECKS[topic]):
            key = jax.random.fold_in(jax.random.key(seed), TOPICS.index(topic))
            yield from check(jax.random.fold_in(key, index))
