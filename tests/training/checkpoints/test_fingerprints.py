"""What a run is made of: checkpoints of another one are refused, and say what is another."""

import jax
import numpy as np
import optax
import pytest

import ntk_rnn as nr
from ntk_rnn._networks import separated
from ntk_rnn.objective import as_data_set
from ntk_rnn.training.checkpoints.fingerprints import _program, configuration
from ntk_rnn.training.long_runs import train
from ntk_rnn.training.method import Method, Problem


def problem():
    k1, k2, k3, k4 = jax.random.split(jax.random.key(0), 4)
    return {
        "apply_fn": nr.causal_conv,
        "params": jax.random.normal(k1, (5, 1, 2), "float32"),
        "data": tuple(jax.random.normal(k, (10, 5, q), "float32") for k, q in ((k2, 2), (k3, 1))),
        "batch_size": 3,
        "key": k4,
        "record_at": [0],
    }


def test_checkpoints_of_another_run_are_refused(tmp_path):
    arguments = problem() | {"steps": 10, "checkpoint": tmp_path, "learning_rate": 1e-3}
    train(**arguments)
    x, y = arguments["data"]
    params = arguments["params"]
    others = {
        "apply_fn": {"apply_fn": lambda p, x: nr.causal_conv(2 * p, x)},
        "learning_rate": {"learning_rate": 2e-3},
        "loss": {"loss": "mean"},
        "batch_size": {"batch_size": 5},
        "key": {"key": jax.random.key(8)},
        "params": {"params": params.at[0, 0, 0].add(1e-3)},
        "data": {"data": (x, y.at[-1, -1, -1].add(1e-3))},
        "test": {"test": (x, y)},
    }
    for field, other in others.items():
        with pytest.raises(ValueError, match=f"another run: its {field} is .*, that of this call"):
            train(**arguments | other)
    with pytest.raises(ValueError, match=r"learning_rate is 0.001, that of this call is 0.002"):
        train(**arguments | others["learning_rate"])
    # What optimizers have inside is told apart as well.
    inside = arguments | {"checkpoint": tmp_path / "inside", "learning_rate": None}
    train(**inside | {"optimizer": optax.sgd(optax.piecewise_constant_schedule(1e-3, {500: 0.1}))})
    with pytest.raises(ValueError, match="its optimizer is"):
        other = optax.piecewise_constant_schedule(1e-3, {600: 0.1})
        train(**inside | {"optimizer": optax.sgd(other)})
    assert (tmp_path / "10").is_dir()


def test_keys_are_of_a_generator():
    """The same numbers are other orders of the data to another one."""
    arguments = problem()

    def field(key):
        run = Problem(as_data_set("data", arguments["data"]), None, 1e-3, key)
        network, params = separated(nr.causal_conv, arguments["params"])
        return configuration(Method(network, None, "sum", 3), run, params)["key"]

    one, other = (jax.random.key(1, impl=name) for name in ("rbg", "unsafe_rbg"))
    assert field(one) != field(other)
    assert field(jax.random.key(1)) == field(jax.random.PRNGKey(1)) != field(jax.random.key(2))


def scaled_in(place, table):
    """A model with a table in a function that JAX compiles, repeats, chooses or remembers."""

    def scaled(p, x):
        return nr.causal_conv(p, x) * table

    inner = jax.jit(scaled)
    return {
        "jit": lambda p, x: inner(p, x),
        "jit in jit": jax.jit(lambda p, x: inner(p, x) + inner(p, x)),
        "checkpoint": jax.checkpoint(lambda p, x: inner(p, x)),
        "scan": lambda p, x: jax.lax.scan(
            lambda y, _: (y + inner(p, x), None), 0 * x[..., :1], length=2
        )[0],
        "cond": lambda p, x: jax.lax.cond(p[0, 0, 0] > 0, inner, nr.causal_conv, p, x),
    }[place]


@pytest.mark.parametrize("place", ["jit", "jit in jit", "checkpoint", "scan", "cond"])
def test_programs_are_told_apart_by_arrays_within_compiled_functions(place):
    table = np.linspace(0, 1, 15, dtype="float32").reshape(3, 5, 1)
    args = problem()["params"], problem()["data"][0][:3]
    first, again, other = (
        _program(scaled_in(place, jax.numpy.asarray(t)), *args) for t in (table, table, table + 1)
    )
    assert first == again != other


def test_checkpoints_of_another_table_are_refused(tmp_path):
    arguments = problem() | {"steps": 2, "learning_rate": 1e-3, "checkpoint": tmp_path}
    tables = jax.random.normal(jax.random.key(1), (2, 5, 1), "float32")
    train(**arguments | {"apply_fn": scaled_in("jit", tables[:1])})
    with pytest.raises(ValueError, match="another run: its apply_fn is"):
        train(**arguments | {"apply_fn": scaled_in("jit", tables[1:])})
