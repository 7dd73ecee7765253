"""Settings under which the whole suite runs.

Implicit rank promotion and implicit dtype promotion raise, and jaxtyping annotations of the
package are checked by beartype, so the tests also check every shape written in a signature.
"""

import importlib.metadata
import os
import signal
from pathlib import Path

# Compiling is what the tests spend their time on, much of it the same again. Set as the user of a
# cache would, before JAX is imported, so that the commands that tests run share it. Each worker has
# its own: JAX writes an entry in place, and what another process has half written is an error.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax" / WORKER
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Each worker has a core. Threads of OpenBLAS that wait for work keep the other worker from its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# As in JAX's own tests: two thirds of the time, and products of matrices are the same.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# The emitters of element-wise code take half of that time. jaxlib 0.11 has no others any more.
if tuple(map(int, importlib.metadata.version("jaxlib").split(".")[:2])) < (0, 11):
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false".strip()

import jax
import jaxtyping
import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jaxtyping.install_import_hook("ntk_rnn", "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """What a module compiled goes with it: left behind, it takes gigabytes and slows the rest."""
    yield
    jax.clear_caches()


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal, also for the programs that a test starts.

    In the background of a shell, where tests may run, it is ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """The precision a test runs in; float64 is enabled for as long as the test lasts."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param == "float64")
    yield np.dtype(request.param)
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def tol(dtype):
    """The relative tolerance of one result of rounding: 1e-5 in float32, 1e-12 in float64."""
    return {"float32": 1e-5, "float64": 1e-12}[dtype.name]


@pytest.fixture
def unannotated():
    """The package as its user has it, where no annotation is checked and errors are its own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
