"""Fits in files: what of an ``ImpulseFit`` is written, and how it is put together again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ntk_rnn.data.channels import Channel
from ntk_rnn.fitting import model_files
from ntk_rnn.fitting.impulse_fit import ImpulseFit
from ntk_rnn.fitting.records import Candidate
from ntk_rnn.fitting.samples import Triangle


def load(path: str | Path) -> ImpulseFit:
    """Reads the file of a fit, which ``ImpulseFit.save`` wrote; not in the paper.

    Predictions are those of the fit that was saved, to the last bit. Nothing in the file is run.

    Args:
      path: the file.

    Returns:
      The fit.

    Raises:
      ValueError: if the file cannot be read, is damaged or another one, or was written by a newer
        version of the library. The message has its name.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> import ntk_rnn as nr
      >>> x = np.random.default_rng(0).normal(size=300)
      >>> fit = nr.fit((x, x + 0.5 * np.roll(x, 1) + 0.1 * np.sin(x)), seq_len=5, kernel="di")
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "model.npz")
      ...     fit.save(path)
      ...     again = nr.load(path)
      >>> np.array_equal(again.predict(x), fit.predict(x), equal_nan=True)
      True
    """
    header, arrays = model_files.read(path)
    try:
        triangle = Triangle(
            rows=arrays["triangle_rows"],
            goal=arrays["triangle_goal"],
            rest=arrays["triangle_rest"],
            num_samples=float(header["num_samples"]),
            x_mean=arrays["x_mean"],
            y_mean=arrays["y_mean"],
            offset=bool(header["offset"]),
        )
        fit = ImpulseFit(
            impulse_response=arrays["impulse_response"],
            covariance=arrays["covariance"],
            noise=arrays["noise"],
            kernel=str(header["kernel"]),
            evidence=float(header["evidence"]),
            hyperparameters=dict(
                zip(header["hyperparameters"], arrays["hyperparameters"], strict=True)
            ),
            kernels=tuple(Candidate(*each) for each in header["kernels"]),
            lags=tuple(Candidate(*each) for each in header["lags"]),
            degrees_of_freedom=arrays["degrees_of_freedom"],
            triangle=triangle,
            interval=float(header["interval"]),
            inputs=tuple(Channel(*each) for each in header["inputs"]),
            outputs=tuple(Channel(*each) for each in header["outputs"]),
            time_unit=str(header["time_unit"]),
        )
        complete = _complete(fit)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"path must be a file that ImpulseFit.save wrote, but {str(path)!r} lacks a part of it "
            f"({error}); save the fit again"
        ) from error
    if not complete:
        raise ValueError(
            f"path must be a file that ImpulseFit.save wrote, but arrays in {str(path)!r} do not "
            "belong together; save the fit again"
        )
    return fit


def _complete(fit: ImpulseFit) -> bool:
    """Whether all arrays have the shapes and the type that those of a fit have."""
    seq_len, out_dim, in_dim = fit.impulse_response.shape
    triangle = fit.triangle
    shapes = [
        (fit.covariance, (out_dim, seq_len, in_dim, seq_len, in_dim)),
        (fit.noise, (out_dim,)),
        (fit.degrees_of_freedom, (out_dim,)),
        *((values, (out_dim, in_dim)) for values in fit.hyperparameters.values()),
        (triangle.rows, (len(triangle.goal), seq_len, in_dim)),
        (triangle.goal, (len(triangle.goal), out_dim)),
        (triangle.rest, (out_dim,)),
        (triangle.x_mean, (seq_len, in_dim)),
        (triangle.y_mean, (out_dim,)),
    ]
    return all(
        array.shape == shape and array.dtype == np.float64 and bool(np.all(np.isfinite(array)))
        for array, shape in [(fit.impulse_response, (seq_len, out_dim, in_dim)), *shapes]
    )
