"""Whatever a public function is given, it works or says which argument is wrong, and how.

Each function has a small call that works in ``calls``. One argument of it at a time is replaced by
a value of a wrong type, shape or size. Then the call either works, or raises ``ValueError`` or
``TypeError`` with one line that has the name of the argument, from a line of this library: what
JAX, NumPy or the system say is no answer. What would lose a part of itself is never taken.

A new public function needs an entry in ``calls``.
"""

import contextlib
import functools
import inspect
import re
import tempfile
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings, strategies as st

import ntk_rnn as nr

LIBRARY = str(Path(nr.__file__).parent)


class Call(NamedTuple):
    """A call that works, and what is tried on it.

    Attributes:
      function: what is called, by keywords alone.
      arguments: those of the call.
      also: for an argument, other names by which messages may call it.
      examples: how many values are tried, fewer where what works is compiled for seconds.
      kept: names of values of ``LOST`` of which an argument loses nothing.
    """

    function: Any
    arguments: dict[str, Any]
    also: Mapping[str, str] = MappingProxyType({})
    kept: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    examples: int = 24


# What functions return, and rows of a law, hold what they are given.
RECORDS = {
    "CompressedData", "DelayErrors", "DriftBound", "FiniteWidthGram", "FunctionRegression",
    "GaussianRows", "ImpulseFit", "ImpulseMoments", "KernelRegression", "LagMemory",
    "LowRankParams", "MonteCarloNTK", "StateEvolution", "SubspacePath", "TrainingPath", "WideRNN",
    "data.Channel", "data.Recording", "data.S1", "data.Units", "data.Windows",
}  # fmt: skip
ERRORS = {"data.DataUnavailable"}
WITHOUT_ARGUMENTS = {
    "FiniteWidthGram.dense", "FiniteWidthGram.lag_weights", "ImpulseFit.compressed",
    "ImpulseFit.step_response", "LagMemory.plot", "LagMemory.table",
    "LowRankParams.dense", "data.Recording.at_rest", "data.Recording.compress",
}  # fmt: skip

# Modules of Flax, which are called by ``apply``.
MODELS = {"LinearRNN.apply", "LRU.apply", "RNN.apply", "ScaledConv.apply"}


def unchanged(q, u):
    return q


class Nothing:
    """A class that takes no arguments."""


@functools.cache
def calls() -> dict[str, Call]:
    """For each public function, and each method of what they return, a call that works."""
    key = jax.random.key(0)
    x, y = map(np.asarray, nr.data.teacher(key, 4, 3))
    rho = np.asarray(nr.lag_weights(3, 0.3, 1.0, 1.0))
    model = nr.LinearRNN(4, 1)
    params = model.init(key, x)
    response = np.asarray(nr.impulse_response(params, 3))
    gram = nr.finite_width_gram(params, 3)
    data = nr.compress(x, y)
    solved = nr.kernel_regression(rho, (x, y))
    conv = nr.ScaledConv(rho, 1)
    wide = nr.wide_rnn(key, 4, 1, 1)
    units = nr.data.training_units(x, y)
    rows = np.arange(40.0)[:, None]
    recording = nr.data.from_arrays(rows, rows, seq_len=4)
    unnamed = {"group": None, "time": None}
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("devices",))
    start = nr.GaussianRows(np.zeros(1), np.eye(1))
    nu = {"nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0}
    nan = ("not finite", "with nan")
    relu = nr.RNN(4, 1, "relu")
    lru = nr.LRU(4, 1)
    recurrent = {
        "x1": x, "x2": x, "activation": "erf", **nu, "output": "last",
        "lengths1": np.array([1, 2, 3, 3]), "lengths2": np.array([3, 2, 1, 3]),
        "tolerance": 1e-3,
    }  # fmt: skip
    stationary = {"activation": "tanh", "nu_w": 0.3, "nu_f": 1.0, "input_power": 1.0}
    tuned = nr.fit((rows, rows + np.roll(rows, 1)), seq_len=3, kernel="tc")
    of_pair = {"x": "x|data", "y": "y|x|data"}
    erf = functools.partial(nr.recurrent_ntk, activation="erf", **nu)
    padded = {"data": (x, y), "lengths": np.array([1, 2, 3, 3])}
    functions = nr.kernel_regression(erf, **padded)
    path_at = {"step": [0, 3], "learning_rate": 1e-3, "momentum": 0.0, "time": None}
    training = {
        "apply_fn": model, "params": params, "data": (x, y), "learning_rate": 1e-3,
        "optimizer": None, "test": (x, y), "loss": "sum", "record_at": [0, 2],
        "allow_unstable": False,
    }  # fmt: skip
    return {
        "LinearRNN": Call(nr.LinearRNN, {"width": 4, "out_dim": 1, **nu, "evaluation": "auto"}),
        "LinearRNN.apply": Call(
            lambda x: model.apply(params, x), {"x": x}
        ),
        "RNN": Call(nr.RNN, {"width": 4, "out_dim": 1, "activation": "relu", **nu}),
        "RNN.apply": Call(lambda x: relu.apply(relu.init(key, x), x), {"x": x}),
        "OrthogonalRNN": Call(
            nr.OrthogonalRNN, {"width": 4, "out_dim": 1, **nu, "evaluation": "auto"}
        ),
        "DiagonalRNN": Call(
            nr.DiagonalRNN,
            {
                "width": 4, "out_dim": 1, "r_min": 0.1, "r_max": 0.9, "nu_f": 1.0, "nu_c": 1.0,
                "real": False,
            },
        ),
        "LRU": Call(
            nr.LRU,
            {
                "width": 4, "out_dim": 1, "r_min": 0.1, "r_max": 0.9, "max_phase": 1.0,
                "nu_f": 1.0, "nu_c": 1.0,
            },
        ),
        "LRU.apply": Call(lambda x: lru.apply(lru.init(key, x), x), {"x": x}),
        "S4D": Call(
            nr.S4D,
            {
                "width": 4, "out_dim": 1, "variant": "lin", "order": 2, "dt_min": 0.001,
                "dt_max": 0.1, "nu_f": 1.0, "nu_c": 1.0,
            },
            also={"order": "width"},
        ),
        "ScaledConv": Call(nr.ScaledConv, {"lag_weights": rho, "out_dim": 1}),
        "ScaledConv.apply": Call(lambda x: conv.apply(conv.init(key, x), x), {"x": x}),
        "ScaledConv.params_from": Call(conv.params_from, {"impulse_response": response}),
        "impulse_response": Call(
            nr.impulse_response, {"params": params, "seq_len": 3}
        ),
        "lagged_inputs": Call(nr.lagged_inputs, {"x": x, "num_lags": 2}),
        "toeplitz": Call(nr.toeplitz, {"impulse_response": response, "seq_len": 3}),
        "causal_conv": Call(nr.causal_conv, {"impulse_response": response, "x": x}),
        "unit_impulses": Call(nr.unit_impulses, {"seq_len": 3, "in_dim": 1, "dtype": np.float32}),
        "compress": Call(
            nr.compress, {"x": x, "y": y, "weights": np.ones((4, 3)), "chunk_size": 2},
            also={"weights": "x and y, compressed"},
        ),
        "compress_shards": Call(
            nr.compress_shards,
            {"x": jnp.asarray(x), "y": jnp.asarray(y), "weights": jnp.ones((4, 3))},
        ),
        "compress_recording": Call(
            nr.compress_recording,
            {"x": rows, "y": rows, "weights": np.ones(40), "seq_len": 3, "pieces": [0, 20]},
            also={"weights": "x and y, compressed"},
            kept={"y": ("with nan",)},  # the first targets are left out
        ),
        "merge_compressed": Call(nr.merge_compressed, {"parts": [data, data]}),
        "CompressedData.errors": Call(data.errors, {"impulse_response": response}),
        "CompressedData.loss": Call(data.loss, {"impulse_response": response, "loss": "mean"}),
        "CompressedData.scale": Call(data.scale, {"loss": "mean"}),
        "hankel_singular_values": Call(
            nr.hankel_singular_values, {"impulse_response": response, "zeros_beyond": True}
        ),
        "realize": Call(
            nr.realize,
            {
                "impulse_response": response, "method": "balanced", "order": 1, "tolerance": 0.1,
                "zeros_beyond": None,
            },
        ),
        "shard_params": Call(
            nr.shard_params, {"params": params, "mesh": mesh, "axis": "devices"}
        ),
        "shard_sequences": Call(
            nr.shard_sequences, {"x": x, "mesh": mesh, "axis": "devices"},
            kept={"x": ("complex", "with i", "not finite", "with nan")},
        ),
        "lag_weights": Call(nr.lag_weights, {"seq_len": 3, **nu}),
        "lag_weight_bound": Call(nr.lag_weight_bound, {"seq_len": 3, **nu}),
        "analytic_ntk": Call(nr.analytic_ntk, {"x1": x, "x2": x, "rho": rho}),
        "recurrent_ntk": Call(nr.recurrent_ntk, recurrent, examples=10),
        "recurrent_nngp": Call(nr.recurrent_nngp, recurrent, examples=10),
        "chi": Call(nr.chi, stationary, examples=10),
        "stationary_variance": Call(nr.stationary_variance, stationary, examples=10),
        "effective_lag_weights": Call(
            nr.effective_lag_weights, {"seq_len": 3, **stationary, "nu_c": 1.0}, examples=10
        ),
        "critical_nu_w": Call(
            nr.critical_nu_w, {"activation": "relu", "nu_f": 1.0, "input_power": 1.0}, examples=10
        ),
        "as_matrix": Call(nr.as_matrix, {"kernel": np.ones((2, 3, 4, 5))}, kept={"kernel": nan}),
        "empirical_ntk": Call(
            nr.empirical_ntk,
            {
                "apply_fn": model, "params": params, "x1": x, "x2": x, "trace_axes": (-1,),
                "implementation": "jacobian_contraction", "batch_size": 2,
            },
            examples=10, also={"x1": "x", "x2": "x"},
        ),
        "monte_carlo_ntk": Call(
            nr.monte_carlo_ntk,
            {
                "apply_fn": model, "params": params, "x1": x, "x2": x, "key": key,
                "num_samples": 2, "full": False, "batch_size": 1,
            },
            examples=10, also={"x1": "x", "x2": "x"},
        ),
        "finite_width_gram": Call(
            nr.finite_width_gram, {"params": params, "seq_len": 3}
        ),
        "layer_gram": Call(
            nr.layer_gram,
            {"apply_fn": model.apply, "params": params, "seq_len": 3, "in_dim": 1},
            examples=10, also={"in_dim": "params"},
        ),
        "functional": Call(nr.functional, {"module": nnx.Linear(1, 1, rngs=nnx.Rngs(0))}),
        "FiniteWidthGram.ntk": Call(gram.ntk, {"x1": x, "x2": x, "full": False}),
        "FiniteWidthGram.drift": Call(gram.drift, {"initial": gram}),
        "write_ntk": Call(
            nr.write_ntk,
            {
                "path": "kernel.npy", "kernel_fn": gram.ntk, "x1": x, "x2": x, "block_size": 2,
                "progress": False,
            },
        ),
        "kernel_regression": Call(
            nr.kernel_regression,
            {
                "kernel": rho, "data": (x, y), "initial": response, "loss": "sum",
                "on_host": True, "method": "auto", "tolerance": 1e-6, "max_rank": 10,
                "lengths": None,
            },
        ),
        "KernelRegression.impulse_response": Call(solved.impulse_response, path_at),
        "KernelRegression.train_loss": Call(solved.train_loss, path_at),
        "KernelRegression.predict": Call(solved.predict, {"x": x, **path_at}),
        "KernelRegression.test_loss": Call(solved.test_loss, {"data": (x, y), **path_at}),
        "FunctionRegression.train_loss": Call(functions.train_loss, path_at),
        "FunctionRegression.predict": Call(
            functions.predict, {"x": x, **path_at, "lengths": padded["lengths"]}
        ),
        "FunctionRegression.test_loss": Call(functions.test_loss, {**padded, **path_at}),
        "gradient_descent": Call(
            nr.gradient_descent, {**training, "steps": 3, "kernel_drift": False},
            examples=10, also={"data": "x", "test": "x"},
        ),
        "train": Call(
            nr.train,
            {
                **training, "steps": 3, "epochs": None, "batch_size": 2, "key": key,
                "checkpoint": None, "checkpoint_every": None, "progress": False,
            },
            examples=10, also={"data": "x", "test": "x"},
        ),
        "subspace_descent": Call(
            nr.subspace_descent,
            {
                "params": params, "data": (x, y), "learning_rate": 1e-3, "steps": 3,
                "epochs": None, "momentum": 0.0, "batch_size": 2, "key": key, "test": (x, y),
                "loss": "sum", "record_at": [0, 2], "kernel_drift": False, "certify_at": [3],
                "tolerance": 0.1, "allow_unstable": False,
            },
            examples=10, also={"data": "x", "test": "x"},
        ),
        "wide_rnn": Call(
            nr.wide_rnn, {"key": key, "width": 4, "in_dim": 1, "out_dim": 1, **nu}, examples=10
        ),
        "WideRNN.product": Call(wide.product, {"vectors": np.ones((4, 2))}),
        "WideRNN.knowing": Call(wide.knowing, {"vectors": np.ones((4, 2))}),
        "WideRNN.chains": Call(wide.chains, {"seq_len": 2}),
        "WideRNN.with_chains": Call(wide.with_chains, {"seq_len": 2}),
        "ensemble": Call(
            nr.ensemble,
            {"run": lambda member: member, "members": np.arange(3.0), "max_bytes": 10**6},
            kept={"members": ("complex", "with i", "not finite", "with nan")},
        ),
        "max_learning_rate": Call(
            nr.max_learning_rate,
            {"apply_fn": model, "params": params, "data": x, "loss": "sum", "key": key},
            examples=10, also={"data": "x"},
        ),
        "drift_bound": Call(
            nr.drift_bound,
            {
                "data": (x, y), **nu, "learning_rate": 1e-4, "steps": [0, 3],
                "initial": response, "b2": "rigorous",
            },
            also={"nu_f": "learning_rate", "nu_c": "learning_rate"},
        ),
        "state_evolution": Call(
            nr.state_evolution,
            {
                "maps": [unchanged], "variances": [0.5], "initial": start, "inputs": None,
                "horizon": 2, "form": "covariance", "method": "auto", "order": 4, "key": key,
                "num_samples": 32,
            },
        ),
        "simulate_evolution": Call(
            nr.simulate_evolution,
            {
                "key": key, "maps": [unchanged], "variances": [0.5], "initial": start,
                "inputs": None, "width": 4, "horizon": 2,
            },
        ),
        "gaussian_limit": Call(nr.gaussian_limit, {"seq_len": 3, **nu}),
        "impulse_response_moments": Call(
            nr.impulse_response_moments,
            {
                "key": key, "width": 4, "seq_len": 3, "in_dim": 1, "out_dim": 1, **nu,
                "num_seeds": 2,
            },
            examples=10,
        ),
        "delay_errors": Call(
            nr.delay_errors, {"rho": rho, "x": x, "steps": [0, 3], "learning_rate": 1e-3},
            also={"rho": "learning_rate", "x": "learning_rate"},
        ),
        "DelayErrors.steps_needed": Call(
            nr.delay_errors(rho, x, np.array([0, 3])).steps_needed, {"error": 0.5}
        ),
        "memory": Call(
            nr.memory,
            {
                "kernel": rho, "data": (x, y), "num_targets": None, "learning_rate": 1e-3,
                "part": 0.5,
            },
            also={"kernel": "learning_rate", "data": "learning_rate"},
        ),
        "value_for_memory": Call(
            nr.value_for_memory,
            {
                "lags": 2.0, "weights": lambda nu_w: nr.lag_weights(3, nu_w, 1.0, 1.0),
                "between": (0.01, 0.99),
            },
            also={"between": "lags|nu_w"},
        ),
        "fit": Call(
            nr.fit,
            {
                "data": (rows, rows), "seq_len": 3, "kernel": "di", "offset": True, "delay": 0,
                "shared": False, "interval": 1.0,
            },
            also={"seq_len": "data", "delay": "seq_len"},
        ),
        "ImpulseResponseRegressor": Call(
            lambda **given: nr.ImpulseResponseRegressor(**given).fit(
                np.concatenate([rows, rows > 20], axis=1), rows
            ),
            {"seq_len": 3, "kernel": "di", "delay": 0, "shared": False, "group_column": 1},
            also={"seq_len": "data", "delay": "seq_len", "group_column": "data|y"},
        ),
        "load": Call(nr.load, {"path": "data.csv"}),
        "ImpulseFit.predict": Call(tuned.predict, {"x": rows, "return_std": True}),
        "ImpulseFit.score": Call(tuned.score, {"x": rows, "y": rows}, also=of_pair),
        "ImpulseFit.frequency_response": Call(tuned.frequency_response, {"num": 5}),
        "ImpulseFit.realize": Call(tuned.realize, {"order": 1}),
        "ImpulseFit.training": Call(
            tuned.training, {"steps": 3, **nu, "learning_rate": 1e-6},
            also={"steps": "step", "nu_w": "learning_rate", "nu_f": "learning_rate",
                  "nu_c": "learning_rate"},
        ),
        "ImpulseFit.save": Call(tuned.save, {"path": "model.npz"}),
        "hidden_state_covariance": Call(
            nr.hidden_state_covariance, {"params": params, "x": x}
        ),
        "hidden_state_limit": Call(nr.hidden_state_limit, {"x": x, "nu_w": 0.3, "nu_f": 1.0}),
        "gaussian_wasserstein": Call(
            nr.gaussian_wasserstein, {"cov1": np.eye(2), "cov2": np.eye(2)}
        ),
        "data.s1": Call(nr.data.s1, {"path": "data.csv"}, also={"path": "NTK_RNN_DATA"}),
        "data.from_csv": Call(
            nr.data.from_csv,
            {"path": "data.csv", "inputs": "a", "outputs": ["b"], "seq_len": 2} | unnamed,
            also=dict.fromkeys(("inputs", "outputs", "group", "time"), "column"),
        ),
        "data.from_file": Call(
            nr.data.from_file,
            {"path": "data.npz", "inputs": "a", "outputs": ["b"], "seq_len": 2} | unnamed,
            also={"path": "path|column"}
            | dict.fromkeys(("inputs", "outputs", "group", "time"), "column|variable"),
        ),
        "data.from_arrays": Call(
            nr.data.from_arrays,
            {
                "inputs": rows, "outputs": rows, "seq_len": 4, "groups": [0] * 20 + [1] * 20,
                "times": np.arange(40.0),
            },
            kept={"groups": ("as text", "texts", "dates", "as dates", "with i")},
        ),
        "data.Recording.standardized": Call(recording.standardized, {"units": None}),
        "data.Recording.split": Call(recording.split, {"test_fraction": 0.2, "standardize": True}),
        "data.Recording.predict": Call(recording.predict, {"impulse_response": response}),
        "data.Recording.r_squared": Call(recording.r_squared, {"impulse_response": response}),
        "data.teacher": Call(
            nr.data.teacher,
            {
                "key": key, "num_sequences": 4, "seq_len": 3, "in_dim": 1, "out_dim": 1,
                "width": 4, **nu, "snr_db": 20.0,
            },
        ),
        "data.add_noise": Call(nr.data.add_noise, {"key": key, "y": y, "snr_db": 20.0}),
        "data.delay": Call(nr.data.delay, {"y": y, "steps": 1}),
        "data.training_units": Call(nr.data.training_units, {"x": x, "y": y}),
        "data.Units.standardize": Call(
            units.standardize, {"x": x, "y": y}, kept={"x": nan, "y": nan}
        ),
        "data.Units.outputs": Call(units.outputs, {"y": y}, kept={"y": nan}),
        "data.chronological_split": Call(
            nr.data.chronological_split,
            {
                "inputs": rows, "targets": rows, "pieces": np.array([0]), "seq_len": 3,
                "test_fraction": 0.2, "num_train": 20, "stride": 1,
            },
            also={"test_fraction": "seq_len", "num_train": "seq_len"},
        ),
        "data.piece_starts": Call(
            nr.data.piece_starts,
            {"position": rows, "velocity": rows, "bin_width": 1.0, "tolerance": 0.3},
        ),
        "data.window_starts": Call(
            nr.data.window_starts,
            {"pieces": np.array([0, 4]), "seq_len": 3, "first": 0, "last": 8, "stride": 1},
        ),
    }  # fmt: skip


def raises(step):
    raise RuntimeError("two\nlines")


#: Values of every kind. No call takes those of ``LOST``, of which it would lose a part.
VALUES = {
    "None": None, "True": True, "False": False, "0": 0, "-1": -1, "2": 2, "7": 7, "2**40": 2**40,
    "10**400": 10**400, "0.5": 0.5, "-0.5": -0.5, "1e-300": 1e-300, "1e300": 1e300,
    "inf": np.inf, "-inf": -np.inf,
    "text": "a", "no text": "", "null": "a\0b", "long": 300 * "long", "lines": "a\nb",
    "a list": [], "a tuple": (), "a dictionary": {}, "a set": {1}, "an object": object(),
    "a class": Nothing, "a function": unchanged, "one that raises": raises, "a pair": (1, 2),
    "a vector": np.ones(2), "integers": np.arange(3), "a matrix": np.eye(3),
    "pairs": ((0, 1), (1, 0)), "4 axes": np.ones((2, 2, 2, 2)), "3 axes": np.ones((2, 2, 2)),
    "2 features": np.ones((4, 3, 2)), "nothing of": np.ones((0, 3, 1)),
    "huge": np.full((4, 3, 1), 1e300),
    "whole": np.ones((4, 3, 1), int), "true": np.ones((4, 3, 1), bool),
    "half": np.ones((4, 3, 1), np.float16), "swapped": np.ones((4, 3, 1), ">f8"),
    "long whole": np.full((4, 3, 1), 2**40), "in JAX": jnp.ones((4, 3, 1)), "a number": np.ones(()),
    "keys": jax.random.split(jax.random.key(0)),
    "a key": jax.random.key(1), "a raw key": np.zeros(2, np.uint32),
}  # fmt: skip
LOST = {
    "nan": np.nan, "not finite": np.full((4, 3, 1), np.nan), "bytes": b"a", "1j": 1j,
    "ragged": [[1.0, 2.0], [3.0]], "objects": np.array([1.0, None]),
    "texts": np.array(["a", "b"]), "dates": np.array(["2000-01-01"], "M8[D]"),
    "complex": np.full((4, 3, 1), 1j), "masked": np.ma.masked_array([1.0, 2.0], [False, True]),
    "masked 3": np.ma.masked_array(np.ones((4, 3, 1)), np.arange(12).reshape(4, 3, 1) == 1),
}  # fmt: skip


def variations(value) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to put in the place of a value: others of its own kind, and those that lose a part."""
    own, lost = {}, {}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], np.ndarray):
        for place in range(2):
            for kind, changed in zip((own, lost), variations(value[place]), strict=True):
                for name, other in changed.items():
                    pair = list(value)
                    pair[place] = other
                    kind[f"[{place}] {name}"] = tuple(pair)
        own |= {"one of two": value[:1], "three": (*value, value[0]), "in a list": list(value)}
    elif isinstance(value, np.ndarray | jax.Array) and not jnp.issubdtype(
        value.dtype, jax.dtypes.prng_key
    ):
        array = np.asarray(value)
        own = {
            "no entries": array[:0], "one": array[:1], "an axis more": array[None],
            "an axis less": array[0], "in a list": array.tolist(), "backwards": array[::-1],
            "whole": np.ones_like(array, int), "true": np.ones_like(array, bool),
            "half": array.astype(np.float16), "swapped": array.astype(">f4"),
            "too large": np.full_like(array, 1e300, float),
            "too small": np.full_like(array, 1e-300, float), "negative": -np.abs(array) - 1,
            "twice": np.concatenate([array, array]), "in JAX": jnp.asarray(array),
        }  # fmt: skip
        hole = np.arange(array.size).reshape(array.shape) == 0
        lost = {
            "with nan": np.where(hole, np.nan, array),
            "with i": array + 1j, "with a mask": np.ma.masked_array(array, hole),
            "with None": np.where(hole, None, array), "as text": array.astype(str),
            "as dates": array.astype("M8[s]"),
            "rows with masks": list(np.ma.masked_array(array, hole)),
        }  # fmt: skip
    elif isinstance(value, list) and value and all(isinstance(each, int | float) for each in value):
        return variations(np.asarray(value))
    elif isinstance(value, dict):
        params = value["params"]
        own = {
            "of nothing": {"params": {}}, "bare": params, "nested": {"params": {"params": params}},
            "of another": {"params": {"a": np.ones(3)}}, "all in a list": list(params.values()),
        }  # fmt: skip
        for kind, changed in zip((own, lost), variations(params["W"]), strict=True):
            kind |= {f"W {n}": {"params": {**params, "W": other}} for n, other in changed.items()}
    elif isinstance(value, nr.GaussianRows):
        for kind, place in ((own, 0), (own, 1), (lost, 0), (lost, 1)):
            for name, other in variations(value[place])[kind is lost].items():
                kind[f"[{place}] {name}"] = value._replace(**{value._fields[place]: other})
    return own, lost


def trials(call: Call) -> list[tuple[str, str, Any, bool]]:
    """All that is tried: argument, name of the value, value, and whether it loses a part."""
    found = []
    for argument, value in call.arguments.items():
        own, lost = variations(value)
        for lossy, values in ((False, VALUES | own), (True, LOST | lost)):
            found += [
                (argument, name, other, lossy and name not in call.kept.get(argument, ()))
                for name, other in values.items()
            ]
    return found


def complaint(call: Call, argument: str, value: Any, lossy: bool) -> str:
    """What is wrong with how a call takes a value; nothing if it works or says what is wrong."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(contextlib.chdir(folder))
        Path("data.csv").write_text("a,b\n1,2\n3,4\n5,6\n", encoding="utf-8")
        np.savez("data.npz", a=np.arange(3), b=np.arange(3.0))
        # As users have it who set nothing.
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        try:
            call.function(**call.arguments | {argument: value})
        except (ValueError, TypeError) as error:
            text = str(error)
            where = traceback.extract_tb(error.__traceback__)[-1].filename
            names = f"{argument}|{call.also.get(argument, argument)}"
            own = getattr(value, "__name__", None)
            if where == __file__ or (own and text.startswith(f"{own}(")):
                return ""  # what a user's own function raises is the user's
            if not where.startswith(LIBRARY):
                return f"the error is not of this library: {type(error).__name__}: {text[:200]}"
            if "\n" in text:
                return f"more than one line: {text}"
            if not re.search(rf"\b({names})\b", text):
                return f"the argument is not named: {text}"
        except Exception as error:
            if traceback.extract_tb(error.__traceback__)[-1].filename == __file__:
                return ""
            return f"{type(error).__name__}: {str(error)[:200]}"
        else:
            if lossy:
                return "taken, although a part of it is lost"
    return ""


def public_functions() -> dict[str, Any]:
    """All that can be called of what is public, and the methods of what that returns."""
    public = {
        f"{prefix}{name}": getattr(module, name)
        for prefix, module in (("", nr), ("data.", nr.data))
        for name in module.__all__
    }
    found = {name: thing for name, thing in public.items() if callable(thing)}
    for record in RECORDS:
        members = vars(found.pop(record)).items()
        found |= {
            f"{record}.{name}": member
            for name, member in members
            if inspect.isfunction(member) and not name.startswith("_") and name != "replace"
        }
    return {name: thing for name, thing in found.items() if name not in ERRORS}


FUNCTIONS = public_functions()


def test_every_public_function_has_a_call_with_all_arguments():
    for name, function in FUNCTIONS.items():
        wanted = set(inspect.signature(function).parameters) - {"self", "name", "parent"}
        if wanted:
            assert name in calls(), f"{name} needs an entry in calls()"
            assert set(calls()[name].arguments) == wanted, name
    assert calls().keys() >= MODELS


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *MODELS} - WITHOUT_ARGUMENTS))
def test_what_is_wrong_is_named(name, unannotated):
    call = calls()[name]

    @settings(max_examples=call.examples, derandomize=True, database=None, deadline=None)
    @given(st.sampled_from(trials(call)))
    def check(trial):
        argument, value_name, value, lossy = trial
        found = complaint(call, argument, value, lossy)
        assert not found, f"{argument} = {value_name}: {found}"

    check()
