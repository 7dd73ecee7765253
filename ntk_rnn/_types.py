"""Types that annotations share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Float

#: What functions accept as an array.
AnyArray: TypeAlias = jax.Array | np.ndarray

#: One real number, which JAX may trace.
Scalar: TypeAlias = float | Float[AnyArray, ""]

#: Parameters of a Flax module, ``{"params": {name: array}}``.
Params: TypeAlias = Mapping[str, Any]

#: A model as a pure function, ``apply_fn(params, x) -> y``, with sequences that do not depend on
#: each other along the leading axis of ``x`` and ``y``; or an NNX module, a function of ``x``.
ApplyFn: TypeAlias = Callable[..., Any]
