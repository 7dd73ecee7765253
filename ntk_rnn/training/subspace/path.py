"""What ``subspace_descent`` returns: a path, and parameters as a change of low rank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from ntk_rnn._types import Params
from ntk_rnn.impulse import rnn_matrices
from ntk_rnn.products.panels import dot
from ntk_rnn.products.small import Small
from ntk_rnn.products.wide import WideRNN


@struct.dataclass
class LowRankParams:
    """Parameters that differ from the first ones in few directions.

    ``W = W^0 + P w P^T``, ``F = F^0 + P f`` and ``C = C^0 + c P^T``, since gradients are made of
    the vectors of both chains of the impulse response (eq. 9).

    Attributes:
      initial: the first parameters, or the wide network, with all products that were asked for.
      basis: ``P``, shape ``(n, r)``, with orthonormal columns, and then columns of 0.
      change: ``w``, ``f`` and ``c``.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> params = nr.LinearRNN(width=300, out_dim=1).init(jax.random.key(1), x)
      >>> path = nr.subspace_descent(params, (x, y), steps=10, learning_rate=1e-3)
      >>> path.params.dense()["params"]["W"].shape
      (300, 300)
    """

    initial: Params | WideRNN
    basis: Float[Array, "n r"]
    change: Small

    def dense(self) -> Params:
        """The parameters as ``LinearRNN`` has them.

        Raises:
          ValueError: if there is no ``W`` to begin with.
        """
        if isinstance(self.initial, WideRNN):
            raise ValueError(
                "params must have a W to be dense, got those of a wide_rnn, of which only products "
                "are known; train a LinearRNN's parameters instead"
            )
        w, f, c = rnn_matrices(self.initial)
        p, change = self.basis, self.change
        return {
            "params": {
                "W": w + dot(dot(p, change.w), p.T),
                "F": f + dot(p, change.f),
                "C": c + dot(change.c, p.T),
            }
        }


class Certificate(NamedTuple):
    """How far the network in the subspace is from the whole one, at ``K`` steps.

    The whole network is evaluated at the same parameters, by products with ``W``.

    Attributes:
      step: the steps, shape ``(K,)``.
      impulse_response: the distance of the impulse responses, relative to that of the whole
        network, shape ``(K,)``.
      gradient: the same of the gradients of the training loss with respect to ``W``, ``F`` and
        ``C`` together, shape ``(K,)``.
    """

    step: Int[np.ndarray, " K"]
    impulse_response: Float[Array, " K"]
    gradient: Float[Array, " K"]


class SubspacePath(NamedTuple):
    """A path of training from ``subspace_descent``, recorded at ``R`` steps.

    Attributes:
      step: the steps, rising, shape ``(R,)``; step 0 is the start.
      train_loss: training loss before each of these steps is taken, shape ``(R,)``.
      test_loss: test loss, shape ``(R,)``; ``None`` without a test set.
      impulse_response: ``L``, shape ``(R, T, n_y, n_x)``.
      kernel_drift: ``||G^l - G^0||_F / ||G^0||_F`` of the finite-width Gram matrix, shape
        ``(R,)``; ``None`` if not asked for.
      params: the parameters at the last of these steps.
      diverged_at: the first step with a non-finite training loss, or ``None``; the path then
        ends one step before it.
      leak: the largest part of the chains that leaves the subspace, relative to their starts, at
        each record, shape ``(R,)``.
      rank: dimension of the subspace at the end.
      certificate: the distances from the whole network; ``None`` if not asked for.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> params = nr.LinearRNN(width=300, out_dim=1).init(jax.random.key(1), x)
      >>> path = nr.subspace_descent(
      ...     params, (x, y), steps=10, learning_rate=1e-3, certify_at=[10]
      ... )
      >>> path.impulse_response.shape, path.rank < 75
      ((11, 5, 1, 1), True)
      >>> bool(path.certificate.impulse_response[0] < 1e-3)
      True
    """

    step: Int[np.ndarray, " R"]
    train_loss: Float[Array, " R"]
    test_loss: Float[Array, " R"] | None
    impulse_response: Float[Array, "R T n_y n_x"]
    kernel_drift: Float[Array, " R"] | None
    params: LowRankParams
    diverged_at: int | None
    leak: Float[Array, " R"]
    rank: int
    certificate: Certificate | None
