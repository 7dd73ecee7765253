"""ntk_rnn: the theory of wide linear recurrent networks, made computable.

Every equation of *Implicit Bias of Linear RNNs* (Emami, Sahraee-Ardakan, Pandit, Rangan,
Fletcher, ICML 2021; "the paper") is a function. The one idea: every model here is a causal linear
map of sequences, and its impulse response ``L``, shape ``(T, n_y, n_x)``, says all there is to
say about it. A kernel is a Gram matrix over the entries of ``L``, a data set is a least-squares
problem over ``L``, and training is a path of ``L``.

What to read first, and how to do what, is in the guide, ``ntk_rnn.guide``. This page has every
name, each with its equation, the shapes it takes and gives, and an example.

Names are loaded when first used: importing the package loads neither neural-tangents nor a model,
and changes no JAX setting.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntk_rnn import data
    from ntk_rnn.compression import CompressedData, compress
    from ntk_rnn.dynamics.ensembles import ensemble
    from ntk_rnn.dynamics.prediction import KernelRegression, kernel_regression
    from ntk_rnn.dynamics.runs import train
    from ntk_rnn.dynamics.stability import max_learning_rate
    from ntk_rnn.dynamics.training import TrainingPath, gradient_descent
    from ntk_rnn.hankel import hankel_singular_values
    from ntk_rnn.impulse import impulse_response
    from ntk_rnn.kernels.blocks import write_ntk
    from ntk_rnn.kernels.empirical import empirical_ntk
    from ntk_rnn.kernels.finite_width import FiniteWidthGram, finite_width_gram
    from ntk_rnn.kernels.infinite_width import analytic_ntk, lag_weight_bound, lag_weights
    from ntk_rnn.kernels.monte_carlo import MonteCarloNTK, monte_carlo_ntk
    from ntk_rnn.merging import compress_shards, merge_compressed
    from ntk_rnn.models import LinearRNN, ScaledConv
    from ntk_rnn.realization import realize
    from ntk_rnn.sequences import causal_conv, lagged_inputs, toeplitz, unit_impulses
    from ntk_rnn.sharding import shard_params, shard_sequences
    from ntk_rnn.theory.drift import DriftBound, drift_bound
    from ntk_rnn.theory.evolution import StateEvolution, state_evolution
    from ntk_rnn.theory.initialization import (
        ImpulseMoments,
        gaussian_limit,
        impulse_response_moments,
    )
    from ntk_rnn.theory.memory import DelayErrors, delay_errors
    from ntk_rnn.theory.recursion import simulate_evolution
    from ntk_rnn.theory.rows import GaussianRows
    from ntk_rnn.theory.wasserstein import (
        gaussian_wasserstein,
        hidden_state_covariance,
        hidden_state_limit,
    )

__version__ = "0.1.0"

# Where each public name lives.
_HOMES = {
    "CompressedData": "compression",
    "DelayErrors": "theory.memory",
    "DriftBound": "theory.drift",
    "FiniteWidthGram": "kernels.finite_width",
    "GaussianRows": "theory.rows",
    "ImpulseMoments": "theory.initialization",
    "KernelRegression": "dynamics.prediction",
    "LinearRNN": "models",
    "MonteCarloNTK": "kernels.monte_carlo",
    "ScaledConv": "models",
    "StateEvolution": "theory.evolution",
    "TrainingPath": "dynamics.training",
    "analytic_ntk": "kernels.infinite_width",
    "causal_conv": "sequences",
    "compress": "compression",
    "compress_shards": "merging",
    "delay_errors": "theory.memory",
    "drift_bound": "theory.drift",
    "empirical_ntk": "kernels.empirical",
    "ensemble": "dynamics.ensembles",
    "finite_width_gram": "kernels.finite_width",
    "gaussian_limit": "theory.initialization",
    "gaussian_wasserstein": "theory.wasserstein",
    "gradient_descent": "dynamics.training",
    "hankel_singular_values": "hankel",
    "hidden_state_covariance": "theory.wasserstein",
    "hidden_state_limit": "theory.wasserstein",
    "impulse_response": "impulse",
    "impulse_response_moments": "theory.initialization",
    "kernel_regression": "dynamics.prediction",
    "lag_weight_bound": "kernels.infinite_width",
    "lag_weights": "kernels.infinite_width",
    "lagged_inputs": "sequences",
    "max_learning_rate": "dynamics.stability",
    "merge_compressed": "merging",
    "monte_carlo_ntk": "kernels.monte_carlo",
    "realize": "realization",
    "shard_params": "sharding",
    "shard_sequences": "sharding",
    "simulate_evolution": "theory.recursion",
    "state_evolution": "theory.evolution",
    "toeplitz": "sequences",
    "train": "dynamics.runs",
    "unit_impulses": "sequences",
    "write_ntk": "kernels.blocks",
}

__all__ = [
    "CompressedData",
    "DelayErrors",
    "DriftBound",
    "FiniteWidthGram",
    "GaussianRows",
    "ImpulseMoments",
    "KernelRegression",
    "LinearRNN",
    "MonteCarloNTK",
    "ScaledConv",
    "StateEvolution",
    "TrainingPath",
    "analytic_ntk",
    "causal_conv",
    "compress",
    "compress_shards",
    "data",
    "delay_errors",
    "drift_bound",
    "empirical_ntk",
    "ensemble",
    "finite_width_gram",
    "gaussian_limit",
    "gaussian_wasserstein",
    "gradient_descent",
    "hankel_singular_values",
    "hidden_state_covariance",
    "hidden_state_limit",
    "impulse_response",
    "impulse_response_moments",
    "kernel_regression",
    "lag_weight_bound",
    "lag_weights",
    "lagged_inputs",
    "max_learning_rate",
    "merge_compressed",
    "monte_carlo_ntk",
    "realize",
    "shard_params",
    "shard_sequences",
    "simulate_evolution",
    "state_evolution",
    "toeplitz",
    "train",
    "unit_impulses",
    "write_ntk",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"ntk_rnn.{_HOMES[name]}"), name)
    elif name == "data":
        value = importlib.import_module("ntk_rnn.data")
    else:
        raise AttributeError(f"module 'ntk_rnn' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
