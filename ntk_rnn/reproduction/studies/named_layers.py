"""The causal linear layers that the command line knows by a name."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

import ntk_rnn as nr
from ntk_rnn.reproduction.studies.layers_config import Layer


def named_layer(
    name: Layer,
    width: int,
    *,
    nu_w: float,
    nu_f: float,
    nu_c: float,
    r_min: float,
    r_max: float,
) -> Any:
    """The layer of this name with one output; each takes those numbers that it has."""
    nu: Any = {"nu_f": nu_f, "nu_c": nu_c}
    match name:
        case "gaussian":
            return nr.LinearRNN(width, 1, nu_w, **nu)
        case "orthogonal":
            return nr.OrthogonalRNN(width, 1, nu_w, **nu)
        case "diagonal":
            return nr.DiagonalRNN(width, 1, r_min, r_max, **nu)
        case "lru":
            return nr.LRU(width, 1, r_min, r_max, **nu)
        case "s4d-lin":
            return nr.S4D(width, 1, "lin", **nu)
        case "s4d-inv":
            return nr.S4D(width, 1, "inv", **nu)


def limit_weights(layer: Any, seq_len: int) -> Float[np.ndarray, " T"] | None:
    """Its lag weights at infinite width, in closed form; ``None`` if there is none."""
    if isinstance(layer, nr.S4D):
        return None
    if isinstance(layer, nr.LinearRNN):
        return np.asarray(nr.lag_weights(seq_len, layer.nu_w, layer.nu_f, layer.nu_c))
    return np.asarray(layer.lag_weights(seq_len))
