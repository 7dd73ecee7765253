"""The study of causal linear layers: numbers found another way, claims that can fail."""

import dataclasses

import jax
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.reproduction.studies import layers
from ntk_rnn.reproduction.studies.layers_config import LayersConfig
from ntk_rnn.reproduction.studies.named_layers import limit_weights, named_layer

SMALL = LayersConfig(
    layers=("diagonal",), widths=(16, 8), seq_len=3, delay=1, num_train=4, steps=6, seeds=2,
    first_seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    calls = []
    return layers.run(SMALL, lambda: calls.append(1)), len(calls)


def test_run(found):
    arrays, calls = found
    assert calls == layers.units(SMALL) == 4
    assert arrays["width"].tolist() == [8, 16] and arrays["seed"].tolist() == [3, 4]
    np.testing.assert_allclose(arrays["limit"], [[2, 1, 2 / 3]], rtol=1e-6)
    assert arrays["weight"].shape == arrays["steps"].shape == (1, 2, 2, 3)
    assert arrays["loss"].shape == arrays["predicted"].shape == (1, 2, 2, 7)
    assert arrays["step"].tolist() == list(range(7))
    np.testing.assert_allclose(arrays["predicted"][..., 0], 1, rtol=1e-4)


def test_numbers_are_those_found_by_hand(found):
    """The second seed: the Jacobian of the impulse response, and gradient descent by a loop."""
    arrays, _ = found
    model = nr.DiagonalRNN(8, 1)
    key_x, key_layer = jax.random.split(jax.random.key(4))
    x = jax.random.normal(key_x, (4, 3, 1))
    params = model.init(key_layer, x)
    impulse = np.eye(3, dtype=np.float32)[:1, :, None]
    jacobian = jax.jacobian(lambda params: model.apply(params, impulse)[0, :, 0])(params)
    leaves = [np.asarray(leaf).reshape(3, -1) for leaf in jax.tree.leaves(jacobian)]
    weights = sum(np.sum(np.abs(leaf) ** 2, axis=1) for leaf in leaves)
    np.testing.assert_allclose(arrays["weight"][0, 0, 1], weights, rtol=1e-3)

    size = np.linalg.norm(model.apply(params, impulse))
    y = np.concatenate([np.zeros((4, 1, 1)), x[:, :2]], axis=1) * size
    rows = np.concatenate([np.concatenate([leaf.real, leaf.imag], axis=1) for leaf in leaves], 1)
    lagged = np.stack([np.pad(x[:, : 3 - j, 0], ((0, 0), (j, 0))) for j in range(3)], axis=-1)
    features = lagged.reshape(-1, 3) @ rows
    rate = 1 / np.linalg.norm(features, 2) ** 2

    def loss(params):
        return ((model.apply(params, x) - y) ** 2).sum() / 2

    start = loss(params)
    for step in range(7):
        assert arrays["loss"][0, 0, 1, step] == pytest.approx(float(loss(params) / start), rel=1e-2)
        change = jax.grad(loss)(params)
        params = jax.tree.map(lambda p, g: p - p.dtype.type(rate) * g.conj(), params, change)


def test_every_name_is_a_layer():
    """Each has the weights that its own class says, and the numbers that were asked for."""
    numbers = {"nu_w": 0.6, "nu_f": 2.0, "nu_c": 0.5, "r_min": 0.2, "r_max": 0.8}
    expected = {
        "gaussian": nr.lag_weights(4, 0.6, 2.0, 0.5),
        "orthogonal": nr.lag_weights(4, 0.6, 2.0, 0.5),
        "diagonal": nr.DiagonalRNN(32, 1, 0.2, 0.8, 2.0, 0.5).lag_weights(4),
        "lru": nr.LRU(32, 1, 0.2, 0.8, nu_f=2.0, nu_c=0.5).lag_weights(4),
    }
    for name in LayersConfig().layers:
        layer = named_layer(name, 32, **numbers)
        weights = limit_weights(layer, 4)
        if name.startswith("s4d"):
            assert weights is None and layer.variant == name[4:]
        else:
            np.testing.assert_allclose(weights, expected[name], rtol=1e-6)
        assert (layer.nu_f, layer.nu_c) == (2.0, 0.5)


def _arrays(distance=0.04, power=-0.5, gap=0.004, later=3.0, ahead=2.0):
    """Arrays whose numbers follow laws of the width, with a little noise between seeds."""
    rng = np.random.default_rng(0)
    width, lag = np.array([128, 512, 2048]), np.arange(4)
    law = (width / 2048.0)[None, :, None] ** power * np.exp(0.02 * rng.normal(size=(3, 3, 6)))
    limit = np.stack([0.5**lag, 1 / (lag + 1.0), np.full(4, np.nan)])
    steps = later ** (lag / 3) * np.exp(0.02 * rng.normal(size=(3, 3, 6, 4)))
    steps[0, ..., -1] *= 10**ahead
    loss = np.exp(-np.arange(5.0)) * np.ones((3, 3, 6, 1))
    weight = np.where(np.isnan(limit), 1.0, limit)[:, None, None] * (1 + distance * law[..., None])
    return {
        "layer": np.array(["gaussian", "lru", "s4d-lin"]), "width": width, "seed": np.arange(6),
        "step": np.arange(5), "limit": limit, "weight": weight, "steps": steps,
        "lags": np.full((3, 3, 6), 2.5), "loss": loss,
        "predicted": loss + gap * law[..., None] * np.array([0, 0.5, 1, 0.5, 0]),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "fails"),
    [
        ({}, set()),
        ({"distance": 0.5}, {"Lag weights of gaussian of", "Lag weights of lru of"}),
        ({"gap": 0.5}, {"Loss of gaussian", "Loss of lru", "Loss of s4d-lin"}),
        ({"later": 0.2}, {"lru takes longer", "s4d-lin takes longer"}),
        ({"ahead": 0.5}, {"The Gaussian RNN takes 10 times"}),
        (
            {"power": 0.5},
            {
                "Lag weights of gaussian tend", "Lag weights of lru tend",
                "That gap of gaussian falls", "That gap of lru falls", "That gap of s4d-lin falls",
            },
        ),
    ],
)  # fmt: skip
def test_claims(given, fails):
    claims = layers.claims(dataclasses.replace(SMALL, seq_len=4), _arrays(**given))
    assert len(claims) == 5 + 5 + 3 + 1
    found = {claim.statement for claim in claims if claim.verdict != "holds"}
    assert len(found) == len(fails)
    assert all(any(statement.startswith(start) for start in fails) for statement in found)


def test_metrics_numbers_and_plot():
    arrays, config = _arrays(), dataclasses.replace(SMALL, seq_len=4)
    rows = layers.metrics(config, arrays)
    assert len(rows) == 3 * 3 * 6 and len({tuple(row) for row in rows}) == 1
    assert rows[0]["gap"] == pytest.approx(0.016, rel=0.1) and rows[0]["lags"] == 2.5
    assert rows[0]["distance"] == pytest.approx(0.16, rel=0.1) and np.isnan(rows[-1]["distance"])
    numbers = layers.numbers(config, arrays)
    assert [number.ours for number in numbers[::3]] == ["2.5 +- 0"] * 3
    weights, steps, losses = layers.plot(config, arrays).axes
    drawn = [line.get_ydata() for line in steps.lines]
    np.testing.assert_allclose(drawn, np.median(arrays["steps"][:, -1], axis=1))
    assert len(losses.lines) == 6 and len(weights.containers) == 3


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"layers": ()}, r"layers must be one or more, each once, got \(\)"),
        ({"layers": ("lru", "lru")}, r"layers must be .*, got \('lru', 'lru'\)"),
        ({"widths": (64,)}, r"widths must be two or more, got \(64,\)"),
        ({"widths": (64, 100)}, r"widths must be multiples of 32 for s4d, .* got 100; e.g. 96"),
        ({"delay": 20}, r"delay must be from 0 to seq_len - 1, 19, got 20"),
        ({"seq_len": 1, "delay": 0}, r"seq_len must be at least 2, to compare lags, got 1"),
        ({"r_min": 0.9, "r_max": 0.5}, r"r_min and r_max must be between .*, got 0.9 and 0.5"),
    ],
)
def test_errors_name_field_value_and_remedy(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        LayersConfig(**fields)
