"""The linear RNN that starts from an orthogonal matrix."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_rnn.kernels.infinite_width import lag_weights
from ntk_rnn.models import LinearRNN


class OrthogonalRNN(LinearRNN):
    """Linear RNN whose ``W / sqrt(n nu_w)`` starts as a random orthogonal matrix.

    ``h_t = W h_{t-1} / sqrt(n) + F x_t``, ``y_t = C h_t / sqrt(n)``, as ``LinearRNN`` (eqs. 1 and
    4), with ``W = sqrt(n nu_w) Q`` at the start, where ``Q`` is uniform among orthogonal matrices
    (Arjovsky, Shah and Bengio 2016; Henaff, Szlam and LeCun 2016). All eigenvalues of
    ``W / sqrt(n)`` then have the absolute value ``sqrt(nu_w)``. Training moves ``W`` freely.

    Its lag weights are those of the Gaussian ``W`` (eq. 21), which is not in the paper: only
    ``E tr(W^j W^j^T) / n^{j+1} = nu_w^j`` enters them, and different powers are uncorrelated for
    both.

    Attributes:
      width: number ``n`` of hidden units.
      out_dim: number ``n_y`` of outputs.
      nu_w: square of the absolute values of the eigenvalues of ``W / sqrt(n)``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.
      evaluation: ``"auto"``, ``"scan"`` or ``"impulse"``, as for ``LinearRNN``.

    Raises:
      ValueError: if a size or variance is not positive and finite, or the evaluation unknown.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> model = nr.OrthogonalRNN(width=50, out_dim=1, nu_w=0.9)
      >>> params = model.init(jax.random.key(0), jax.numpy.ones((3, 5, 2)))
      >>> size = np.linalg.norm(params["params"]["W"], axis=0)  # of the columns
      >>> np.allclose(size, np.sqrt(50 * 0.9), rtol=1e-4)
      True
    """

    def lag_weights(self, seq_len: int) -> Float[Array, " T"]:
        """``rho``, shape ``(T,)``, to which ``layer_gram`` tends as the width grows (eq. 21)."""
        return lag_weights(seq_len, self.nu_w, self.nu_f, self.nu_c)

    def _start_of_w(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        scale = jnp.sqrt(jnp.asarray(self.nu_w, dtype) * shape[0])
        return nn.initializers.orthogonal()(key, shape, dtype) * scale
