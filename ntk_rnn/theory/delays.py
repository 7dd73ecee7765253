"""Which delays a wide linear RNN learns, and in how many steps, by its lag weights.

To return the input of ``d`` steps before, an impulse response must be ``L_j = 1`` at lag ``j = d``
and 0 elsewhere. For white inputs ``A^T A`` is nearly diagonal, with the energy ``s_j`` of the
inputs that reach lag ``j``, about ``N (T - j)``. So the error of delay ``d`` after ``l`` steps is
about ``(1 - eta rho_d s_d)^{2 l}``: the smaller its lag weight, the longer a delay takes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.regression.solver import kernel_regression
from ntk_rnn.sequences import lagged


class DelayErrors(NamedTuple):
    """The error that training leaves at each delay, from ``delay_errors``.

    Attributes:
      step: numbers of steps, shape ``(R,)``.
      error: ``||A L^l - y||^2 / ||y||^2`` for ``y_t = x_{t-d}``: 1 for nothing learned, 0 for all,
        shape ``(R, T)``, a column for each delay ``d`` from 0 to ``T - 1``.
      learning_rate: the learning rate ``eta``.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, _ = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> errors = nr.delay_errors(nr.lag_weights(5, 0.3, 1.0, 1.0), x, steps=range(0, 1000, 10))
      >>> errors.error.shape
      (100, 5)
      >>> needed = errors.steps_needed(0.5)
      >>> bool(needed[0] < needed[4])
      True
    """

    step: Shaped[np.ndarray, " R"]
    error: Float[np.ndarray, "R T"]
    learning_rate: float

    def steps_needed(self, error: float = 0.5) -> Float[np.ndarray, " T"]:
        """The first step with at most this error, shape ``(T,)``; infinite where there is none."""
        error = _checks.fraction("error", error)
        reached = self.error <= error
        return np.where(reached.any(axis=0), self.step[reached.argmax(axis=0)], np.inf)


def delay_errors(
    rho: Float[AnyArray, " T"],
    x: Float[AnyArray, "N T 1"],
    steps: Shaped[AnyArray, " R"],
    learning_rate: float | None = None,
) -> DelayErrors:
    """Errors of the tasks ``y_t = x_{t-d}``, for all delays ``d`` and steps, in closed form.

    ``L^l`` is that of gradient descent on the scaled convolution from ``L^0 = 0`` (Proposition
    3.1, eq. 20), which the RNN is in the limit of infinite width. Lag weights treat all outputs
    alike, so all delays are learned at once, with one output for each.

    Args:
      rho: lag weights, shape ``(T,)``, as from ``lag_weights``; ones for an unscaled convolution.
      x: training inputs of one feature, shape ``(N, T, 1)``.
      steps: numbers of steps, rising, shape ``(R,)``.
      learning_rate: ``eta`` for the sum loss; half of the largest that is stable if ``None``.

    Returns:
      The errors, computed in float64 with NumPy.

    Raises:
      ValueError: if ``x`` has more than one feature or another length than ``rho``, ``steps`` are
        not rising, or the learning rate is past stability.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x, _ = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> errors = nr.delay_errors(nr.lag_weights(5, 0.3, 1.0, 1.0), x, steps=[0, 10])
      >>> print(errors.error[0])  # nothing has been learned at the start
      [1. 1. 1. 1. 1.]
    """
    _, seq_len, in_dim = _checks.sequences("x", x).shape
    weights = _checks.weight_per_lag("rho", rho)
    _checks.same("len(rho)", len(weights), "x.shape[1]", seq_len, "number of lags")
    inputs = np.asarray(x, float)
    _checks.same("x.shape[2]", in_dim, "the inputs of this task", 1, "number")
    steps = np.asarray(_checks.numbers("steps", steps))
    _checks.nonnegative("steps", steps, whole=True)
    if steps.ndim != 1 or not steps.size or np.any(steps[1:] <= steps[:-1]):
        found = np.array2string(steps.ravel(), threshold=6)
        raise ValueError(f"steps must be rising, of shape (steps,), got {found:.60}")
    delayed = lagged(inputs, seq_len)[..., 0]
    kernel = kernel_regression(rho, (inputs, delayed), on_host=True)
    rate = float(kernel.max_learning_rate) / 2 if learning_rate is None else learning_rate
    missed = kernel.predict(inputs, steps, rate) - delayed
    error = np.sum(missed**2, axis=(1, 2)) / np.sum(delayed**2, axis=(0, 1))
    return DelayErrors(steps, error, float(rate))
