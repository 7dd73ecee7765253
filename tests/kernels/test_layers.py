"""The Gram matrix of any causal linear layer, against other ways to it, and what is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.kernels import layers

X = jax.random.normal(jax.random.key(0), (3, 6, 2), np.float32)


def rnn(dtype):
    model = nr.LinearRNN(20, 3)
    return model, jax.jit(model.init)(jax.random.key(1), X.astype(dtype))


def diagonal(params, x):
    """A complex diagonal RNN with real outputs, step by step."""
    forcing = jnp.einsum("ntq,kq->tnk", x.astype(params["B"].dtype), params["B"])

    def step(state, force):
        state = params["lam"][None] * state + force
        return state, state

    _, states = jax.lax.scan(step, jnp.zeros_like(forcing[0]), forcing)
    return jnp.einsum("tnk,pk->ntp", states, params["C"]).real


def complex_params(dtype):
    draw = np.random.default_rng(0)
    params = {name: draw.standard_normal((2, *shape)) for name, shape in
              {"B": (4, 2), "C": (2, 4), "lam": (4,)}.items()}  # fmt: skip
    return {name: jax.lax.complex(*jnp.asarray(0.7 * pair, dtype)) for name, pair in params.items()}


def relative_error(actual, expected):
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_of_a_linear_rnn_is_that_of_finite_width(dtype, tol):
    model, params = rnn(dtype)
    expected = nr.finite_width_gram(params, 6).dense()
    np.testing.assert_array_equal(nr.layer_gram(model.apply, params, 6, 2), expected)
    gram = nr.layer_gram(lambda p, x: model.apply(p, x), params, 6, 2)  # by reverse mode
    assert relative_error(gram, expected) <= tol


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_of_a_convolution_is_its_lag_weights(dtype, tol):
    rho = nr.lag_weights(6, 0.3, 1.0, 1.0).astype(dtype)
    conv = nr.ScaledConv(rho, 2)
    params = jax.jit(conv.init)(jax.random.key(1), X.astype(dtype))
    expected = np.einsum("j,jk,pr,qs->jpqkrs", rho, *map(np.eye, (6, 2, 2))).astype(dtype)
    assert relative_error(nr.layer_gram(conv, params, 6, 2), jnp.asarray(expected)) <= tol


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_is_the_product_of_jacobians_and_the_kernel_between_impulses(dtype, tol):
    params = complex_params(dtype)
    gram = nr.layer_gram(diagonal, params, 6, 2)
    impulses = nr.unit_impulses(6, 2, dtype)

    def response(parts):
        joined = {name: jax.lax.complex(*pair) for name, pair in parts.items()}
        return diagonal(joined, impulses).transpose(1, 2, 0)

    parts = {name: (a.real, a.imag) for name, a in params.items()}
    leaves = jax.tree.leaves(jax.jit(jax.jacobian(response))(parts))
    rows = np.concatenate([leaf.reshape(24, -1) for leaf in leaves], axis=1)
    expected = jnp.asarray((rows @ rows.T).reshape(6, 2, 2, 6, 2, 2))
    assert relative_error(gram, expected) <= tol
    kernel = nr.empirical_ntk(diagonal, params, impulses, trace_axes=())
    assert relative_error(gram, jnp.einsum("qsjkpr->jpqkrs", kernel)) <= tol


def test_blocks_give_the_same_matrix(monkeypatch):
    model, params = rnn(np.float32)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    monkeypatch.setattr(layers, "free_bytes", lambda: 8 * 5 * 4 * count)
    gram = nr.layer_gram(lambda p, x: model.apply(p, x), params, 6, 2)
    assert relative_error(gram, nr.finite_width_gram(params, 6).dense()) <= 1e-5


def test_compiles_and_compiles_once():
    calls = []

    def layer(params, x):
        calls.append(x.shape)
        return nr.causal_conv(params["a"][:, None, None] ** 2, x)

    params = {"a": jnp.arange(1.0, 4.0, dtype=np.float32)}
    gram = nr.layer_gram(layer, params, 3, 1)
    np.testing.assert_allclose(gram[:, 0, 0, :, 0, 0], np.diag([4.0, 16.0, 36.0]), rtol=1e-5)
    before = len(calls)
    nr.layer_gram(layer, {"a": 2 * params["a"]}, 3, 1)
    assert len(calls) - before <= 2  # the shapes of outputs and of what is kept for reverse mode
    traced = jax.jit(lambda p: nr.layer_gram(layer, p, 3, 1))(params)
    np.testing.assert_allclose(traced, gram, rtol=1e-5)


def of_inputs(map_of_inputs):
    return lambda p, x: jnp.einsum("ntq,qp->ntp", map_of_inputs(x), p["w"])


def with_fixed_noise(x):
    return x * jax.random.bernoulli(jax.random.key(0), 0.5, x.shape).astype(x.dtype)


class Saturated(nr.LinearRNN):
    """A user's change of a layer, which is not the layer any more."""

    @nn.compact
    def __call__(self, x):
        return jnp.tanh(super().__call__(x))


class Doubled(nr.LRU):
    """A user's methods beside those of the layer."""

    def double(self, params, x):
        return 2 * self.apply(params, x)


DENSE = {"params": {"Dense_0": {"kernel": jnp.ones((2, 1))}}}


class Dropped(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dropout(0.5, deterministic=False)(nn.Dense(1, use_bias=False)(x))


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apply_fn": of_inputs(jnp.tanh)}, r"is not linear in its inputs \(by 0\."),
        ({"apply_fn": of_inputs(jnp.abs)}, "is not linear in its inputs"),
        ({"apply_fn": of_inputs(lambda x: x + 1)}, "has outputs where all inputs are 0, as a bias"),
        (
            {"apply_fn": lambda p, x: x @ p["w"] + p["b"][None, None],
             "params": {"w": jnp.ones((2, 1)), "b": jnp.zeros(1)}},
            r"outputs where all inputs are 0, as a bias .* at parameters near these",
        ),
        ({"apply_fn": of_inputs(jnp.sqrt)}, "has outputs that are not finite"),
        ({"apply_fn": of_inputs(lambda x: 1e-25 * jnp.tanh(x))}, "is not linear in its inputs"),
        ({"apply_fn": of_inputs(lambda x: 1e25 * jnp.tanh(x))}, "is not linear in its inputs"),
        # What a large output hides.
        (
            {"apply_fn": lambda p, x: jnp.concatenate([3e3 * x, x[:, ::-1]], -1) * p["w"][0, 0]},
            "is not causal",
        ),
        (
            {"apply_fn": lambda p, x: jnp.concatenate([3e3 * x, jnp.tanh(x)], -1) * p["w"][0, 0]},
            "is not linear in its inputs",
        ),
        (
            {"apply_fn": Saturated(8, 1), "params": Saturated(8, 1).init(jax.random.key(0), X)},
            "is not linear in its inputs",
        ),
        ({"apply_fn": of_inputs(lambda x: x[:, ::-1])}, r"is not causal \(by "),
        ({"apply_fn": of_inputs(lambda x: jnp.roll(x, -1, 1).at[:, -1].set(0))}, "is not causal"),
        (
            {"apply_fn": of_inputs(lambda x: x * jnp.arange(1, 7, dtype=x.dtype)[None, :, None])},
            r"is not the same at all times \(by ",
        ),
        ({"apply_fn": of_inputs(with_fixed_noise)}, "gives equal sequences .* different outputs"),
        (
            {
                "apply_fn": lambda p, x: jnp.tanh(x @ p["w"]) @ p["zero"],
                "params": {"w": jnp.ones((2, 4)), "zero": jnp.zeros((4, 1))},
            },
            "is not linear",
        ),
        (
            {"apply_fn": Dropped(), "params": DENSE},
            "apply_fn must be a function of its parameters .* without dropout",
        ),
        ({"apply_fn": lambda p, x: x.sum(1) @ p["w"]}, r"must return outputs of .* \(2, 1"),
        ({"apply_fn": lambda p, x: (x @ p["w"]).astype(complex)}, "the real part of complex"),
        ({"seq_len": 0}, "seq_len must be a positive integer, got 0"),
        ({"seq_len": 2**20}, "seq_len must give a kernel that fits into memory"),
        ({"in_dim": 0}, "in_dim must be a positive integer, got 0"),
        ({"params": {"w": jnp.full((2, 1), jnp.inf)}}, r"params\['w'\] must be finite"),
        (
            {
                "params": {"w": jnp.full((2, 1), 2e38)},
                "apply_fn": lambda p, x: x @ p["w"] ** 2,
            },
            "has outputs that are not finite",
        ),
        (
            {"params": {"w": jnp.zeros((2, 1))}, "apply_fn": lambda p, x: x @ jnp.sqrt(p["w"])},
            "apply_fn's gradients at params must be finite",
        ),
    ],
)  # fmt: skip
def test_what_has_no_gram_is_refused(change, message):
    arguments = {"apply_fn": of_inputs(lambda x: x), "params": {"w": jnp.ones((2, 1))}}
    arguments |= {"seq_len": 6, "in_dim": 2}
    with pytest.raises(ValueError, match=message):
        nr.layer_gram(**arguments | change)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_another_method_of_a_layer_is_another_layer(dtype, tol):
    layer = Doubled(16, 1)
    params = jax.jit(layer.init)(jax.random.key(1), X.astype(dtype))
    expected = 4 * nr.layer_gram(nr.LRU(16, 1), params, 5, 2)
    assert relative_error(nr.layer_gram(layer.double, params, 5, 2), expected) <= 10 * tol


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_rounds_without_being_refused(dtype):
    gram = nr.layer_gram(lambda p, x: p * x, dtype(1.3), 4, 1)
    np.testing.assert_array_equal(gram[:, 0, 0, :, 0, 0], np.diag([1.0, 0, 0, 0]))
