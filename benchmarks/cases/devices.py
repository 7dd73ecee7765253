"""Training on one device and on several: those there are, or parts of a CPU, forced.

The number of devices that a CPU counts as is fixed once JAX has started, so each number has a
process, ``python -m benchmarks.cases.devices NUMBER``, which takes steps when told on stdin.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Missing, Work

VARIANT = "training step, rows of W over devices"

_SIZES = {"n": 2048, "N": 48, "T": 10}
_COUNTS, _STEPS = (1, 2, 4), 20


def comparison() -> Comparison:
    """One device against several, on which the rows of ``W`` are spread."""
    contenders = tuple(
        Contender(
            name(number), functools.partial(_make, number), "ours" if number == 1 else "own",
            needs=6 * 4.0 * _SIZES["n"] ** 2,
        )
        for number in _COUNTS
    )  # fmt: skip
    return Comparison("scaling", VARIANT, _SIZES, contenders, tolerance=1e-3, steps=_STEPS)


def name(number: int) -> str:
    """What a number of devices is called in a row."""
    return f"ntk_rnn, devices: {number}"


def count(contender: str) -> int:
    """The number of devices in such a name."""
    return int(contender.rsplit(" ", 1)[1])


def _make(number: int) -> Work:
    if jax.devices()[0].platform == "cpu":
        return _in_a_process(number)
    if number > len(jax.devices()):
        raise Missing(f"{len(jax.devices())} devices here")
    return Work(functools.partial(_train, number))


def _in_a_process(number: int) -> Work:
    flags = os.environ.get("XLA_FLAGS", "")
    forced = f"{flags} --xla_force_host_platform_device_count={number}"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cases.devices", str(number)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        env={**os.environ, "XLA_FLAGS": forced, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    told, answers = process.stdin, process.stdout
    assert told is not None and answers is not None

    def call() -> str:
        told.write("go\n")
        told.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"the process of {number} devices ended")
        return answer

    return Work(call, lambda answer: np.asarray(json.loads(answer)))


@functools.lru_cache
def _problem(number: int) -> tuple[Any, Any, Any]:
    n, num, seq_len = _SIZES.values()
    keys = jax.random.split(jax.random.key(0), 3)
    x, y = (jax.random.normal(key, (num, seq_len, 1)) for key in keys[:2])
    model = nr.LinearRNN(n, 1, evaluation="impulse")
    params = model.init(keys[2], x)
    mesh = Mesh(jax.devices()[:number], ("devices",))
    return model, nr.shard_params(params, mesh), nr.shard_sequences((x, y), mesh)


def _train(number: int) -> Any:
    """The impulse response after some steps."""
    model, params, data = _problem(number)
    path = nr.gradient_descent(
        model, params, data, steps=_STEPS, learning_rate=1e-4, record_at=[_STEPS],
        allow_unstable=True,
    )  # fmt: skip
    return path.impulse_response


if __name__ == "__main__":
    for _ in sys.stdin:
        print(json.dumps(np.asarray(_train(int(sys.argv[1]))).tolist()), flush=True)
