"""Kernel, hyper-parameters, noise and number of lags of highest evidence, by ``fit``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray
from ntk_rnn.compression.triangle import CompressedData
from ntk_rnn.data.recordings import Recording
from ntk_rnn.fitting.impulse_fit import ImpulseFit
from ntk_rnn.fitting.optimization import Point, Problem, maximized
from ntk_rnn.fitting.posterior import given_data
from ntk_rnn.fitting.priors import PRIORS
from ntk_rnn.fitting.records import Candidate
from ntk_rnn.fitting.samples import Samples, Triangle, as_samples, triangle_of

Kernel = Literal["auto", "rnn", "di", "tc", "dc", "ss", "flat"]

# By default each input has its own hyper-parameters if they are at most so many.
_OWN_HYPERPARAMETERS = 4

# Fewer lags are taken where more raise the log evidence by less: a factor of e in probability.
_WORTH = 1.0

# The kernel by which the number of lags is chosen where the kernel is to be chosen, too.
_FOR_LAGS = "tc"


def fit(
    data: Any,
    seq_len: int | Sequence[int] | Literal["auto"] | None = None,
    *,
    kernel: Kernel = "auto",
    offset: bool | None = None,
    delay: int | Sequence[int] | Int[AnyArray, " n_x"] = 0,
    shared: bool | None = None,
    interval: float | None = None,
) -> ImpulseFit:
    """Fits an impulse response to data, with a prior that is tuned by evidence.

    The model is ``y_t = c + sum_{j < T} L_j x_{t-j} + noise`` (eq. 5), with white Gaussian noise
    of its own variance for each output. The entries of ``L`` are Gaussian with mean 0 and a
    covariance over the lags, the kernel: that of a wide linear RNN (eq. 21) or one that system
    identification uses. Its hyper-parameters and the noise maximize the evidence, the probability
    of the data with ``L`` integrated out. The offset ``c`` has a flat prior.

    What is fitted to is the triangle of the data alone, so that after one pass through the samples
    the cost is that of some hundred factorizations of size ``T n_x``, whatever their number. All is
    computed in float64 on the host.

    Each pair of an output and an input has a response with a block of its own in the prior, and a
    scale in units of the input. The other hyper-parameters, such as how fast a response fades, are
    of each pair, since dynamics differ; for more than 4 inputs they are shared by the inputs of an
    output, as hyper-parameters must be few beside the samples (``shared`` decides otherwise).

    Standard deviations contain the uncertainty that the noise leaves, and that of the
    hyper-parameters: by Laplace's method where data determine them. Where a response raises the log
    evidence by less than 50, so that noise may hide it, its mean and standard deviation are those
    of a mixture over all scales and memories that the data allow. The ``hyperparameters`` of a fit
    are the most probable ones in any case.

    Args:
      data: ``(x, y)`` or ``(x, y, weights)``, with sequences ``x (N, T0, n_x)``, ``y (N, T0, n_y)``
        that begin at rest, or with rows ``x (rows, n_x)``, ``y (rows, n_y)`` of one continuous
        recording; a ``data.Recording``; or results of ``compress`` and the like. Weights of 0
        leave samples out, where ``y`` may be NaN. Pieces of a recording may differ in length; in
        each, the first ``T - 1`` samples are not fitted to, as their inputs are not all known
        (where they are 0 before each piece, pass what ``Recording.at_rest`` gives).
      seq_len: number ``T`` of lags, the present among them; several to choose from by evidence;
        ``"auto"`` for 5, 10, 20, ... as far as the data allow. Those that are not above every
        delay are left out. ``None`` takes that of a recording or of compressed data, and ``"auto"``
        if they have none.
      kernel: ``"rnn"``, ``"di"``, ``"tc"``, ``"dc"``, ``"ss"`` or ``"flat"``, or ``"auto"`` for
        the one of highest evidence.
      offset: whether each output has one. ``None``: it has, but for compressed data, whose means
        are not known.
      delay: number of lags before the first that may differ from 0, at which an input has no
        effect yet; one number, or one for each input, shape ``(n_x,)``.
      shared: whether the inputs of an output share their hyper-parameters.
      interval: time from a row to the next, for frequencies and axes of time. ``None`` takes that
        of a recording, and 1 if it is not known.

    Returns:
      The fit: the response with standard deviations, and what follows from it.

    Raises:
      ValueError: if data are not as said, an output is constant, no sample is left, or an argument
        is out of range.

    Example:
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> rng = np.random.default_rng(0)
      >>> x = rng.normal(size=500)
      >>> y = 3.0 + np.convolve(x, 0.7 ** np.arange(20))[:500] + 0.3 * rng.normal(size=500)
      >>> fit = nr.fit((x, y), seq_len=20, kernel="tc")
      >>> print(fit.impulse_response[:3, 0, 0].round(1), fit.offset.round(1), fit.noise.round(1))
      [1.  0.7 0.5] [3.] [0.3]
      >>> bool(fit.score(x, y).r_squared[0] > 0.9)
      True
    """
    _checks.one_of("kernel", kernel, "auto", *PRIORS)
    if interval is None:
        interval = (isinstance(data, Recording) and data.interval) or 1.0
    _checks.positive(interval=interval)
    samples = as_samples(data)
    has_offset = not isinstance(samples, CompressedData)
    if offset is not None:
        if _checks.flag("offset", offset) and not has_offset:
            raise ValueError(
                "offset must be False for compressed data, whose means are not known, got True; "
                "pass (x, y) or a Recording"
            )
        has_offset = offset
    choices = _lags(seq_len, data, samples)
    in_dim = samples.shape[2] if isinstance(samples, CompressedData) else samples.x.shape[1]
    delays = _delays(delay, in_dim, max(choices))
    choices = [lags for lags in choices if lags > max(delays)]
    together = in_dim > _OWN_HYPERPARAMETERS
    if shared is not None:
        together = _checks.flag("shared", shared)
    kernels = list(PRIORS) if kernel == "auto" else [kernel]

    triangle = triangle_of(samples, max(choices), has_offset)
    _check_outputs(triangle)
    table = []
    lags = max(choices)
    if len(choices) > 1:
        by_lags = _FOR_LAGS if kernel == "auto" else kernel
        found = {
            each: _total(_points(triangle.narrowed(each), by_lags, delays, together))
            for each in choices
        }
        best = max(found.values())
        lags = next(each for each in choices if found[each] >= best - _WORTH)
        table = [Candidate(by_lags, each, value) for each, value in found.items()]
        # With fewer lags, more samples of a recording have all their inputs.
        triangle = triangle_of(samples, lags, has_offset)
    solved = {name: _points(triangle, name, delays, together) for name in kernels}
    ranking = [Candidate(name, lags, _total(points)) for name, points in solved.items()]
    chosen = max(ranking, key=lambda each: each.evidence)
    found = _fit_of(
        triangle, solved[chosen.kernel], chosen, tuple(ranking), tuple(table), float(interval)
    )
    if not isinstance(data, Recording):
        return found
    return replace(found, inputs=data.inputs, outputs=data.outputs, time_unit=data.time_unit)


def _points(
    triangle: Triangle, kernel: str, delays: tuple[int, ...], shared: bool
) -> list[tuple[Problem, Point]]:
    """The most probable hyper-parameters of each output."""
    problems = [
        Problem(triangle.output(index), kernel, delays, shared)
        for index in range(triangle.shape[1])
    ]
    return [(problem, maximized(problem)) for problem in problems]


def _total(points: list[tuple[Problem, Point]]) -> float:
    return float(sum(point.evidence.value for _, point in points))


def _fit_of(
    triangle: Triangle,
    points: list[tuple[Problem, Point]],
    chosen: Candidate,
    kernels: tuple[Candidate, ...],
    lags: tuple[Candidate, ...],
    interval: float,
) -> ImpulseFit:
    seq_len, out_dim, in_dim = triangle.shape
    each = [given_data(problem, point) for problem, point in points]
    by_input = np.stack([one.covariance for one in each])
    by_input = by_input.reshape(out_dim, in_dim, seq_len, in_dim, seq_len)
    logs = np.stack([problem.logarithms(point.vector) for problem, point in points])
    return ImpulseFit(
        # In one order in memory, that of a saved fit, on which the last bits of products depend.
        impulse_response=np.stack([one.mean for one in each]).transpose(2, 0, 1).copy(),
        covariance=by_input.transpose(0, 2, 1, 4, 3).copy(),
        noise=np.exp([point.vector[-1] / 2 for _, point in points]),
        kernel=chosen.kernel,
        evidence=chosen.evidence,
        hyperparameters={
            name: np.exp(logs[:, :, index])
            for index, name in enumerate(PRIORS[chosen.kernel].names)
        },
        kernels=kernels,
        lags=lags,
        degrees_of_freedom=np.array([p.evidence.degrees_of_freedom for _, p in points]),
        triangle=triangle,
        interval=interval,
    )


def _lags(seq_len: Any, data: Any, samples: Samples | CompressedData) -> list[int]:
    """The numbers of lags to choose from, rising."""
    compressed = isinstance(samples, CompressedData)
    if seq_len is None:
        if compressed:
            return [samples.shape[0]]
        if isinstance(data, Recording) and data.seq_len is not None:
            return [data.seq_len]
    if seq_len is None or (isinstance(seq_len, str) and seq_len == "auto"):
        if not compressed:
            return samples.candidates()
        most = samples.shape[0]
        return [lags for lags in (5 * 2**k for k in range(32)) if lags < most] + [most]
    if isinstance(seq_len, str) or not isinstance(seq_len, Sequence | np.ndarray):
        found = [_checks.integer("seq_len", seq_len)]
    else:
        if not len(seq_len):
            raise ValueError("seq_len must name at least one number of lags, got none; e.g. [10]")
        found = sorted({_checks.integer("seq_len", each) for each in seq_len})
    if compressed and found[-1] > samples.shape[0]:
        raise ValueError(
            f"seq_len must be at most the {samples.shape[0]} lags of the compressed data, got "
            f"{found[-1]}; compress them with more"
        )
    return found


def _delays(delay: Any, in_dim: int, seq_len: int) -> tuple[int, ...]:
    given = _checks.nonnegative("delay", delay, whole=True)
    if np.shape(given) not in ((), (in_dim,)):
        raise ValueError(
            f"delay must be one number, or one for each of {in_dim} inputs, got shape "
            f"{np.shape(given)}"
        )
    if not np.all(given < seq_len):
        raise ValueError(
            f"delay must be less than seq_len, {seq_len}, got {np.max(given):g}; lags before the "
            "delay count among those of seq_len, so take more of them"
        )
    return tuple(np.broadcast_to(np.asarray(given, int), (in_dim,)).tolist())


def _check_outputs(triangle: Triangle) -> None:
    """Raises ``ValueError`` for an output of which nothing varies."""
    for index, mean in enumerate(triangle.y_mean):
        power = triangle.output(index).power
        if power <= 1e-24 * mean**2:
            raise ValueError(
                f"data must have outputs that vary, got output {index} constant at {mean + 0.0:g}; "
                "leave it out"
            )
