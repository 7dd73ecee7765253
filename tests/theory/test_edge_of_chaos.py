"""Memory of wide networks at stationary inputs, against how two sequences come together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr

ACTIVATIONS = ["identity", "relu", "abs", "erf", "gelu", "sin", "tanh"]


@pytest.fixture(autouse=True)
def double():
    """Differences of kernels are compared, which float32 cannot resolve."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_difference_of_inputs_fades_by_chi(activation):
    """Outputs of two sequences of one power that differ at one time meet by ``chi`` a step."""
    nu = {"nu_w": 0.7, "nu_f": 1.3}
    settled, after, angle = 40, 4, 1e-3
    x = np.full((2, settled + after, 2), [0.8, 0.0])
    x[1, settled - 1] = 0.8 * np.cos(angle), 0.8 * np.sin(angle)
    V = np.asarray(nr.recurrent_nngp(x, activation=activation, nu_c=1.0, **nu))
    times = np.arange(settled, settled + after)
    apart = (V[0, 0] - V[0, 1])[times, times]
    chi = nr.chi(activation, **nu, input_power=0.8**2)
    np.testing.assert_allclose(apart[1:] / apart[:-1], chi, rtol=1e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_variance_settles_where_it_is_said_to(activation):
    nu = {"nu_w": 0.7, "nu_f": 1.3}
    x = np.full((1, 100, 1), 0.8)
    V = nr.recurrent_nngp(x, activation=activation, nu_c=1.0, output="last", **nu)[0, 0]
    q = nr.stationary_variance(activation, **nu, input_power=0.8**2)
    np.testing.assert_allclose(q, 1.3 * 0.8**2 + 0.7 * V, rtol=1e-8)


@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "sin", "tanh"])
def test_chi_is_one_at_the_critical_nu_w(activation):
    nu_w = nr.critical_nu_w(activation, nu_f=1.3)
    below, above = (nr.chi(activation, factor * nu_w, 1.3) for factor in (0.999, 0.9999))
    assert below < above < 1
    np.testing.assert_allclose(above, 1, rtol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_effective_lag_weights_are_squared_gradients(activation):
    """Of the response at stationary inputs, ``L_j = C D (W D / sqrt(n))^j F / sqrt(n)``.

    The gates ``D = diag(phi'(g))`` are those of a network that its first input, of 1, has settled,
    and stay as they are. ``L`` is the response to its second input, on which they do not depend.
    The mean square gradient of ``L_j`` by ``W``, ``F`` and ``C`` is over 64 networks.
    """
    n, seq_len, seeds = 200, 5, 64
    nu_w, nu_f, nu_c = 0.8, 1.3, 0.6
    phi = {"relu": jax.nn.relu, "erf": jax.scipy.special.erf}[activation]

    @jax.jit
    def squares(key):
        params = nr.RNN(n, 1, activation, nu_w, nu_f, nu_c).init(key, jnp.ones((1, 1, 2)))["params"]
        g = jnp.zeros(n)
        for _ in range(30):
            g = params["W"] @ phi(g) / np.sqrt(n) + params["F"][:, 0]
        gates = jax.vmap(jax.grad(phi))(g)

        def response(params):
            state, lags = params["F"][:, 1], []
            for _ in range(seq_len):
                lags.append(params["C"][0] @ (gates * state) / np.sqrt(n))
                state = params["W"] @ (gates * state) / np.sqrt(n)
            return jnp.stack(lags)

        gradients = jax.jacrev(response)(params)
        return sum(jnp.sum(leaf**2, axis=(1, 2)) for leaf in jax.tree.leaves(gradients))

    samples = np.stack([squares(key) for key in jax.random.split(jax.random.key(0), seeds)])
    error = samples.mean(0) - nr.effective_lag_weights(seq_len, activation, nu_w, nu_f, nu_c)
    standard_error = samples.std(0, ddof=1) / np.sqrt(seeds)
    # Four standard errors, and the bias of order 1/n of a finite width.
    assert np.all(np.abs(error) <= 4 * standard_error + 3 / n)
