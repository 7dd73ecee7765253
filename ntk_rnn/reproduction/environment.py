"""What computes a run: versions, devices, precision, and whether neural-tangents works here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from typing import Any, NamedTuple

import ntk_rnn
from ntk_rnn._terminal import UserError

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "neural-tangents", "numpy", "scipy")
_IMPLEMENTATIONS = ("jacobian_contraction", "ntk_vector_products", "structured_derivatives", "auto")


class Check(NamedTuple):
    """One thing that `ntk-rnn doctor` looked at.

    Attributes:
      name: what was looked at.
      value: what was found.
      ok: whether that is as it should be.
      remedy: what to do about it, or a remark; may be empty.
    """

    name: str
    value: str
    ok: bool
    remedy: str


def versions() -> dict[str, str | None]:
    """Versions of Python, this library and what it computes with; ``None`` if not installed."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "ntk_rnn": ntk_rnn.__version__,
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def start() -> None:
    """Loads JAX, and finds its devices.

    Raises:
      ValueError: if it cannot start, as with a setting in the environment that it does not have.
    """
    try:
        import jax

        jax.devices()
    except (ImportError, RuntimeError, ValueError) as error:
        settings = [f"{k}={v}" for k, v in os.environ.items() if k.startswith(("JAX_", "XLA_"))]
        remedy = f"correct or unset {', '.join(sorted(settings))}" if settings else "reinstall it"
        raise UserError(f"JAX must start, but it does not ({_short(error)}); {remedy}") from error


def describe() -> dict[str, Any]:
    """Versions, devices and precision, as ``config.json`` states them."""
    import jax

    devices = jax.devices()
    return {
        "versions": versions(),
        "device": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
        },
        "x64": x64(),
    }


def x64() -> bool:
    """Whether JAX computes in float64."""
    import jax

    return bool(jax.config.read("jax_enable_x64"))


def checks() -> Iterator[Check]:
    """Checks everything that the library needs, one thing after the other."""
    for package, version in versions().items():
        yield Check(
            package, version or "not installed", version is not None,
            "" if version else f"pip install {package}",
        )  # fmt: skip
    try:
        found = describe()
    except Exception as error:  # whatever goes wrong in JAX, the user wants to know
        yield Check("devices", _short(error), False, "reinstall: pip install --upgrade jax jaxlib")
        return
    device = found["device"]
    idle_gpu = device["platform"] == "cpu" and os.path.exists("/proc/driver/nvidia/version")
    yield Check(
        "devices", f"{device['count']} x {device['platform']} ({device['kind']})", True,
        "an NVIDIA GPU is not in use: uv sync --extra cuda13, or pip install '.[cuda13]'"
        if idle_gpu
        else "",
    )  # fmt: skip
    yield Check(
        "default dtype", "float64" if found["x64"] else "float32", True,
        "" if found["x64"] else "float64: set JAX_ENABLE_X64=1",
    )  # fmt: skip
    error = _product_error()
    yield Check(
        "float32 matrix products", f"relative error {error:.1e}", error < 1e-5,
        "" if error < 1e-5 else "precision='highest' is not honoured: upgrade jax and its drivers",
    )  # fmt: skip
    yield from _neural_tangents_checks()


def _product_error() -> float:
    """Error of a product asked for at full precision: 1e-7 in float32, 1e-3 in TF32 or bfloat16."""
    import jax.numpy as jnp
    import numpy as np

    a, b = np.random.default_rng(0).normal(size=(2, 128, 128))
    product = jnp.matmul(
        jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), precision="highest"
    )
    return float(np.linalg.norm(np.asarray(product) - a @ b) / np.linalg.norm(a @ b))


def _neural_tangents_checks() -> Iterator[Check]:
    from ntk_rnn import _neural_tangents

    name = "neural-tangents loads"
    try:
        _neural_tangents.load()
    except ImportError as error:
        cause = error.__cause__ or error
        remedy = "pip install neural-tangents; all but empirical kernels works without it"
        yield Check(name, f"no: {_short(cause)}", False, remedy)
        return
    yield Check(name, "yes", True, "")
    for implementation in _IMPLEMENTATIONS:
        try:
            _neural_tangents.implementation(implementation)
        except ValueError as error:
            remedy = "use one that works: ntk-rnn kernel --implementation NAME"
            yield Check(f"  {implementation}", f"no: {_short(error)}", False, remedy)
        else:
            yield Check(f"  {implementation}", "works", True, "")


def _short(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else text[:197] + "..."
