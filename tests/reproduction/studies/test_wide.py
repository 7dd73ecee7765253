"""The study `wide` at small sizes: paths found independently, and claims that can fail."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.reproduction.studies import teacher_data, wide
from ntk_rnn.reproduction.studies.configs import WideConfig

SMALL = WideConfig(
    widths=(160, 40), teacher_width=3, in_dim=2, out_dim=2, seq_len=3, num_train=4, num_test=1,
    steps=8, seeds=2, first_seed=3, learning_rate=5e-3,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    """What the study measures, in a session that is set to float32, and how often it advances."""
    calls = []
    return wide.run(SMALL, lambda: calls.append(1)), len(calls)


def test_run(found):
    arrays, calls = found
    assert calls == wide.units(SMALL) == 4
    assert arrays["width"].tolist() == [40, 160] and arrays["seed"].tolist() == [3, 4]
    assert arrays["step"].tolist() == list(range(9))
    assert arrays["rank"].shape == (2, 2)
    # The start of either chain, and at least one direction that a chain goes on to.
    assert np.all((arrays["rank"] > 4) & (arrays["rank"] <= arrays["width"][:, None]))
    for name in ("convolution", "linearization", "drift"):
        distance = arrays[name]
        assert distance.shape == (2, 2, 9)
        assert np.all(distance[..., 0] < 1e-13) and np.all(distance[..., 1:] > 1e-6)
    # After one step only what is of second order in it is between an RNN and its linearization.
    assert np.all(arrays["linearization"][..., 1] < 0.1 * arrays["convolution"][..., 1])


def test_distances_are_those_of_a_matrix_that_is_drawn_to_the_end(found):
    """Width 40, second seed: what training has not asked of ``W`` is drawn, and descent by hand."""
    key_data, key_student = jax.random.split(jax.random.key(4))
    with wide._in_float64():
        (x, y), _ = teacher_data.draw(key_data, SMALL)
        network = nr.wide_rnn(key_student, 40, 2, 2).with_chains(3)
        path = nr.subspace_descent(
            network, (x, y), steps=8, learning_rate=5e-3, tolerance=0.05 * 40**-0.5
        )
        w = np.asarray(path.params.initial.product(jnp.eye(40))[0])
    f, c, x, y = (np.asarray(a, float) for a in (network.f, network.c, x, y))
    c = c / 40**0.5
    rho = np.repeat([2.0, 1.6, 0.78], 4)
    gram = start_gram = _gram(w, f, c)
    rnn = conv = line = start = _response(w, f, c)
    distances = {"convolution": [], "linearization": [], "drift": []}
    for _ in range(9):
        distances["convolution"].append(np.linalg.norm(rnn - conv))
        distances["linearization"].append(np.linalg.norm(rnn - line))
        distances["drift"].append(np.linalg.norm(gram - start_gram))
        end = conv
        conv = conv - 5e-3 * rho * _slope(conv, x, y)
        line = line - 5e-3 * start_gram @ _slope(line, x, y)
        change = 5e-3 * _slope(rnn, x, y) @ _jacobian(w, f, c)
        w = w - change[:1600].reshape(40, 40) / 40**0.5
        f = f - change[1600:1680].reshape(40, 2)
        c = c - change[1680:].reshape(2, 40) / 40**0.5
        rnn, gram = _response(w, f, c), _gram(w, f, c)
    sizes = dict.fromkeys(distances, np.linalg.norm(end - start))
    sizes["drift"] = np.linalg.norm(start_gram)
    for name, values in distances.items():
        expected = np.asarray(values) / sizes[name]
        measured = found[0][name][0, 1]
        # What the subspace leaves out is a hundredth of the distance from the linearization.
        atol = 0.01 * np.max(distances["linearization"]) / sizes["linearization"]
        np.testing.assert_allclose(measured, expected, rtol=0, atol=atol, err_msg=name)
        assert np.max(expected) > 30 * atol


def _response(w, f, c):
    """The impulse response at three lags, for ``W / sqrt(n)`` and ``C / sqrt(n)``."""
    return np.stack([c @ np.linalg.matrix_power(w, j) @ f for j in range(3)]).ravel()


def _jacobian(w, f, c):
    """Gradients of the impulse response in ``W``, ``F`` and ``C``, in rows."""
    a = [c @ np.linalg.matrix_power(w, j) for j in range(3)]
    b = [np.linalg.matrix_power(w, j) @ f for j in range(3)]
    rows = []
    for lag, p, q in itertools.product(range(3), range(2), range(2)):
        of_w = sum(
            (np.outer(a[j][p], b[lag - 1 - j][:, q]) for j in range(lag)), np.zeros((40, 40))
        )
        of_f = np.outer(a[lag][p], np.eye(2)[q])
        of_c = np.outer(np.eye(2)[p], b[lag][:, q])
        rows.append([*of_w.ravel() / 40**0.5, *of_f.ravel(), *of_c.ravel() / 40**0.5])
    return np.asarray(rows)


def _gram(w, f, c):
    jacobian = _jacobian(w, f, c)
    return jacobian @ jacobian.T


def _slope(response, x, y):
    """The gradient of the sum loss in the impulse response."""
    lags = response.reshape(3, 2, 2)
    error = -y
    for j, lag in enumerate(lags):
        error[:, j:] += x[:, : 3 - j] @ lag.T
    return np.stack(
        [np.einsum("ntp,ntq->pq", error[:, j:], x[:, : 3 - j]) for j in range(3)]
    ).ravel()


def test_same_seed_gives_the_same_numbers(found):
    arrays, _ = found
    again = wide.run(dataclasses.replace(SMALL, seeds=1, first_seed=4), lambda: None)
    for name in ("convolution", "linearization", "drift", "rank"):
        np.testing.assert_array_equal(again[name][:, 0], arrays[name][:, 1])
    assert not np.allclose(arrays["convolution"][:, 0, 1:], arrays["convolution"][:, 1, 1:])


def test_metrics_are_the_largest_over_steps(found):
    arrays, _ = found
    row = wide.metrics(SMALL, arrays)[1]
    assert (row["width"], row["seed"]) == (40, 4)
    for name in ("convolution", "linearization", "drift"):
        assert row[name] == arrays[name][0, 1].max()
    assert row["rank"] == arrays["rank"][0, 1]


def test_learning_rate_past_stability():
    config = dataclasses.replace(SMALL, learning_rate=10.0)
    with pytest.raises(ValueError, match=r"learning_rate must be below 0\.\d+, .*, got 10"):
        wide.run(config, lambda: None)


def _paths(convolution, linearization, drift, noise=0.02):
    """Paths whose distances follow laws of the width, with noise between seeds."""
    widths = np.array([100, 1000, 10_000, 100_000])
    spread = np.exp(noise * np.random.default_rng(0).standard_normal((4, 5, 1)))
    course = spread * np.array([0, 1.0, 0.5])
    laws = {"convolution": convolution, "linearization": linearization, "drift": drift}
    return {
        "width": widths, "seed": np.arange(5), "step": np.array([0, 1, 5]),
        "rank": np.full((4, 5), 16),
        **{name: widths[:, None, None] ** float(power) * course for name, power in laws.items()},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("exponents", "holds"),
    [
        ((-0.5, -1, -1), [True, True, True]),
        ((-0.7, -1, -1), [False, True, True]),
        ((-0.5, -0.5, -1), [True, False, True]),
        ((-0.5, -1, -0.5), [True, True, False]),
        ((-0.3, -1.3, -1.3), [False, False, False]),
    ],
)
def test_claims(exponents, holds):
    claims = wide.claims(WideConfig(), _paths(*exponents))
    assert [claim.holds for claim in claims] == holds


def test_claims_say_what_was_measured():
    first, second, third = wide.claims(WideConfig(), _paths(-0.5, -1, -1, noise=0.0))
    assert first.value == "-0.500 +- 0.000" and "falls as 1 / sqrt(width)" in first.statement
    assert second.value == third.value == "-1.000 +- 0.000"
    assert "linearization falls as 1 / width" in second.statement
    assert "Drift of the RNN's kernel falls as 1 / width" in third.statement
    noisy = wide.claims(WideConfig(), _paths(-0.5, -1, -1, noise=5.0))
    assert [claim.verdict for claim in noisy] == ["cannot be told"] * 3


def test_numbers():
    numbers = wide.numbers(WideConfig(), _paths(-0.5, -1, -1, noise=0.0))
    assert [number.ours for number in numbers[:3]] == [
        "-0.500 +- 0.000", "-1.000 +- 0.000", "-1.000 +- 0.000",
    ]  # fmt: skip
    assert all("n = 100000" in number.quantity for number in numbers[3:])
    at_largest = [float(number.ours.split()[0]) for number in numbers[3:]]
    np.testing.assert_allclose(at_largest, [0.00316, 1e-5, 1e-5])


def test_plot():
    arrays = _paths(-0.5, -1, -0.9)
    (ax,) = wide.plot(WideConfig(), arrays).axes
    fitted = [line for line in ax.lines if "slope" in str(line.get_label())]
    for container, line, (name, law) in zip(
        ax.containers, fitted, wide.fits(arrays).items(), strict=True
    ):
        medians = np.median(arrays[name].max(axis=2), axis=1)
        np.testing.assert_allclose(container.lines[0].get_ydata(), medians)
        np.testing.assert_allclose(line.get_ydata(), medians, rtol=0.1)
        assert f"slope {law.slope:.2f} ±" in line.get_label()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"widths": (8,)}, r"widths must be two or more, got \(8,\)"),
        ({"widths": (0, 8)}, r"widths must be at least 1, got 0; e.g. 100 1000 10000"),
        ({"seeds": 0}, r"seeds must be at least 1, got 0; the default is 16"),
        ({"learning_rate": -1.0}, r"learning_rate must be positive and finite, got -1"),
    ],
)
def test_errors_name_field_value_and_remedy(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        WideConfig(**fields)
