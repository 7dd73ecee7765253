"""Gradient descent of wide linear RNNs at a cost that does not depend on the width."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from ntk_rnn import _checks
from ntk_rnn._networks import separated
from ntk_rnn._types import AnyArray, Params
from ntk_rnn.impulse import response
from ntk_rnn.loss import Loss, check_loss
from ntk_rnn.objective import Data
from ntk_rnn.products.small import LEAST_LEAK, Small
from ntk_rnn.products.wide import WideRNN
from ntk_rnn.sequences import convolved
from ntk_rnn.training.long_runs import check_batches, number_of_steps
from ntk_rnn.training.method import Method, Problem, refuse_traced
from ntk_rnn.training.records import record_steps
from ntk_rnn.training.stability import divergence_warning, refuse_past
from ntk_rnn.training.subspace.growth import Descent
from ntk_rnn.training.subspace.in_full import path_in_full
from ntk_rnn.training.subspace.largest_rate import largest_singular_value
from ntk_rnn.training.subspace.loop import Setting
from ntk_rnn.training.subspace.memory import PART_OF_THE_WIDTH, RankTooLarge
from ntk_rnn.training.subspace.network import data_for, network_of
from ntk_rnn.training.subspace.path import Certificate, SubspacePath

# By these, impulse responses are off by less than 1e-4, or 1e-3, of how far they move.
_TOLERANCE = {"float64": 2.5e-3, "float32": 7e-3}


def subspace_descent(
    params: Params | WideRNN,
    data: Data,
    *,
    learning_rate: float | Float[AnyArray, ""],
    steps: int | None = None,
    epochs: int | None = None,
    momentum: float = 0.0,
    batch_size: int | None = None,
    key: Shaped[Array, "*key"] | None = None,
    test: Data | None = None,
    loss: Loss = "sum",
    record_at: Sequence[int] | Int[np.ndarray, " R"] | None = None,
    kernel_drift: bool = False,
    certify_at: Sequence[int] | Int[np.ndarray, " K"] | None = None,
    tolerance: float | None = None,
    allow_unstable: bool = False,
) -> SubspacePath:
    """Gradient descent of a wide linear RNN, in the subspace that its gradients reach.

    Gradients of the loss with respect to ``W`` are sums of products ``A_a^T g B_b^T`` of vectors of
    both chains of the impulse response (eq. 9). So descent, with momentum and mini-batches too,
    changes ``W`` in the span ``P (n, r)`` of what the chains reach alone, whose dimension ``r``
    does not grow with the width. With ``W P`` and ``W^T P`` at hand a step costs ``O(T r^2)`` in
    place of ``2 T`` products with ``W``. A vector ``P b`` of a chain leaves the subspace by
    ``|(I - P P^T) W P b| / sqrt(n)``, which is known without ``W``: where it passes the
    tolerance, the subspace grows by the directions that it leaks into. What is missed of the
    impulse response is a product of a leak of either chain, so it falls as the square of the
    tolerance.

    Args:
      params: those of a ``LinearRNN``, as ``init`` returned them, or a ``wide_rnn``.
      data: training inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or both compressed.
      learning_rate: ``eta``, a number. Optimizers that are not linear in the gradients, such as
        Adam, leave the subspace at once: train with ``gradient_descent`` or ``train`` there.
      steps: number of steps; or give ``epochs``.
      epochs: number of passes over the data, of ``N // batch_size`` steps each.
      momentum: ``mu`` of ``v <- mu v + grad``, ``params <- params - eta v``.
      batch_size: sequences a step, in the order that ``train`` takes them; all if ``None``.
      key: random key of that order, shape ``()``.
      test: test inputs and targets, or compressed ones.
      loss: ``"sum"`` for ``1/2 sum ||y_hat - y||^2`` (Appendix B.4), or ``"mean"`` for the mean
        squared error.
      record_at: the steps at which to record, shape ``(R,)``; every step if ``None``.
      kernel_drift: whether to record how far the kernel has moved from its start.
      certify_at: steps at which the whole network is evaluated, too, and compared, shape ``(K,)``.
        They are recorded as well, and so is the last step. Each costs some ten products with ``W``.
      tolerance: the largest part of a chain's vector that may leave the subspace, relative to the
        start of the chain, at least three roots of the unit of rounding; 2.5e-3 in float64 and 7e-3
        in float32 if ``None``.
      allow_unstable: whether to take a learning rate past the largest that is stable at the start.

    Returns:
      The path, with the leak at every record and the rank at the end. Where the rank would pass a
      quarter of the width, a ``RuntimeWarning`` says so, and training goes on with the whole ``W``;
      a ``wide_rnn`` has none, and goes on in its subspace.

    Raises:
      ValueError: if data are empty, not finite or do not match the parameters, or these are not
        those of a linear RNN; if neither or both of ``steps`` and ``epochs`` are given; if a number
        is out of its range, or the learning rate not stable; if the subspace does not fit into
        memory; or if the call is itself compiled, differentiated or batched.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> wide = nr.wide_rnn(jax.random.key(1), width=100_000, in_dim=1, out_dim=1)
      >>> path = nr.subspace_descent(wide, (x, y), steps=100, learning_rate=1e-3)
      >>> path.impulse_response.shape, path.rank < 50
      ((101, 5, 1, 1), True)
    """
    refuse_traced((params, data, test, key, learning_rate), "subspace_descent")
    network = network_of(params)
    checked = data_for(network, "data", data, whole=batch_size is None)
    checked_test = None if test is None else data_for(network, "test", test)
    if isinstance(learning_rate, optax.GradientTransformation) or callable(learning_rate):
        raise ValueError(
            f"learning_rate must be a positive number, got {_checks.shown(learning_rate)}; with "
            "optimizers such as Adam, which are not linear in gradients, training leaves the "
            "subspace: use train or gradient_descent"
        )
    if tolerance is None:
        tolerance = _TOLERANCE[network.f.dtype.name]
    _checks.positive(learning_rate=learning_rate, tolerance=tolerance)
    least = LEAST_LEAK * float(jnp.finfo(network.f.dtype).eps) ** 0.5
    if tolerance < least:
        raise ValueError(
            f"tolerance must be at least {least:.2g}, what rounding leaves in {network.f.dtype}, "
            f"got {float(tolerance):g}; take a larger one, or parameters of float64"
        )
    momentum = _checks.fraction("momentum", momentum, with_zero=True)
    _checks.flag("kernel_drift", kernel_drift)
    _checks.flag("allow_unstable", allow_unstable)
    steps_an_epoch = 1 if batch_size is None else check_batches(batch_size, key, checked)
    steps = number_of_steps(steps, epochs, steps_an_epoch)
    certified = np.zeros(0, int)
    if certify_at is not None:
        certified = record_steps(certify_at, steps, checked, name="certify_at")
    records = np.union1d(record_steps(record_at, steps, checked), certified)
    setting = Setting(check_loss(loss), batch_size, momentum > 0)
    problem = Problem(checked, checked_test, float(learning_rate), key)

    try:
        with jax.default_matmul_precision("highest"):
            run = Descent(network, setting, problem, float(tolerance), momentum)
            if kernel_drift:
                run.with_drift()
            start = run.small
            if batch_size is None:
                value = largest_singular_value(setting, run.scale, checked, start)
                if not allow_unstable:
                    refuse_past(value, learning_rate, momentum)
                run.explore(records, float(value))
            rows, found, bad = run.run(records, certified)
            diverged_at = bad
            while bad is not None:
                # Once more up to the last good step, which is sooner done than kept at every step.
                diverged_at = bad
                records, certified = (
                    np.unique(np.minimum(each, bad - 1)) for each in (records, certified)
                )
                rows, found, bad = run.run(records, certified)
            if diverged_at is not None:
                model, start = separated(_response, (start, jnp.asarray(network.width)))
                method = Method(model, None, loss, batch_size)
                text = divergence_warning(method, problem, start, diverged_at)
                warnings.warn(text, RuntimeWarning, stacklevel=2)
            final = run.params(params)
    except RankTooLarge:
        width = network.width
        warnings.warn(
            f"the subspace passes {width // PART_OF_THE_WIDTH} dimensions, a quarter of the width "
            f"{width}, where it saves little; training goes on with the whole of W",
            RuntimeWarning,
            stacklevel=2,
        )
        return path_in_full(
            params, setting, problem, records, certified, momentum, kernel_drift, allow_unstable
        )
    certificate = None
    if certify_at is not None:
        columns = (jnp.stack(column) for column in zip(*found, strict=True))
        certificate = Certificate(certified, *columns)
    return SubspacePath(
        step=records, params=final, diverged_at=diverged_at, rank=run.rank,
        certificate=certificate, **rows._asdict(),
    )  # fmt: skip


def _response(network: tuple[Small, Int[Array, ""]], x: Array) -> Array:
    """The outputs of a network in a subspace, and of a width."""
    (w, f, c), width = network
    # A chain of matrices of size R divides by sqrt(R) where that of the wide network has sqrt(n).
    scale = jnp.sqrt(len(w) / width.astype(w.dtype))
    return convolved(response(scale * w, scale * f, c, x.shape[1]), x)
