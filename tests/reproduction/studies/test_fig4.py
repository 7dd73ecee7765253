"""Fig. 4 at small sizes: paths found independently, and claims that can fail."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_rnn.reproduction.studies import fig4, students, teacher_data
from ntk_rnn.reproduction.studies.configs import WidthConfig

SMALL = WidthConfig(
    widths=(60, 6), teacher_width=3, in_dim=2, out_dim=2, seq_len=3, num_train=4, num_test=5,
    steps=8, seeds=2, first_seed=3, learning_rate=5e-3,
)  # fmt: skip


# In the precision whose tolerance is the narrow one; test_delay.py runs in both.
@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_run(dtype, tol):
    calls = []
    arrays = fig4.run(SMALL, lambda: calls.append(1))
    assert len(calls) == fig4.units(SMALL) == 4
    assert arrays["width"].tolist() == [6, 60] and arrays["step"].tolist() == list(range(9))
    for data in ("train", "test"):
        rnn, conv = arrays[f"rnn_{data}"], arrays[f"conv_{data}"]
        assert rnn.shape == conv.shape == (2, 2, 9)
        np.testing.assert_allclose(rnn[..., 0], conv[..., 0], rtol=10 * tol)
    assert (arrays["response_gap"][..., 0] < 10 * tol).all()

    # The wider RNN of the second seed, and its convolution, by gradients by hand.
    key_data, key_student = jax.random.split(jax.random.key(4))
    (x, y), _ = _host(teacher_data.draw(key_data, SMALL))
    model = fig4.nr.LinearRNN(60, 2)
    w, f, c = (_host(students.draw(model, key_student, x)[0]["params"])[a] for a in "WFC")
    w, c = w / 60**0.5, c / 60**0.5
    rho = [2.0, 1.6, 0.78]
    conv = [c @ np.linalg.matrix_power(w, j) @ f for j in range(3)]
    start, losses, distances = np.stack(conv), [], []
    for _ in range(9):
        rnn = [c @ np.linalg.matrix_power(w, j) @ f for j in range(3)]
        (loss, grad), (conv_loss, conv_grad) = _loss(rnn, x, y), _loss(conv, x, y)
        losses.append((loss, conv_loss))
        distances.append(np.linalg.norm(np.stack(rnn) - np.stack(conv)))
        end = np.stack(conv)
        conv = [r - 5e-3 * p * g for r, p, g in zip(conv, rho, conv_grad, strict=True)]
        # Parameters are those of the scaled products, so two of the three steps are 1 / n of it.
        grad_w = (c.T @ grad[1] @ f.T + c.T @ grad[2] @ (w @ f).T + (c @ w).T @ grad[2] @ f.T) / 60
        grad_c = (grad[0] @ f.T + grad[1] @ (w @ f).T + grad[2] @ (w @ w @ f).T) / 60
        grad_f = c.T @ grad[0] + (c @ w).T @ grad[1] + (c @ w @ w).T @ grad[2]
        w, f, c = w - 5e-3 * grad_w, f - 5e-3 * grad_f, c - 5e-3 * grad_c
    rnn_loss, conv_loss = np.transpose(losses)
    np.testing.assert_allclose(arrays["rnn_train"][1, 1], rnn_loss, rtol=10 * tol)
    np.testing.assert_allclose(arrays["conv_train"][1, 1], conv_loss, rtol=10 * tol)
    expected = np.asarray(distances) / np.linalg.norm(end - start)
    np.testing.assert_allclose(arrays["response_gap"][1, 1], expected, rtol=0, atol=20 * tol)

    gap = np.abs(rnn_loss - conv_loss).max() / conv_loss[0]
    row = fig4.metrics(SMALL, arrays)[3]
    assert (row["width"], row["seed"]) == (60, 4)
    assert row["train_gap"] == pytest.approx(gap, rel=1e-3)
    assert row["response_gap"] == pytest.approx(expected.max(), rel=1e-3)


def _host(part):
    return jax.tree.map(lambda a: np.asarray(a, float), part)


def _loss(response, x, y):
    """Sum loss, and its gradient in each lag of the impulse response."""
    error = -y
    for j, lag in enumerate(response):
        error[:, j:] += x[:, : x.shape[1] - j] @ lag.T
    grad = [np.einsum("ntp,ntq->pq", error[:, j:], x[:, : x.shape[1] - j]) for j in range(3)]
    return np.sum(error**2) / 2, grad


def test_learning_rate_past_stability():
    config = dataclasses.replace(SMALL, learning_rate=10.0)
    with pytest.raises(ValueError, match=r"learning_rate must be below 0\.\d+, .*, got 10"):
        fig4.run(config, lambda: None)


def _paths(law, noise=0.02):
    """Paths whose gaps follow a law of the width, with noise between seeds."""
    widths = np.array([10, 40, 200, 1000])
    spread = np.exp(noise * np.random.default_rng(0).standard_normal((4, 5, 1)))
    gap = law(widths)[:, None, None] * spread * np.array([0, 1.0, 0.5])
    loss = np.broadcast_to([3.0, 2.0, 1.0], gap.shape)
    return {
        "width": widths, "seed": np.arange(5), "step": np.array([0, 1, 5]),
        "conv_train": loss, "conv_test": loss, "rnn_train": loss + 3 * gap,
        "rnn_test": loss - 3 * gap, "response_gap": gap,
    }  # fmt: skip


def test_claims():
    def verdicts(law, noise=0.02):
        claims = fig4.claims(WidthConfig(), _paths(law, noise))
        assert len(claims) == 6
        return [claim.holds for claim in claims[:2]], [claim.holds for claim in claims[4:]]

    assert verdicts(lambda n: n**-0.5) == ([True, True],) * 2
    assert verdicts(lambda n: n**-0.3) == ([True, False],) * 2
    assert verdicts(lambda n: n**-0.8) == ([True, False],) * 2
    assert verdicts(lambda n: 0.1 * n**0.0) == ([False, False],) * 2
    noisy = fig4.claims(WidthConfig(), _paths(lambda n: 0.1 * n**-0.1, 3.0))
    assert [claim.verdict for claim in noisy] == ["cannot be told"] * 6
    claim = fig4.claims(WidthConfig(), _paths(lambda n: n**-0.5, 0.0))[0]
    assert claim.value == "-0.500 +- 0.000" and "training loss falls with width" in claim.statement


def test_plot():
    arrays = _paths(lambda n: n**-0.5)
    losses, over_steps, over_width = fig4.plot(WidthConfig(), arrays).axes
    start = arrays["conv_train"][1, :, :1]
    for line, name in ((2, "rnn"), (3, "conv")):
        drawn = losses.lines[line].get_ydata()
        np.testing.assert_allclose(
            drawn, np.median(arrays[f"{name}_train"][1] / start, axis=0), rtol=1e-6
        )
    assert len(over_steps.lines) == 4 and len(over_width.containers) == 3
    gaps = fig4.gaps(arrays)["train"]
    np.testing.assert_allclose(over_steps.lines[2].get_ydata(), np.median(gaps[2], axis=0)[1:])
    medians = over_width.containers[2].lines[0].get_ydata()
    np.testing.assert_allclose(medians, np.median(arrays["response_gap"].max(axis=2), axis=1))


def test_records_are_dense_where_gaps_are_largest():
    records = fig4._records(WidthConfig())
    assert (
        records[:21].tolist() == list(range(21)) and records[-1] == 100 and 28 <= len(records) < 40
    )
    assert fig4._records(dataclasses.replace(SMALL, steps=1)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"widths": (8,)}, r"widths must be two or more, got \(8,\)"),
        ({"widths": (0, 8)}, r"widths must be at least 1, got 0; e.g. 10 40 200"),
        ({"steps": 0}, r"steps must be at least 1, got 0; the default is 100"),
    ],
)
def test_errors_name_field_value_and_remedy(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        WidthConfig(**fields)


@pytest.mark.parametrize(
    ("width", "steps", "way"),
    [
        (999, 100, "gradient_descent"),
        (1000, 100, "subspace_descent"),
        (1000, 99, "gradient_descent"),
    ],
)
def test_wide_networks_are_trained_in_a_subspace_for_many_steps(monkeypatch, width, steps, way):
    for name in ("gradient_descent", "subspace_descent"):
        monkeypatch.setattr(students.nr, name, lambda *_, name=name, **how: (name, how))
    found, how = students.train_rnn.__wrapped__(
        students.nr.LinearRNN(width, 1, 0.3, 1.0, 1.0), None, None, steps=steps,
        learning_rate=0.5, allow_unstable=True,
    )  # fmt: skip
    assert found == way and how["steps"] == steps and how["allow_unstable"]
