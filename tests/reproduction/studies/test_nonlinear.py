"""The study of non-linear networks at small sizes: numbers found by hand, claims that can fail."""

import dataclasses
from typing import get_args

import jax
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.activations.functions import NAMED
from ntk_rnn.reproduction.studies import nonlinear, teacher_data
from ntk_rnn.reproduction.studies.equal_chi import equal_nu_w
from ntk_rnn.reproduction.studies.nonlinear_config import Named, NonlinearConfig

SMALL = NonlinearConfig(
    activations=("relu",), widths=(24, 8), trained_widths=(20, 10), teacher_width=3, in_dim=2,
    out_dim=2, seq_len=3, num_kernel=2, num_train=3, num_test=2, steps=9, learning_rate=1e-2,
    seeds=2, first_seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    calls = []
    return nonlinear.run(SMALL, lambda: calls.append(1)), len(calls)


def test_run(found):
    arrays, calls = found
    assert calls == nonlinear.units(SMALL) == 4 * 2
    assert arrays["activation"].tolist() == ["relu"] and arrays["seed"].tolist() == [3, 4]
    assert arrays["width"].tolist() == [8, 24] and arrays["trained_width"].tolist() == [10, 20]
    assert arrays["step"].tolist() == list(range(10))
    assert arrays["kernel_error"].shape == (1, 2, 2) and arrays["gap"].shape == (1, 2, 2, 10, 2)
    assert np.all(arrays["gap"][..., 0, :] < 1e-5) and np.all(arrays["gap"][..., -1, :] > 1e-3)
    assert arrays["nu_w"].tolist() == pytest.approx([1.0])  # half of the units of ReLU are off


def test_distances_are_those_found_by_hand(found):
    """ReLU, second seed: the Jacobian and the recursions of both descents, step by step."""
    arrays, _ = found
    key = jax.random.fold_in(jax.random.key(3), 2)
    train, new = teacher_data.draw(key, SMALL)
    x, y = (np.concatenate(pair) for pair in zip(train, new, strict=True))

    def limit(x1, x2):
        kernel = nr.recurrent_ntk(x1, x2, activation="relu", nu_w=1.0, nu_f=1.0, nu_c=1.0)
        return np.asarray(kernel, float)

    model = nr.RNN(24, 2, "relu", nu_w=1.0)
    params = model.init(jax.random.key(4), x)
    rows = np.concatenate(
        [
            np.asarray(j, float).reshape(2, 3, 2, -1)
            for j in jax.tree.leaves(jax.jacobian(model.apply)(params, x[:2]))
        ],
        axis=-1,
    )
    kernel = np.einsum("itpk,jsqk->ijtspq", rows, rows)
    expected = limit(x[:2], x[:2])[..., None, None] * np.eye(2)
    error = np.linalg.norm(kernel - expected) / np.linalg.norm(expected)
    assert arrays["kernel_error"][0, 1, 1] == pytest.approx(error, rel=1e-3)

    model = nr.RNN(20, 2, "relu", nu_w=1.0)
    params = model.init(jax.random.key(4), x)

    def loss(params):
        return ((model.apply(params, train[0]) - train[1]) ** 2).sum() / 2

    kernel = limit(x, x[:3])
    predicted = start = np.asarray(model.apply(params, x), float)
    sizes = [np.linalg.norm((start - y)[part]) for part in (slice(3), slice(3, None))]
    for step in range(10):
        apart = np.asarray(model.apply(params, x), float) - predicted
        gaps = np.linalg.norm(apart[:3]) / sizes[0], np.linalg.norm(apart[3:]) / sizes[1]
        np.testing.assert_allclose(arrays["gap"][0, 1, 1, step], gaps, rtol=1e-2, atol=1e-5)
        slopes = jax.grad(loss)(params)
        params = jax.tree.map(lambda p, slope: p - 1e-2 * slope, params, slopes)
        missed = predicted[:3] - y[:3]
        predicted = predicted - 1e-2 * np.einsum("ijts,jsp->itp", kernel, missed)


def test_the_command_line_offers_all_names():
    assert get_args(Named) == tuple(NAMED)


def test_equal_chi():
    for activation in ("identity", "tanh"):
        nu_w = equal_nu_w(activation, NonlinearConfig(nu_w=0.8, nu_f=0.5), 3.0)
        assert nr.chi(activation, nu_w, 0.5, 3.0) == pytest.approx(0.8, rel=1e-5)


def test_learning_rate_past_stability():
    config = dataclasses.replace(SMALL, learning_rate=10.0)
    with pytest.raises(ValueError, match=r"learning_rate must be below 0\.\d+, .*, got 10"):
        nonlinear.run(config, lambda: None)


def _arrays(kernel=-0.5, gap=-0.5, size=0.8, noise=0.02):
    """Distances that follow laws of the width, with noise between seeds."""
    rng = np.random.default_rng(0)
    width, trained = np.array([64, 256, 1024, 2048]), np.array([64, 256, 1024])

    def law(widths, power):
        spread = np.exp(noise * rng.standard_normal((2, len(widths), 6)))
        return widths[None, :, None] ** power * spread

    course = np.array([[0, 0], [1.0, 0.5], [0.2, 0.1]])
    return {
        "activation": np.array(["relu", "erf"]), "nu_w": np.ones(2), "width": width,
        "trained_width": trained, "seed": np.arange(6), "step": np.array([0, 5, 10]),
        "kernel_error": law(width, kernel),
        "gap": size * np.multiply.outer(law(trained, gap), course),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({}, [True, True, True]),
        ({"kernel": -0.65}, [False, True, True]),
        ({"gap": -0.3, "size": 0.2}, [True, False, True]),
        ({"size": 2.0}, [True, True, False]),
    ],
)
def test_claims(given, holds):
    claims = nonlinear.claims(NonlinearConfig(), _arrays(**given))
    assert [claim.holds for claim in claims] == holds * 2
    assert all("relu" in claim.statement for claim in claims[:3])


def test_numbers_and_metrics():
    arrays = _arrays(noise=0.0)
    numbers = nonlinear.numbers(NonlinearConfig(), arrays)
    assert [number.ours for number in numbers[:2]] == ["-0.500 +- 0.000"] * 2
    assert [float(number.ours.split()[0]) for number in numbers[2:4]] == [0.025, 0.0125]
    rows = nonlinear.metrics(NonlinearConfig(), arrays)
    assert len(rows) == 2 * 4 * 6 and len({tuple(row) for row in rows}) == 1
    assert rows[0]["gap_training"] == pytest.approx(0.1) and rows[0]["gap_new"] == 0.05
    assert rows[-1]["width"] == 2048 and np.isnan(rows[-1]["gap_new"])
    assert rows[-1]["kernel_error"] == pytest.approx(2048**-0.5)


def test_plot():
    arrays = _arrays()
    kernel, gap, course = nonlinear.plot(NonlinearConfig(), arrays).axes
    for ax, samples in ((kernel, arrays["kernel_error"]), (gap, nonlinear.largest_gap(arrays))):
        for container, expected in zip(ax.containers, samples, strict=True):
            medians = np.median(expected, axis=1)
            np.testing.assert_allclose(container.lines[0].get_ydata(), medians)
    widest = course.lines[-1]
    assert widest.get_label() == "width 1024" and len(course.lines) == 2
    np.testing.assert_allclose(widest.get_ydata(), np.median(arrays["gap"][0, 2, :, :, 1], axis=0))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"widths": (8,)}, r"widths must be two or more, got \(8,\)"),
        ({"trained_widths": (0, 8)}, r"trained_widths must be at least 1, got 0"),
        ({"activations": ()}, r"activations must be one or more, each once, got \(\)"),
        ({"activations": ("erf", "erf")}, r"activations must be .*, got \('erf', 'erf'\)"),
        ({"nu_w": 1.0}, r"nu_w must be below 1, so that perturbations fade, got 1"),
        ({"num_kernel": 11}, r"num_kernel must be at most num_train, 10, got 11"),
        ({"steps": 0}, r"steps must be at least 1, got 0; the default is 100"),
    ],
)
def test_errors_name_field_value_and_remedy(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        NonlinearConfig(**fields)
