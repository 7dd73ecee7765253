"""Mini-batch training: against plain loops and gradient descent, however it is cut."""

import functools
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_rnn as nr
from ntk_rnn._networks import separated
from ntk_rnn.objective import as_data_set
from ntk_rnn.training import chunks, course
from ntk_rnn.training.chunks import Trainer
from ntk_rnn.training.course import run_in_chunks
from ntk_rnn.training.long_runs import train
from ntk_rnn.training.method import Method, Problem


@functools.cache
def problem(dtype):
    k1, k2, k3, k4 = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(k1, (10, 5, 2), dtype)
    y = jax.random.normal(k2, (10, 5, 1), dtype)
    test = (jax.random.normal(k4, (3, 7, 2), dtype), jnp.ones((3, 7, 1), dtype))
    model = nr.LinearRNN(20, 1)
    return model, jax.jit(model.init)(k3, x), (x, y), test


@functools.cache
def small_problem(dtype=np.float32):
    """A convolution: the model that is soonest compiled, where any model will do."""
    _, _, data, test = problem(dtype)
    return nr.causal_conv, jax.random.normal(jax.random.key(3), (5, 1, 2), dtype), data, test


def trainer(model, params, optimizer, batch_size, problem, kind=Trainer):
    sets = {name: getattr(problem, name) for name in ("data", "test")}
    checked = {n: None if d is None else as_data_set(n, d) for n, d in sets.items()}
    method = Method(separated(model, params)[0], optimizer, "sum", batch_size)
    return kind(method, problem._replace(**checked))


def assert_same_bits(path, other):
    jax.tree.map(np.testing.assert_array_equal, path, other)


@pytest.mark.parametrize("dtype", ["float32"], indirect=True)
def test_full_batch_is_gradient_descent(dtype, tol):
    model, params, data, test = small_problem(dtype)
    arguments = {"steps": 1000, "learning_rate": 1e-3, "test": test}
    expected = nr.gradient_descent(model, params, data, **arguments)
    # More records than one chunk has room for.
    path = train(model, params, data, record_at=range(1001), **arguments)
    np.testing.assert_array_equal(path.step, expected.step)
    for a, b in zip(jax.tree.leaves(path[1:]), jax.tree.leaves(expected[1:]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1000 * tol, atol=10 * tol)
    assert path.params.dtype == path.train_loss.dtype == dtype
    # Steps are of the same compiled loop, whatever is recorded.
    some = train(model, params, data, **arguments)
    np.testing.assert_array_equal(some.step, np.arange(0, 1001, 8))
    assert_same_bits(some.train_loss, path.train_loss[some.step])
    assert_same_bits(some.params, path.params)
    small = train(model, params, nr.compress(*data), **arguments | {"test": nr.compress(*test)})
    for a, b in zip(jax.tree.leaves(small[1:]), jax.tree.leaves(some[1:]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1000 * tol, atol=100 * tol)


def test_mini_batches_are_the_plain_loop(dtype, tol):
    model, params, (x, y), _ = problem(dtype)
    loss, rate = ("sum", 1e-3) if dtype == np.float32 else ("mean", 1e-2)
    key = jax.random.key(7)
    path = train(
        model, params, (x, y), epochs=4, batch_size=3, key=key, learning_rate=rate, loss=loss,
    )  # fmt: skip

    def objective(p, x, y):
        squares = (model.apply(p, x) - y) ** 2
        return 0.5 * jnp.sum(squares) if loss == "sum" else jnp.mean(squares)

    gradient, value = jax.jit(jax.grad(objective)), jax.jit(objective)
    losses = []
    for epoch in range(5):
        losses.append(value(params, x, y))
        order = jax.random.permutation(jax.random.fold_in(key, epoch), 10)
        for batch in np.split(order[:9], 3) if epoch < 4 else []:
            step = gradient(params, x[batch], y[batch])
            params = jax.tree.map(lambda p, g: p - rate * g, params, step)
    np.testing.assert_array_equal(path.step, [0, 3, 6, 9, 12])
    np.testing.assert_allclose(path.train_loss, losses, rtol=100 * tol)
    for a, b in zip(jax.tree.leaves(path.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(a, b, rtol=100 * tol, atol=10 * tol)


def lookup(params, x):
    """One parameter a sequence, which is numbered by its only input."""
    return params[x[:, 0, 0].astype(int)][:, None, None]


def test_every_sequence_is_taken_once_an_epoch():
    number = jnp.arange(12.0)[:, None, None]
    data = (number, jnp.ones_like(number))
    path = train(
        lookup, jnp.zeros(12), data, epochs=3, batch_size=4, key=jax.random.key(1),
        learning_rate=0.5,
    )  # fmt: skip
    # Each time a sequence is taken, half of what its parameter lacks is gained.
    np.testing.assert_array_equal(path.params, np.full(12, 1 - 0.5**3))


def test_cuts_change_no_bit():
    model, params, data, test = small_problem()
    rule = optax.adam(optax.linear_schedule(1e-2, 1e-3, 20))
    run = trainer(model, params, rule, 3, Problem(data, test, None, jax.random.key(2)))
    records = np.array([0, 4, 5, 17, 24])

    def end(stops):
        state, parts = run.start(params), []
        for stop in stops:
            made = sum(len(part.train_loss) for part in parts)
            state, part = run.advance(state, records[made:], stop)
            parts.append(part)
        return state, jax.tree.map(lambda *rows: np.concatenate(rows), *parts)

    whole = end([24])
    assert len(whole[1].train_loss) == 5 and np.all(np.diff(whole[1].train_loss) < 0)
    for stops in ([24], range(25), [0, 3, 4, 4, 5, 11, 24], [2, 6, 9, 23, 24]):
        assert_same_bits(end(stops), whole)


def test_optimizers_and_schedules_are_those_of_gradient_descent():
    model, params, data, _ = small_problem()
    optimizer = optax.adam(optax.piecewise_constant_schedule(1e-2, {20: 0.0}))
    expected = nr.gradient_descent(model, params, data, steps=30, optimizer=optimizer)
    path = train(model, params, data, steps=30, optimizer=optimizer)
    np.testing.assert_allclose(path.train_loss, expected.train_loss, rtol=1e-5)
    np.testing.assert_array_equal(path.train_loss[20:], path.train_loss[20])


def test_optimizers_that_search_along_a_line():
    model, params, data, _ = small_problem()
    path = train(model, params, data, steps=25, optimizer=optax.lbfgs())
    lags = np.asarray(nr.lagged_inputs(data[0])).reshape(50, -1)
    _, squares, *_ = np.linalg.lstsq(lags, np.ravel(data[1]))
    np.testing.assert_allclose(path.train_loss[-1], 0.5 * squares[0], rtol=1e-4)


def test_second_call_compiles_nothing(caplog):
    _, params, data, _ = problem(np.float32)

    def compiled_for(**arguments):
        caplog.clear()
        with jax.log_compiles():
            train(nr.LinearRNN(20, 1), params, data, key=jax.random.key(1), **arguments)
        return [m for m in caplog.messages if m.startswith("Compiling")]

    assert compiled_for(steps=12, batch_size=4, learning_rate=1e-3)
    # Other steps, another rate and an equal model, made anew.
    assert compiled_for(epochs=20, batch_size=4, learning_rate=2e-3) == []
    assert compiled_for(steps=7, batch_size=4, learning_rate=1e-3, record_at=range(8)) == []


RATE = 1e-3


def test_optimizers_made_alike_share_what_is_compiled():
    model, params, data, _ = small_problem()

    def compiled(optimizer=None, learning_rate=None):
        before = chunks._advance._cache_size()
        train(model, params, data, steps=2, optimizer=optimizer, learning_rate=learning_rate)
        return chunks._advance._cache_size() - before

    for made, others in [
        (lambda r: {"optimizer": optax.adam(r)}, [1e-2]),
        (lambda r: {"optimizer": optax.chain(optax.clip(1.0), optax.sgd(r, 0.9))}, [1e-2]),
        (lambda r: {"learning_rate": optax.linear_schedule(r, 0.0, 5)}, [2e-3]),
    ]:
        assert [compiled(**made(r)) for r in (1e-3, 1e-3, *others, 1e-3)] == [1, 0, 1, 0]
    # What a function of others computes may depend on names, so it is like itself alone.
    assert [compiled(learning_rate=lambda step: RATE) for _ in range(2)] == [1, 1]


def test_chunks_are_compiled_once(caplog):
    """Also where data are bound to a device, and with them what is trained on them."""
    model, params, data, _ = small_problem()
    bound = jax.device_put(data, jax.devices()[0])
    with jax.log_compiles():
        train(model, params, bound, steps=40, learning_rate=1e-3, loss="mean")
    assert sum("Compiling jit(_advance)" in message for message in caplog.messages) == 1


def test_steps_are_counted_to_the_last_of_32_bits():
    model, params, data, _ = small_problem()
    run = trainer(model, params, None, 2, Problem(data, None, 1e-3, jax.random.key(2)))
    start = run.start(params)
    last = 2**31 - 2  # and the end of its epoch of 5 steps is past what there is
    state, _ = run.advance(
        run.state(last - 6, start.params, start.opt_state), np.array([last]), last
    )
    assert state.step == last


def test_start_is_left_as_it_is():
    model, params, data, _ = small_problem()
    before = jax.tree.map(np.array, params)
    path = train(model, params, data, steps=3, learning_rate=1e-3)
    none = train(model, params, data, steps=0, learning_rate=1e-3)
    assert_same_bits(params, before)
    assert none.step.tolist() == [0]
    assert_same_bits(none.params, before)
    assert path.train_loss[0] == none.train_loss[0]


def test_divergence_is_that_of_gradient_descent():
    model, params, data, _ = small_problem()
    edge = float(nr.max_learning_rate(model, params, data[0]))
    rule = optax.sgd(20 * edge)
    arguments = {"steps": 3000, "optimizer": rule, "record_at": [0, 2, 3000]}
    with pytest.warns(RuntimeWarning, match="non-finite at step"):
        expected = nr.gradient_descent(model, params, data, **arguments)
    with pytest.warns(RuntimeWarning, match=r"the path ends at step (\d+)\. .* is (\S+) at") as got:
        path = train(model, params, data, **arguments)
    assert f"{edge:.4g}" in str(got[0].message)
    assert path.diverged_at == expected.diverged_at
    np.testing.assert_array_equal(path.step, expected.step)
    np.testing.assert_allclose(path.train_loss, expected.train_loss, rtol=1e-3)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(path.params))


def test_divergence_of_mini_batches_keeps_the_last_good_step():
    model, params, data, _ = small_problem()
    key, rate = jax.random.key(4), 1.0
    arguments = {"batch_size": 1, "key": key, "learning_rate": rate}
    with pytest.warns(RuntimeWarning, match="on a batch is"):
        path = train(model, params, data, steps=1000, **arguments)
    assert 0 < path.diverged_at < 1000
    assert path.step[-1] == path.diverged_at - 1
    assert np.all(np.isfinite(path.train_loss))
    whole = train(model, params, data, steps=path.diverged_at - 1, **arguments)
    assert_same_bits(whole.params, path.params)
    assert whole.train_loss[-1] == path.train_loss[-1]


def test_divergence_goes_back_to_the_last_copy_that_was_good(monkeypatch):
    """The last of all, of the bad step itself, does not take the place of the one before it."""
    monkeypatch.setattr(course, "_CHUNK_SECONDS", 0.0)  # chunks of one step
    monkeypatch.setattr(course, "_SNAPSHOT_SECONDS", -1.0)  # and a copy after each
    model, params, data, _ = small_problem()

    class Counting(Trainer):
        def start(self, params):
            starts.append(params)
            return super().start(params)

    starts = []
    run = trainer(model, params, optax.sgd(1.0), None, Problem(data, None, None, None), Counting)
    end = run_in_chunks(
        run, params, np.array([0, 1000]), None, None, lambda: False, lambda step, loss: None
    )
    assert 5 < end.diverged_at < 1000 and end.step[-1] == end.diverged_at - 1
    assert len(starts) == 1


def test_interrupts_are_the_callers_again():
    model, params, data, _ = small_problem()
    before = signal.getsignal(signal.SIGINT)
    train(model, params, data, steps=3, learning_rate=1e-3)
    assert signal.getsignal(signal.SIGINT) is before
    # In another thread there are no signals to handle, and training is the same.
    paths = []
    thread = threading.Thread(
        target=lambda: paths.append(train(model, params, data, steps=3, learning_rate=1e-3))
    )
    thread.start()
    thread.join()
    assert paths[0].step.tolist() == [0, 1, 2, 3]


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": None}, "give either steps or epochs, got steps=None, epochs=None"),
        ({"epochs": 2}, "give either steps or epochs, got steps=3, epochs=2"),
        ({"steps": 2.5}, "steps must be an integer of at least 0, got 2.5"),
        ({"steps": 2**31}, "steps must be at most 2147483646, got 2147483648"),
        ({"batch_size": 11}, "batch_size must be at most the number of sequences, 10, got 11"),
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
        (
            {"learning_rate": 10.0},
            "learning_rate must be at most .* unstable where it starts, got 10",
        ),
        ({"batch_size": 2}, "key must be given with batch_size"),
        ({"batch_size": 2, "key": 3}, "key must be a single random key, .* got int"),
        ({"learning_rate": None}, "give either learning_rate or optimizer"),
        ({"data": 3}, r"data must be a pair \(inputs, targets\), got int"),
        ({"loss": "mse"}, 'loss must be "sum"'),
        ({"record_at": [4]}, "record_at must lie between 0 and steps = 3"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a positive integer, got 0"),
        ({"checkpoint_every": 2}, "checkpoint must be given with checkpoint_every"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    model, params, data, _ = small_problem()
    with pytest.raises(ValueError, match=message):
        train(model, params, **{"data": data, "steps": 3, "learning_rate": 1e-3, **arguments})


def test_losses_may_be_of_another_type_than_the_data():
    model, params, (x, y), _ = small_problem()
    data = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
    with jax.numpy_dtype_promotion("standard"):
        path = train(model, params, data, steps=2, optimizer=optax.sgd(1e-3))
    assert path.train_loss.dtype == np.float32 and np.all(np.isfinite(path.train_loss))


def test_mini_batches_are_of_sequences():
    model, params, data, _ = small_problem()
    with pytest.raises(ValueError, match="batch_size must be left out with compressed data"):
        train(
            model, params, nr.compress(*data), steps=3, learning_rate=1e-3,
            batch_size=2, key=jax.random.key(0),
        )  # fmt: skip


@pytest.mark.usefixtures("unannotated")
def test_traced_arguments_are_refused():
    model, params, data, _ = small_problem()
    with pytest.raises(ValueError, match="use gradient_descent there"):
        jax.jit(lambda p: train(model, p, data, steps=3, learning_rate=1e-3).params)(params)
    with pytest.raises(ValueError, match="use gradient_descent there"):
        jax.grad(
            lambda rate: train(model, params, data, steps=3, learning_rate=rate).train_loss[-1]
        )(1e-3)


@pytest.mark.filterwarnings("ignore:Some donated buffers")
@pytest.mark.parametrize("given", ["apply_fn", "optimizer"])
@pytest.mark.parametrize("folder", [None, "run"])
def test_functions_that_close_over_traced_arrays_are_refused(given, folder, tmp_path):
    model, params, data, _ = small_problem()
    folder = folder and tmp_path / folder

    def losses(factor):
        functions = {
            "apply_fn": lambda p, x: factor * model(p, x) if given == "apply_fn" else model(p, x),
            "optimizer": optax.sgd(1e-3 * factor if given == "optimizer" else 1e-3),
        }
        return train(params=params, data=data, steps=3, checkpoint=folder, **functions).train_loss

    with pytest.raises(ValueError, match="use gradient_descent there"):
        jax.vmap(losses)(jnp.ones(2, np.float32))


def test_start_with_infinite_loss_is_refused():
    model, params, data, _ = small_problem()
    huge = jax.tree.map(lambda a: 1e20 * a, params)
    with pytest.raises(ValueError, match="params must give a finite training loss to start from"):
        train(model, huge, data, steps=3, learning_rate=1e-3)
