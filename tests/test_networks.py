"""What is trained of a model's variables, in kernels and in training alike.

The right values are those of a function of the trainable arrays alone, with all others closed over
and complex ones written as pairs of real ones.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import ntk_rnn as nr
from ntk_rnn.training import chunks

X = jax.random.normal(jax.random.key(0), (4, 5, 2), np.float32)
Y = jnp.cumsum(X, axis=1).sum(axis=2, keepdims=True) / 3
ADAM = optax.adam(1e-2)


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(4)(x))
        return nn.Dense(1)(jnp.tanh(x))


class NormedNNX(nnx.Module):
    def __init__(self, rngs):
        self.inner = nnx.Linear(2, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)
        self.drop = nnx.Dropout(0.5, deterministic=True, rngs=rngs)
        self.outer = nnx.Linear(4, 1, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.drop(jnp.tanh(self.norm(self.inner(x)))))


def linen():
    model = Normed()
    variables = model.init(jax.random.key(1), X)
    stats = jax.tree.map(lambda a: a + 0.5, variables["batch_stats"])

    def alone(params, x):
        return model.apply({"params": params, "batch_stats": stats}, x)

    return model, {"params": variables["params"], "batch_stats": stats}, alone, variables["params"]


def linen_function():
    model, variables, *right = linen()
    return lambda v, x: model.apply(v, x, train=False), variables, *right


def of_nnx():
    model = NormedNNX(nnx.Rngs(0))
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def alone(params, x):
        return nnx.merge(graph, params, rest)(x)

    return model, nnx.split(model)[1], alone, params


def diagonal(params, x):
    """A complex linear RNN with a diagonal recurrence and real outputs."""
    forcing = jnp.einsum("ntq,qk->tnk", x.astype(params["B"].dtype), params["B"])

    def step(state, force):
        state = params["lam"][None] * state + force
        return state, state

    _, states = jax.lax.scan(step, jnp.zeros_like(forcing[0]), forcing)
    return jnp.einsum("tnk,k->nt", states, params["C"]).real[..., None]


def of_complex_numbers():
    draw = np.random.default_rng(0)
    parts = {"B": draw.standard_normal((2, 2, 3)), "C": draw.standard_normal((2, 3)) / 2}
    parts["lam"] = 0.8 * np.stack([np.cos([1, 2, 3]), np.sin([1, 2, 3])])
    parts = jax.tree.map(lambda a: tuple(np.asarray(a, np.float32)), parts)

    def joined(parts):
        return {name: jax.lax.complex(*map(jnp.asarray, pair)) for name, pair in parts.items()}

    return diagonal, joined(parts), lambda parts, x: diagonal(joined(parts), x), parts


def with_other_arrays():
    params = {"w": jnp.ones((2, 1)), "shift": np.arange(5), "on": True, "key": jax.random.key(3)}

    def apply_fn(p, x):
        noise = 0.1 * jax.random.normal(p["key"], x.shape[1:], x.dtype)
        x = jnp.where(p["on"], x[:, p["shift"]] + noise[None], 0)
        return jnp.einsum("ntq,qp->ntp", x, jnp.tanh(p["w"]))

    return apply_fn, params, lambda w, x: apply_fn(params | {"w": w}, x), params["w"]


MODELS = [linen, linen_function, of_nnx, of_complex_numbers, with_other_arrays]


def assert_close(actual, expected, tol=1e-4):
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tol * scale)


def jacobian_product(apply_fn, params, x):
    leaves = jax.tree.leaves(jax.jit(jax.jacobian(apply_fn))(params, x))
    rows = np.concatenate([np.asarray(a).reshape(20, -1) for a in leaves], axis=1)
    return (rows @ rows.T).reshape(4, 5, 4, 5).transpose(0, 2, 1, 3)


@pytest.mark.parametrize("made", MODELS)
def test_kernels_are_over_trainable_parameters(made):
    model, params, alone, trainable = made()
    expected = jacobian_product(alone, trainable, X)
    assert_close(nr.empirical_ntk(model, params, X), expected)
    if made in (linen, of_complex_numbers):  # what blocks do is the same for every model
        assert_close(nr.empirical_ntk(model, params, X, batch_size=3), expected)
    estimate, error = nr.monte_carlo_ntk(model, params, X, None, jax.random.key(0), 400)
    assert np.all(np.abs(estimate - expected) < 6 * error + 1e-4)
    eigenvalue = np.linalg.eigvalsh(expected.transpose(0, 2, 1, 3).reshape(20, 20))[-1]
    rate = nr.max_learning_rate(model, params, (X, Y))
    np.testing.assert_allclose(rate, 2 / eigenvalue, rtol=1e-3)


@pytest.mark.parametrize("made", MODELS)
def test_training_moves_trainable_parameters_alone(made):
    model, params, alone, trainable = made()
    calls = [
        lambda m, p: nr.gradient_descent(m, p, (X, Y), steps=9, learning_rate=1e-3),
        lambda m, p: nr.train(m, p, (X, Y), steps=9, optimizer=ADAM, test=(X, Y)),
        lambda m, p: nr.train(
            m, p, (X, Y), epochs=3, batch_size=2, key=jax.random.key(1), learning_rate=1e-3
        ),
    ]
    # The models that differ most are trained in every way, and each of the others in one of them.
    some = {linen_function: calls[1:2], of_nnx: calls[:1], with_other_arrays: calls[2:]}
    for call in some.get(made, calls):
        path, expected = call(model, params), call(alone, trainable)
        assert_close(path.train_loss, expected.train_loss)
        moved = jax.tree.leaves(path.params)
        start = jax.tree.leaves(params)
        assert jax.tree.structure(path.params) == jax.tree.structure(params)
        assert [np.shape(a) for a in moved] == [np.shape(a) for a in start]
        assert [a.dtype for a in moved] == [jnp.asarray(a).dtype for a in start]
        apply_fn = model.apply if isinstance(model, nn.Module) else model
        if not isinstance(model, nnx.Module):
            assert_close(apply_fn(path.params, X), alone(expected.params, X))
        assert path.train_loss[-1] < path.train_loss[0]


def test_other_collections_come_back_as_they_were():
    model, params, _, _ = linen()
    path = nr.train(model, params, (X, Y), steps=9, optimizer=ADAM)
    jax.tree.map(np.testing.assert_array_equal, path.params["batch_stats"], params["batch_stats"])
    model, state, _, _ = of_nnx()
    path = nr.gradient_descent(model, state, (X, Y), steps=9, learning_rate=1e-3)
    for (name, before), (_, after) in zip(
        *map(jax.tree_util.tree_leaves_with_path, (state, path.params)), strict=True
    ):
        if any(word in jax.tree_util.keystr(name) for word in ("mean", "var", "count")):
            np.testing.assert_array_equal(before, after)
    trained = nnx.merge(nnx.split(model)[0], path.params)  # as the documents say
    assert_close(np.sum((trained(X) - Y) ** 2) / 2, path.train_loss[-1])


def test_held_arrays_are_not_compiled_in():
    model, params, _, _ = linen()
    nr.train(model, params, (X, Y), steps=2, optimizer=ADAM)
    compiled = chunks._advance._cache_size()
    other = params | {"batch_stats": jax.tree.map(lambda a: 2 * a, params["batch_stats"])}
    nr.train(model, other, (X, Y), steps=3, optimizer=ADAM)
    assert chunks._advance._cache_size() == compiled


@pytest.mark.parametrize("made", [linen, of_complex_numbers, with_other_arrays])
def test_checkpoints_keep_all_of_them(made, tmp_path):
    model, params, _, _ = made()
    given = {"optimizer": ADAM, "checkpoint": tmp_path, "checkpoint_every": 3}
    nr.train(model, params, (X, Y), steps=6, **given)
    path = nr.train(model, params, (X, Y), steps=9, **given)
    whole = nr.train(model, params, (X, Y), steps=9, optimizer=ADAM)
    numbers = [
        jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a
        for a in jax.tree.leaves((path.params, whole.params))
    ]
    middle = len(numbers) // 2
    jax.tree.map(np.testing.assert_array_equal, numbers[:middle], numbers[middle:])
    if made is linen:
        other = params | {"batch_stats": jax.tree.map(lambda a: 2 * a, params["batch_stats"])}
        with pytest.raises(ValueError, match="is of another run: its params"):
            nr.train(model, other, (X, Y), steps=9, **given)


def test_seeds_are_batched():
    model, params, _, _ = linen()

    def run(key):
        shifted = jax.tree.map(lambda a: a + jax.random.uniform(key), params["batch_stats"])
        start = {"params": params["params"], "batch_stats": shifted}
        path = nr.gradient_descent(model, start, (X, Y), steps=3, learning_rate=1e-3)
        return path.train_loss, path.params

    keys = jax.random.split(jax.random.key(0), 3)
    losses, _ = nr.ensemble(run, keys)
    assert_close(losses, np.stack([run(key)[0] for key in keys]))


def test_big_endian_arrays_are_those_of_this_machine():
    def apply_fn(p, x):
        return jnp.einsum("ntq,qp->ntp", x, jnp.tanh(p["w"]))

    params = {"w": np.array([[1.0], [2.0]], np.float32)}
    swapped = {"w": params["w"].astype(">f4")}
    x, y = (np.asarray(a).astype(">f4") for a in (X, Y))
    assert_close(nr.empirical_ntk(apply_fn, swapped, x), nr.empirical_ntk(apply_fn, params, X))
    for call in (nr.gradient_descent, nr.train):
        path = call(apply_fn, swapped, (x, y), steps=3, learning_rate=1e-3)
        expected = call(apply_fn, params, (X, Y), steps=3, learning_rate=1e-3)
        np.testing.assert_array_equal(path.params["w"], expected.params["w"])


class Unhashable:
    """A callable that is compared by value, as a module of Equinox is."""

    __hash__ = None

    def __eq__(self, other):
        return False

    def __call__(self, params, x):
        return jnp.einsum("ntq,qp->ntp", x, params)


def test_functions_without_a_hash_are_compiled_once():
    model, params = Unhashable(), jnp.ones((2, 1))
    for call in (nr.gradient_descent, nr.train):
        call(model, params, (X, Y), steps=1, learning_rate=1e-3)
    compiled = chunks._advance._cache_size()
    path = nr.train(model, params, (X, Y), steps=3, learning_rate=1e-3)
    assert chunks._advance._cache_size() == compiled
    expected = nr.train(lambda p, x: model(p, x), params, (X, Y), steps=3, learning_rate=1e-3)
    np.testing.assert_array_equal(path.train_loss, expected.train_loss)


class TanhRNN(nnx.Module):
    def __init__(self, width, rngs):
        key = rngs.params
        self.w = nnx.Param(jax.random.normal(key(), (width, width)) / width**0.5)
        self.f = nnx.Param(jax.random.normal(key(), (width, 2)))
        self.c = nnx.Param(jax.random.normal(key(), (1, width)) / width**0.5)

    def __call__(self, x):
        def step(h, force):
            h = jnp.tanh(h @ self.w[...].T + force)
            return h, h

        forcing = (x @ self.f[...].T).swapaxes(0, 1)
        _, states = jax.lax.scan(step, jnp.zeros_like(forcing[0]), forcing)
        return (states @ self.c[...].T).swapaxes(0, 1)


def by_hand(params, x):
    h, outputs = jnp.zeros((len(x), 8), x.dtype), []
    for t in range(x.shape[1]):
        h = jnp.tanh(h @ params["w"].T + x[:, t] @ params["f"].T)
        outputs.append(h @ params["c"].T)
    return jnp.stack(outputs, axis=1)


def test_an_nnx_module_is_a_function_of_its_parameters():
    module = TanhRNN(8, nnx.Rngs(0))
    apply_fn, params = nr.functional(module)
    np.testing.assert_array_equal(apply_fn(params, X), module(X))
    arrays = {name: getattr(module, name)[...] for name in "wfc"}
    kernel = nr.empirical_ntk(by_hand, arrays, X)
    for model in (apply_fn, module):
        assert_close(nr.empirical_ntk(model, params, X), kernel, 1e-6)
    path = nr.train(apply_fn, params, (X, Y), steps=9, learning_rate=1e-2)
    expected = nr.train(by_hand, arrays, (X, Y), steps=9, learning_rate=1e-2)
    assert_close(path.train_loss, expected.train_loss, 1e-6)
    assert_close(apply_fn(path.params, X), by_hand(expected.params, X), 1e-5)
    compiled = chunks._advance._cache_size()
    nr.train(*nr.functional(TanhRNN(8, nnx.Rngs(1))), (X, Y), steps=4, learning_rate=1e-2)
    assert chunks._advance._cache_size() == compiled


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("what", ["d", "n"])
def test_modules_that_change_themselves_are_refused(what):
    class Changing(nnx.Module):
        def __init__(self, rngs):
            self.linear = nnx.Linear(2, 1, rngs=rngs)
            self.n = nnx.BatchNorm(2, use_running_average=what != "n", rngs=rngs)
            self.d = nnx.Dropout(0.5, deterministic=what != "d", rngs=rngs)

        def __call__(self, x):
            return self.linear(self.d(self.n(x)))

    module = Changing(nnx.Rngs(0))
    apply_fn, params = nr.functional(module)
    for call in CALLS.values():
        for model in (apply_fn, module):
            with pytest.raises(ValueError, match=rf"changes \['{what}'\].*call module.eval\(\)"):
                call(model, params)
    module.eval()
    nr.empirical_ntk(*nr.functional(module), X)


@pytest.mark.usefixtures("unannotated")
def test_linen_modules_in_training_mode_are_refused():
    model, params, _, _ = linen()
    for call in CALLS.values():
        with pytest.raises(ValueError, match=r"apply_fn must be a function of .* as for inference"):
            call(lambda v, x: model.apply(v, x, train=True), params)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("module", [None, nnx.Linear, nn.Dense(1), lambda x: x])
def test_what_is_no_nnx_module_is_named(module):
    with pytest.raises(ValueError, match="module must be an NNX module that can be called, got"):
        nr.functional(module)


RNN = nr.LinearRNN(3, 1)
START = jax.jit(RNN.init)(jax.random.key(1), X)
CALLS = {
    "kernel": lambda m, p: nr.empirical_ntk(m, p, X),
    "sampled": lambda m, p: nr.monte_carlo_ntk(m, p, X, None, jax.random.key(0), 2),
    "descent": lambda m, p: nr.gradient_descent(m, p, (X, Y), steps=1, learning_rate=1e-3),
    "run": lambda m, p: nr.train(m, p, (X, Y), steps=1, learning_rate=1e-3),
    "rate": lambda m, p: nr.max_learning_rate(m, p, X),
}


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (RNN, None, "params must hold at least one array, got None"),
        (RNN, {}, "params must hold at least one array, got {}"),
        (RNN, 3.0, r'params must be a mapping {"params": ...}, .* got float'),
        (RNN, START["params"], r"params must be a mapping .* got \['C', 'F', 'W'\]"),
        (RNN, {"params": {"kernel": jnp.ones(2)}}, "params must be what init .* named \"W\""),
        (
            RNN, {"params": START["params"] | {"W": jnp.ones((4, 4))}},
            r"params must hold W of shape \(3, 3\) .* got \(4, 4\)",
        ),
        (
            RNN, {"params": START["params"] | {"W": [1.0, 2.0]}},
            r"params must hold W of shape \(3, 3\) .* got list",
        ),
        (
            RNN, jax.tree.map(lambda a: a.astype(int), START),
            r"params must hold .* floating .* params\['params'\]\['C'\] of dtype int32",
        ),
        (
            RNN, jax.tree.map(lambda a: a * jnp.nan, START),
            r"params\['params'\]\['C'\] must be finite, got 3 NaN",
        ),
        (RNN, {"params": {"W": "a"}}, r"params\['params'\]\['W'\] must be an array .* got 'a'"),
        (lambda p, x: x @ p, jnp.ones((2, 0)), r"params must hold .* shape \(2, 0\)"),
        (nr.LinearRNN, START, "apply_fn must be .* got the class LinearRNN; pass an instance"),
        (3, START, "apply_fn must be a function .* got int"),
        (
            lambda p, x: (x @ p).astype(complex), jnp.ones((2, 1)),
            "apply_fn must return real .* complex64",
        ),
        (lambda p, x: (x @ p).astype(int), jnp.ones((2, 1)), "apply_fn must return real .* int32"),
        (NormedNNX(nnx.Rngs(0)), {"a": jnp.ones(2)}, "params must be the whole state .* nnx.split"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_named(call, model, params, message):
    with pytest.raises(ValueError, match=message):
        CALLS[call](model, params)


@pytest.mark.usefixtures("unannotated")
def test_parameters_of_a_linear_rnn_are_checked_likewise():
    bad = {"params": START["params"] | {"W": jnp.full((3, 3), jnp.nan)}}
    for call in (nr.impulse_response, nr.finite_width_gram):
        with pytest.raises(ValueError, match=r"params\['params'\]\['W'\] must be finite"):
            call(bad, 3)
    swapped = jax.tree.map(lambda a: np.asarray(a).astype(">f4"), START)
    np.testing.assert_array_equal(nr.impulse_response(swapped, 3), nr.impulse_response(START, 3))


class Plain(nnx.Module):
    """A module whose array is no variable, alone or beside a parameter."""

    def __init__(self, with_param):
        self.a = nnx.data(jnp.ones((2, 1)))
        if with_param:
            self.b = nnx.Param(jnp.ones((2, 1)))

    def __call__(self, x):
        return x @ (self.a + self.b[...] if hasattr(self, "b") else self.a)


def test_arrays_of_nnx_modules_that_are_no_parameters_are_held():
    gram = nr.layer_gram(*nr.functional(Plain(True)), 2, 2)
    np.testing.assert_array_equal(np.diagonal(gram.reshape(4, 4)), [1, 1, 0, 0])
    with pytest.raises(ValueError, match=r"variables of NNX that are no .* are held"):
        nr.layer_gram(*nr.functional(Plain(False)), 2, 2)
