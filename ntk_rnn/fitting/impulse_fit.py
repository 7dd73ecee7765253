"""What ``fit`` finds: an impulse response with its uncertainty, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.data.channels import Channel, check_same
from ntk_rnn.data.recordings import Recording
from ntk_rnn.fitting import model_files, networks, predictions
from ntk_rnn.fitting.records import Candidate, FrequencyResponse, Score, StepResponse
from ntk_rnn.fitting.samples import Triangle, as_inputs, as_samples
from ntk_rnn.realization import realize
from ntk_rnn.theory.lag_memory import HELD


@dataclass(frozen=True, eq=False, repr=False)
class ImpulseFit:
    """An impulse response that was fitted with a tuned prior, from ``fit``.

    Everything is in the units of the data. Standard deviations times 1.96 are bands of 95 %.

    Attributes:
      impulse_response: ``L``, the mean given the data, shape ``(T, n_y, n_x)``.
      covariance: of ``L`` given the data, for each output, shape ``(n_y, T, n_x, T, n_x)``.
      noise: standard deviation of the noise of each output, shape ``(n_y,)``.
      kernel: the name of the prior.
      evidence: log evidence, the sum over outputs; with an offset, of what is left of the data
        when their means are known.
      hyperparameters: those of the prior by name, each of shape ``(n_y, n_x)``.
      kernels: all kernels that were tried, with this number of lags.
      lags: all numbers of lags that were tried, on the samples that all of them share.
      degrees_of_freedom: effective ones, how many of ``T n_x`` coefficients the data determine,
        shape ``(n_y,)``.
      triangle: the data, as far as the fit depends on them.
      interval: time from a row to the next.
      inputs: names and units of the inputs, if they are from a recording that has them.
      outputs: the same of the outputs.
      time_unit: the unit of ``interval``; empty if unknown.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> rng = np.random.default_rng(0)
      >>> x = rng.normal(size=(20, 50, 1))  # 20 trials of 50 steps
      >>> y = np.asarray(nr.causal_conv(0.5 ** np.arange(8.0).reshape(8, 1, 1), x))
      >>> fit = nr.fit((x, y + 0.1 * rng.normal(size=y.shape)), seq_len=10, kernel="tc")
      >>> fit.impulse_response.shape, fit.standard_deviation.shape
      ((10, 1, 1), (10, 1, 1))
      >>> fit.memory.tolist()  # lags of which the outputs are made, to 95 % of their variance
      [3]
      >>> mean, deviation = fit.predict(x, return_std=True)
      >>> mean.shape, deviation.shape
      ((20, 50, 1), (20, 50, 1))
    """

    impulse_response: Float[np.ndarray, "T n_y n_x"]
    covariance: Float[np.ndarray, "n_y T n_x T n_x"]
    noise: Float[np.ndarray, " n_y"]
    kernel: str
    evidence: float
    hyperparameters: dict[str, Float[np.ndarray, "n_y n_x"]]
    kernels: tuple[Candidate, ...]
    lags: tuple[Candidate, ...]
    degrees_of_freedom: Float[np.ndarray, " n_y"]
    triangle: Triangle
    interval: float
    inputs: tuple[Channel, ...] = ()
    outputs: tuple[Channel, ...] = ()
    time_unit: str = ""

    def __repr__(self) -> str:
        seq_len, out_dim, in_dim = self.impulse_response.shape
        return (
            f"ImpulseFit(kernel={self.kernel!r}, {seq_len} lags, n_y={out_dim}, n_x={in_dim}, "
            f"log evidence {self.evidence:.1f})"
        )

    @property
    def standard_deviation(self) -> Float[np.ndarray, "T n_y n_x"]:
        """That of each entry of ``L``, shape ``(T, n_y, n_x)``."""
        variance = np.einsum("ptqtq->tpq", self.covariance)
        return np.sqrt(np.maximum(variance, 0))

    @property
    def offset(self) -> Float[np.ndarray, " n_y"]:
        """What each output is while all inputs are 0, shape ``(n_y,)``."""
        means = np.einsum("tq,tpq->p", self.triangle.x_mean, self.impulse_response)
        return self.triangle.y_mean - means

    @property
    def memory(self) -> Int[np.ndarray, " n_y"]:
        """How many lags hold 95 % of the variance that is explained, shape ``(n_y,)``.

        The lags from ``m`` on change an output by ``|A_{>= m} L_{>= m}|^2`` in all, which must be
        at most 5 % of ``|A L|^2``. For white inputs the first ``m`` lags then hold 95 % of
        ``sum_j |L_j|^2``.
        """
        parts = np.einsum("ktq,tpq->tkp", self.triangle.rows, self.impulse_response)
        beyond = np.cumsum(parts[::-1], axis=0)[::-1]
        squares = np.sum(beyond**2, axis=1)
        left = np.concatenate([squares, np.zeros((1, squares.shape[1]))])
        return np.argmax(left <= (1 - HELD) * left[0], axis=0)

    def predict(
        self, x: Any, return_std: bool = False
    ) -> (
        Float[np.ndarray, "*times n_y"]
        | tuple[Float[np.ndarray, "*times n_y"], Float[np.ndarray, "*times n_y"]]
    ):
        """Outputs from inputs, ``y_t = offset + sum_j L_j x_{t-j}`` (eq. 5).

        Args:
          x: sequences ``(N, T0, n_x)`` that begin at rest, rows ``(rows, n_x)`` of one continuous
            recording, or a ``data.Recording``.
          return_std: whether to give standard deviations, too. They are those of the mean; that of
            a measurement is ``np.hypot(deviation, fit.noise)``.

        Returns:
          Outputs, shape ``(N, T0, n_y)`` or ``(rows, n_y)``, or a pair of them and of their
          standard deviations. They are NaN for the first ``T - 1`` rows of each piece of a
          recording, whose inputs are not all known.

        Raises:
          ValueError: if ``x`` is empty, not finite, or has another number of inputs, or if its
            inputs are known to be in other units or in another order than those of the fit.
        """
        return_std = _checks.flag("return_std", return_std)
        if isinstance(x, Recording):
            check_same("inputs", x.inputs, self.inputs)
        samples, lead = as_inputs(x, self.impulse_response.shape[2])
        mean = predictions.means(self.impulse_response, self.offset, samples).reshape(*lead, -1)
        if not return_std:
            return mean
        triangle = self.triangle
        of_means = self.noise * triangle.offset / np.sqrt(triangle.num_samples)
        deviation = predictions.deviations(self.covariance, triangle.x_mean, of_means, samples)
        return mean, deviation.reshape(*lead, -1)

    def score(self, x: Any, y: Any = None) -> Score:
        """How well outputs are predicted from inputs, where these are known.

        Args:
          x: inputs as ``predict`` takes them; a ``data.Recording`` with the outputs.
          y: outputs of the same times, ``(N, T0, n_y)`` or ``(rows, n_y)``; ``None`` for a
            recording.

        Returns:
          ``R^2``, and the fit in %, of each output.

        Raises:
          ValueError: as ``predict``, and if outputs do not match, are constant, or none is
            predicted.
        """
        if isinstance(x, Recording):
            check_same("inputs", x.inputs, self.inputs)
            check_same("outputs", x.outputs, self.outputs)
        samples = as_samples(x if y is None else (x, y))
        if isinstance(samples, CompressedData):
            raise ValueError(
                "x must be inputs or a Recording, got CompressedData; pass the data themselves"
            )
        _, out_dim, in_dim = self.impulse_response.shape
        sizes = samples.x.shape[1], samples.y.shape[1]
        _checks.same("x and y", sizes, "the fit", (in_dim, out_dim), "(n_x, n_y)")
        outputs = predictions.means(self.impulse_response, self.offset, samples)
        return predictions.score(outputs, samples.y, samples.weights)

    def frequency_response(self, num: int = 257) -> FrequencyResponse:
        """``H(f) = sum_j L_j exp(-2 pi i f j interval)``, from 0 to half the sampling rate.

        Args:
          num: number of frequencies, at equal distances.
        """
        num = _checks.integer("num", num)
        cycles = np.linspace(0, 0.5, num)
        lag = np.arange(len(self.impulse_response))
        waves = np.exp(-2j * np.pi * cycles[:, None] * lag)
        response = np.einsum("ft,tpq->fpq", waves, self.impulse_response, optimize=True)
        return FrequencyResponse(cycles / self.interval, response, self._deviation(waves))

    def step_response(self) -> StepResponse:
        """The outputs after an input goes from 0 to 1 and stays there, ``sum_{k <= j} L_k``."""
        sums = np.tri(len(self.impulse_response))
        return StepResponse(np.cumsum(self.impulse_response, axis=0), self._deviation(sums))

    def _deviation(self, weights: np.ndarray) -> Float[np.ndarray, "F n_y n_x"]:
        """Standard deviations of sums over lags, with real or complex weights ``(F, T)``."""
        parts = [np.real(weights), np.imag(weights)]
        each = np.einsum("ptqsq->pqts", self.covariance)
        variance = sum(np.sum((part @ each) * part, axis=-1) for part in parts)
        return np.sqrt(np.maximum(variance, 0)).transpose(2, 0, 1)

    def realize(self, order: int | None = None) -> dict[str, Any]:
        """A small linear RNN with this impulse response, by balanced truncation.

        Args:
          order: its width. ``None`` takes the smallest one for which what is left out of the
            Hankel matrix ``L_{i+j}``, by its singular values, is no more than what the data leave
            unknown of it: ``sum_{i > n} s_i^2 <= sum_j (j + 1) sum sd_j^2``.

        Returns:
          Parameters of ``LinearRNN(order, n_y)``, as ``ntk_rnn.realize`` gives them. The offset is
          not among them.

        Raises:
          ValueError: if ``order`` is no positive integer, or more than a shift register has.
        """
        if order is None:
            order = networks.width_within(self.impulse_response, self.standard_deviation)
        return realize(self.impulse_response, "balanced", order=order)

    def training(
        self,
        steps: Any,
        nu_w: float | None = None,
        nu_f: float | None = None,
        nu_c: float | None = None,
        learning_rate: float | None = None,
    ) -> Float[AnyArray, "*steps T n_y n_x"]:
        """What a wide linear RNN has learned of these data by a step of gradient descent.

        That is ``kernel_regression`` with the lag weights of the RNN (eq. 21, Theorem 3.3), from
        ``L = 0``, in float64 on the host, about the means of inputs and outputs.

        Args:
          steps: one step or several; infinity for the end.
          nu_w: variance of the entries of ``W``; those of a fit with ``kernel="rnn"`` if none of
            the three is given.
          nu_f: variance of the entries of ``F``.
          nu_c: variance of the entries of ``C``.
          learning_rate: for the sum of squares; half of the largest stable one if ``None``.

        Returns:
          Impulse responses, shape ``(T, n_y, n_x)``, led by the shape of ``steps``.

        Raises:
          ValueError: if variances are missing or not positive, or steps or the learning rate are
            not as ``kernel_regression`` takes them.
        """
        if nu_w is None and nu_f is None and nu_c is None and self.kernel == "rnn":
            # One RNN has one nu_W and nu, so the geometric mean of all pairs is taken.
            mean = {name: np.exp(np.log(v).mean()) for name, v in self.hyperparameters.items()}
            nu_w, nu_f, nu_c = float(np.exp(-mean["rate"])), float(mean["nu"]), float(mean["nu"])
        if nu_w is None or nu_f is None or nu_c is None:
            given = {"nu_w": nu_w, "nu_f": nu_f, "nu_c": nu_c}
            missing = next(name for name, value in given.items() if value is None)
            raise ValueError(
                f"{missing} must be given for a fit with kernel {self.kernel!r}, got None; pass "
                'nu_w, nu_f and nu_c, or fit with kernel="rnn"'
            )
        return networks.learned(self.triangle, steps, nu_w, nu_f, nu_c, learning_rate)

    def compressed(self) -> CompressedData:
        """The data about their means, as ``compress`` gives them."""
        return networks.compressed(self.triangle)

    def save(self, path: str | Path) -> None:
        """Writes the fit to a file, whole or not at all, which ``load`` reads.

        It is a NumPy archive of arrays, with text in JSON: other programs can read it, and reading
        it runs no code.

        Args:
          path: the file, usually ``*.npz``; one that is there is replaced.

        Raises:
          ValueError: if it is no path, or cannot be written.
        """
        triangle = self.triangle
        description = {
            "kernel": self.kernel, "evidence": self.evidence, "kernels": self.kernels,
            "lags": self.lags, "hyperparameters": list(self.hyperparameters),
            "inputs": self.inputs, "outputs": self.outputs, "time_unit": self.time_unit,
            "interval": self.interval, "num_samples": triangle.num_samples,
            "offset": triangle.offset,
        }  # fmt: skip
        arrays = {
            "impulse_response": self.impulse_response, "covariance": self.covariance,
            "noise": self.noise, "degrees_of_freedom": self.degrees_of_freedom,
            "hyperparameters": np.stack(list(self.hyperparameters.values())),
            "triangle_rows": triangle.rows, "triangle_goal": triangle.goal,
            "triangle_rest": triangle.rest, "x_mean": triangle.x_mean, "y_mean": triangle.y_mean,
        }  # fmt: skip
        model_files.write(path, description, arrays)
