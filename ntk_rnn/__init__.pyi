__version__: str
__all__: list[str]

from . import data as data
from ._functions import functional as functional
from .compression.parts import (
    compress_shards as compress_shards,
    merge_compressed as merge_compressed,
)
from .compression.recordings import compress_recording as compress_recording
from .compression.triangle import (
    CompressedData as CompressedData,
    compress as compress,
)
from .fitting.impulse_fit import ImpulseFit as ImpulseFit
from .fitting.regressor import ImpulseResponseRegressor as ImpulseResponseRegressor
from .fitting.saved_fits import load as load
from .fitting.tuning import fit as fit
from .hankel import hankel_singular_values as hankel_singular_values
from .impulse import impulse_response as impulse_response
from .kernels.empirical import empirical_ntk as empirical_ntk
from .kernels.finite_width import (
    FiniteWidthGram as FiniteWidthGram,
    finite_width_gram as finite_width_gram,
)
from .kernels.infinite_width import (
    analytic_ntk as analytic_ntk,
    lag_weight_bound as lag_weight_bound,
    lag_weights as lag_weights,
)
from .kernels.layers import layer_gram as layer_gram
from .kernels.layout import as_matrix as as_matrix
from .kernels.monte_carlo import (
    MonteCarloNTK as MonteCarloNTK,
    monte_carlo_ntk as monte_carlo_ntk,
)
from .kernels.on_disk import write_ntk as write_ntk
from .kernels.recurrent.limits import (
    recurrent_nngp as recurrent_nngp,
    recurrent_ntk as recurrent_ntk,
)
from .layers.diagonal import DiagonalRNN as DiagonalRNN
from .layers.lru import LRU as LRU
from .layers.orthogonal import OrthogonalRNN as OrthogonalRNN
from .layers.s4d import S4D as S4D
from .models import (
    RNN as RNN,
    LinearRNN as LinearRNN,
    ScaledConv as ScaledConv,
)
from .products.wide import (
    WideRNN as WideRNN,
    wide_rnn as wide_rnn,
)
from .realization import realize as realize
from .regression.functions import FunctionRegression as FunctionRegression
from .regression.prediction import KernelRegression as KernelRegression
from .regression.solver import kernel_regression as kernel_regression
from .sequences import (
    causal_conv as causal_conv,
    lagged_inputs as lagged_inputs,
    toeplitz as toeplitz,
    unit_impulses as unit_impulses,
)
from .sharding import (
    shard_params as shard_params,
    shard_sequences as shard_sequences,
)
from .theory.delays import (
    DelayErrors as DelayErrors,
    delay_errors as delay_errors,
)
from .theory.drift import (
    DriftBound as DriftBound,
    drift_bound as drift_bound,
)
from .theory.evolution.limit import (
    StateEvolution as StateEvolution,
    state_evolution as state_evolution,
)
from .theory.evolution.problem import GaussianRows as GaussianRows
from .theory.evolution.simulation import simulate_evolution as simulate_evolution
from .theory.initialization import (
    ImpulseMoments as ImpulseMoments,
    gaussian_limit as gaussian_limit,
    impulse_response_moments as impulse_response_moments,
)
from .theory.lag_memory import LagMemory as LagMemory
from .theory.layer_memory import memory as memory
from .theory.stationary import (
    chi as chi,
    critical_nu_w as critical_nu_w,
    effective_lag_weights as effective_lag_weights,
    stationary_variance as stationary_variance,
)
from .theory.wanted_memory import value_for_memory as value_for_memory
from .theory.wasserstein import (
    gaussian_wasserstein as gaussian_wasserstein,
    hidden_state_covariance as hidden_state_covariance,
    hidden_state_limit as hidden_state_limit,
)
from .training.ensembles import ensemble as ensemble
from .training.full_batch import gradient_descent as gradient_descent
from .training.long_runs import train as train
from .training.records import TrainingPath as TrainingPath
from .training.stability import max_learning_rate as max_learning_rate
from .training.subspace.descent import subspace_descent as subspace_descent
from .training.subspace.path import (
    LowRankParams as LowRankParams,
    SubspacePath as SubspacePath,
)
