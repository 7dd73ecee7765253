"""The variance of ``W`` with which networks of any activation forget as fast as a linear one."""

from __future__ import annotations

import jax
import scipy.optimize

import ntk_rnn as nr
from ntk_rnn.activations.functions import Activation
from ntk_rnn.reproduction.studies.config_base import StudyConfig


def equal_nu_w(
    activation: Activation, config: StudyConfig, input_power: float, rtol: float = 1e-6
) -> float:
    """``nu_W`` for which ``chi`` is the ``nu_W`` of a configuration, which is that of a linear RNN.

    Args:
      activation: ``phi``.
      config: the variances of the linear RNN; its ``nu_w`` is below 1.
      input_power: ``E |x_t|^2``.
      rtol: relative tolerance.
    """
    factor = jax.jit(lambda nu_w: nr.chi(activation, nu_w, config.nu_f, input_power))
    low = high = config.nu_w / 2
    while factor(high) < config.nu_w:
        low, high = high, 2 * high
    found = scipy.optimize.root_scalar(
        lambda nu_w: float(factor(nu_w)) - config.nu_w,
        bracket=(low, high), xtol=rtol * config.nu_w,
    )  # fmt: skip
    return float(found.root)
