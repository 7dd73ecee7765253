"""Finds out whether an implementation of neural-tangents works here, by trying it."""

from __future__ import annotations

import concurrent.futures
import enum
import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_rnn import _checks
from ntk_rnn._neural_tangents.loading import load

_LOCK = threading.RLock()
_FAILURES: dict[enum.IntEnum, str | None] = {}  # what has been tried, and what was wrong with it


def implementation(value: str | int) -> enum.IntEnum:
    """The `NtkImplementation` with this name or number, if it works on this JAX.

    It is tried on small networks when it is first asked for.

    Args:
      value: `"jacobian_contraction"`, `"ntk_vector_products"`, `"structured_derivatives"` or
        `"auto"` in any case, or a member or number of `neural_tangents.NtkImplementation`.

    Raises:
      ImportError: if neural-tangents cannot be loaded.
      ValueError: if there is no such implementation or it does not work; names those that do.
    """
    members = load().NtkImplementation
    try:
        if isinstance(value, str):
            member = members[value.strip().upper().replace("-", "_")]
        else:
            member = members(_checks.integer("implementation", value, least=0))
    except (KeyError, ValueError):
        names = ", ".join(repr(m.name.lower()) for m in members)
        raise ValueError(
            f"implementation must be one of {names}, got {_checks.shown(value)}"
        ) from None
    failure = _failure(member)
    if failure is not None:
        working = ", ".join(repr(m.name.lower()) for m in members if _failure(m) is None)
        raise ValueError(
            f"implementation {member.name.lower()!r} of neural-tangents does not work with JAX "
            f"{jax.__version__} ({failure}); use {working}"
        )
    return member


def _failure(member: enum.IntEnum) -> str | None:
    """What is wrong with an implementation here, `None` if nothing is."""
    with _LOCK:
        if member not in _FAILURES:
            # In a thread of its own, because the first use may be inside a function that JAX is
            # tracing: what a thread traces is its own.
            with concurrent.futures.ThreadPoolExecutor(1) as thread:
                _FAILURES[member] = thread.submit(_try, load(), member).result()
        return _FAILURES[member]


def _try(nt: Any, member: enum.IntEnum) -> str | None:
    """Compares an implementation with the contraction of Jacobians on small networks."""
    implementations = nt.NtkImplementation
    if member == implementations.JACOBIAN_CONTRACTION:
        return None  # the plain product of two Jacobians, which asks nothing unusual
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.default_matmul_precision("highest"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for name in _networks():
            expected = _expected(nt, name)
            try:
                result = _kernel(nt, name, member)
            except Exception as error:
                return f"on a small {name} network: {type(error).__name__}: {error}"
            if not np.allclose(result, expected, rtol=0, atol=1e-5 * np.abs(expected).max()):
                return f"on a small {name} network it does not give the kernel"
            if member == implementations.AUTO:
                # It compiles the others and takes the cheapest. On the first network that is
                # quick, and the others are tried on all of them where they are asked for.
                break
    return None


@functools.cache
def _expected(nt: Any, name: str) -> np.ndarray:
    """The kernel of a network by the contraction of Jacobians."""
    return _kernel(nt, name, nt.NtkImplementation.JACOBIAN_CONTRACTION)


def _kernel(nt: Any, name: str, implementation: enum.IntEnum) -> np.ndarray:
    network, params, x = _networks()[name]
    kernel = nt.empirical_ntk_fn(network, (), vmap_axes=0, implementation=implementation)
    return np.asarray(jax.jit(kernel)(x, None, params))


def _networks() -> dict[str, tuple[Callable[..., jax.Array], Any, np.ndarray]]:
    """Networks with parameters and inputs; the first is the quickest to compile."""
    draws = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return draws.standard_normal(shape).astype(np.float32)

    def linear(params: Any, x: Any) -> jax.Array:
        return x @ params["w"]

    def dense(params: Any, x: Any) -> jax.Array:
        hidden = jax.nn.relu(x @ params["w1"] + params["b"])
        return jnp.tanh(hidden * params["scale"]) @ params["w2"]

    def convolution(params: Any, x: Any) -> jax.Array:
        for kernel in (params["k1"], params["k2"]):
            x = jnp.tanh(
                jax.lax.conv_general_dilated(
                    x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
                )
            )
        return x

    def recurrent(params: Any, x: Any) -> jax.Array:
        def step(h: Any, u: Any) -> tuple[Any, Any]:
            h = h @ params["w"] + u @ params["f"]
            return h, h @ params["c"]

        start = jnp.zeros((x.shape[0], params["w"].shape[0]), x.dtype)
        return jnp.swapaxes(jax.lax.scan(step, start, jnp.swapaxes(x, 0, 1))[1], 0, 1)

    x = normal(2, 3, 2)
    w1, b, scale, w2 = normal(2, 3), normal(3), normal(3), normal(3, 2)
    return {
        "linear": (linear, {"w": w1}, x),
        "dense": (dense, {"w1": w1, "b": b, "scale": scale, "w2": w2}, x),
        "convolutional": (convolution, {"k1": normal(2, 2, 3), "k2": normal(2, 3, 2)}, x),
        "recurrent": (recurrent, {"w": normal(3, 3), "f": normal(2, 3), "c": normal(3, 2)}, x),
    }
