"""How the time of this library grows with sizes and devices; exponents are fitted to the rows."""

from __future__ import annotations

import functools
from typing import Any

import jax

import ntk_rnn as nr
from benchmarks.cases import devices
from benchmarks.comparisons import Comparison, Contender, Work

#: The sizes where no other is named.
BASE = {"n": 1000, "N": 50, "T": 10}

# What is timed, the size that varies, its values, those of --quick, and the exponent to expect for
# large sizes.
_AXES: tuple[tuple[str, str, tuple[int, ...], tuple[int, ...], float], ...] = (
    ("analytic kernel", "N", (50, 100, 200, 400), (50, 200), 2),
    ("analytic kernel", "T", (10, 20, 40, 80), (), 3),
    ("exact kernel", "n", (1000, 2000, 4000, 8000), (), 2),
    ("exact kernel", "N", (50, 100, 200, 400), (), 2),
    ("training step", "n", (1000, 2000, 4000, 8000), (), 2),
    ("training step", "T", (10, 20, 40, 80), (), 1),
    ("training step", "N", (50, 5000, 50_000), (), 1),
    ("training step, compressed data", "N", (50, 5000, 50_000), (), 0),
)  # fmt: skip
_STEPS = 10

#: The exponent to expect of what varies along an axis.
EXPECTED = {(what, axis): slope for what, axis, _, _, slope in _AXES} | {
    (devices.VARIANT, "devices"): -1.0
}


def comparisons() -> list[Comparison]:
    """A comparison of ours alone at each size, and that of devices."""
    points = {}
    for what, axis, values, quick, _ in _AXES:
        for value in values:
            sizes = {**BASE, axis: value}
            sizes = {k: v for k, v in sizes.items() if k != "n" or what != "analytic kernel"}
            points[what, tuple(sizes.items())] = value in quick or points.get(
                (what, tuple(sizes.items())), False
            )
    return [
        *(_alone(what, dict(s), quick) for (what, s), quick in points.items()),
        devices.comparison(),
    ]


def _alone(what: str, sizes: dict[str, int], quick: bool) -> Comparison:
    n, num, seq_len = sizes.get("n", 0), sizes["N"], sizes["T"]
    needs = 4 * 4.0 * n**2 + 3 * 4.0 * num * seq_len**2
    if "kernel" in what:
        needs += 2 * 4.0 * (num * seq_len) ** 2
    make = functools.partial(_MAKERS[what], tuple(sizes.items()))
    return Comparison(
        "scaling", what, sizes, (Contender("ntk_rnn", make, "ours", needs=needs),), None,
        steps=_STEPS if what.startswith("training") else 1, quick=quick,
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def _problem(sizes: tuple[tuple[str, int], ...]) -> tuple[Any, Any, jax.Array, jax.Array]:
    size = dict(sizes)
    keys = jax.random.split(jax.random.key(0), 3)
    x, y = (jax.random.normal(key, (size["N"], size["T"], 1)) for key in keys[:2])
    model = nr.LinearRNN(size.get("n", 1), 1, evaluation="impulse")
    return model, jax.jit(model.init)(keys[2], x), x, y


def _analytic(sizes: tuple[tuple[str, int], ...]) -> Work:
    *_, x, _ = _problem(sizes)
    rho = nr.lag_weights(x.shape[1], 0.3, 1.0, 1.0)
    return Work(lambda: nr.analytic_ntk(x, None, rho))


def _exact(sizes: tuple[tuple[str, int], ...]) -> Work:
    _, params, x, _ = _problem(sizes)
    return Work(lambda: nr.finite_width_gram(params, x.shape[1]).ntk(x))


def _training(sizes: tuple[tuple[str, int], ...], compressed: bool = False) -> Work:
    model, params, x, y = _problem(sizes)
    data = nr.compress(x, y) if compressed else (x, y)
    return Work(
        lambda: nr.gradient_descent(
            model, params, data, steps=_STEPS, learning_rate=1e-9, record_at=[_STEPS],
            allow_unstable=True,
        ).params
    )  # fmt: skip


_MAKERS = {
    "analytic kernel": _analytic,
    "exact kernel": _exact,
    "training step": _training,
    "training step, compressed data": functools.partial(_training, compressed=True),
}
