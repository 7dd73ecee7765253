"""The recurrent NTK as Alemohammad et al. (2020) write it, from ours, as the guide says."""

import jax
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.guide import nonlinear

SIGMA_W, SIGMA_U, SIGMA_B, SIGMA_V = 1.3, 0.9, 0.4, 0.7


@pytest.fixture(scope="module")
def rntk():
    """The function of the guide, taken from its text."""
    (source,) = [
        example.source
        for example in doctest_examples(nonlinear.__doc__)
        if example.source.startswith("def rntk")
    ]
    names = {"jnp": jax.numpy, "nr": nr}
    exec(source, names)
    return names["rntk"]


def doctest_examples(text):
    import doctest

    return doctest.DocTestParser().get_examples(text)


@pytest.mark.parametrize("in_dim", [1, 3])
def test_one_call_gives_their_kernel(rntk, in_dim, dtype, tol):
    x = np.random.default_rng(0).normal(size=(3, 6, in_dim)).astype(dtype)
    found = rntk(x, x, "relu", SIGMA_W, SIGMA_U, SIGMA_B, SIGMA_V)
    expected = [[in_a_loop(a.astype(float), b.astype(float)) for b in x] for a in x]
    np.testing.assert_allclose(found, expected, rtol=tol)


def in_a_loop(x1, x2):
    """Their equations for one layer of ReLU, step by step, with an initial state of 0."""

    def gram(a, b):
        return SIGMA_U**2 / len(a) * (a @ b) + SIGMA_B**2

    S11, S12, S22, theta = 0.0, 0.0, 0.0, 0.0
    for a, b in zip(x1, x2, strict=True):
        V, D = relu_moments(S11, S12, S22)
        S12 = SIGMA_W**2 * V + gram(a, b)
        theta = S12 + SIGMA_W**2 * D * theta
        S11 = SIGMA_W**2 * S11 / 2 + gram(a, a)
        S22 = SIGMA_W**2 * S22 / 2 + gram(b, b)
    V, D = relu_moments(S11, S12, S22)
    return SIGMA_V**2 * (V + D * theta)


def relu_moments(a, c, b):
    """The arc-cosine kernels of Cho and Saul, of the orders 1 and 0."""
    size = np.sqrt(a * b)
    angle = np.arccos(np.clip(c / size, -1, 1)) if size else np.pi / 2
    obtuse = (np.pi - angle) / (2 * np.pi)
    return size * (np.sin(angle) / (2 * np.pi) + obtuse * np.cos(angle)), obtuse
