"""Orthogonal, diagonal, LRU and S4D layers: equations, Gram matrices, limits and training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.layers import states
from ntk_rnn.power_law import fit_power_law

LAYERS = {
    "orthogonal": lambda n: nr.OrthogonalRNN(n, 2, 0.5),
    "diagonal": lambda n: nr.DiagonalRNN(n, 2, 0.3, 0.9),
    "real": lambda n: nr.DiagonalRNN(n, 2, real=True),
    "lru": lambda n: nr.LRU(n, 2, 0.5, 0.999),
    "lin": lambda n: nr.S4D(n, 2, order=4),
    "inv": lambda n: nr.S4D(n, 2, "inv", order=4, dt_max=0.5),
}
IN_DOUBLE = pytest.mark.parametrize("dtype", ["float64"], indirect=True)


def started(model, dtype, seq_len=6):
    x = jax.random.normal(jax.random.key(0), (3, seq_len, 2), dtype)
    return jax.jit(model.init)(jax.random.key(1), x), x


def system(name, p, n):
    """``lambda``, ``B`` and ``C`` by the equations of the documents."""
    p, scale = {key: np.asarray(array) for key, array in p.items()}, n**-0.5
    if name == "orthogonal":
        values, vectors = np.linalg.eig(p["W"] * scale)
        return values, np.linalg.solve(vectors, p["F"]), p["C"] @ vectors
    if name in ("diagonal", "real"):
        return p["W"] * scale, p["F"], p["C"]
    if name == "lru":
        values = np.exp(-np.exp(p["nu"] * scale) + 1j * np.exp(p["theta"] * scale))
        return values, np.exp(p["g"] * scale)[:, None] * p["B"], p["C"]
    a = -np.exp(p["a"] * scale) + 1j * p["omega"] * scale
    values = np.exp(np.exp(p["log_delta"] * scale)[:, None] * a)
    b = ((values - 1) / a)[:, :, None] * p["B"]
    return values.ravel(), b.reshape(n, 2), 2 * p["C"].reshape(2, n)


@IN_DOUBLE
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_those_of_the_recurrence(name, dtype, tol):
    """Short sequences are convolved by definition, and long ones by Fourier transforms."""
    model, seq_len = LAYERS[name](12), 6 if name == "real" else 70
    params, x = started(model, dtype, seq_len)
    values, b, c = system(name, params["params"], 12)
    h, expected = np.zeros((3, 12)), []
    for t in range(seq_len):
        h = values * h + np.asarray(x)[:, t] @ b.T
        expected.append((h @ c.T).real * 12**-0.5)
    outputs = model.apply(params, x)
    assert outputs.dtype == dtype
    expected = np.stack(expected, axis=1)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=10 * tol * np.abs(expected).max())


@IN_DOUBLE
@pytest.mark.parametrize("name", LAYERS)
def test_gram_is_the_product_of_jacobians(name, dtype):
    model = LAYERS[name](8)
    params, _ = started(model, dtype)

    def split(a):
        return (a.real, a.imag) if jnp.iscomplexobj(a) else (a,)

    @jax.jit
    @jax.jacobian
    def jacobian(parts):
        joined = {k: jax.lax.complex(*p) if len(p) == 2 else p[0] for k, p in parts.items()}
        return model.apply({"params": joined}, nr.unit_impulses(6, 2, dtype)).transpose(1, 2, 0)

    leaves = jax.tree.leaves(jacobian({k: split(a) for k, a in params["params"].items()}))
    rows = np.concatenate([leaf.reshape(24, -1) for leaf in leaves], axis=1)
    expected = (rows @ rows.T).reshape(6, 2, 2, 6, 2, 2)
    gram = nr.layer_gram(model, params, 6, 2)
    np.testing.assert_allclose(gram, expected, rtol=0, atol=1e-10 * expected.max())


@IN_DOUBLE
def test_gram_is_the_same_for_some_units_at_a_time(dtype, monkeypatch):
    model = LAYERS["lru"](8)
    params, _ = started(model, dtype)
    whole = nr.layer_gram(model, params, 6, 2)
    derivatives = sum(a.size * (1 + jnp.iscomplexobj(a)) for a in params["params"].values())
    # Each has a gradient of 24 entries, and 3 units have three eighths of them: 3, 3 and 2 units.
    monkeypatch.setattr(states, "_TOGETHER", 24 * derivatives * 3 // 8)
    jax.clear_caches()
    np.testing.assert_allclose(nr.layer_gram(model, params, 6, 2), whole, rtol=1e-12, atol=1e-14)


def test_eigenvalues_start_on_the_ring():
    for model in (nr.DiagonalRNN(4000, 1, 0.5, 0.9), nr.LRU(4000, 1, 0.5, 0.9)):
        name = "lru" if isinstance(model, nr.LRU) else "diagonal"
        params, _ = started(model, np.float32)
        values, _, _ = system(name, params["params"], 4000)
        assert np.all((np.abs(values) > 0.4999) & (np.abs(values) < 0.9001))
        inside = np.mean(np.abs(values) < 0.75)  # a share of the area, within 5 standard errors
        assert abs(inside - (0.75**2 - 0.25) / (0.81 - 0.25)) < 0.04
        assert abs(np.mean(values / np.abs(values))) < 0.08
        start = np.mean(np.abs(params["params"]["C"]) ** 2)
        assert abs(start - 1) < 0.08
    edges, _ = started(nr.LRU(4000, 1, 0.0, 1.0), np.float32)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(edges))


@pytest.mark.parametrize(
    "model", [nr.OrthogonalRNN(8, 1, 0.7), nr.DiagonalRNN(8, 1), nr.LRU(8, 1)], ids=["o", "d", "l"]
)
def test_gram_tends_to_the_lag_weights(model):
    """The distance falls as one over the root of the width."""
    rho, distances = np.asarray(model.lag_weights(4)), []
    orthogonal = isinstance(model, nr.OrthogonalRNN)
    widths = np.array([8, 24, 72] if orthogonal else [512, 2048, 8192])
    for width in widths.tolist():
        wide = model.copy(width=width)

        @jax.jit
        def gram(key, wide=wide):
            params = wide.init(key, jnp.zeros((1, 4, 1)))
            return nr.layer_gram(wide, params, 4, 1)[:, 0, 0, :, 0, 0]

        grams = jax.lax.map(gram, jax.random.split(jax.random.key(0), 32))
        gaps = np.linalg.norm(np.asarray(grams) - np.diag(rho), axis=(1, 2))
        distances.append(gaps / np.linalg.norm(rho))
    law = fit_power_law(widths, np.stack(distances))
    assert abs(law.slope + 0.5) <= 0.1, law


def test_lag_weights_are_those_of_the_ring():
    """Against quadrature over squared radii, and the power law of the whole disk."""
    lag = np.arange(40)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    for r_min, r_max in ((0.0, 1.0), (0.9, 0.999), (0.5, 0.5)):
        squared = (r_min**2 + r_max**2 + (r_max**2 - r_min**2) * nodes) / 2
        power = squared[:, None] ** lag
        moments = weights @ power / 2
        diagonal = nr.DiagonalRNN(8, 1, r_min, r_max, nu_f=2.0).lag_weights(40)
        np.testing.assert_allclose(diagonal, 3 * moments, rtol=1e-5)
        lru = nr.LRU(8, 1, r_min, r_max, nu_c=2.0).lag_weights(40)
        expected = 3 * (weights @ ((1 - squared)[:, None] * power)) / 2
        np.testing.assert_allclose(lru, expected, rtol=1e-5)
    disk = nr.LRU(8, 1).lag_weights(40)
    np.testing.assert_allclose(disk, 2 / ((lag + 1) * (lag + 2)), rtol=1e-5)
    gaussian = nr.lag_weights(5, 0.7, 1.0, 2.0)
    orthogonal = nr.OrthogonalRNN(8, 1, 0.7, 1.0, 2.0).lag_weights(5)
    np.testing.assert_array_equal(orthogonal, gaussian)


def test_training_is_the_regression_with_the_gram():
    """300 steps towards another layer of the kind; medians over seeds."""
    x = jax.random.normal(jax.random.key(0), (10, 6, 1))
    medians = []
    for width in (64, 1024):
        model, gaps = nr.LRU(width, 1, 0.5, 0.999), []

        @jax.jit
        def started(key, model=model):
            params, teacher = (model.init(each, x) for each in jax.random.split(key))
            response = model.apply(params, nr.unit_impulses(6, 1)).transpose(1, 2, 0)
            return params, response, model.apply(teacher, x), nr.layer_gram(model, params, 6, 1)

        for key in jax.random.split(jax.random.key(3), 3):
            params, response, y, gram = started(key)
            kernel = nr.kernel_regression(gram, (x, y), initial=response, on_host=True)
            rate = float(kernel.max_learning_rate) / 2
            path = nr.gradient_descent(
                model, params, (x, y), steps=300, learning_rate=rate, allow_unstable=True
            )
            loss = np.asarray(path.train_loss)
            assert loss[-1] < 1e-2 * loss[0]
            predicted = kernel.train_loss(np.asarray(path.step), rate)
            gaps.append(np.max(np.abs(predicted - loss)) / loss[0])
        medians.append(np.median(gaps))
    assert medians[1] < 1e-3 and medians[1] < medians[0] / 2


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nr.LRU(8, 1, -0.1, 0.9), "r_min must be between 0 and 1, .* got -0.1"),
        (lambda: nr.LRU(8, 1, 1.0, 1.0), "r_min must be below 1 for an LRU, .* got 1"),
        (lambda: nr.LRU(8, 1).layer_gram({"params": {}}, 0), "seq_len must be .* got 0"),
        (lambda: nr.LRU(8, 1, 0.1, 1.1), "r_max must be between 0 and 1, .* got 1.1"),
        (lambda: nr.DiagonalRNN(8, 1, 0.9, 0.5), "at least r_min, got r_min = 0.9 and r_max = 0.5"),
        (lambda: nr.DiagonalRNN(8, 1, 0.0, 0.0), "r_max must be positive"),
        (lambda: nr.LRU(8, 1, max_phase=0.0), "max_phase must be positive"),
        (lambda: nr.LRU(0, 1), "width must be a positive integer, got 0"),
        (lambda: nr.S4D(40, 1), "width must be a multiple of order, 32, got 40; take 32"),
        (lambda: nr.S4D(32, 1, "leg"), 'variant must be "lin" or "inv", got'),
        (lambda: nr.S4D(32, 1, dt_min=0.2), "dt_max must be at least dt_min, 0.2, got 0.1"),
        (lambda: nr.OrthogonalRNN(8, 1, -1.0), "nu_w must be positive"),
        (lambda: nr.LRU(8, 1, max_phase=0.3).lag_weights(3), "max_phase must be 2 pi for lag"),
        (lambda: nr.DiagonalRNN(8, 1, real=True).lag_weights(3), "real must be False for lag"),
        (lambda: nr.LRU(8, 1).lag_weights(0), "seq_len must be a positive integer, got 0"),
        (
            lambda: nr.LRU(9, 1).apply(jax.jit(nr.LRU(8, 1).init)(jax.random.key(0), X), X),
            r"params must hold nu of shape \(9,\) for this LRU .* got \(8,\)",
        ),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


X = jnp.ones((1, 3, 2))


def test_what_a_finite_lru_learns_through_its_phases():
    """The docstring's term beside the lag weights, of 24 seeds; it is 3 to 6 % from the mean."""
    layer, lags = nr.LRU(400, 1, r_min=0.9, r_max=0.999), np.array([10, 20, 40])

    @jax.jit
    def weights(key):
        params = layer.init(key, jnp.zeros((1, 41, 1)))
        return jnp.diagonal(nr.layer_gram(layer, params, 41, 1)[:, 0, 0, :, 0, 0])

    found = np.asarray(jax.lax.map(weights, jax.random.split(jax.random.key(0), 24)))
    rho = np.asarray(layer.lag_weights(41))
    excess = (found - rho)[:, lags]
    expected = (2 * np.pi**2 / 3 * np.arange(41) ** 2 / 400 * rho / 2)[lags]
    error = excess.std(axis=0, ddof=1) / 24**0.5
    # What is learned through nu and g is smaller by a factor of j^2, and the mean has its error.
    assert np.all(np.abs(excess.mean(axis=0) - expected) < 4 * error + 0.05 * expected)
