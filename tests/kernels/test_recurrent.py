"""The kernels of wide recurrent networks with any activation (Proposition 3.1)."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn import _neural_tangents
from ntk_rnn.kernels.recurrent import recursion

NU = {"nu_w": 1.3, "nu_f": 0.7, "nu_c": 1.2}
# One of each kind; tests/activations has what sets the others apart.
ACTIVATIONS = ["relu", "erf", "cos", "tanh"]


def sequences(seed, shape, dtype):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def relu_moments(a, b, c):
    theta = np.arccos(np.clip(c / np.sqrt(a * b), -1, 1))
    value = np.sqrt(a * b) * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    return value, (np.pi - theta) / (2 * np.pi)


def erf_moments(a, b, c):
    value = 2 / np.pi * np.arcsin(2 * c / np.sqrt((1 + 2 * a) * (1 + 2 * b)))
    return value, 4 / np.pi / np.sqrt((1 + 2 * a) * (1 + 2 * b) - 4 * c**2)


def tanh_moments(a, b, c):
    """By the trapezoidal rule, whose error is below 1e-11."""
    z = np.linspace(-8, 8, 400)
    weight = np.exp(-(z**2) / 2)
    weight = np.outer(weight, weight) / weight.sum() ** 2
    u = np.sqrt(a) * z[:, None]
    v = c / np.sqrt(a) * z[:, None] + np.sqrt(max(b - c**2 / a, 0)) * z
    value = np.sum(weight * np.tanh(u) * np.tanh(v))
    return value, np.sum(weight / (np.cosh(u) * np.cosh(v)) ** 2)


def by_loop(moments, x1, x2):
    """The recursion as it stands in the literature, an entry at a time."""
    nu_w, nu_f, nu_c = NU.values()

    def variances(x):
        q, before = [], 0.0
        for x_t in x:
            q.append(nu_f * x_t @ x_t + nu_w * before)
            before = moments(q[-1], q[-1], q[-1])[0]
        return q

    kernel = np.zeros((len(x1), len(x2), x1.shape[1], x2.shape[1]))
    all1, all2 = [variances(x) for x in x1], [variances(x) for x in x2]
    for i, k, t, s in np.ndindex(kernel.shape):
        q1, q2 = all1[i], all2[k]
        value = passed = 0.0
        for back in range(min(t, s), -1, -1):
            a, b = t - back, s - back
            gram = x1[i, a] @ x2[k, b]
            theta = gram + value + nu_w * passed
            value, slope = moments(q1[a], q2[b], nu_f * gram + nu_w * value)
            passed = slope * theta
        kernel[i, k, t, s] = value + nu_c * passed
    return kernel


@pytest.mark.parametrize(
    ("activation", "moments", "rtol"),
    [("relu", relu_moments, 1e-10), ("erf", erf_moments, 1e-10), ("tanh", tanh_moments, 1e-8)],
)
def test_a_plain_loop(activation, moments, rtol):
    jax.config.update("jax_enable_x64", True)
    x1, x2 = sequences(0, (1, 4, 2), float), sequences(1, (2, 3, 2), float)
    kernel = nr.recurrent_ntk(x1, x2, activation=activation, **NU)
    expected = by_loop(moments, np.asarray(x1), np.asarray(x2))
    jax.config.update("jax_enable_x64", False)
    np.testing.assert_allclose(kernel, expected, rtol=rtol, atol=rtol)


def test_the_identity_is_the_linear_rnn(dtype, tol):
    x1, x2 = sequences(0, (3, 6, 2), dtype), sequences(1, (2, 4, 2), dtype)
    kernel = nr.recurrent_ntk(x1, x2, activation="identity", **NU)
    expected = nr.analytic_ntk(x1, x2, nr.lag_weights(6, **NU))
    np.testing.assert_allclose(kernel, expected, rtol=10 * tol, atol=10 * tol)


@pytest.mark.parametrize(
    ("activation", "dtype"),
    [("relu", "float32"), *((name, "float64") for name in ("relu", "erf", "gelu", "sin"))],
    indirect=["dtype"],
)
def test_one_step_is_a_dense_network(activation, dtype, tol):
    """``C phi(F x) / sqrt(n)`` of neural-tangents, whose NTK counts the entries of ``F`` by nu_F.

    Its weights are multiplied by their deviation rather than drawn with it, so of its NTK the part
    of ``F`` is nu_F times ours and that of ``C`` is nu_C times ours.
    """
    stax = _neural_tangents.load().stax
    x = sequences(0, (4, 1, 3), dtype)
    layer = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu, "sin": stax.Sin}[activation]
    deviations = np.sqrt(NU["nu_f"] * 3), np.sqrt(NU["nu_c"])  # Dense divides by the inputs
    _, _, kernel_fn = stax.serial(
        stax.Dense(1, deviations[0]), layer(), stax.Dense(1, deviations[1])
    )
    theirs = kernel_fn(x[:, 0], None, ("nngp", "ntk"))
    options = {"activation": activation, **NU}
    covariance = nr.recurrent_nngp(x, **options)[:, :, 0, 0]
    np.testing.assert_allclose(covariance, theirs.nngp, rtol=20 * tol, atol=tol)
    from_f = nr.recurrent_ntk(x, **options)[:, :, 0, 0] - covariance / NU["nu_c"]
    np.testing.assert_allclose(
        covariance + NU["nu_f"] * from_f, theirs.ntk, rtol=20 * tol, atol=20 * tol
    )


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_state_evolution_has_the_same_covariances(activation, dtype, tol):
    """Lemma C.1: two sequences are two columns of the states, driven by ``F x_t``."""
    x = sequences(0, (2, 3, 1), dtype)
    phi = {"relu": jax.nn.relu, "tanh": jnp.tanh}[activation]

    def of_states(q, u):
        return phi(q + u)

    horizon = x.shape[1]
    # Rows of the inputs F x_t over times and sequences: F is the same at all of them.
    flat = x[..., 0].T.reshape(-1)
    covariance = NU["nu_f"] * np.outer(flat, flat).reshape(horizon, 2, horizon, 2)
    inputs = nr.GaussianRows(np.zeros((horizon, 2), dtype), covariance.astype(dtype))
    start = nr.GaussianRows(np.zeros(2, dtype), np.zeros((2, 2), dtype))
    found = nr.state_evolution(
        [of_states], [NU["nu_w"]], start, inputs, horizon=horizon, method="monte_carlo",
        key=jax.random.key(0), num_samples=2**16,
    )  # fmt: skip
    # q_{t+1} is W phi(g_t) / sqrt(n), of covariance nu_W V_{t,s}.
    v = nr.recurrent_nngp(x, activation=activation, **NU) / NU["nu_c"]
    expected = NU["nu_w"] * v.transpose(2, 0, 3, 1)
    error = np.abs(found.covariance - expected)
    # Five standard errors of 16 repetitions, which know their own to a fifth.
    assert np.all(error <= 6 * found.standard_error + 100 * tol)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize("activation", ["relu", "tanh"])  # in closed form, and by an expansion
def test_one_output_a_sequence(activation, dtype, tol):
    x1, x2 = sequences(0, (4, 6, 2), dtype), sequences(1, (3, 5, 2), dtype)
    ends1, ends2 = np.array([6, 3, 1, 2]), np.array([5, 2, 4])
    kernel = partial(nr.recurrent_ntk, activation=activation, **NU)
    whole = np.asarray(kernel(x1, x2))
    last, mean = kernel(x1, x2, output="last"), kernel(x1, x2, output="mean")
    np.testing.assert_allclose(last, whole[:, :, -1, -1], rtol=20 * tol)
    np.testing.assert_allclose(mean, whole.mean((2, 3)), rtol=20 * tol, atol=20 * tol)
    lengths = {"lengths1": ends1, "lengths2": ends2}
    # What is padding must not matter, however large.
    padded1 = jnp.where(jnp.arange(6)[None, :, None] < ends1[:, None, None], x1, 1e15)
    last = kernel(padded1, x2, output="last", **lengths)
    mean = kernel(padded1, x2, output="mean", **lengths)
    every = kernel(padded1, x2, **lengths)
    for i, k in np.ndindex(4, 3):
        block = whole[i, k, : ends1[i], : ends2[k]]
        np.testing.assert_allclose(last[i, k], block[-1, -1], rtol=20 * tol)
        np.testing.assert_allclose(mean[i, k], block.mean(), rtol=20 * tol, atol=20 * tol)
        np.testing.assert_allclose(every[i, k, : ends1[i], : ends2[k]], block, rtol=20 * tol)
    assert not np.any(every[1, :, 3:]) and not np.any(every[:, 1, :, 2:])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_symmetric_semidefinite_and_causal(activation, dtype, tol):
    x = sequences(0, (3, 5, 2), dtype)
    kernel = partial(nr.recurrent_ntk, activation=activation, **NU)
    found = kernel(x)
    size = float(jnp.max(jnp.abs(found)))
    np.testing.assert_allclose(found, found.transpose(1, 0, 3, 2), atol=10 * tol * size)
    assert np.linalg.eigvalsh(nr.as_matrix(found))[0] > -10 * tol * size
    later = kernel(x.at[:, 3:].multiply(0.5))  # of the same shape, which takes no compilation
    assert jnp.max(jnp.abs(later - found)) > 0.01 * size
    np.testing.assert_allclose(later[:, :, :3, :3], found[:, :, :3, :3], rtol=10 * tol, atol=tol)
    if dtype == np.float32:
        np.testing.assert_allclose(
            jax.jit(kernel)(x[:2], x[1:]), found[:2, 1:], rtol=1e-4, atol=1e-5 * size
        )


@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
def test_the_empirical_kernel_tends_to_it(activation):
    """The mean over 4 networks of width 500; the distance of one falls as about 4 / sqrt(n)."""
    x = sequences(0, (2, 3, 1), np.float32)
    model = nr.RNN(500, 1, activation, **NU)
    keys = jax.random.split(jax.random.key(0), 4)
    mean = sum(nr.empirical_ntk(model, model.init(key, x), x) for key in keys) / 4
    limit = nr.recurrent_ntk(x, activation=activation, **NU)
    distance = float(jnp.linalg.norm((mean - limit).ravel()) / jnp.linalg.norm(limit.ravel()))
    assert distance < 2 * 4 / np.sqrt(4 * 500)


@pytest.mark.parametrize(
    ("activation", "output"), [("relu", "all"), ("abs", "last"), ("erf", "mean")]
)
def test_derivatives(activation, output):
    """By the variances, against differences; and finite where sequences coincide or vanish."""
    jax.config.update("jax_enable_x64", True)
    x = sequences(0, (3, 4, 2), float)
    x = x.at[1].set(x[0]).at[2, :2].set(0)

    @jax.jit
    @jax.value_and_grad
    def total(nu):
        kernel = nr.recurrent_ntk(
            x, activation=activation, nu_w=nu[0], nu_f=nu[1], nu_c=nu[2], output=output
        )
        return jnp.sum(kernel * jnp.cos(jnp.arange(kernel.size, dtype=float)).reshape(kernel.shape))

    nu, step = jnp.asarray([1.3, 0.7, 1.2]), 1e-6
    differences = [
        (total(nu.at[i].add(step))[0] - total(nu.at[i].add(-step))[0]) / (2 * step)
        for i in range(3)
    ]
    np.testing.assert_allclose(total(nu)[1], differences, rtol=1e-6, atol=1e-6)
    jax.config.update("jax_enable_x64", False)

    @jax.jit
    @jax.grad
    def of_inputs(x):
        return jnp.sum(nr.recurrent_ntk(x, activation=activation, output=output, **NU))

    x = x.astype(np.float32)
    assert np.isfinite(of_inputs(x)).all()
    assert np.isfinite(of_inputs(jnp.zeros_like(x))).all()


@pytest.mark.parametrize("activation", ["gelu", "sin"])
def test_derivatives_by_the_inputs(activation):
    jax.config.update("jax_enable_x64", True)
    x = sequences(0, (2, 3, 1), float)

    @jax.jit
    @jax.value_and_grad
    def total(x):
        return jnp.sum(jnp.sin(nr.recurrent_ntk(x, activation=activation, **NU)))

    step = 1e-6
    _, found = total(x)
    for where in np.ndindex(x.shape):
        (ahead, _), (behind, _) = total(x.at[where].add(step)), total(x.at[where].add(-step))
        np.testing.assert_allclose(found[where], (ahead - behind) / (2 * step), rtol=1e-5)
    jax.config.update("jax_enable_x64", False)


def test_equal_sequences_have_the_slope_of_equal_variables():
    """In float32 too, where the angle between variables of rounding would be 3e-4."""
    x = sequences(0, (1, 30, 3), np.float32)
    twice = jnp.concatenate([x, x])
    found = nr.recurrent_ntk(twice, activation="relu", nu_w=1.9, nu_f=1.0, nu_c=1.0)
    diagonal = jnp.diagonal(found[0, 1])
    # V = q / 2 and D = 1 / 2 throughout.
    q = theta = value = passed = 0.0
    for t, x_t in enumerate(np.asarray(x[0], float)):
        power = x_t @ x_t
        q = power + 1.9 * value
        theta = power + value + 1.9 * passed
        value, passed = q / 2, theta / 2
        np.testing.assert_allclose(diagonal[t], value + passed, rtol=1e-5)


@pytest.mark.parametrize(("activation", "nu_w"), [("tanh", 40.0), ("softsign", 20.0)])
def test_a_sequence_coincides_with_itself_beyond_the_edge_of_chaos(activation, nu_w):
    """Where a difference of rounding would grow by chi = 3 a step, until nothing coincides."""
    x = sequences(0, (1, 40, 3), np.float32)
    phi = {"tanh": jnp.tanh, "softsign": jax.nn.soft_sign}[activation]
    given = {"activation": phi, "nu_w": nu_w, "nu_f": 1.0, "nu_c": 1.0, "output": "last"}
    found = nr.recurrent_nngp(x, **given, tolerance=1e-3)
    z = np.linspace(-8, 8, 4001)
    density = np.exp(-(z**2) / 2) / np.sum(np.exp(-(z**2) / 2))
    value = 0.0
    for x_t in np.asarray(x[0], float):
        deviation = np.sqrt(x_t @ x_t + nu_w * value)
        value = density @ np.asarray(phi(deviation * z), float) ** 2
    np.testing.assert_allclose(found, value, rtol=2e-3)


def test_under_jit_and_vmap(dtype, tol):
    x = sequences(0, (2, 4, 1), dtype)
    variances = jnp.asarray([0.5, 1.5], dtype)

    def kernel(nu_w):
        return nr.recurrent_ntk(x, activation="erf", nu_w=nu_w, nu_f=0.7, nu_c=1.0)

    together = jax.jit(jax.vmap(kernel))(variances)
    for nu_w, found in zip(variances, together, strict=True):
        np.testing.assert_allclose(found, kernel(nu_w), rtol=10 * tol, atol=10 * tol)


def test_in_blocks_on_disk(tmp_path):
    x = sequences(0, (5, 4, 1), np.float32)
    kernel_fn = partial(nr.recurrent_ntk, activation="relu", **NU)
    for output, name in (("all", "all.npy"), ("last", "last.npy")):
        function = partial(kernel_fn, output=output)
        found = nr.write_ntk(tmp_path / name, function, x, block_size=2, progress=False)
        np.testing.assert_allclose(found, function(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("output", "function"),
    [
        ("all", recursion.between_all_times),
        ("last", recursion.between_ends),
        ("mean", recursion.between_means),
    ],
)
def test_no_compilation_on_a_second_call(output, function):
    x = sequences(0, (3, 4, 2), np.float32)
    nr.recurrent_ntk(x, activation="erf", output=output, **NU)
    compiled = function._cache_size()
    nr.recurrent_ntk(2 * x, activation="erf", output=output, **{**NU, "nu_w": 0.4})
    assert function._cache_size() == compiled


BAD = [
    ({"x1": np.ones((3, 4))}, "x1 must have shape"),
    ({"nu_w": -1.0}, "nu_w must be positive"),
    ({"output": "first"}, 'output must be "all", "last" or "mean"'),
    ({"lengths1": [1, 2]}, "lengths1 must be whole numbers of steps, one for each of 3"),
    ({"lengths1": [1, 2, 9]}, "lengths1 must be from 1 to 4"),
    ({"lengths1": [0, 2, 3]}, "lengths1 must be from 1 to 4"),
    ({"lengths1": [1.5, 2.0, 3.0]}, "lengths1 must be whole numbers"),
    ({"lengths2": [1, 2, 3]}, "lengths2 must be None without x2"),
    ({"activation": jnp.sign}, "activation must be Lipschitz"),
    ({"activation": "step"}, 'activation must be "identity"'),
    ({"tolerance": -1.0}, "tolerance must be positive"),
    ({"nu_w": 1e30, "activation": "relu"}, "nu_w must let the variances .* exceed it at step 1 of"),
    ({"nu_w": 1e10, "activation": "erf", "x1": np.full((3, 4, 2), 1e12)}, "nu_w must let the"),
]


@pytest.mark.parametrize(("changed", "message"), BAD)
def test_bad_arguments(changed, message, unannotated):
    given = {"x1": np.ones((3, 4, 2), np.float32), "activation": "relu", **NU, **changed}
    x1 = given.pop("x1")
    with pytest.raises(ValueError, match="^" + message):
        nr.recurrent_ntk(x1, **given)


def test_a_kernel_larger_than_memory_is_refused():
    x = np.broadcast_to(np.float32(1), (4000, 1000, 1))
    with pytest.raises(ValueError, match="fits into memory"):
        nr.recurrent_ntk(x, activation="relu", **NU)


def test_both_kernels_take_the_same():
    ntk, nngp = (inspect.signature(f).parameters for f in (nr.recurrent_ntk, nr.recurrent_nngp))
    assert ntk == nngp
