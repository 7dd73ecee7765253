"""Long runs: mini-batches, in chunks that can be watched, interrupted and resumed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from jaxtyping import Array, Int, Shaped

from ntk_rnn import _checks
from ntk_rnn._networks import separated
from ntk_rnn._terminal import interrupts, progress_bar
from ntk_rnn._types import ApplyFn
from ntk_rnn.loss import Loss, check_loss
from ntk_rnn.objective import Data, DataSet, Sequences, matching_data
from ntk_rnn.training.checkpoints.fingerprints import configuration
from ntk_rnn.training.checkpoints.folder import Checkpoints
from ntk_rnn.training.chunks import Trainer
from ntk_rnn.training.course import run_in_chunks
from ntk_rnn.training.method import Method, Problem, check_optimizer, refuse_traced
from ntk_rnn.training.records import TrainingPath, record_steps
from ntk_rnn.training.stability import divergence_warning, refuse_unstable


def train(
    apply_fn: ApplyFn | nn.Module,
    params: Any,
    data: Data,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    key: Shaped[Array, "*key"] | None = None,
    learning_rate: float | Callable[[Any], Any] | None = None,
    optimizer: optax.GradientTransformation | optax.MultiSteps | None = None,
    test: Data | None = None,
    loss: Loss = "sum",
    record_at: Sequence[int] | Int[np.ndarray, " R"] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    progress: bool = False,
    allow_unstable: bool = False,
) -> TrainingPath:
    """Mini-batch gradient descent: ``params <- params - eta grad(loss on a batch)``.

    The companion of ``gradient_descent`` for runs that are long or do not take all data at a
    step. Steps are taken in compiled chunks of about half a second, between which a run can be
    interrupted; its results are the same to the last bit however they are cut, and however often
    it is interrupted and resumed. Another call with the same functions and shapes compiles
    nothing, whatever the number of steps.

    Epoch ``e`` goes through the data in the order
    ``jax.random.permutation(jax.random.fold_in(key, e), N)``, in ``N // batch_size`` batches; the
    ``N % batch_size`` sequences that are left over come in other epochs.

    Besides its own copy of the parameters and what a step takes, a run keeps one copy on the host
    once it has lasted for 10 seconds, and for the time of a chunk two.

    Args:
      apply_fn: ``apply_fn(params, x) -> y``, as ``LinearRNN(...).apply``; or a Flax module, of
        Linen with what ``init`` returned as ``params``, of NNX with its state. Sequences must not
        depend on each other.
      params: where to start, any pytree of arrays: floating ones, and complex ones by their real
        and imaginary parts. What else there is is held fixed: integers, booleans, random keys;
        collections of a Linen module other than ``"params"``; variables of an NNX module other than
        ``nnx.Param``. They are left as they are.
      data: training inputs ``x (N, T, n_x)`` and targets ``y (N, T, n_y)``, or of another shape
        ``(N, ...)`` if the outputs of the model have it, as those at the last step alone; or both
        compressed, for a causal linear model and full batches.
      steps: number of steps.
      epochs: number of epochs, instead of ``steps``: each has ``N // batch_size`` steps, or one
        without mini-batches.
      batch_size: number of sequences a step; all of them if ``None``.
      key: random key, shape ``()``, for the order of the data; not used without ``batch_size``.
      learning_rate: ``eta``, or an optax schedule of it, for plain gradient descent.
      optimizer: any optax optimizer, instead of ``learning_rate``.
      test: test inputs and targets, of any number and length, or compressed ones.
      loss: ``"sum"`` for ``1/2 sum ||y_hat - y||^2`` (Appendix B.4) over the batch, or ``"mean"``
        for its mean squared error.
      record_at: the steps at which to record, shape ``(R,)``, from 0 to the last, which always is
        recorded. If ``None``, those are the beginnings of all epochs, or, without mini-batches, the
        multiples of a power of 2, 100 to 200 of them. A record costs one evaluation of the model on
        all training data and all of ``test``: the training loss is over all data, also with
        mini-batches.
      checkpoint: folder for checkpoints; its path has no ``*``, ``?``, ``[`` and no backslash.
        If it has any, the run goes on from the newest, or only reads off the result if it had
        ended. Fewer records or more steps than before may be asked for. The last 3 are kept. One
        run at a time may use a folder.
      checkpoint_every: number of steps between checkpoints; about a minute's if ``None``. One
        more is written at the end, and where the run is interrupted.
      progress: whether to show a bar on stderr if that is a terminal, once 2 seconds have passed.
      allow_unstable: whether to take, with full batches, a learning rate past the largest that is
        stable at the start, as ``gradient_descent`` says. Mini-batches are not checked.

    Returns:
      The path. After Ctrl-C (SIGINT) it ends at the step reached, recorded in addition, with a
      ``RuntimeWarning`` that says how to go on; a second Ctrl-C raises ``KeyboardInterrupt`` at
      once. If a training loss turns non-finite, be it of a batch or of a record, a
      ``RuntimeWarning`` names the step, and the path ends one step before.

    Raises:
      ValueError: if data are empty, not finite or do not match the model's outputs, neither or
        both of ``steps`` and ``epochs`` or of ``learning_rate`` and ``optimizer`` are given,
        ``batch_size`` is larger than the data, comes without ``key`` or with compressed data, the
        learning rate is not positive or not stable, ``record_at`` is out of
        range, the loss is not finite to begin with, or ``checkpoint`` is no path of a folder that
        can be written to, has the checkpoints of another run, or one that has been renamed.
      OSError: if a checkpoint cannot be written, as on a full disk, or read; those that are there
        stay as they are.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
      >>> model = nr.LinearRNN(width=50, out_dim=1)
      >>> params = model.init(jax.random.key(1), x)
      >>> path = nr.train(
      ...     model, params, (x, y), epochs=3, learning_rate=1e-3,
      ...     batch_size=10, key=jax.random.key(2),
      ... )
      >>> path.step.tolist()  # where epochs begin
      [0, 2, 4, 6]
    """
    arrays = jax.tree.leaves((params, data, test, key))
    refuse_traced((arrays, learning_rate))
    if jax.process_count() > 1 and not all(
        a.is_fully_addressable for a in arrays if isinstance(a, jax.Array)
    ):
        raise ValueError(
            "train must have all arrays on devices of its own process, got some that are spread "
            "over several processes; use gradient_descent there, compiled with jax.jit"
        )
    network, params = separated(apply_fn, params)
    checked = matching_data("data", network, params, data)
    checked_test = None if test is None else matching_data("test", network, params, test)
    compiled_in, rate = check_optimizer(learning_rate, optimizer)
    _checks.flag("progress", progress)
    _checks.flag("allow_unstable", allow_unstable)
    if checkpoint is not None:
        _checks.path("checkpoint", checkpoint)
    steps_an_epoch = 1 if batch_size is None else check_batches(batch_size, key, checked)
    method = Method(network, compiled_in, check_loss(loss), batch_size)
    if batch_size is None and rate is not None and not allow_unstable:
        refuse_unstable(method, params, checked, rate)
    steps = number_of_steps(steps, epochs, steps_an_epoch)
    every = 2 ** int(np.log2(max(1, steps / 100))) if batch_size is None else steps_an_epoch
    records = record_steps(record_at, steps, checked, every)
    if checkpoint_every is not None:
        _checks.integer("checkpoint_every", checkpoint_every)
        if checkpoint is None:
            raise ValueError(
                f"checkpoint must be given with checkpoint_every, got None and {checkpoint_every}; "
                "pass a folder"
            )
    problem = Problem(checked, checked_test, rate, None if batch_size is None else key)
    trainer = Trainer(method, problem)
    with ExitStack() as held:
        held.enter_context(jax.default_matmul_precision("highest"))
        store = None
        if checkpoint is not None:
            store = Checkpoints(checkpoint, configuration(method, problem, params))
            held.callback(store.close)
        interrupted = held.enter_context(interrupts(at_once=False))
        show = held.enter_context(progress_bar("steps", steps, wanted=progress))
        path = run_in_chunks(trainer, params, records, store, checkpoint_every, interrupted, show)
    if path.diverged_at is not None:
        with jax.default_matmul_precision("highest"):
            text = divergence_warning(method, problem, params, path.diverged_at)
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    elif path.step[-1] < steps:
        warnings.warn(
            f"training was interrupted at step {path.step[-1]} of {steps}, where the path ends; "
            + (
                f"the same call goes on from there, by the checkpoint in {checkpoint}"
                if checkpoint is not None
                else "its params can be trained on; with a folder as checkpoint, the same call "
                "goes on as if nothing had happened"
            ),
            RuntimeWarning,
            stacklevel=2,
        )
    return path._replace(params=network.joined(path.params))


def number_of_steps(steps: Any, epochs: Any, steps_an_epoch: int) -> int:
    """The number of steps, which is given itself or by that of epochs."""
    if (steps is None) == (epochs is None):
        raise ValueError(
            f"give either steps or epochs, got steps={_checks.shown(steps)}, "
            f"epochs={_checks.shown(epochs)}"
        )
    if steps is None:
        steps = _checks.integer("epochs", epochs, least=0) * steps_an_epoch
    return _checks.integer("steps", steps, least=0)


def check_batches(batch_size: Any, key: Any, data: DataSet) -> int:
    """The number of steps an epoch, ``N // batch_size``.

    Raises:
      ValueError: if ``batch_size`` is not between 1 and ``N``, or mini-batches have no key or
        compressed data.
    """
    size = _checks.integer("batch_size", batch_size)
    if not isinstance(data, Sequences):
        raise ValueError(
            "batch_size must be left out with compressed data, which a step takes whole, got "
            f"{size}; pass the sequences (x, y) for mini-batches"
        )
    num = len(data.inputs)
    if size > num:
        raise ValueError(
            f"batch_size must be at most the number of sequences, {num}, got {size}; leave it out "
            "for the full batch"
        )
    if key is None:
        raise ValueError(
            "key must be given with batch_size, for the order of the data, got None; pass "
            "jax.random.key(0), say"
        )
    _checks.random_key("key", key)
    return num // size
