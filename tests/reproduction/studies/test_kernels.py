"""The study of kernels against width, at small sizes."""

import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.reproduction import registry, results, runs
from ntk_rnn.reproduction.studies import kernels
from ntk_rnn.reproduction.studies.configs import KernelsConfig

SMALL = KernelsConfig(
    widths=(40, 10), seeds=2, first_seed=1, num_sequences=2, seq_len=3, in_dim=2, out_dim=2,
    implementation="jacobian_contraction",
)  # fmt: skip


def test_run_through_its_results_folder(tmp_path):
    steps = []
    result = runs.execute(
        registry.find("kernels"), SMALL, tmp_path, advance=lambda: steps.append(1)
    )
    assert len(steps) == kernels.units(SMALL) == 4
    config, arrays = results.read(tmp_path / "kernels")
    assert config["preset"] == "custom" and config["seeds"] == [1, 2]
    assert KernelsConfig(**{**config["config"], "widths": (40, 10)}) == SMALL
    assert arrays["width"].tolist() == [10, 40]
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(arrays[name], array)

    # One of the errors, from the exact kernel of the Jacobian of the impulse response.
    import jax

    model = nr.LinearRNN(40, 2)
    params = model.init(jax.random.key(2), arrays["x"])
    flat = jax.tree.map(lambda j: np.asarray(j).reshape(2, 3, 2, -1),
                        jax.jacobian(model.apply)(params, arrays["x"]))  # fmt: skip
    jacobian = np.concatenate(jax.tree.leaves(flat), axis=-1)
    exact = np.einsum("itpk,jsqk->ijtspq", jacobian, jacobian)
    limit = np.asarray(nr.analytic_ntk(arrays["x"], None, nr.lag_weights(3, 0.3, 1.0, 1.0)))
    limit = limit[..., None, None] * np.eye(2)
    error = np.linalg.norm(exact - limit) / np.linalg.norm(limit)
    np.testing.assert_allclose(arrays["relative_error"][1, 1], error, rtol=1e-4)

    rows = kernels.metrics(SMALL, arrays)
    assert [(row["width"], row["seed"]) for row in rows] == [(10, 1), (10, 2), (40, 1), (40, 2)]
    assert rows[3]["relative_error"] == pytest.approx(error, rel=1e-4)
    assert len(kernels.plot(SMALL, arrays).axes[0].lines) == 3


def _errors(widths, law):
    width = np.asarray(widths)
    return {"width": width, "seed": np.arange(2), "relative_error": np.stack([law(width)] * 2, 1)}


def test_claims():
    widths = (64, 256, 1024)
    small, slope = kernels.claims(KernelsConfig(), _errors(widths, lambda n: 1.5 / n**0.5))
    assert small.holds and slope.holds and slope.value == "-0.500 +- 0.000"
    small, slope = kernels.claims(KernelsConfig(), _errors(widths, lambda n: 5 / n**0.5))
    assert not small.holds and slope.holds
    small, slope = kernels.claims(KernelsConfig(), _errors(widths, lambda n: 0.7 / n**0.35))
    assert small.holds and not slope.holds


def test_one_width_has_no_slope():
    arrays = _errors((64,), lambda n: 1 / n**0.5)
    assert len(kernels.claims(KernelsConfig(widths=(64,)), arrays)) == 1
    assert len(kernels.plot(KernelsConfig(widths=(64,)), arrays).axes[0].lines) == 2
