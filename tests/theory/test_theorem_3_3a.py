"""Theorem 3.3(a): at initialization the impulse response of the wide linear RNN is Gaussian.

Moments over seeds with their standard errors; and the Wasserstein-2 distance (eq. 32), as a
function of covariances and from networks to their limit as the width grows.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import ntk_rnn as nr
from ntk_rnn import (
    gaussian_limit,
    gaussian_wasserstein,
    hidden_state_covariance,
    hidden_state_limit,
    impulse_response_moments,
)
from ntk_rnn.power_law import fit_power_law

SEEDS, LAGS = 200, 10


def covariance(seed, dim, rank=None, dtype=np.float64):
    root = np.random.default_rng(seed).standard_normal((dim, rank or dim))
    return (root @ root.T / dim).astype(dtype)


def distance(cov1, cov2):
    return float(gaussian_wasserstein(cov1, cov2))


def test_moments_of_the_impulse_response_are_those_of_the_theorem():
    """Mean, variance, correlation and kurtosis, each within 4 standard errors at every lag."""
    found = impulse_response_moments(
        jax.random.key(0), 500, LAGS, 2, 2, nu_w=0.3, nu_f=0.5, nu_c=2.0, num_seeds=SEEDS
    )
    limit = gaussian_limit(LAGS, 0.3, 0.5, 2.0)
    np.testing.assert_allclose(limit, 0.3 ** np.arange(LAGS), rtol=1e-6)
    assert np.all(np.abs(found.mean) <= 4 * found.mean_error)
    assert np.all(np.abs(found.variance - limit) <= 4 * found.variance_error)
    beside = ~np.eye(LAGS, dtype=bool)
    assert np.all(np.abs(found.correlation) <= 4 * found.correlation_error, where=beside)
    assert np.all(np.abs(found.kurtosis - 3) <= 4 * found.kurtosis_error)
    # The errors are those of 800 independent Gaussians, so that what is shown is worth showing.
    count = 4 * SEEDS
    np.testing.assert_allclose(found.mean_error, np.sqrt(limit / count), rtol=0.25)
    np.testing.assert_allclose(found.variance_error, limit * np.sqrt(2 / count), rtol=0.35)
    np.testing.assert_allclose(found.correlation_error[beside], np.sqrt(1 / count), rtol=0.35)
    assert np.all(np.abs(np.log(found.kurtosis_error / np.sqrt(24 / count))) < np.log(1.5))
    np.testing.assert_allclose(np.diag(found.correlation), 1, rtol=1e-5)
    np.testing.assert_allclose(np.diag(found.correlation_error), 0, atol=1e-6)


def test_a_narrow_network_is_not_gaussian():
    """At width 1 ``L_0 = C F`` is a product of two Gaussians, whose kurtosis is 9, not 3."""
    count = 20000
    found = impulse_response_moments(jax.random.key(0), 1, 3, nu_w=0.3, num_seeds=count)
    # ``z = u w`` has the moments 1, 9, 225 and 11025, so of ``z^4 - 18 z^2 + 9``, whose mean the
    # error of the kurtosis is, the variance is 5760. Tails are too heavy to estimate it.
    error = np.sqrt(5760 / count)
    assert abs(found.kurtosis[0] - 9) <= 4 * error < abs(found.kurtosis[0] - 3)
    # L_1^2 and L_0^2 share C and F, the entries themselves remain uncorrelated.
    assert abs(found.correlation[0, 1]) <= 4 * found.correlation_error[0, 1]
    assert abs(found.variance[1] - 0.3) <= 4 * found.variance_error[1]


def test_standard_errors_are_the_spread_of_the_estimates(dtype):
    """Over repetitions, where the entries of one network depend on each other (width 4)."""
    repeats = [
        impulse_response_moments(jax.random.key(k), 4, 2, 2, 2, num_seeds=300) for k in range(40)
    ]
    assert all(a.dtype == dtype for a in repeats[0])
    for name in ("mean", "variance", "correlation", "kurtosis"):
        estimates = np.array([getattr(r, name) for r in repeats], float)
        errors = np.array([getattr(r, f"{name}_error") for r in repeats], float)
        # Kurtosis has the heaviest tails and its error the largest own error.
        bar = 2.0 if name == "kurtosis" else 1.5
        spread, typical = estimates.std(axis=0, ddof=1), np.sqrt((errors**2).mean(axis=0))
        used = spread > 1e-5
        assert used.sum() >= 2
        assert np.all(spread[used] < bar * typical[used]), name
        assert np.all(spread[used] > typical[used] / bar), name


def test_hidden_state_covariance_is_that_of_the_states():
    x = jax.random.normal(jax.random.key(0), (2, 4, 3))
    params = jax.jit(nr.LinearRNN(5, 1, nu_w=0.8).init)(jax.random.key(1), x)
    w, f = (np.asarray(params["params"][name], float) for name in "WF")
    states = np.zeros((2, 5, 5))
    for t in range(4):
        states[:, t] = states[:, t - 1] @ w.T / np.sqrt(5) + np.asarray(x, float)[:, t] @ f.T
    expected = np.einsum("itk,jsk->itjs", states[:, :4], states[:, :4]) / 5
    np.testing.assert_allclose(hidden_state_covariance(params, x), expected, rtol=1e-4, atol=1e-5)


def test_distance_of_the_hidden_state_from_its_limit_falls_as_the_root_of_the_width():
    """Rows of ``(F, W F / sqrt(n), ...)``, as in Appendix A: one network a seed, mean of the log.

    The slope is within 3 standard errors of -1/2, and those are small beside the 0.15 allowed.
    """
    widths, seeds = [32, 128, 512], 32
    x = nr.unit_impulses(6, 2)
    limit = hidden_state_limit(x, 0.3, 1.5).reshape(12, 12)
    # The rows at time t are W^t F: independent, of variance nu_F nu_W^t, for either input.
    expected = np.diag(np.tile(1.5 * 0.3 ** np.arange(6), 2))
    np.testing.assert_allclose(limit, expected, rtol=1e-6, atol=1e-9)

    def distances(width):
        model = nr.LinearRNN(width, 1, nu_w=0.3, nu_f=1.5)

        def one(key):
            found = hidden_state_covariance(model.init(key, x), x).reshape(12, 12)
            return gaussian_wasserstein(found, limit)

        return jax.lax.map(jax.jit(one), jax.random.split(jax.random.key(0), seeds))

    law = fit_power_law(np.array(widths), np.stack([distances(width) for width in widths]))
    assert law.stderr < 0.03
    assert abs(law.slope + 0.5) <= 3 * law.stderr


def test_limit_of_the_hidden_state_for_any_inputs():
    """Averaged over wide networks, within 4 standard errors at every pair of times."""
    x = jax.random.normal(jax.random.key(0), (2, 4, 2))
    model = nr.LinearRNN(100, 1, nu_w=0.7, nu_f=0.5)
    keys = jax.random.split(jax.random.key(1), 200)
    found = jax.lax.map(lambda key: hidden_state_covariance(model.init(key, x), x), keys)
    found = np.asarray(found, float)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(keys))
    assert np.all(np.abs(found.mean(axis=0) - hidden_state_limit(x, 0.7, 0.5)) <= 4 * error + 1e-6)


def test_distance_is_equation_32(dtype, tol):
    """Against the formula as it stands, with SciPy's matrix roots, in float64."""
    cov1, cov2 = covariance(0, 4), covariance(1, 4)
    root = scipy.linalg.sqrtm(cov1)
    cross = np.trace(scipy.linalg.sqrtm(root @ cov2 @ root)).real
    expected = np.sqrt(np.trace(cov1) + np.trace(cov2) - 2 * cross)
    found = distance(cov1.astype(dtype), cov2.astype(dtype))
    assert found == pytest.approx(expected, rel=100 * tol)


@pytest.mark.parametrize("ranks", [(4, 2), (1, 2), (1, 1), (4, 4)])
def test_distance_of_singular_covariances(dtype, tol, ranks):
    """With ``C = R R^T`` the last trace of eq. 32 is the nuclear norm of ``R1^T R2``."""
    rng = np.random.default_rng(0)
    root1, root2 = (rng.standard_normal((4, rank)) for rank in ranks)
    nuclear = np.linalg.norm(root1.T @ root2, "nuc")
    expected = np.sqrt(np.sum(root1**2) + np.sum(root2**2) - 2 * nuclear)
    found = distance((root1 @ root1.T).astype(dtype), (root2 @ root2.T).astype(dtype))
    assert found == pytest.approx(expected, rel=100 * tol)


def test_distance_of_commuting_covariances(dtype, tol):
    """``sum (sqrt(a_i) - sqrt(b_i))^2`` over shared directions, some without variance."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    a, b = np.array([4.0, 1.0, 0.5, 0.0]), np.array([1.0, 9.0, 0.0, 0.0])
    cov1, cov2 = ((basis * v @ basis.T).astype(dtype) for v in (a, b))
    expected = np.linalg.norm(np.sqrt(a) - np.sqrt(b))
    assert distance(cov1, cov2) == pytest.approx(expected, rel=10 * tol)
    diagonal = distance(np.diag(a).astype(dtype), np.diag(b).astype(dtype))
    assert diagonal == pytest.approx(expected, rel=10 * tol)


def test_distance_is_a_metric(dtype, tol):
    covs = [covariance(k, 5, rank, dtype) for k, rank in enumerate([5, 5, 2, 1, 4])]
    found = np.array([[distance(c1, c2) for c2 in covs] for c1 in covs])
    assert np.all(np.diag(found) <= 10 * tol)
    assert np.all(found[~np.eye(5, dtype=bool)] > 0.1)
    np.testing.assert_allclose(found, found.T, rtol=100 * tol, atol=10 * tol)
    assert np.all(found[:, None, :] <= (found[:, :, None] + found[None]) * (1 + 100 * tol) + tol)
    zero = np.zeros((5, 5), dtype)
    assert distance(covs[0], zero) == pytest.approx(np.sqrt(np.trace(covs[0])), rel=10 * tol)
    assert distance(zero, zero) == 0


def test_small_distances_are_not_lost_in_rounding(dtype, tol):
    """From ``C`` to ``(1 + e)^2 C`` it is ``e sqrt(tr C)``: eq. 32 as written would square it."""
    cov = covariance(0, 5)
    e = 1000 * tol
    found = distance(cov.astype(dtype), ((1 + e) ** 2 * cov).astype(dtype))
    assert found == pytest.approx(e * np.sqrt(np.trace(cov)), rel=0.02)


@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
@pytest.mark.parametrize("kind", ["any", "coincident", "singular"])
def test_distance_has_the_derivative_of_central_differences(dtype, kind):
    """Of the hidden state's law for one impulse, all of whose variances are distinct; with lags
    that come twice, through two inputs; and with an input that is always 0."""
    x = np.asarray(nr.unit_impulses(3, 1))
    if kind == "coincident":
        x = np.asarray(nr.unit_impulses(3, 2))
    if kind == "singular":
        x = np.concatenate([x, 0 * x])
    size = x.shape[0] * x.shape[1]
    other = np.diag(np.tile([0.9, 0.8, 0.0], len(x))) + 0.1 * np.ones((size, size))

    def law(nu):
        return hidden_state_limit(x, nu, 1.0).reshape(size, size)

    for cov in (other, law(0.6), np.asarray(law(0.3))):
        compiled = jax.jit(lambda nu, cov=cov: gaussian_wasserstein(law(nu), cov))
        expected = (compiled(0.3 + 1e-6) - compiled(0.3 - 1e-6)) / 2e-6
        forward = jax.jit(lambda nu, f=compiled: jax.jvp(f, (nu,), (1.0,))[1])(0.3)
        np.testing.assert_allclose(forward, expected, rtol=1e-6, atol=2e-6)
        np.testing.assert_allclose(jax.jit(jax.grad(compiled))(0.3), forward, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_limit(0, 0.3, 1, 1), "seq_len must be a positive integer, got 0"),
        (lambda: gaussian_limit(3, 0.3, -1, 1), "nu_f must be positive and finite, got -1"),
        (lambda: moments(num_seeds=1), "num_seeds must be at least 2 .* got 1"),
        (lambda: moments(width=0), "width must be a positive integer, got 0"),
        (lambda: moments(out_dim=1.5), "out_dim must be a positive integer, got 1.5"),
        (lambda: moments(nu_w=np.nan), "nu_w must be positive and finite, got nan"),
        (lambda: distance(np.eye(2), np.eye(3)), r"same shape, got \(2, 2\) and \(3, 3\)"),
        (lambda: distance(np.ones((2, 3)), np.ones((2, 3))), "cov1 must be a square matrix, got"),
        (lambda: distance(np.eye(2), np.diag([1.0, np.nan])), "cov2 must be finite, got 1 NaN"),
        (lambda: distance(np.diag([1.0, -0.5]), np.eye(2)), "cov1 .* smallest eigenvalue of -0.5"),
        (lambda: distance(np.eye(2), np.array([[1, 1], [0, 1.0]])), "cov2 .* an asymmetry of 1 "),
        (lambda: hidden_state_limit(np.ones((2, 3)), 0.3, 1.0), "x must have shape"),
        (lambda: hidden_state_covariance(rnn(), np.ones((1, 3, 2))), "same number of inputs, got"),
        (lambda: hidden_state_covariance({"params": {}}, np.ones((1, 3, 1))), "params must be"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def moments(**changes):
    given = {"width": 4, "seq_len": 3, "num_seeds": 5, **changes}
    return impulse_response_moments(jax.random.key(0), **given)


def rnn():
    return nr.LinearRNN(3, 1).init(jax.random.key(0), jnp.ones((1, 3, 1)))
