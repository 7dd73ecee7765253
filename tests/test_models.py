"""The linear RNN in its two evaluations, and the scaled convolution."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr

SHAPES = [(1, 1, 1, 1), (2, 5, 3, 2), (3, 9, 2, 4)]  # N, T, n_x, n_y


def inputs(dtype, num, seq_len, in_dim):
    return jax.random.normal(jax.random.key(0), (num, seq_len, in_dim), dtype)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("float64", SHAPES[0]), ("float64", SHAPES[1]), ("float32", SHAPES[2])],
    indirect=["dtype"],
)
def test_both_evaluations_give_the_same_outputs_and_gradients(dtype, tol, shape):
    num, seq_len, in_dim, out_dim = shape
    x = inputs(dtype, num, seq_len, in_dim)
    target = jax.random.normal(jax.random.key(1), (num, seq_len, out_dim), dtype)
    params = jax.jit(nr.LinearRNN(30, out_dim).init)(jax.random.key(2), x)

    @partial(jax.jit, static_argnums=0)
    def outputs_and_gradients(evaluation, params, x):
        model = nr.LinearRNN(30, out_dim, evaluation=evaluation)

        def loss(p, x):
            y = model.apply(p, x)
            return jnp.sum((y - target) ** 2), y

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    scan, impulse = (
        jax.tree.leaves(outputs_and_gradients(e, params, x)) for e in ("scan", "impulse")
    )
    for a, b in zip(scan, impulse, strict=True):
        assert a.dtype == dtype
        assert np.linalg.norm(a - b) <= tol * np.linalg.norm(a)


def test_outputs_are_the_recurrence(dtype, tol):
    x = inputs(dtype, 2, 5, 3)
    model = nr.LinearRNN(8, 2)
    params = jax.jit(model.init)(jax.random.key(1), x)
    w, f, c = (np.asarray(params["params"][name]) for name in "WFC")
    h, expected = np.zeros((2, 8), dtype), []
    for t in range(5):
        h = h @ w.T / np.sqrt(8).astype(dtype) + np.asarray(x)[:, t] @ f.T
        expected.append(h @ c.T / np.sqrt(8).astype(dtype))
    np.testing.assert_allclose(
        model.apply(params, x), np.stack(expected, 1), rtol=100 * tol, atol=tol
    )


def test_auto_takes_the_cheaper_evaluation():
    def program(evaluation, shape, **sizes):
        model = nr.LinearRNN(**sizes, evaluation=evaluation)
        x = jax.ShapeDtypeStruct(shape, np.float32)
        params = jax.eval_shape(model.init, jax.random.key(0), x)
        # Addresses of functions, which some versions of JAX print, differ from one to the next.
        return re.sub("0x[0-9a-f]+", "", str(jax.make_jaxpr(model.apply)(params, x)))

    def chosen(shape, **sizes):
        auto = program("auto", shape, **sizes)
        return next(e for e in ("scan", "impulse") if program(e, shape, **sizes) == auto)

    assert chosen((50, 10, 1), width=1000, out_dim=1) == "impulse"
    assert chosen((128, 15, 52), width=1000, out_dim=2) == "impulse"
    # A few sequences of many inputs and outputs need fewer products step by step.
    assert chosen((1, 10, 50), width=1000, out_dim=50) == "scan"
    # So does a small network on long sequences, where the convolution dominates.
    assert chosen((50, 10_000, 1), width=4, out_dim=1) == "scan"


def test_parameters_have_the_variances_asked_for(dtype):
    x = inputs(dtype, 1, 2, 400)
    model = nr.LinearRNN(400, 400, nu_w=0.3, nu_f=2.0, nu_c=5.0)
    for name, variance in (("W", 0.3), ("F", 2.0), ("C", 5.0)):
        entries = np.asarray(model.init(jax.random.key(0), x)["params"][name], float)
        assert entries.shape == (400, 400)
        # The variance of 160,000 normal entries has relative standard error sqrt(2 / 160,000).
        assert abs(np.mean(entries**2) / variance - 1) < 5 * np.sqrt(2 / entries.size)
        assert abs(np.mean(entries)) < 5 * np.sqrt(variance / entries.size)


def test_convolution_has_its_impulse_response(dtype, tol):
    rho = nr.lag_weights(6, 0.5, 1.0, 2.0)
    response = jax.random.normal(jax.random.key(3), (6, 2, 3), dtype)
    conv = nr.ScaledConv(rho, 2)
    params = conv.params_from(response)
    x = inputs(dtype, 4, 6, 3)
    assert jax.tree.map(jnp.shape, conv.init(jax.random.key(0), x)) == {
        "params": {"theta": (6, 2, 3)}
    }
    np.testing.assert_allclose(
        params["params"]["theta"], response / np.sqrt(rho)[:, None, None], rtol=10 * tol
    )
    np.testing.assert_allclose(
        conv.apply(params, x), nr.causal_conv(response, x), rtol=100 * tol, atol=10 * tol
    )


def test_equal_convolutions_hash_alike():
    rho = nr.lag_weights(4, 0.3, 1.0, 1.0)
    assert hash(nr.ScaledConv(rho, 1)) == hash(nr.ScaledConv(np.asarray(rho), 1))
    assert nr.ScaledConv(rho, 1) == nr.ScaledConv(rho, 1)


def test_variances_can_be_traced():
    x = inputs(np.float32, 2, 3, 1)

    def energy(nu_w):
        model = nr.LinearRNN(5, 1, nu_w=nu_w)
        conv = nr.ScaledConv(nr.lag_weights(3, nu_w, 1.0, 1.0), 1)
        return jnp.sum(model.apply(model.init(jax.random.key(0), x), x) ** 2) + jnp.sum(
            conv.apply(conv.init(jax.random.key(0), x), x) ** 2
        )

    values = jax.jit(jax.vmap(energy))(jnp.asarray([0.2, 0.4]))
    expected = [jax.jit(partial(energy, nu_w))() for nu_w in (0.2, 0.4)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be a positive integer, got 0"),
        ({"width": 2.5}, "width must be a positive integer, got 2.5"),
        ({"out_dim": -1}, "out_dim must be a positive integer, got -1"),
        ({"nu_w": -0.3}, "nu_w must be positive and finite, got -0.3"),
        ({"nu_f": 0}, "nu_f must be positive and finite, got 0"),
        ({"nu_c": np.inf}, "nu_c must be positive and finite, got inf"),
        ({"nu_w": np.nan}, "nu_w must be positive and finite, got nan"),
        ({"evaluation": "fast"}, 'evaluation must be "auto", "scan" or "impulse", got \'fast\''),
    ],
)
def test_bad_rnns_are_refused_when_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        nr.LinearRNN(**{"width": 4, "out_dim": 1, **arguments})


@pytest.mark.usefixtures("unannotated")
def test_bad_convolutions_are_refused():
    with pytest.raises(ValueError, match=r"lag_weights must have shape \(lags,\)"):
        nr.ScaledConv(jnp.ones((2, 2)), 1)
    with pytest.raises(
        ValueError, match="lag_weights must be at least 0 and finite, got -1 at lag"
    ):
        nr.ScaledConv([1.0, -1.0], 1)
    with pytest.raises(ValueError, match=r"impulse_response must vanish where .* got 1 at lag 1"):
        nr.ScaledConv([1.0, 0.0], 1).params_from(jnp.ones((2, 1, 1)))
    conv = nr.ScaledConv([1.0, 0.5], 1)
    with pytest.raises(ValueError, match=r"same lags and outputs, got \(3, 1\) and \(2, 1\)"):
        conv.params_from(jnp.ones((3, 1, 1)))


@pytest.mark.usefixtures("unannotated")
def test_impulse_response_of_whole_numbers():
    params = nr.ScaledConv([2.0, 0.5], 1).params_from(np.ones((2, 1, 1), int))
    np.testing.assert_allclose(params["params"]["theta"].ravel(), [2**-0.5, 2**0.5], rtol=1e-6)


@pytest.mark.usefixtures("unannotated")
def test_parameters_of_another_shape_are_refused():
    x = jnp.ones((2, 3, 2))
    params = nr.LinearRNN(4, 1).init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"params must hold W of shape \(5, 5\) .* got \(4, 4\)"):
        nr.LinearRNN(5, 1).apply(params, x)
    with pytest.raises(ValueError, match=r"params must hold F of shape \(4, 1\) .* got \(4, 2\)"):
        nr.LinearRNN(4, 1).apply(params, x[..., :1])


@pytest.mark.usefixtures("unannotated")
def test_nan_in_data_is_refused():
    model = nr.LinearRNN(4, 1)
    x = jnp.ones((2, 3, 1))
    params = model.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"x must be finite, got 1 .*first at index \(1, 2, 0\)"):
        model.apply(params, x.at[1, 2, 0].set(jnp.nan))
