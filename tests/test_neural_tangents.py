"""Loading neural-tangents: what it adds to JAX and when, and what is said if it does not load."""

import functools
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters.ad import UndefinedPrimal

from ntk_rnn import _neural_tangents
from ntk_rnn._neural_tangents import adapting, loading, trying


def run(code):
    """Runs code in a Python of its own, where nothing has been imported."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_it_is_loaded_late_leaves_jax_as_it_was_and_experimental_says_what_to_install():
    # In the end tensorflow is a module of two lines, found by Python's own import system.
    run("""
        import sys
        import jax, jax.core, jax.extend.core, jax.interpreters.ad, jax.numpy
        try:
            import jax.util
        except ModuleNotFoundError:
            pass
        had_util = "jax.util" in sys.modules

        def public():
            modules = (m for m in sys.modules if m.startswith("jax.") and "._" not in m)
            return {m: dict(vars(sys.modules[m])) for m in ("jax", *modules)}

        before = public()
        import ntk_rnn
        from ntk_rnn import LinearRNN, _neural_tangents, empirical_ntk
        assert "neural_tangents" not in sys.modules and "tensorflow" not in sys.modules
        nt = _neural_tangents.load()
        assert nt is sys.modules["neural_tangents"] is _neural_tangents.load()
        _neural_tangents.implementation("structured_derivatives")
        after = public()
        for module, names in before.items():
            changed = [n for n in names if after[module].get(n) is not names[n]]
            assert not changed, (module, changed)
        for module in ("jax.core", "jax.interpreters.ad"):
            assert after[module].keys() == before[module].keys(), module
        assert ("jax.util" in sys.modules) == had_util

        import pathlib, tempfile
        assert "tensorflow" not in sys.modules
        assert not hasattr(nt.experimental, "__warningregistry__")  # asking this loads nothing
        assert not hasattr(nt.experimental, "no_such_name")  # nor what pickle asks of all modules
        sys.modules["tensorflow"] = None  # which is how Python blocks an import
        for _ in range(2):
            try:
                nt.experimental.empirical_ntk_fn_tf
            except ImportError as error:
                assert "experimental needs tensorflow and tf2jax" in str(error), error
                assert error.__cause__ is not None
            else:
                raise AssertionError("no error")
        import neural_tangents.predict
        del sys.modules["tensorflow"]
        with tempfile.TemporaryDirectory() as path:
            sys.path.insert(0, path)
            package = pathlib.Path(path, "tensorflow")
            package.mkdir()
            package.joinpath("__init__.py").write_text("loaded = True\\nclass Module: pass\\n")
            pathlib.Path(path, "tf2jax.py").write_text("")
            sys.modules["jax.experimental.jax2tf"] = type(sys)("jax2tf")  # imports more of it
            try:
                nt.experimental.empirical_ntk_fn_tf
            except AttributeError as error:  # the real module ran, and wants the real tensorflow
                assert "tensorflow" in str(error), error
            assert sys.modules["tensorflow"].loaded
    """)


def test_only_missing_names_are_added():
    with loading._names_restored():
        import jax.core
        import jax.extend.core

        assert jax.core.Jaxpr is jax.extend.core.Jaxpr  # missing on every supported JAX
        from jax.util import safe_map, safe_zip

        assert safe_map(lambda a, b: a + b, [1, 2], [3, 4]) == [4, 6]
        assert safe_zip([1], [2]) == [(1, 2)]
        with pytest.raises(ValueError):
            safe_zip([1, 2], [3])
    assert not hasattr(jax.core, "Jaxpr")


def test_a_name_that_exists_is_not_replaced(monkeypatch):
    moved = {"jax.core": {"Tracer": "ours", "NoSuchName": "ours"}}
    monkeypatch.setattr(loading, "_MOVED_NAMES", moved)
    tracer = jax.core.Tracer
    with loading._names_restored():
        assert jax.core.Tracer is tracer
        assert jax.core.NoSuchName == "ours"
    assert jax.core.Tracer is tracer and not hasattr(jax.core, "NoSuchName")


def test_library_works_without_neural_tangents():
    # Absent, and then broken: None is how Python blocks an import.
    run("""
        import sys
        import numpy as np, jax
        import ntk_rnn as nr
        x = np.ones((1, 2, 1), np.float32)
        model = nr.LinearRNN(width=3, out_dim=1)
        params = jax.jit(model.init)(jax.random.key(0), x)
        for name in ("neural_tangents", "neural_tangents._src"):
            sys.modules[name] = None
            try:
                nr.empirical_ntk(model, params, x)
            except ImportError as error:
                assert "pip install neural-tangents" in str(error), error
                assert name in str(error.__cause__), error.__cause__
                assert isinstance(error.__cause__, ImportError), error.__cause__
            else:
                raise AssertionError("no error")
            del sys.modules[name]
        assert model.apply(params, x).shape == (1, 2, 1)
        assert not hasattr(jax.core, "Jaxpr")
    """)


@pytest.mark.parametrize(
    "value", ["structured_derivatives", "Structured-Derivatives", "STRUCTURED_DERIVATIVES", 3]
)
def test_implementation_by_name_number_and_member(value):
    expected = _neural_tangents.load().NtkImplementation.STRUCTURED_DERIVATIVES
    assert _neural_tangents.implementation(value) is expected
    assert _neural_tangents.implementation(expected) is expected


@pytest.mark.parametrize("value", ["fastest", 7, ""])
def test_unknown_implementation_is_refused(value):
    with pytest.raises(ValueError, match="must be one of 'auto', 'jacobian_contraction'") as error:
        _neural_tangents.implementation(value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("fault", ["raises", "wrong"])
def test_implementation_that_does_not_work_is_refused(monkeypatch, fault):
    import neural_tangents._src.empirical as empirical

    _neural_tangents.load()
    original = empirical._get_df_dys_and_dy_dws

    def faulty(*args, **kwargs):
        if fault == "raises":
            raise TypeError("another signature")
        cotangents, jacobians = original(*args, **kwargs)
        return jax.tree.map(lambda c: 1.01 * c, cotangents), jacobians

    dense = {"dense": trying._networks()["dense"]}
    monkeypatch.setattr(trying, "_networks", lambda: dense)
    monkeypatch.setattr(empirical, "_get_df_dys_and_dy_dws", faulty)
    monkeypatch.setattr(trying, "_FAILURES", {})
    with pytest.raises(ValueError, match="'structured_derivatives' of neural-tangents") as error:
        _neural_tangents.implementation("structured_derivatives")
    assert "'jacobian_contraction', 'ntk_vector_products'" in str(error.value)
    assert "another signature" in str(error.value) or fault == "wrong"


def test_implementation_may_be_tried_while_jax_traces(monkeypatch):
    monkeypatch.setattr(trying, "_FAILURES", {})

    @jax.jit
    def function(x):
        _neural_tangents.implementation("ntk_vector_products")
        return x

    assert function(1.0) == 1.0


@pytest.fixture
def posterior():
    """Predictions of neural-tangents at a time, from a kernel, and what they should be."""
    draws = np.random.default_rng(0)
    features, others = (draws.normal(size=(n, 7)).astype(np.float32) for n in (5, 3))
    kernel, targets = features @ features.T, draws.normal(size=(5, 1)).astype(np.float32)

    def predict(kernel, time):
        path = _neural_tangents.load().predict.gradient_descent_mse(kernel, targets)
        return path(time, 0.0, 0.0, others @ features.T)[1]

    def expected(scale, time):
        values, vectors = np.linalg.eigh(scale * kernel)
        gains = -np.expm1(-time * values / 5) / values
        return others @ features.T @ (vectors * gains) @ vectors.T @ targets

    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield jnp.asarray(kernel), predict, expected


def test_predictions_of_neural_tangents_can_be_transformed(posterior):
    kernel, predict, expected = posterior
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    close(predict(kernel, 1.5), expected(1, 1.5))
    close(jax.jit(predict)(kernel, 1.5), expected(1, 1.5))
    both = jax.jit(jax.vmap(predict, (0, None)))(jnp.stack([kernel, 2 * kernel]), 1.5)
    close(both, [expected(1, 1.5), expected(2, 1.5)])
    slope = jax.jit(jax.grad(lambda scale: predict(scale * kernel, 1.5)[0, 0]))(1.0)
    close(slope, ((expected(1.01, 1.5) - expected(0.99, 1.5)) / 0.02)[0, 0])


def test_predictions_of_one_kernel_can_be_used_in_and_out_of_transformations(posterior):
    """What is found once is kept, unless it belongs to something that JAX traces."""
    kernel, *_ = posterior
    targets = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
    nt = _neural_tangents.load()

    def at_two_times(kernel):
        path = nt.predict.gradient_descent_mse(kernel, targets)
        return jax.vmap(lambda t: path(t, 0.0))(jnp.arange(2.0))[1], path(1.0, 0.0)

    for inside, outside in (at_two_times(kernel), jax.jit(at_two_times)(kernel)):
        np.testing.assert_allclose(inside, outside, rtol=1e-5)


def test_largest_learning_rate_of_neural_tangents(posterior):
    kernel, _, _ = posterior
    rate = _neural_tangents.load().predict.max_learning_rate(kernel)
    np.testing.assert_allclose(rate, 2 * 5 / np.linalg.eigvalsh(kernel)[-1], rtol=1e-5)


def test_cotangents_may_lack_axes_of_length_one():
    equation = jax.make_jaxpr(lambda x: x.reshape(1, 10))(jnp.ones((5, 2))).jaxpr.eqns[0]
    operand = UndefinedPrimal(equation.invars[0].aval)
    (found,) = adapting._transpose(equation, jnp.arange(10.0), operand)
    np.testing.assert_array_equal(found, np.arange(10).reshape(5, 2))
