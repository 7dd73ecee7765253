"""The Gram matrix of a linear recurrent unit: unit by unit, against gradients of all parameters.

Peers are the ways that take any layer: ``jax.jacobian`` of the impulse response, and
neural-tangents between unit impulses. At the largest size a Jacobian still fits in memory; it is
left out there because one call would take minutes. There what is compared is the product with one
vector, which takes one gradient and one derivative along it.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntk_rnn as nr
from benchmarks.comparisons import Comparison, Contender, Work

# Width and number of lags.
_SMALL, _MIDDLE, _LARGE = (300, 30), (1000, 100), (10_000, 1000)


def comparisons() -> list[Comparison]:
    """An LRU at three sizes."""
    return [_comparison(*size) for size in (_MIDDLE, _SMALL, _LARGE)]


def _comparison(n: int, seq_len: int) -> Comparison:
    # Of nu, theta, g, B and C of each unit, the last two complex.
    derivatives, gram = 7 * n, 4.0 * seq_len**2
    jacobian = 4.0 * derivatives * seq_len
    make: Any = functools.partial
    contenders = [
        Contender("ntk_rnn", make(_ours, n, seq_len), "ours", needs=3 * gram + 2**28),
        Contender(
            "floor: product of the Jacobian with itself", make(_product, n, seq_len), "floor",
            needs=2 * jacobian + 2 * gram,
        ),
    ]  # fmt: skip
    if (n, seq_len) != _LARGE:
        contenders += [
            Contender("jax.jacobian", make(_jacobian, n, seq_len), needs=4 * jacobian),
            Contender(
                "neural-tangents, jacobian_contraction", make(_empirical, n, seq_len),
                needs=8 * jacobian, quick=False,
            ),
        ]  # fmt: skip
    else:
        contenders.append(
            Contender(
                "one product with a vector, by jax.vjp and jax.jvp",
                make(_with_a_vector, n, seq_len), "own", needs=4 * 2.0**20 * n / 1000,
            )
        )  # fmt: skip
    return Comparison(
        "layer_gram", "LRU", {"n": n, "T": seq_len}, tuple(contenders), tolerance=1e-4,
        flops=2.0 * derivatives * seq_len**2, quick=(n, seq_len) == _SMALL,
        behind="Half of its time goes into looking at the parameters before it computes; a "
        "compiled Jacobian takes them as they are." if n == _SMALL[0] else "",
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def _layer(n: int, seq_len: int) -> tuple[nr.LRU, Any, jax.Array]:
    """The layer, its parameters, and the unit impulse."""
    layer = nr.LRU(n, 1, r_min=0.9, r_max=0.999)
    impulse = nr.unit_impulses(seq_len, 1)
    return layer, jax.jit(layer.init)(jax.random.key(0), impulse), impulse


def _matrix(gram: Any) -> np.ndarray:
    size = int(np.asarray(gram).size ** 0.5)
    return np.asarray(gram).reshape(size, size)


def _ours(n: int, seq_len: int) -> Work:
    layer, params, _ = _layer(n, seq_len)

    def result(gram: Any) -> np.ndarray:
        matrix = _matrix(gram)
        return matrix if (n, seq_len) != _LARGE else matrix @ np.asarray(_vector(seq_len))

    return Work(lambda: nr.layer_gram(layer, params, seq_len, 1), result)


def _product(n: int, seq_len: int) -> Work:
    rows = jax.random.normal(jax.random.key(1), (seq_len, 7 * n))
    product = jax.jit(lambda rows: jnp.einsum("jm,km->jk", rows, rows, precision="highest"))
    return Work(lambda: product(rows))


def _vector(seq_len: int) -> jax.Array:
    return jax.random.normal(jax.random.key(2), (seq_len,))


def _with_a_vector(n: int, seq_len: int) -> Work:
    layer, params, impulse = _layer(n, seq_len)

    def response(params: Any) -> jax.Array:
        outputs: Any = layer.apply(params, impulse)
        return outputs[0, :, 0]

    @jax.jit
    def product(params: Any, vector: jax.Array) -> jax.Array:
        (gradient,) = jax.vjp(response, params)[1](vector)
        # JAX's gradient by a complex number is the conjugate of the direction of steepest ascent.
        return jax.jvp(response, (params,), (jax.tree.map(jnp.conj, gradient),))[1]

    return Work(lambda: product(params, _vector(seq_len)))


def _jacobian(n: int, seq_len: int) -> Work:
    layer, params, impulse = _layer(n, seq_len)

    def gram(params: Any) -> jax.Array:
        def response(params: Any) -> jax.Array:
            outputs: Any = layer.apply(params, impulse)
            return outputs[0, :, 0]

        leaves = jax.tree.leaves(jax.jacrev(response)(params))
        parts = [part for leaf in leaves for part in (leaf.real, leaf.imag)]
        rows = jnp.concatenate([part.reshape(seq_len, -1) for part in parts], axis=1)
        return jnp.einsum("jm,km->jk", rows, rows, precision="highest")

    compiled = jax.jit(gram)
    return Work(lambda: compiled(params), _matrix, lambda: compiled.lower(params))


def _empirical(n: int, seq_len: int) -> Work:
    layer, params, impulse = _layer(n, seq_len)

    def kernel() -> jax.Array:
        return nr.empirical_ntk(
            layer, params, impulse, trace_axes=(), implementation="jacobian_contraction"
        )

    return Work(kernel, _matrix)
