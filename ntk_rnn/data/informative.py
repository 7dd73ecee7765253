"""Whether a recording can say anything of the response: inputs and outputs that do not vary."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntk_rnn.data.channels import Channel, numbered
from ntk_rnn.data.recordings import Recording

# What is left of a column relative to it, below which it is rounding.
_ROUNDING = 1e-10


def check_informative(recording: Recording) -> list[str]:
    """Refuses columns from which nothing can be learned, and says which inputs go together.

    Inputs that go together are no error: the response to their sum is known, and a kernel shares it
    out among them.

    Returns:
      A sentence for each input that is a linear combination of those before it.

    Raises:
      ValueError: if an input or an output has the same value in all rows.
    """
    inputs = recording.inputs or numbered("input", recording.x.shape[1])
    outputs = recording.outputs or numbered("output", recording.y.shape[1])
    _check_varying("inputs", inputs, recording.x, "the response to it cannot be told")
    _check_varying("outputs", outputs, recording.y, "there is nothing to explain")
    z = recording.x - recording.x.mean(axis=0)
    # The triangle has the same linear combinations, and few rows.
    z = np.asarray(np.linalg.qr(z / np.linalg.norm(z, axis=0), mode="r"))
    told = []
    for q in range(1, z.shape[1]):
        parts = np.linalg.lstsq(z[:, :q], z[:, q])[0]
        if np.linalg.norm(z[:, q] - z[:, :q] @ parts) < _ROUNDING:
            others = [inputs[k].name for k in np.flatnonzero(np.abs(parts) > _ROUNDING)]
            told.append(
                f"input {inputs[q].name!r} is a multiple or a sum of {', '.join(map(repr, others))}"
                " (up to a constant), so their responses cannot be told apart and share the effect;"
                " leave one of them out"
            )
    return told


def _check_varying(
    kind: str,
    channels: tuple[Channel, ...],
    values: Float[np.ndarray, "rows columns"],
    because: str,
) -> None:
    for channel, column in zip(channels, values.T, strict=True):
        if np.ptp(column) <= _ROUNDING * np.max(np.abs(column)):
            raise ValueError(
                f"{kind} must vary, got {channel.name!r} with {column[0]:.6g} in all "
                f"{len(column)} rows; leave it out, for {because}"
            )
