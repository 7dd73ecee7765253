"""The empirical NTK against the product of two Jacobians."""

from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn import LinearRNN
from ntk_rnn._functions import as_apply_fn
from ntk_rnn.kernels.empirical import empirical_ntk

ALWAYS = ("jacobian_contraction", "ntk_vector_products", "structured_derivatives")
IMPLEMENTATIONS = (*ALWAYS, "auto")  # which compiles each of the others


class Dense(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        dtype = {"param_dtype": x.dtype}
        x = nn.gelu(nn.Dense(self.width, **dtype)(nn.relu(nn.Dense(self.width, **dtype)(x))))
        return nn.Dense(3, **dtype)(x)


class Convolution(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Conv(3, (2,), padding="CAUSAL", param_dtype=x.dtype)(x))
        return nn.Conv(2, (3,), param_dtype=x.dtype)(x)


@cache
def setup(name, dtype):
    """A network, its parameters, and two batches of inputs."""
    draw = np.random.default_rng(1)
    shape = (4,) if name == "dense" else (3, 2)
    x1 = jnp.asarray(draw.standard_normal((3, *shape)), dtype)
    x2 = jnp.asarray(draw.standard_normal((2, *shape)), dtype)
    if name in ("dense", "convolution"):
        module = Dense() if name == "dense" else Convolution()
    else:
        module = LinearRNN(width=4, out_dim=2, evaluation=name)
    return module.apply, jax.jit(module.init)(jax.random.key(0), x1), x1, x2


def jacobian_product(apply_fn, params, x1, x2):
    """``J(x1) J(x2)^T`` with the axes of the output in pairs."""
    x = jnp.concatenate([x1, x2])
    _, *shape = jax.eval_shape(apply_fn, params, x).shape
    leaves = jax.tree.leaves(jax.jit(jax.jacobian(apply_fn))(params, x))
    rows = np.concatenate(
        [leaf.reshape(len(x), np.prod(shape, dtype=int), -1) for leaf in leaves], 2
    )
    j1, j2 = (part.reshape(-1, rows.shape[2]) for part in np.split(rows, [len(x1)]))
    kernel = (j1 @ j2.T).reshape(len(x1), *shape, len(x2), *shape)
    return kernel.transpose(np.arange(kernel.ndim).reshape(2, -1).T.ravel())


def assert_close(actual, expected, tol):
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tol * np.abs(expected).max())


@pytest.mark.parametrize("name", ["dense", "convolution", "scan", "impulse"])
def test_implementations_are_the_product_of_two_jacobians(name, dtype, tol):
    apply_fn, params, x1, x2 = setup(name, dtype)
    expected = jacobian_product(apply_fn, params, x1, x2)
    # Precision is the network's affair, so one of them shows it; AUTO takes long to compile, as it
    # compiles all others, and chooses among them the same way for every network.
    if dtype == np.float64:
        implementations = ALWAYS[:1] if name != "impulse" else ALWAYS
    else:
        implementations = IMPLEMENTATIONS if name == "impulse" else ALWAYS
    for implementation in implementations:
        kernel = empirical_ntk(
            apply_fn, params, x1, x2, trace_axes=(), implementation=implementation
        )
        assert_close(kernel, expected, tol)


@pytest.mark.parametrize("name", ["dense", "impulse"])
def test_trace_is_the_mean_over_outputs_and_x2_defaults_to_x1(name):
    apply_fn, params, x1, _ = setup(name, np.float32)
    full = jacobian_product(apply_fn, params, x1, x1)
    for implementation in ALWAYS:
        kernel = empirical_ntk(apply_fn, params, x1, implementation=implementation)
        assert_close(kernel, np.trace(full, axis1=-2, axis2=-1) / full.shape[-1], 1e-5)


def test_one_number_a_sequence():
    apply_fn, params, x1, x2 = setup("scan", np.float32)

    def last(params, x):
        return apply_fn(params, x)[:, -1, 0]

    kernel = empirical_ntk(last, params, x1, x2, trace_axes=())
    assert_close(kernel, jacobian_product(last, params, x1, x2), 1e-5)
    with pytest.raises(
        ValueError, match=r"must be \(\) where .* one number .* pass trace_axes=\(\)"
    ):
        empirical_ntk(last, params, x1, x2)


def test_trace_over_time():
    apply_fn, params, x1, x2 = setup("scan", np.float32)
    kernel = empirical_ntk(apply_fn, params, x1, x2, trace_axes=1)
    full = jacobian_product(apply_fn, params, x1, x2)
    assert_close(kernel, np.einsum("abttpq->abpq", full) / 3, 1e-5)


# Sizes that divide 6 and do not, on either side; larger than one side, and than both.
@pytest.mark.parametrize(
    ("batch_size", "num2"), [(1, 5), (2, None), (3, 5), (4, None), (4, 1), (4, 5), (9, None)]
)
def test_blocks_of_any_size_give_the_same_kernel(batch_size, num2):
    apply_fn, params, _, _ = setup("impulse", np.float32)
    x1, x2 = np.random.default_rng(2).standard_normal((2, 6, 3, 2)).astype(np.float32)
    x2 = None if num2 is None else x2[:num2]
    kernel = empirical_ntk(apply_fn, params, x1, x2, batch_size=batch_size)
    assert_close(kernel, empirical_ntk(apply_fn, params, x1, x2), 1e-5)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_network_is_traced_once(batch_size):
    apply_fn, params, x1, x2 = setup("scan", np.float32)
    calls = []

    def counting(params, x):
        calls.append(x.shape)
        return apply_fn(params, x)

    empirical_ntk(counting, params, x1, x2, batch_size=batch_size)
    before = len(calls)
    assert before > 0
    empirical_ntk(counting, params, 2 * x1, x2 - 1, batch_size=batch_size)
    assert len(calls) == before


def test_equal_modules_share_what_is_compiled():
    assert as_apply_fn(Dense(5)) == as_apply_fn(Dense(5)) == as_apply_fn(Dense(5).apply)
    assert hash(as_apply_fn(Dense(5))) == hash(as_apply_fn(Dense(5).apply))
    assert as_apply_fn(Dense(5)) != as_apply_fn(Dense(6))


def test_network_runs_under_the_settings_of_its_user():
    seen = []

    def records(params, x):
        seen.append((jax.config.jax_numpy_rank_promotion, jax.config.jax_numpy_dtype_promotion))
        return x @ params["w"]

    for implementation in ALWAYS:
        x = np.ones((2, 2), np.float32)
        empirical_ntk(records, {"w": jnp.ones((2, 3), x.dtype)}, x, implementation=implementation)
    assert set(seen) == {("raise", "strict")}


@pytest.mark.parametrize("implementation", ALWAYS)
def test_parameters_of_two_types(implementation):
    # Adding up what they contribute is an implicit promotion, which the suite forbids.
    def apply_fn(params, x):
        return x @ params["w"] + params["b"].astype(x.dtype)[None]

    params = {"w": jnp.ones((2, 3), np.float32), "b": jnp.ones(3, jnp.bfloat16)}
    x = np.ones((1, 2), np.float32)
    kernel = empirical_ntk(apply_fn, params, x, implementation=implementation)
    np.testing.assert_allclose(kernel, [[3.0]])


def test_inputs_are_differentiated_one_by_one():
    apply_fn, params, x1, _ = setup("scan", np.float32)
    shapes = []

    def recording(params, x):
        shapes.append(x.shape)
        return apply_fn(params, x)

    empirical_ntk(recording, params, x1)
    assert shapes[-1] == (1, 3, 2)


def test_products_run_at_full_precision():
    apply_fn, params, x1, _ = setup("scan", np.float32)

    def kernel(x):
        return empirical_ntk(apply_fn, params, x, trace_axes=())

    text = str(jax.make_jaxpr(kernel)(x1))
    assert text.count("dot_general[") == text.count("precision=(Precision.HIGHEST") > 0


def test_works_inside_jit_and_is_differentiable():
    apply_fn, params, x1, x2 = setup("impulse", np.float32)

    def total(params):
        return empirical_ntk(apply_fn, params, x1, x2, batch_size=2).sum()

    step = jax.tree.map(jnp.ones_like, params)
    ahead, behind = (
        jax.jit(total)(jax.tree.map(lambda p, d, s=s: p + s * d, params, step))
        for s in (1e-2, -1e-2)
    )
    slope = jax.jvp(total, (params,), (step,))[1]
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-2, rtol=1e-2)


@pytest.mark.filterwarnings("ignore:No Jacobian rule")
def test_primitives_without_a_rule_are_differentiated():
    def apply_fn(params, x):
        inner = jax.checkpoint(lambda w, x: jnp.tanh(x @ jnp.cumsum(w, 0)))
        return inner(params["w"], x) @ params["w"][:, 1:]

    draw = np.random.default_rng(0)
    params = {"w": jnp.asarray(draw.standard_normal((4, 4)), np.float32)}
    x = draw.standard_normal((2, 4)).astype(np.float32)
    kernel = empirical_ntk(apply_fn, params, x, trace_axes=(), implementation=3)
    assert_close(kernel, jacobian_product(apply_fn, params, x, x), 1e-5)


def test_structured_derivatives_refuse_complex_values():
    def by_fft(params, x):
        return jnp.fft.irfft(jnp.fft.rfft(x) * jnp.fft.rfft(params["k"])[None], n=4)

    params = {"k": jnp.arange(4, dtype=np.float32)}
    x = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    with pytest.raises(ValueError, match=r"complex values.*use 'jacobian_contraction'"):
        empirical_ntk(by_fft, params, x, implementation="structured_derivatives")
    kernel = empirical_ntk(by_fft, params, x, trace_axes=())
    assert_close(kernel, jacobian_product(by_fft, params, x, x), 1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x1": np.full((1, 3, 2), np.nan, np.float32)}, "x1 must be finite"),
        ({"x2": np.full((1, 3, 2), np.inf, np.float32)}, "x2 must be finite"),
        ({"x1": np.zeros((0, 3, 2), np.float32)}, "x1 must not be empty"),
        ({"x1": np.zeros(3, np.float32)}, "x1 must have a batch axis"),
        ({"x2": np.zeros((1, 3, 4), np.float32)}, "same number of features, got 2 and 4"),
        ({"x2": np.zeros((1, 2), np.float32)}, "same number of axes, got 3 and 2"),
        ({"trace_axes": (3,)}, "trace_axes must be different axes of the output"),
        ({"trace_axes": (0,)}, "other than the first"),
        ({"trace_axes": (-3,)}, "other than the first"),
        ({"trace_axes": (-1, 2)}, "trace_axes must be different"),
        ({"implementation": "best"}, "implementation must be one of"),
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
        ({"apply_fn": lambda p, x: x.sum()}, "apply_fn must return one array"),
        ({"apply_fn": lambda p, x: (x, x)}, "apply_fn must return one array"),
    ],
)
def test_errors_name_the_argument(change, message):
    apply_fn, params, x1, x2 = setup("scan", np.float32)
    arguments = {"apply_fn": apply_fn, "params": params, "x1": x1, "x2": x2} | change
    if "x1" in change:
        arguments["x2"] = None
    with pytest.raises(ValueError, match=message):
        empirical_ntk(**arguments)


@pytest.mark.usefixtures("unannotated")
def test_parameters_that_are_not_finite_are_refused():
    x, model = jnp.ones((2, 3, 1)), nr.LinearRNN(4, 1)
    params = model.init(jax.random.key(0), x)
    params["params"]["F"] = params["params"]["F"].at[0, 0].set(jnp.nan)
    message = r"params\['params'\]\['F'\] must be finite, got 1 NaN or infinite of 4 entries"
    for call in (
        lambda: nr.empirical_ntk(model, params, x),
        lambda: nr.monte_carlo_ntk(model, params, x, None, jax.random.key(1), 10),
        lambda: nr.impulse_response(params, 3),
        lambda: nr.finite_width_gram(params, 3),
    ):
        with pytest.raises(ValueError, match=message):
            call()
