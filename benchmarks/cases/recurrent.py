"""The kernel of wide networks with an activation, against NumPy, and its mere writing."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Work

_NUM, _SEQ_LEN = 100, 50
_LAST = 300

# Networks whose mean kernel is within the tolerance, the standard error being 3 % of the kernel.
# Narrow ones cost less at equal error, until what a finite width adds in the mean shows.
_FEW, _WIDTH, _NETWORKS, _SAMPLED = 10, 64, 64, 0.05

# Points of the trapezoidal rule in each of two variables, which needs fewer than Gauss's where a
# function is steep.
_NODES = 64
_NU_W, _NU_F, _NU_C = 0.5, 1.0, 1.0
_kernel = functools.partial(nr.recurrent_ntk, nu_w=_NU_W, nu_f=_NU_F, nu_c=_NU_C)


def comparisons() -> list[Comparison]:
    """All outputs, by activation; the last ones, for ReLU; and few sequences, by sampling."""
    return [*map(_all, ("relu", "erf")), _few("tanh"), _last(), _sampled()]


def _all(activation: str) -> Comparison:
    kernel = 4.0 * (_NUM * _SEQ_LEN) ** 2
    contenders = (
        Contender("ntk_rnn", functools.partial(_ours, activation), "ours", needs=3 * kernel),
        Contender(
            "floor: writing the kernel", _writing, "floor", needs=kernel,
            # Within 5 times of the writing: the writing takes a fifth of ours.
            at_least=1 / 5,
        ),
        Contender(
            "NumPy, a loop over times", functools.partial(_numpy, activation), needs=3 * kernel
        ),
    )  # fmt: skip
    return Comparison(
        "recurrent", f"all outputs, {activation}", {"N": _NUM, "T": _SEQ_LEN}, contenders,
        tolerance=1e-4, moved=kernel, working_set=kernel, quick=activation == "relu",
    )  # fmt: skip


def _few(activation: str) -> Comparison:
    """Without a closed form, against quadrature, which takes few sequences in a reasonable time."""
    sizes = _FEW, _FEW
    return Comparison(
        "recurrent", f"all outputs, {activation}", {"N": _FEW, "T": _FEW},
        (
            Contender("ntk_rnn", functools.partial(_ours, activation, *sizes), "ours"),
            Contender(
                f"NumPy, a loop over times, sums over {_NODES}^2 points",
                functools.partial(_numpy, activation, *sizes),
            ),
        ),
        tolerance=1e-4,
    )  # fmt: skip


def _last() -> Comparison:
    kernel = 4.0 * (_LAST * _SEQ_LEN) ** 2
    return Comparison(
        "recurrent", "last output, relu", {"N": _LAST, "T": _SEQ_LEN},
        (
            Contender("ntk_rnn", _ours_last, "ours", needs=kernel / 100),
            # One diagonal of the kernel takes a twentieth of the time of all of it.
            Contender(
                "ntk_rnn, from all outputs", _last_of_all, "own", needs=3 * kernel, at_least=20.0
            ),
        ),
        tolerance=1e-4, quick=False,
    )  # fmt: skip


def _sampled() -> Comparison:
    """Against the mean over finite networks, at the error that it has.

    Ours has no error but rounding, so its time is the same at any. That of sampling grows as the
    inverse square of the error.
    """
    return Comparison(
        "recurrent", "all outputs, erf, sampled to 3 %", {"N": _FEW, "T": _FEW},
        (
            Contender("ntk_rnn", _ours_few, "ours"),
            Contender(
                f"neural_tangents.monte_carlo_kernel_fn, {_NETWORKS} networks of width {_WIDTH}",
                _monte_carlo, needs=8.0 * _FEW**2 * _WIDTH**2, quick=False,
            ),
        ),
        tolerance=_SAMPLED, quick=False,
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def _inputs(num: int, seq_len: int = _SEQ_LEN) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (num, seq_len, 1))


def _ours(activation: str, num: int = _NUM, seq_len: int = _SEQ_LEN) -> Work:
    x = _inputs(num, seq_len)
    return Work(lambda: _kernel(x, activation=activation))


def _ours_last() -> Work:
    x = _inputs(_LAST)
    return Work(lambda: _kernel(x, activation="relu", output="last"))


def _last_of_all() -> Work:
    x = _inputs(_LAST)
    return Work(lambda: _kernel(x, activation="relu")[:, :, -1, -1])


def _ours_few() -> Work:
    x = _inputs(_FEW)[:, :_FEW]
    return Work(lambda: _kernel(x, activation="erf"))


def _monte_carlo() -> Work:
    from ntk_rnn import _neural_tangents  # neural-tangents takes seconds to load

    nt = _neural_tangents.load()
    x = _inputs(_FEW)[:, :_FEW]
    model = nr.RNN(_WIDTH, 1, "erf", _NU_W, _NU_F, _NU_C)
    sampled = nt.monte_carlo_kernel_fn(
        lambda key, shape: (shape, model.init(key, x)),
        lambda params, x, **_: model.apply(params, x),
        jax.random.key(1), _NETWORKS, trace_axes=(-1,), vmap_axes=0,
        implementation=nt.NtkImplementation.JACOBIAN_CONTRACTION,
    )  # fmt: skip
    return Work(lambda: sampled(x, None, "ntk"))


def _writing() -> Work:
    write = jax.jit(lambda value: jnp.full((_NUM, _NUM, _SEQ_LEN, _SEQ_LEN), value))
    return Work(lambda: write(1.0))


def _relu_moments(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = np.sqrt(a * b)
    cosine = np.clip(c / size, -1, 1)
    angle = np.arccos(cosine)
    slope = (np.pi - angle) / (2 * np.pi)
    return size * np.sqrt(1 - cosine**2) / (2 * np.pi) + slope * c, slope


def _erf_moments(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    product = (1 + 2 * a) * (1 + 2 * b)
    value = 2 / np.pi * np.arcsin(2 * c / np.sqrt(product))
    return value, 4 / np.pi / np.sqrt(product - 4 * c**2)


def _tanh_moments(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nodes = np.linspace(-7, 7, _NODES)
    density = np.exp(-(nodes**2) / 2)
    weights = np.outer(density, density) / density.sum() ** 2
    a, b, c = (each[..., None, None] for each in np.broadcast_arrays(a, b, c))
    first = np.tanh(np.sqrt(a) * nodes[:, None])
    rest = np.sqrt(np.maximum(b - c**2 / a, 0))
    second = np.tanh(c / np.sqrt(a) * nodes[:, None] + rest * nodes)
    value = np.sum(weights * first * second, axis=(-2, -1))
    return value, np.sum(weights * (1 - first**2) * (1 - second**2), axis=(-2, -1))


_MOMENTS = {"relu": _relu_moments, "erf": _erf_moments, "tanh": _tanh_moments}


def _numpy(activation: str, num: int = _NUM, seq_len: int = _SEQ_LEN) -> Work:
    """The recursion over pairs of times, for all pairs of sequences at once."""
    x = np.asarray(_inputs(num, seq_len), np.float64)
    moments = _MOMENTS[activation]

    def kernel() -> np.ndarray:
        q = np.empty((num, seq_len))
        before = np.zeros(num)
        for t in range(seq_len):
            q[:, t] = _NU_F * np.sum(x[:, t] ** 2, axis=1) + _NU_W * before
            before, _ = moments(q[:, t], q[:, t], q[:, t])
        found = np.empty((num, num, seq_len, seq_len))
        nothing = np.zeros((num, num))
        earlier = [(nothing, nothing)] * (seq_len + 1)
        for t in range(seq_len):
            row = [(nothing, nothing)]
            for s in range(seq_len):
                value, passed = earlier[s]
                gram = x[:, t] @ x[:, s].T
                theta = gram + value + _NU_W * passed
                covariance = _NU_F * gram + _NU_W * value
                value, slope = moments(q[:, t, None], q[None, :, s], covariance)
                found[:, :, t, s] = value + _NU_C * slope * theta
                row.append((value, slope * theta))
            earlier = row
        return found

    return Work(kernel)
