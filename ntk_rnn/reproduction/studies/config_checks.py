"""What studies check about their configurations."""

from __future__ import annotations

import math

from ntk_rnn._terminal import UserError


def at_least_one(config: object, *names: str) -> None:
    """Refuses a configuration in which one of these numbers is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise UserError(
                f"{name} must be at least 1, got {getattr(config, name)}; "
                f"the default is {getattr(type(config), name)}"
            )


def positive(config: object, *names: str) -> None:
    """Refuses a configuration in which one of these numbers is not positive and finite."""
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            raise UserError(
                f"{name} must be positive and finite, got {value:g}; "
                f"the default is {getattr(type(config), name):g}"
            )


def different(config: object, name: str, least: int) -> None:
    """Refuses a tuple that is empty, repeats a number or has one below ``least``."""
    values = getattr(config, name)
    example = " ".join(map(str, getattr(type(config), name)[:3]))
    if not values:
        raise UserError(f"{name} must not be empty, got (); give at least one, e.g. {example}")
    for value in values:
        if value < least:
            raise UserError(f"{name} must be at least {least}, got {value}; e.g. {example}")
    if len(set(values)) < len(values):
        raise UserError(f"{name} must differ, got {values}; give each once")


def seed(first_seed: int) -> None:
    """Refuses a first seed that JAX would not take as it is."""
    if not 0 <= first_seed < 2**31:
        raise UserError(f"first_seed must be from 0 to 2^31 - 1, got {first_seed}; e.g. 0")


def stable(learning_rate: float, largest: float) -> None:
    """Refuses a learning rate past stability, of which ``largest`` is the limit on these data."""
    if learning_rate >= largest:
        raise UserError(
            f"learning_rate must be below {float(largest):.3g}, past which gradient descent "
            f"diverges on these data, got {learning_rate:g}"
        )


def converging(learning_rate: float, diverged_at: int | None, which: str = "") -> None:
    """Refuses a learning rate with which training, of ``which`` network, diverged at some step."""
    if diverged_at is not None:
        raise UserError(
            f"learning_rate must be smaller, got {learning_rate:g}, with which the training loss"
            f"{which} is not finite at step {diverged_at}"
        )
