"""The evidence of a prior: how probable the data are before the impulse response is known.

With a prior ``L ~ N(0, K)`` and noise of variance ``s``, an output is ``N(0, A K A^T + s I)``. By
the triangle of the data, ``[A y] = Q [R z; 0 S]``, that depends on ``R``, ``z`` and ``|S|^2``
alone, with the matrix ``M = s I + R K R^T`` of at most ``T n_x`` rows, whatever the number of
samples:

``2 log p(y) = -z^T M^-1 z - log|M| - |S|^2 / s - (N - rows) log s - N log(2 pi)``.

``log|I + B^T B / s|`` with ``B = R K^(1/2)``, by which this is often written, is ``log|M / s|``;
``M`` needs no root of ``K``, and smooth priors are singular to rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, get_blas_funcs, solve_triangular

# All products are by SciPy's BLAS. NumPy has one of its own, whose threads go on waiting for work
# for a while: on few cores they slow down the factorizations by SciPy threefold.
_gemm, _gemv, _trsm = get_blas_funcs(("gemm", "gemv", "trsm"), dtype=np.float64)


class Output(NamedTuple):
    """What the data say of one output, with columns ordered by input and by lag within it.

    Attributes:
      triangle: ``R``, shape ``(rows, n_x, T)``.
      goal: ``z``, shape ``(rows,)``.
      rest: ``|S|^2``, the squares that no response explains.
      num_samples: number of samples, without one for an offset.
    """

    triangle: Float[np.ndarray, "rows n_x T"]
    goal: Float[np.ndarray, " rows"]
    rest: float
    num_samples: float

    @property
    def power(self) -> float:
        """Mean square of the output about its offset."""
        return (float(self.goal @ self.goal) + self.rest) / self.num_samples


class Evidence(NamedTuple):
    """The evidence at some covariances, and its derivatives.

    Attributes:
      value: ``log p(y)``.
      by_covariance: derivatives in each entry of the covariances, shape ``(n_x, T, T)``.
      by_noise: derivative in the logarithm of the noise's variance.
      mean: of the impulse response, given the data, shape ``(n_x, T)``.
      degrees_of_freedom: ``tr(R K R^T M^-1)``, how many numbers the data determine.
      whitened: ``C^-1 R`` with ``M = C C^T``, shape ``(rows, n_x, T)``.
    """

    value: float
    by_covariance: Float[np.ndarray, "n_x T T"]
    by_noise: float
    mean: Float[np.ndarray, "n_x T"]
    degrees_of_freedom: float
    whitened: Float[np.ndarray, "rows n_x T"]


def log_evidence(
    output: Output, covariances: Float[np.ndarray, "n_x T T"], variance: float
) -> Evidence:
    """The evidence of one output, by one Cholesky factorization.

    Args:
      output: what the data say.
      covariances: ``K``, one block for each input.
      variance: ``s``, of the noise.
    """
    rows, in_dim, seq_len = output.triangle.shape
    triangle = output.triangle.reshape(rows, in_dim * seq_len)
    inputs = [slice(block * seq_len, (block + 1) * seq_len) for block in range(in_dim)]
    weighted = np.empty((in_dim * seq_len, rows), order="F")
    for inside, prior in zip(inputs, covariances, strict=True):
        weighted[inside] = _gemm(1.0, prior, triangle[:, inside], trans_b=True)
    matrix = _gemm(1.0, weighted, triangle.T, trans_a=True)
    matrix[np.diag_indices(rows)] += variance
    factor = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    both = np.empty((rows, in_dim * seq_len + 1), order="F")
    both[:, :-1], both[:, -1] = triangle, output.goal
    both = _trsm(1.0, factor, both, lower=True, overwrite_b=True)
    whitened, goal = both[:, :-1], both[:, -1]
    precision = np.stack([
        _gemm(1.0, whitened[:, inside], whitened[:, inside], trans_a=True)
        for inside in inputs
    ])  # fmt: skip
    pull = _gemv(1.0, whitened, goal, trans=True).reshape(in_dim, seq_len)
    solved = solve_triangular(factor, goal, lower=True, trans=1, check_finite=False)
    determined = float(np.sum(covariances * precision))
    unexplained = output.rest / variance
    value = -0.5 * (
        float(goal @ goal) + 2 * float(np.sum(np.log(np.diag(factor)))) + unexplained
        + (output.num_samples - rows) * np.log(variance) + output.num_samples * np.log(2 * np.pi)
    )  # fmt: skip
    # tr(s M^-1) = rows - tr(R K R^T M^-1).
    by_noise = 0.5 * (
        variance * float(solved @ solved) - (rows - determined)
        + unexplained - (output.num_samples - rows)
    )  # fmt: skip
    by_covariance = 0.5 * (pull[:, :, None] * pull[:, None, :] - precision)
    mean = np.einsum("qij,qj->qi", covariances, pull)
    return Evidence(
        value, by_covariance, by_noise, mean, determined, whitened.reshape(output.triangle.shape)
    )


def posterior_covariance(
    whitened: Float[np.ndarray, "rows n_x T"], covariances: Float[np.ndarray, "n_x T T"]
) -> Float[np.ndarray, "P P"]:
    """Covariance of the response given the data, ``K - K R^T M^-1 R K``, by input and lag."""
    rows, in_dim, seq_len = whitened.shape
    known = np.empty((rows, in_dim * seq_len), order="F")
    for block, prior in enumerate(covariances):
        known[:, block * seq_len : (block + 1) * seq_len] = _gemm(1.0, whitened[:, block], prior)
    result = _gemm(-1.0, known, known, trans_a=True)
    for block, prior in enumerate(covariances):
        inside = slice(block * seq_len, (block + 1) * seq_len)
        result[inside, inside] += prior
    return result
