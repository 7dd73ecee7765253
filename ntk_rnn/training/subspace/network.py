"""The network before training: its matrices, or what is known of a ``W`` that is drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from ntk_rnn import _checks
from ntk_rnn.compression.triangle import compress
from ntk_rnn.impulse import rnn_matrices
from ntk_rnn.objective import DataSet, Impulses, Sequences, as_data_set
from ntk_rnn.products.panels import Matrix, Panels, Source, no_products
from ntk_rnn.products.wide import WideRNN


class Network(NamedTuple):
    """A linear RNN before training.

    Attributes:
      source: where products with ``W`` come from.
      f: ``F``, shape ``(n, n_x)``.
      c: ``C``, shape ``(n_y, n)``.
      known: the products with ``W`` that are known.
    """

    source: Source
    f: Float[Array, "n n_x"]
    c: Float[Array, "n_y n"]
    known: Panels

    @property
    def width(self) -> int:
        """Number ``n`` of hidden units."""
        return len(self.f)


def network_of(params: Any) -> Network:
    """The network of parameters; raises ``ValueError`` unless they are those of a linear RNN."""
    if isinstance(params, WideRNN):
        return Network(params.source, params.f, params.c, params.panels)
    w, f, c = map(_checks.computed, rnn_matrices(params))
    return Network(Matrix(w), f, c, no_products(len(f), f.dtype))


def data_for(network: Network, name: str, data: Any, *, whole: bool = True) -> DataSet:
    """Data that are checked, of as many inputs and outputs as a network has, and in its type.

    Args:
      network: what is trained.
      name: what errors call the data.
      data: what a user passed.
      whole: whether only the loss on all of them is needed, which is then that of a triangle, so
        that a step costs the same for data of any size.
    """
    checked = as_data_set(name, data)
    _, out_dim, in_dim = checked.shape
    _checks.same(f"inputs of {name}", in_dim, "F.shape[1]", network.f.shape[1], "number")
    _checks.same(f"outputs of {name}", out_dim, "C.shape[0]", network.c.shape[0], "number")
    _checks.same_devices(**{"params": network, name: checked})
    if whole and isinstance(checked, Sequences):
        checked = Impulses(compress(*checked))
    return jax.tree.map(lambda array: jax.numpy.asarray(array, network.f.dtype), checked)
