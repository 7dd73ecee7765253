"""What training descends: the squared loss of a model, on sequences or on compressed data.

Both have one interface: sequences to evaluate a model on, and the loss of its outputs. For
sequences and targets those are the inputs as they are; for compressed data they are unit impulses,
since the impulse response says all there is to know of a causal linear model.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ntk_rnn import _checks
from ntk_rnn._namespace import float64, namespace
from ntk_rnn._networks import Network, separated
from ntk_rnn._types import AnyArray
from ntk_rnn.compression import least_squares
from ntk_rnn.compression.triangle import CompressedData, for_jax
from ntk_rnn.impulse import rnn_matrices
from ntk_rnn.linearity import departure
from ntk_rnn.loss import Loss, loss_scale
from ntk_rnn.models import LinearRNN
from ntk_rnn.sequences import causal_conv, outputs_of_each, unit_impulses

#: Inputs ``(N, T, n_x)`` and targets ``(N, T, n_y)``, or both compressed. Sizes are not bound to
#: those of other arguments, because those of test data may differ. Models whose outputs have
#: another shape ``(N, ...)`` than the linear ones are trained on targets of that shape.
Data: TypeAlias = tuple[Float[AnyArray, "_ _ _"], Float[AnyArray, "_ ..."]] | CompressedData
# The linear RNN to which parameters belong is off by rounding from its convolution.
_EQUAL_TO = 1e-3


class Sequences(NamedTuple):
    """Sequences with targets, at all times unless a model has outputs of another shape.

    Attributes:
      inputs: ``x``, on which a model is evaluated, shape ``(N, T, n_x)``.
      targets: ``y``, shape ``(N, T, n_y)``, or ``(N, ...)`` as the outputs of a model are.
    """

    inputs: Float[AnyArray, "N T n_x"]
    targets: Float[AnyArray, "N ..."]

    @property
    def given(self) -> Data:
        """The data in the form in which users pass them."""
        return self.inputs, self.targets

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape ``(T, n_y, n_x)`` of the impulse responses that the data are about.

        It is ``(..., n_x)`` where targets are of shape ``(N, ...)``.
        """
        return *self.targets.shape[1:], self.inputs.shape[2]

    def loss(self, outputs: Float[Array, "N ..."], loss: Loss) -> Float[Array, ""]:
        """The loss of a model with such outputs on ``inputs``."""
        return jnp.sum(self.errors(outputs, loss) ** 2) / 2

    def errors(self, outputs: Float[Array, "N ..."], loss: Loss) -> Float[Array, "N ..."]:
        """Outputs minus targets, half of whose squared norm is the loss."""
        return loss_scale(loss, self.targets.size) ** 0.5 * (outputs - self.targets)

    def loss_of_response(
        self, impulse_response: Float[AnyArray, "*batch lags n_y n_x"], loss: Loss
    ) -> Float[AnyArray, "*batch"]:
        """The losses of impulse responses, on the host if they and the data are NumPy arrays.

        Raises:
          ValueError: if they have other numbers of inputs or outputs than the data.
        """
        given, (out_dim, in_dim) = "the training data's", impulse_response.shape[-2:]
        _checks.same("data[1].shape[2]", self.targets.shape[2], given, out_dim, "outputs")
        _checks.same("x.shape[2]", self.inputs.shape[2], given, in_dim, "number of inputs")
        xp, dtype = namespace(impulse_response), impulse_response.dtype
        outputs = outputs_of_each(impulse_response, xp.asarray(self.inputs, dtype))
        targets = xp.broadcast_to(xp.asarray(self.targets, dtype), outputs.shape)
        error = xp.sum((outputs - targets) ** 2, axis=(-3, -2, -1))
        return xp.asarray(loss_scale(loss, self.targets.size) / 2 * error)  # (Appendix B.4)

    @property
    def num_rows(self) -> int:
        """Number of rows of the least-squares problem over the impulse response."""
        return self.inputs.shape[0] * self.inputs.shape[1]

    def triangular(self, initial: Float[AnyArray, "T n_y n_x"]) -> least_squares.Triangular:
        """The least-squares problem that an impulse response leaves, in triangular form."""
        return least_squares.of_sequences(self.inputs, self.targets, initial)

    def batch(self, rows: Int[Array, " b"] | slice) -> Sequences:
        """Some of the sequences."""
        return Sequences(self.inputs[rows], self.targets[rows])


class Impulses(NamedTuple):
    """Compressed data, on which a model is evaluated by its response to unit impulses.

    Attributes:
      compressed: the data.
    """

    compressed: CompressedData

    @property
    def given(self) -> Data:
        """The data in the form in which users pass them."""
        return self.compressed

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(T, n_y, n_x)`` of the impulse responses that the data are about."""
        return self.compressed.shape

    @property
    def inputs(self) -> Float[Array, "n_x T n_x"]:
        """Unit impulses, on which a model is evaluated."""
        seq_len, _, in_dim = self.compressed.shape
        return unit_impulses(seq_len, in_dim, self.compressed.centre.dtype)

    def loss(self, outputs: Float[Array, "n_x T n_y"], loss: Loss) -> Float[Array, ""]:
        """The loss of a model with such outputs on ``inputs``."""
        return self.compressed.loss(outputs.transpose(1, 2, 0), loss)

    def errors(self, outputs: Float[Array, "n_x T n_y"], loss: Loss) -> Float[Array, "K n_y"]:
        """The array whose squared norm is twice the loss, up to a constant."""
        scale = jnp.sqrt(self.compressed.scale(loss))
        return scale * self.compressed.errors(outputs.transpose(1, 2, 0))

    def loss_of_response(
        self, impulse_response: Float[AnyArray, "*batch lags n_y n_x"], loss: Loss
    ) -> Float[Array, "*batch"]:
        """The losses of impulse responses, in the precision of the data."""
        return self.compressed.loss(impulse_response, loss)

    @property
    def num_rows(self) -> int:
        """Number of rows of the least-squares problem over the impulse response."""
        return len(self.compressed.triangle)

    def triangular(self, initial: Float[AnyArray, "T n_y n_x"]) -> least_squares.Triangular:
        """The least-squares problem that an impulse response leaves, in triangular form."""
        return least_squares.of_compressed(self.compressed, initial)


DataSet: TypeAlias = Sequences | Impulses


def as_data_set(name: str, data: Any) -> DataSet:
    """What a user passes as data, checked, in the one form that the library computes with.

    Raises:
      ValueError: if data are empty, not finite or do not match each other.
    """
    if isinstance(data, CompressedData):
        return Impulses(for_jax(data))
    if hasattr(data, "at_rest"):
        raise ValueError(
            f"{name} must be sequences or compressed data, got a {type(data).__name__}; pass its "
            "compress(), or its at_rest() if each of its pieces begins at rest"
        )
    return Sequences(*_checks.data_set(name, data))


def host_data_set(data: Any) -> DataSet:
    """Data that ``as_data_set`` has checked, for float64 on the host.

    They are taken as they were passed, before JAX could round them.
    """
    if isinstance(data, CompressedData):
        return Impulses(data)
    return Sequences(float64(data[0]), float64(data[1]))


def matching_data(name: str, apply_fn: Network, params: Any, data: Any) -> DataSet:
    """Data as ``as_data_set`` has them, but with targets of the shape of the model's outputs.

    Raises:
      ValueError: if data are empty, not finite or do not match, or if they are compressed and the
        model is not a causal linear map of sequences.
    """
    if isinstance(data, CompressedData):
        checked = Impulses(for_jax(data))
    else:
        checked = Sequences(*_checks.inputs_and_targets(name, data))
    _checks.same_devices(params=params, **{name: checked})
    shape = output_of(apply_fn, params, checked.inputs).shape
    if isinstance(checked, Sequences):
        _checks.same(
            f"{name}[1].shape", checked.targets.shape,
            f"apply_fn(params, {name}[0]).shape", shape, "shape",
        )  # fmt: skip
        return checked
    seq_len, out_dim, in_dim = checked.shape
    _checks.same(
        f"impulses of {name}", (in_dim, seq_len, out_dim), "apply_fn's response", shape, "shape"
    )
    wrong = departure(apply_fn, params, (seq_len, in_dim), checked.inputs.dtype)
    if wrong:
        raise ValueError(
            f"{name} may be compressed for causal linear models only, got an apply_fn that {wrong};"
            " pass the sequences (x, y) themselves"
        )
    return checked


def output_of(apply_fn: Network, params: Any, x: Float[AnyArray, "N T n_x"]) -> Any:
    """Shape and type of a model's outputs; raises ``ValueError`` unless they are one array."""
    outputs = jax.eval_shape(_outputs, apply_fn, params, x)
    if not hasattr(outputs, "shape"):
        raise ValueError(
            f"apply_fn must return one array, got {jax.tree.map(jnp.shape, outputs)}; take what "
            "is to match the targets"
        )
    return outputs


@jax.jit
def _outputs(apply_fn: Network, params: Any, x: Float[AnyArray, "N T n_x"]) -> Any:
    """What it traces once for its shape, it does not trace again for the same model."""
    return apply_fn(params, x)


def check_linear_rnn(apply_fn: Network, params: Any, data: DataSet) -> None:
    """Raises ``ValueError`` unless a model is the linear RNN to which its parameters belong."""
    if isinstance(data, Sequences):
        _checks.same(
            "with kernel_drift, data[1].shape[:-1]", data.targets.shape[:-1],
            "data[0].shape[:2]", data.inputs.shape[:2], "number and length of sequences",
        )  # fmt: skip
    if _checks.is_traced((apply_fn, params, data)):
        return
    seq_len, out_dim, in_dim = data.shape
    impulses = unit_impulses(seq_len, in_dim, data.inputs.dtype)
    own, _ = separated(LinearRNN(len(rnn_matrices(params)[0]), out_dim), params)
    distance = _distance(apply_fn, own, params, impulses)
    if not _checks.is_traced(distance) and not float(distance) <= _EQUAL_TO:
        raise ValueError(
            "kernel_drift is of a LinearRNN, got an apply_fn that is off by "
            f"{float(distance):.2g} from the LinearRNN of its parameters; leave kernel_drift out"
        )


@jax.jit
def _distance(
    apply_fn: Network, own: Network, params: Any, impulses: Float[Array, "n_x T n_x"]
) -> Float[Array, ""]:
    """The relative distance of outputs from the convolution with a model's response (eq. 5).

    It is taken for inputs of order 1, and for those that give outputs of order 10, where no
    saturation can hide. The impulse response is that of ``own``.
    """
    key = jax.random.key(0)
    x = jax.random.normal(key, (2, *impulses.shape[1:]), impulses.dtype)
    small = apply_fn(params, x)
    size = jnp.sqrt(jnp.mean(small**2))
    factor = jnp.where(size > 0, 10 / size, 1).astype(x.dtype)
    large = apply_fn(params, factor * x)
    expected = causal_conv(own(params, impulses).transpose(1, 2, 0), x)
    gaps = jnp.stack(
        [jnp.linalg.norm(small - expected), jnp.linalg.norm(large / factor - expected)]
    )
    return jnp.max(jnp.where(gaps > 0, gaps / jnp.linalg.norm(small), 0))
