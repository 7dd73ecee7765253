"""Sequences in units of the training data, so that nothing of the test data is known before."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.batches import checked_batches, host_array


class Units(NamedTuple):
    """Mean and standard deviation of each input and output, from ``training_units``.

    The models have no constant term, so they are fitted to ``(x - x_mean) / x_scale`` and
    ``(y - y_mean) / y_scale``.

    Attributes:
      x_mean: shape ``(n_x,)``.
      x_scale: shape ``(n_x,)``; 1 for an input that is constant.
      y_mean: shape ``(n_y,)``.
      y_scale: shape ``(n_y,)``; 1 for an output that is constant.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x, y = np.arange(8.0).reshape(2, 4, 1), 5 * np.ones((2, 4, 1))
      >>> units = nr.data.training_units(x, y)
      >>> inputs, targets = units.standardize(x, y)
      >>> bool(np.all(units.outputs(targets) == y))
      True
    """

    x_mean: Float[np.ndarray, " n_x"]
    x_scale: Float[np.ndarray, " n_x"]
    y_mean: Float[np.ndarray, " n_y"]
    y_scale: Float[np.ndarray, " n_y"]

    def standardize(
        self, x: Float[AnyArray, "*axes n_x"], y: Float[AnyArray, "*axes n_y"]
    ) -> tuple[Float[np.ndarray, "*axes n_x"], Float[np.ndarray, "*axes n_y"]]:
        """``x`` and ``y`` in these units, in float64."""
        inputs, targets = host_array("x", x)[0], host_array("y", y)[0]
        _checks.same("x.shape[-1:]", inputs.shape[-1:], "x_mean.shape", self.x_mean.shape, "inputs")
        _checks.same(
            "y.shape[-1:]", targets.shape[-1:], "y_mean.shape", self.y_mean.shape, "outputs"
        )
        return (inputs - self.x_mean) / self.x_scale, (targets - self.y_mean) / self.y_scale

    def outputs(self, y: Float[AnyArray, "*axes n_y"]) -> Float[np.ndarray, "*axes n_y"]:
        """Outputs of a model that was fitted in these units, in those of the recording."""
        outputs, _ = host_array("y", y)
        _checks.same(
            "y.shape[-1:]", outputs.shape[-1:], "y_mean.shape", self.y_mean.shape, "outputs"
        )
        return outputs * self.y_scale + self.y_mean


def training_units(x: Float[AnyArray, "N T n_x"], y: Float[AnyArray, "N T n_y"]) -> Units:
    """Mean and standard deviation of each input and output over training sequences and times.

    Sequences start at rest, so in these units what precedes them counts as inputs at their mean.

    Args:
      x: training inputs, shape ``(N, T, n_x)``.
      y: training targets, shape ``(N, T, n_y)``.

    Raises:
      ValueError: if shapes do not match, or anything is empty or not finite.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x, y = np.arange(8.0).reshape(2, 4, 1), 5 * np.ones((2, 4, 1))
      >>> units = nr.data.training_units(x, y)
      >>> units.x_mean.tolist(), units.y_mean.tolist(), units.y_scale.tolist()
      ([3.5], [5.0], [1.0])
    """
    batch = next(checked_batches(x, y))
    return Units(*_mean_and_scale(batch.inputs), *_mean_and_scale(batch.targets))


def _matching(name: str, value: Any, mean: np.ndarray) -> np.ndarray:
    """``value`` in float64, whose last axis must be that of the units."""
    array, _ = host_array(name, value)
    _checks.same(
        f"{name}.shape[-1:]", array.shape[-1:], f"{name}_mean.shape", mean.shape, "channels"
    )
    return array


def _mean_and_scale(values: Any) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, float)
    mean, scale = values.mean(axis=(0, 1)), values.std(axis=(0, 1))
    # Of a constant, rounding leaves a deviation of its own.
    constant = scale <= 1e-12 * np.abs(mean)
    return mean, np.where(constant, 1.0, scale)
