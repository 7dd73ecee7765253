"""What tests/test_sharding.py runs in processes of their own: the library on split arrays.

``python sharded_problem.py`` takes the eight devices of one process, ``python sharded_problem.py
RANK PORT`` four of each of two.
"""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh

import ntk_rnn as nr
from ntk_rnn._networks import separated
from ntk_rnn.compression.parts import compress_shards
from ntk_rnn.objective import as_data_set
from ntk_rnn.sharding import shard_params, shard_sequences
from ntk_rnn.training.chunks import Trainer, _advance
from ntk_rnn.training.method import Method, Problem

DISTRIBUTED = sys.argv[1:]
WIDTH, SEQ_LEN, NUM = 64, 5, 16
BAR = 1e-5
MODEL = nr.LinearRNN(WIDTH, 1, evaluation="impulse")


def main():
    if DISTRIBUTED:
        rank, port = map(int, DISTRIBUTED)
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
    assert len(jax.devices()) == 8
    mesh = Mesh(jax.devices(), ("devices",))
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(NUM, SEQ_LEN, k)).astype(np.float32) for k in (2, 1))
    params = random_params(rng, WIDTH)
    split, (x_split, y_split) = shard_params(params, mesh), shard_sequences((x, y), mesh)
    assert local_shapes(split) == {"W": (8, WIDTH), "F": (8, 2), "C": (1, 8)}
    assert x_split.addressable_shards[0].data.shape == (2, SEQ_LEN, 2)

    check_kernels(params, x, split, x_split)
    check_training((params, x, y), (split, x_split, y_split))
    check_compression(mesh, x, y, x_split, y_split)
    check_long_runs(split, x_split, y_split)
    if not DISTRIBUTED:
        check_chain(params, split)
        check_wide(mesh, x, y)
        check_other_meshes(params, x, y)
        check_drawing(mesh, rng)
        check_refusals(mesh, params, x, x_split, y_split)


def check_kernels(params, x, split, x_split):
    def kernels(p, x):
        rho = np.linspace(1, 0.2, SEQ_LEN)
        return nr.finite_width_gram(p, SEQ_LEN).ntk(x), nr.analytic_ntk(x, None, rho)

    expected = jax.jit(kernels)(params, x)
    program = jax.jit(kernels).lower(split, x_split).compile()
    assert not holds_w(program)
    outputs = program(split, x_split)
    assert_same(outputs, expected)
    # Each device has its part of a kernel.
    assert {k.addressable_shards[0].data.size for k in outputs} == {expected[0].size // 8}
    if not DISTRIBUTED:
        assert_same(nr.empirical_ntk(MODEL, split, x_split), expected[0])


def check_chain(params, split):
    def response(p):
        return nr.impulse_response(p, SEQ_LEN)

    here, spread = (jax.jit(response).lower(p).compile() for p in (params, split))
    assert holds_w(here) and not holds_w(spread)
    assert_same(spread(split), here(params))


def check_wide(mesh, x, y):
    """Rows of a network without a W, and of its subspace, are split; the network is the same."""
    wide = nr.wide_rnn(jax.random.key(0), 40 * WIDTH, 2, 1)
    split = shard_params(wide, mesh)
    how = {"steps": 10, "learning_rate": 1e-3, "record_at": [0, 10]}
    expected = nr.subspace_descent(wide, (x, y), **how)
    path = nr.subspace_descent(split, (x, y), **how)
    assert_same(path.impulse_response, expected.impulse_response)
    panels = path.params.initial.panels
    for panel in (*panels[:3], path.params.basis):
        assert panel.addressable_shards[0].data.shape == (5 * WIDTH, panels.capacity)
    assert local_shapes({"params": {"F": path.params.initial.f, "C": path.params.initial.c}}) == {
        "F": (5 * WIDTH, 2), "C": (1, 5 * WIDTH)
    }  # fmt: skip


def check_training(whole, split):
    def train(p, x, y):
        rule = optax.sgd(1e-3)
        path = nr.gradient_descent(MODEL, p, (x, y), steps=3, optimizer=rule)
        return path.train_loss, path.impulse_response, path.params

    expected = train(*whole)
    program = jax.jit(train).lower(*split).compile()
    assert not holds_w(program)
    # As a user calls it, but for what is spread over processes, which has to be compiled.
    for run in [program] if DISTRIBUTED else [program, train]:
        trained = run(*split)
        assert_same(trained, expected)
        assert local_shapes(trained[2]) == local_shapes(split[0])


def check_long_runs(split, x, y):
    """No device holds the moments of all of ``W``, and chunks are compiled once."""
    if DISTRIBUTED:
        try:
            nr.train(MODEL, split, (x, y), steps=1, learning_rate=1e-3)
        except ValueError as error:
            assert "spread over several processes; use gradient_descent" in str(error)
            return
        raise AssertionError("no error")
    rule = optax.adam(1e-3)
    method = Method(separated(MODEL, split)[0], rule, "sum", None)
    run = Trainer(method, Problem(as_data_set("data", (x, y)), None, None, None))
    moments = optax.tree.get(run.start(split).opt_state, "mu")
    assert local_shapes(moments) == local_shapes(split)
    before = _advance._cache_size()
    path = nr.train(MODEL, split, (x, y), steps=20, optimizer=rule)
    assert _advance._cache_size() == before + 1
    assert local_shapes(path.params) == local_shapes(split)
    assert path.train_loss[-1] < path.train_loss[0]


def check_compression(mesh, x, y, x_split, y_split):
    weights = np.random.default_rng(0).gamma(1.0, size=(NUM, SEQ_LEN)).astype(np.float32)
    data = compress_shards(x_split, y_split, shard_sequences(weights, mesh))
    whole = nr.compress(x, y, weights)
    response = np.ones(whole.shape, np.float32)
    assert_same(data.loss(response, "mean"), whole.loss(response, "mean"))
    assert_same(data.centre, whole.centre)
    # Of those of one process, none may count at all; and whole numbers are numbers.
    first = np.arange(NUM)[:, None] < np.array([[NUM // 2] * SEQ_LEN])
    half = [np.round(10 * a).astype(np.int32) for a in (x, y)]
    some = compress_shards(*shard_sequences((*half, first.astype(np.float32)), mesh))
    fewer = nr.compress(*(a[: NUM // 2] for a in half))
    assert_same(some.loss(response, "mean"), fewer.loss(response, "mean"))
    # Each sequence lies on two devices, one of each process if there are two, and counts once.
    pairs = Mesh(np.reshape(jax.devices(), (2, 4)).T, ("data", "copies"))
    copied = compress_shards(*shard_sequences((x, y), pairs, axis="data"))
    assert_same(copied.loss(response), nr.compress(x, y).loss(response))


def check_other_meshes(params, x, y):
    """Sequences along one axis, rows along the other; and axes that JAX makes explicit."""
    devices = np.reshape(jax.devices(), (2, 4))
    mesh = Mesh(devices, ("data", "width"), axis_types=(AxisType.Explicit,) * 2)
    split = shard_params(params, mesh, axis="width")
    x_split, y_split = shard_sequences((x, y), mesh, axis="data")
    model = nr.LinearRNN(WIDTH, 1, evaluation="scan")

    def gradient(p, x, y):
        return jax.grad(lambda p: ((model.apply(p, x) - y) ** 2).sum())(p)

    program = jax.jit(gradient).lower(split, x_split, y_split).compile()
    assert not holds_w(program)
    assert_same(program(split, x_split, y_split), jax.jit(gradient)(params, x, y))


def check_drawing(mesh, rng):
    """``W`` can be made where it belongs, without ever being whole."""

    def draw(u, f, c):
        return shard_params({"params": {"W": jnp.outer(u, u), "F": f, "C": c}}, mesh)

    inputs = [rng.normal(size=shape) for shape in (WIDTH, (WIDTH, 2), (1, WIDTH))]
    program = jax.jit(draw).lower(*inputs).compile()
    assert not holds_w(program)
    assert local_shapes(program(*inputs)) == {"W": (8, WIDTH), "F": (8, 2), "C": (1, 8)}


def check_refusals(mesh, params, x, x_split, y_split):
    narrow = random_params(np.random.default_rng(0), 12)
    for words, call in {
        "mesh must divide the width n, got 8 devices .* n = 12; take a width of 16, or a mesh of 4":
            lambda: shard_params(narrow, mesh),
        "mesh must divide the number of sequences N, .* N = 10; leave out 2, .* add 6 of weight 0":
            lambda: shard_sequences(x[:10], mesh),
        "not be empty": lambda: shard_sequences(x[:0], mesh),
        "axis must be among": lambda: shard_params(params, mesh, axis="width"),
        "split over the same devices": lambda: compress_shards(x_split, jnp.asarray(y_split[:8])),
        "on devices, got ndarray": lambda: compress_shards(x, y_split),
        **on_other_devices(params, x),
    }.items():  # fmt: skip
        try:
            call()
        except ValueError as error:
            assert re.search(words, str(error)), error
        else:
            raise AssertionError(f"no error: {words}")


def on_other_devices(params, x):
    """Calls whose arrays lie on different devices, and what they are told."""
    rho, y = np.ones(SEQ_LEN, np.float32), np.zeros((NUM, SEQ_LEN, 1), np.float32)
    here, there = (
        jax.tree.map(lambda a, d=device: jax.device_put(a, d), (params, x, y, rho))
        for device in jax.devices()[:2]
    )
    response = nr.impulse_response(here[0], SEQ_LEN)
    gram, data = nr.finite_width_gram(here[0], SEQ_LEN), (here[1], here[2])
    solved = nr.kernel_regression(here[3], data)
    calls = {
        r"impulse_response and x": lambda: nr.causal_conv(response, there[1]),
        r"x1 and x2": lambda: nr.analytic_ntk(here[1], there[1], rho),
        r"x1 and rho": lambda: nr.analytic_ntk(here[1], None, there[3]),
        r"this Gram matrix and x1": lambda: gram.ntk(there[1]),
        r"params and x1": lambda: nr.empirical_ntk(MODEL, here[0], there[1]),
        r"params and data": lambda: nr.gradient_descent(
            MODEL, here[0], there[1:3], steps=1, learning_rate=1e-3
        ),
        r"params and test": lambda: nr.train(
            MODEL, here[0], data, steps=1, learning_rate=1e-3, test=there[1:3]
        ),
        r"data\[0\] and data\[1\]": lambda: nr.kernel_regression(rho, (here[1], there[2])),
        r"data and kernel": lambda: nr.kernel_regression(there[3], data),
        r"data and initial": lambda: nr.kernel_regression(
            rho, data, initial=jax.device_put(response, jax.devices()[1])
        ),
        r"this regression and x": lambda: solved.predict(there[1], time=1.0),
        r"this regression and data": lambda: solved.test_loss(there[1:3], time=1.0),
        r"impulse_response and these data": lambda: jax.device_put(
            nr.compress(x, y), jax.devices()[1]
        ).loss(response),
        r"params and x must": lambda: nr.hidden_state_covariance(here[0], there[1]),
        r"params and x1 must .*": lambda: nr.monte_carlo_ntk(
            MODEL, here[0], there[1], None, jax.random.key(0), 2
        ),
        r"data and initial must": lambda: nr.drift_bound(
            data, nu_w=0.3, nu_f=1.0, nu_c=1.0, learning_rate=1e-9, steps=1,
            initial=jax.device_put(response, jax.devices()[1]),
        ),
    }  # fmt: skip
    told = ".* same devices, got .* shard_params and sequences by shard_sequences"
    return {f"{names}{told}": call for names, call in calls.items()}


def random_params(rng, n):
    shapes = {"W": (n, n), "F": (n, 2), "C": (1, n)}
    return {"params": {k: rng.normal(size=v).astype(np.float32) for k, v in shapes.items()}}


def holds_w(program):
    """Whether anything of the size of ``W`` is in the program of a device."""
    return re.search(rf"\[(\d+,)*{WIDTH},{WIDTH}[\],]", program.as_text()) is not None


def local_shapes(params):
    return {name: a.addressable_shards[0].data.shape for name, a in params["params"].items()}


def assert_same(actual, expected):
    def compare(a, b):
        if isinstance(a, jax.Array) and not a.is_fully_addressable:
            a = multihost_utils.process_allgather(a, tiled=True)
        assert a.shape == b.shape and a.dtype == b.dtype
        error = np.linalg.norm(a - np.asarray(b)) / np.linalg.norm(b)
        assert error <= BAR, error

    jax.tree.map(compare, actual, expected)


if __name__ == "__main__":
    main()
