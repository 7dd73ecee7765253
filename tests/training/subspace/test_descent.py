"""Training in a subspace, against training with the whole of ``W``."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_rnn as nr

RECORDS = [0, 50, 200]
SEQ_LEN = 5  # what is compiled grows with it


def problem(width=400, seq_len=SEQ_LEN, dim=1, nu_w=0.3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, seq_len, dim))
    y = np.cumsum(x, axis=1) / 2 + 0.1 * rng.normal(size=x.shape)
    model = nr.LinearRNN(width, dim, nu_w=nu_w)
    dtype = jnp.result_type(float)
    params = jax.tree.map(
        lambda a: a.astype(dtype), model.init(jax.random.key(1), jnp.zeros((1, 1, dim)))
    )
    return model, params, (jnp.asarray(x, dtype), jnp.asarray(y, dtype))


def distance(path, reference):
    """The largest distance of impulse responses, relative to how far they moved."""
    expected = np.asarray(reference.impulse_response, float)
    gap = np.linalg.norm(np.asarray(path.impulse_response, float) - expected, axis=(2, 3))
    return np.max(np.linalg.norm(gap, axis=1)) / np.linalg.norm(expected[-1] - expected[0])


@pytest.mark.parametrize(
    ("dtype", "momentum", "batch", "dim"),
    [("float32", 0.9, None, 1), ("float64", 0.9, 10, 2)],
    indirect=["dtype"],
)
def test_same_path_as_with_w(dtype, momentum, batch, dim, caplog):
    model, params, data = problem(dim=dim)
    how = {"steps": 200, "record_at": RECORDS, "batch_size": batch}
    how["key"] = None if batch is None else jax.random.key(2)
    rate = 3e-4 * (1 - momentum)
    path = nr.subspace_descent(
        params, data, learning_rate=rate, momentum=momentum, test=data, **how
    )
    full = nr.train(model, params, data, optimizer=optax.sgd(rate, momentum), test=data, **how)
    assert path.step.tolist() == RECORDS and path.rank < 100
    assert distance(path, full) < {"float32": 1e-3, "float64": 1e-4}[dtype.name]
    np.testing.assert_allclose(path.train_loss, full.train_loss, rtol=1e-3)
    np.testing.assert_allclose(path.test_loss, path.train_loss, rtol=1e-5)
    assert np.all(np.asarray(path.leak) <= {"float32": 7e-3, "float64": 2.5e-3}[dtype.name])
    # The lifted parameters are those of a network that responds so.
    response = nr.impulse_response(path.params.dense(), SEQ_LEN)
    np.testing.assert_allclose(response, path.impulse_response[-1], atol=1e-3)

    how["record_at"] = [1, 70, 200]
    caplog.clear()
    with jax.log_compiles():
        nr.subspace_descent(
            params, data, learning_rate=1.01 * rate, momentum=momentum, test=data, **how
        )
    compiled = [m for m in caplog.messages if m.startswith("Compiling")]
    assert compiled == []


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_certificate_is_the_distance_from_the_lifted_network(dtype):
    """Of the impulse response and of the gradient, by products with W and by automatic ones."""
    model, params, data = problem()
    steps = [0, 100]
    path = nr.subspace_descent(
        params, data, steps=100, learning_rate=3e-4, record_at=steps, certify_at=steps
    )
    whole = path.params.dense()
    expected = nr.impulse_response(whole, SEQ_LEN)
    gap = np.linalg.norm(path.impulse_response[-1] - expected) / np.linalg.norm(expected)
    certificate = path.certificate
    assert certificate.step.tolist() == steps
    np.testing.assert_allclose(certificate.impulse_response[-1], gap, rtol=1e-6)
    x, y = data

    def loss(params):
        return jnp.sum((model.apply(params, x) - y) ** 2) / 2

    gradient = jax.tree.map(np.asarray, jax.grad(loss)(whole)["params"])
    p = np.asarray(path.params.basis)
    w0, f0, c0 = (np.asarray(params["params"][name]) for name in "WFC")
    change = path.params.change
    small = [p.T @ w0 @ p + change.w, p.T @ f0 + change.f, c0 @ p + change.c]

    def small_loss(small):
        w, f, c = small
        hidden, outputs, scale = jnp.zeros((len(x), len(w))), [], len(p) ** -0.5
        for time in range(x.shape[1]):
            hidden = scale * hidden @ w.T + x[:, time] @ f.T
            outputs.append(scale * hidden @ c.T)
        return jnp.sum((jnp.stack(outputs, 1) - y) ** 2) / 2

    w, f, c = jax.grad(small_loss)(small)
    lifted = {"W": p @ w @ p.T, "F": p @ f, "C": c @ p.T}
    gap = sum(np.sum((lifted[name] - gradient[name]) ** 2) for name in "WFC")
    size = sum(np.sum(gradient[name] ** 2) for name in "WFC")
    np.testing.assert_allclose(certificate.gradient[-1], np.sqrt(gap / size), rtol=1e-6)
    assert 1e-4 < np.sqrt(gap / size) < 0.2


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_error_falls_as_the_square_of_the_tolerance(dtype):
    """A tenth of the tolerance leaves a hundredth of the error or less, up to a factor 3."""
    model, params, data = problem()
    how = {"steps": 200, "learning_rate": 3e-4, "record_at": RECORDS}
    full = nr.gradient_descent(model, params, data, **how)
    coarse, fine = (
        distance(nr.subspace_descent(params, data, tolerance=t, **how), full) for t in (3e-2, 3e-3)
    )
    assert coarse > 30 * fine


def test_wide_network_learns_as_its_limit_predicts():
    """Theorem 3.3(b) at width 20,000: the path of the kernel, to 2 %."""
    _, _, data = problem()
    wide = nr.wide_rnn(jax.random.key(0), 20_000, 1, 1).with_chains(SEQ_LEN)
    path = nr.subspace_descent(
        wide, data, steps=200, learning_rate=3e-4, record_at=RECORDS, kernel_drift=True
    )
    start = nr.impulse_response(wide, SEQ_LEN)
    kernel = nr.kernel_regression(nr.lag_weights(SEQ_LEN, 0.3, 1.0, 1.0), data, initial=start)
    expected = kernel.impulse_response(jnp.array(RECORDS), 3e-4)
    moved = np.linalg.norm(expected[-1] - expected[0])
    assert np.linalg.norm(path.impulse_response[-1] - expected[-1]) < 0.02 * moved
    np.testing.assert_allclose(path.impulse_response[0], start, atol=1e-3)
    assert path.kernel_drift[0] < 1e-3 and path.kernel_drift[-1] < 1e-2
    with pytest.raises(ValueError, match="params must have a W to be dense"):
        path.params.dense()


def test_kernel_drift_is_that_of_the_whole_network():
    model, params, data = problem()
    how = {"steps": 200, "learning_rate": 3e-4, "record_at": RECORDS, "kernel_drift": True}
    drift = nr.subspace_descent(params, data, tolerance=3e-3, **how).kernel_drift
    expected = nr.gradient_descent(model, params, data, **how).kernel_drift
    np.testing.assert_allclose(drift, expected, rtol=3e-3, atol=1e-5)


@pytest.mark.parametrize("names", ["F", "C", "FC", "W"])
def test_parameters_of_zero(names):
    """Nothing leaks from a chain that starts at zero; without both, there is no gradient at all."""
    model, params, data = problem(seq_len=4)
    params = {"params": params["params"] | {n: 0 * params["params"][n] for n in names}}
    how = {"steps": 20, "learning_rate": 1e-4, "record_at": [0, 20]}
    path = nr.subspace_descent(params, data, **how)
    full = nr.gradient_descent(model, params, data, **how)
    moved = np.linalg.norm(full.impulse_response[-1])
    gap = np.linalg.norm(path.impulse_response - full.impulse_response)
    assert gap <= 1e-3 * moved and (moved > 1e-2) == (names != "FC")


def test_of_one_lag_nothing_leaks():
    """``L_0 = C F / sqrt(n)`` is trained by ``F`` and ``C`` alone."""
    x, y = nr.data.teacher(jax.random.key(0), 20, 1)
    model = nr.LinearRNN(300, 1)
    params = model.init(jax.random.key(1), x)
    how = {"steps": 20, "learning_rate": 1e-3, "record_at": [0, 20]}
    path = nr.subspace_descent(params, (x, y), certify_at=[20], **how)
    full = nr.gradient_descent(model, params, (x, y), **how)
    assert path.rank == 2 and distance(path, full) < 1e-4
    assert path.certificate.gradient[0] < 1e-5


def test_narrow_networks_train_in_full():
    model, params, data = problem(width=30)
    how = {"steps": 20, "learning_rate": 1e-4, "record_at": [0, 20]}
    with pytest.warns(RuntimeWarning, match="7 dimensions, a quarter of the width 30"):
        path = nr.subspace_descent(params, data, **how)
    full = nr.gradient_descent(model, params, data, **how)
    assert path.rank == 30
    np.testing.assert_allclose(path.impulse_response, full.impulse_response, rtol=1e-4, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        path.params.dense(), full.params,
    )  # fmt: skip


def test_divergence_ends_the_path_one_step_before():
    _, params, data = problem()
    with pytest.warns(RuntimeWarning, match="training loss turned non-finite at step"):
        path = nr.subspace_descent(
            params, data, steps=500, learning_rate=1.0, allow_unstable=True, record_at=[0, 1, 500]
        )
    assert path.step[-1] == path.diverged_at - 1
    assert np.all(np.isfinite(path.train_loss))


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 1e-16}, "tolerance must be at least .*, what rounding leaves in float"),
        ({"tolerance": 0.0}, "tolerance must be positive and finite, got 0"),
        ({"learning_rate": optax.adam(1e-3)}, "which are not linear in gradients"),
        ({"learning_rate": 10.0}, "learning_rate must be at most"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
        ({"steps": None}, "give either steps or epochs"),
        ({"params": {"params": {"w": jnp.ones(3)}}}, "params must be those of a LinearRNN"),
    ],
)
def test_bad_arguments(arguments, message):
    _, params, data = problem(seq_len=4)
    given = {"params": params, "steps": 3, "learning_rate": 1e-4} | arguments
    with pytest.raises(ValueError, match=message):
        nr.subspace_descent(given.pop("params"), data, **given)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_rates_are_refused_past_the_stability_of_their_momentum(momentum):
    """By 1 + mu times that of plain gradient descent, 2 / lambda_max."""
    model, params, data = problem(seq_len=4)
    stable = (1 + momentum) * float(nr.max_learning_rate(model, params, data))
    how = {"steps": 1, "momentum": momentum}
    nr.subspace_descent(params, data, learning_rate=0.99 * stable, **how)
    with pytest.raises(ValueError, match="learning_rate must be at most"):
        nr.subspace_descent(params, data, learning_rate=1.02 * stable, **how)


def test_data_of_other_sizes_are_refused():
    _, params, (x, y) = problem(seq_len=4)
    with pytest.raises(ValueError, match="inputs of data"):
        nr.subspace_descent(params, (jnp.concatenate([x, x], 2), y), steps=3, learning_rate=1e-4)
