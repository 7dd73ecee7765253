"""Figs. 1 and 2 at small sizes: every array, and claims that can fail."""

import dataclasses
import logging
import re

import jax
import numpy as np
import pytest

from ntk_rnn.reproduction.studies import fig1_2
from ntk_rnn.reproduction.studies.configs import DynamicsConfig

SMALL = DynamicsConfig(
    width=60, in_dim=2, out_dim=3, seq_len=4, num_train=6, num_test=5, steps=12, seeds=2,
    first_seed=3,
)  # fmt: skip


@pytest.fixture
def run(dtype):
    return fig1_2.run(SMALL, lambda: None)


def test_run(run, dtype):
    losses = [
        f"{model}_{data}" for model in ("rnn", "conv", "closed") for data in ("train", "test")
    ]
    assert all(run[name].shape == (2, 13) and run[name].dtype == dtype for name in losses)
    assert all(np.isfinite(array).all() for array in run.values())
    for data in ("train", "test"):  # all start from one impulse response
        for model in ("conv", "closed"):
            np.testing.assert_allclose(run[f"{model}_{data}"][:, 0], run[f"rnn_{data}"][:, 0], 1e-5)
    assert run["rnn_response"].shape == run["initial_response"].shape == (2, 4, 3, 2)
    np.testing.assert_allclose(run["closed_response"], run["conv_response"], rtol=0, atol=1e-4)
    assert (run["conv_train"][:, -1] < run["conv_train"][:, 0]).all()
    assert np.abs(run["rnn_response"] - run["initial_response"]).max() > 1e-3
    assert run["conv_train"][0, 0] != run["conv_train"][1, 0]

    closed = fig1_2.claims(SMALL, run)[2:]
    assert all(claim.holds for claim in closed)
    assert closed[0].bar == ("at most 1e-10" if dtype == np.float64 else "at most 0.0001")

    rows = fig1_2.metrics(SMALL, run)
    assert [row["seed"] for row in rows] == [3, 4]
    assert rows[1]["rnn_test"] == run["rnn_test"][1, -1]
    gap = np.abs(run["rnn_train"][1] - run["conv_train"][1]).max() / run["conv_train"][1, 0]
    np.testing.assert_allclose(rows[1]["train_gap"], gap)


def test_seeds_after_the_first_compile_nothing(caplog):
    config = dataclasses.replace(SMALL, steps=7, seeds=3)
    per_seed = []
    with caplog.at_level(logging.WARNING, logger="jax"), jax.log_compiles():

        def advance():
            per_seed.append(sum("Compiling" in r.getMessage() for r in caplog.records))
            loops.append(sum(bool(re.search(r"Compiling (jit\()?_descend\b", r.getMessage()))
                             for r in caplog.records))  # fmt: skip

        loops = []
        fig1_2.run(config, advance)
    assert loops == [2, 2, 2]  # one training loop for each model
    assert per_seed[0] == per_seed[1] == per_seed[2]


def test_learning_rate_past_stability():
    config = dataclasses.replace(SMALL, learning_rate=1.0)
    with pytest.raises(ValueError, match=r"learning_rate must be below 0\.\d+, .*, got 1"):
        fig1_2.run(config, lambda: None)


def _curves(**factors):
    """Losses that fall alike in all models, but for a factor at the step after the first."""
    loss = np.geomspace(1, 0.1, 5, dtype=np.float32)
    arrays = {"seed": np.arange(2), "step": np.arange(5)}
    for model in ("rnn", "conv", "closed"):
        for data in ("train", "test"):
            curve = np.stack([loss, 3 * loss])
            curve[:, 1] *= factors.get(f"{model}_{data}", 1)
            arrays[f"{model}_{data}"] = curve
    return arrays


@pytest.mark.parametrize("broken", range(4))
def test_each_claim_can_fail(broken):
    config = DynamicsConfig()
    name, factor = [
        ("rnn_train", 1.1), ("rnn_test", 1.1), ("closed_train", 1.001), ("closed_test", np.nan),
    ][broken]  # fmt: skip
    holds = [claim.holds for claim in fig1_2.claims(config, _curves(**{name: factor}))]
    assert holds == [i != broken for i in range(4)]
    assert all(claim.holds for claim in fig1_2.claims(config, _curves()))


def test_the_bar_for_the_width():
    for width, bar in ((1000, "0.03"), (250, "0.06")):
        claim = fig1_2.claims(DynamicsConfig(width=width), _curves())[0]
        assert claim.bar.startswith(f"below {bar}, by ")


def test_plot():
    arrays = _curves()
    fig = fig1_2.plot(dataclasses.replace(DynamicsConfig(), steps=4), arrays)
    for ax, data in zip(fig.axes, ("train", "test"), strict=True):
        assert len(ax.lines) == 3 and len(ax.collections) == 2  # bands of RNN and convolution
        np.testing.assert_allclose(ax.lines[0].get_ydata(), arrays[f"rnn_{data}"][0], rtol=1e-6)
    assert fig.axes[0].get_yscale() == "linear"
    assert fig1_2.plot(DynamicsConfig(), arrays).axes[0].get_yscale() == "log"
