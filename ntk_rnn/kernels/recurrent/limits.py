"""The kernels of infinitely wide recurrent networks, as users call them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntk_rnn import _checks
from ntk_rnn._types import AnyArray, Scalar
from ntk_rnn.activations.choice import dual, fitted
from ntk_rnn.activations.functions import Activation
from ntk_rnn.activations.moments import Dual
from ntk_rnn.kernels.layout import refuse_too_large
from ntk_rnn.kernels.recurrent.recursion import (
    Kind,
    Sequences,
    Variances,
    between_all_times,
    between_ends,
    between_means,
    state_variances,
    within,
)

#: Which outputs of a network a kernel is of.
Output: TypeAlias = Literal["all", "last", "mean"]


def recurrent_ntk(
    x1: Float[AnyArray, "N1 T n_x"],
    x2: Float[AnyArray, "N2 T2 n_x"] | None = None,
    *,
    activation: Activation,
    nu_w: Scalar,
    nu_f: Scalar,
    nu_c: Scalar,
    output: Output = "all",
    lengths1: Int[AnyArray, " N1"] | None = None,
    lengths2: Int[AnyArray, " N2"] | None = None,
    tolerance: float | None = None,
) -> Float[Array, "N1 N2 T T2"] | Float[Array, "N1 N2"]:
    """Neural tangent kernel of an infinitely wide recurrent network (Proposition 3.1).

    The network is ``RNN``: ``g_t = W phi(g_{t-1}) / sqrt(n) + F x_t``,
    ``y_t = C phi(g_t) / sqrt(n)``. For the times ``t`` of a sequence ``x`` and ``s`` of ``x'``,
    with ``V = E[phi(u) phi(v)]`` and ``D = E[phi'(u) phi'(v)]`` over the Gaussian limit
    ``(u, v)`` of ``(g_t(x), g_s(x'))``,

    ``S_{t,s} = nu_F <x_t, x'_s> + nu_W V_{t-1,s-1}``, the covariance of that limit;
    ``Theta_{t,s} = <x_t, x'_s> + V_{t-1,s-1} + nu_W D_{t-1,s-1} Theta_{t-1,s-1}``;
    ``K_{t,s} = V_{t,s} + nu_C D_{t,s} Theta_{t,s}``, where all at time -1 is 0
    (Alemohammad et al., *The Recurrent Neural Tangent Kernel*, 2020). With the identity it is
    ``analytic_ntk`` of ``lag_weights`` (eq. 20).

    Time and memory are proportional to the size of the kernel, and for ``output="last"`` to
    ``N1 N2 T`` and ``N1 N2``. It has derivatives in the inputs and in the variances. Where two
    sequences coincide, the kernel of an activation with a kink has none: it counts as 0 there, in
    the direction that takes them apart. A bias is an input that is always 1.

    Args:
      x1: sequences, shape ``(N1, T, n_x)``.
      x2: sequences, shape ``(N2, T2, n_x)``, of any length; ``x1`` if ``None``.
      activation: ``phi``: ``"identity"``, ``"relu"``, ``"leaky_relu"`` (slope 0.01), ``"abs"``,
        ``"erf"``, ``"gelu"``, ``"sin"`` or ``"cos"``, in closed form; ``"tanh"`` or any function of
        JAX arrays that is Lipschitz, an entry at a time, by an expansion in Hermite polynomials;
        ``"tanh"`` at large variances by a mixture of error functions, which meets the default
        tolerance at any variance.
        Pass the same function again, not a new lambda, to use again what was compiled for it.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.
      output: ``"all"`` for the outputs at all times; ``"last"`` for that at the last time of each
        sequence, or ``"mean"`` for their mean over its times: one output a sequence.
      lengths1: numbers of steps of the sequences of ``x1``, from 1 to ``T``, shape ``(N1,)``; what
        follows them is padding. ``T`` for all if ``None``.
      lengths2: likewise of ``x2``, shape ``(N2,)``; not to be given without ``x2``.
      tolerance: for an expansion, the part of ``E[phi(u)^2]`` and ``E[phi'(u)^2]`` that may be left
        out, an estimate from above of the relative error of ``V`` and ``D`` at any one step. It is
        1e-8 in float64 and 1e-6 in float32 if ``None``. Where JAX traces the inputs or the
        variances, the number of terms cannot depend on them: 256 are taken, and the error is not
        known. ``"tanh"`` is the mixture there, unless the tolerance is below its error, 6e-9 in
        float64 and 2e-7 in float32.

    Returns:
      Shape ``(N1, N2, T, T2)``: ``K[i, k, t, s]`` between time ``t`` of ``x1[i]`` and time ``s``
      of ``x2[k]``, and 0 in the padding; or ``(N1, N2)`` for one output a sequence. It is the same
      for every output, and 0 between different outputs.

    Raises:
      ValueError: if a shape is wrong or an entry not finite; if a variance is not positive, or so
        large that those of the states exceed the floating type; if the activation is unknown, not
        Lipschitz, or not smooth enough for the tolerance; if lengths do not fit; or if the kernel
        is larger than the memory.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (4, 6, 2))
      >>> options = dict(activation="erf", nu_w=1.5, nu_f=1.0, nu_c=1.0)
      >>> nr.recurrent_ntk(x, **options).shape
      (4, 4, 6, 6)
      >>> lengths = jax.numpy.array([6, 6, 3, 2])
      >>> nr.recurrent_ntk(x, **options, output="last", lengths1=lengths).shape
      (4, 4)
    """
    return _kernel(
        "ntk", x1, x2, activation, (nu_w, nu_f, nu_c), output, (lengths1, lengths2), tolerance
    )


def recurrent_nngp(
    x1: Float[AnyArray, "N1 T n_x"],
    x2: Float[AnyArray, "N2 T2 n_x"] | None = None,
    *,
    activation: Activation,
    nu_w: Scalar,
    nu_f: Scalar,
    nu_c: Scalar,
    output: Output = "all",
    lengths1: Int[AnyArray, " N1"] | None = None,
    lengths2: Int[AnyArray, " N2"] | None = None,
    tolerance: float | None = None,
) -> Float[Array, "N1 N2 T T2"] | Float[Array, "N1 N2"]:
    """Covariance of the outputs of an infinitely wide recurrent network at initialization.

    ``E[y_t(x) y_s(x')] = nu_C V_{t,s}``, with ``V`` as in ``recurrent_ntk``: the outputs tend to a
    Gaussian process, since the states of Lemma C.1 are Gaussian in the limit (see also Yang, *Wide
    Feedforward or Recurrent Neural Networks of Any Architecture are Gaussian Processes*, 2019).
    It is the kernel of training ``C`` alone, times ``nu_C``.

    Args:
      x1: sequences, shape ``(N1, T, n_x)``; all arguments are as in ``recurrent_ntk``.
      x2: sequences, shape ``(N2, T2, n_x)``; ``x1`` if ``None``.
      activation: ``phi``, by name or as a function.
      nu_w: variance of the entries of ``W``.
      nu_f: variance of the entries of ``F``.
      nu_c: variance of the entries of ``C``.
      output: ``"all"``, ``"last"`` or ``"mean"``.
      lengths1: numbers of steps of the sequences of ``x1``, shape ``(N1,)``.
      lengths2: likewise of ``x2``, shape ``(N2,)``.
      tolerance: of an expansion.

    Returns:
      Shape ``(N1, N2, T, T2)``, or ``(N1, N2)`` for one output a sequence; the same for every
      output, and 0 between different outputs.

    Raises:
      ValueError: as ``recurrent_ntk``.

    Example:
      >>> import jax
      >>> import ntk_rnn as nr
      >>> x = jax.random.normal(jax.random.key(0), (4, 6, 2))
      >>> K = nr.recurrent_nngp(x, activation="relu", nu_w=2.0, nu_f=1.0, nu_c=1.0)
      >>> bool(abs(K[0, 0, 0, 0] - (x[0, 0] ** 2).sum() / 2) < 1e-5)  # E[relu(u)^2] = var(u) / 2
      True
    """
    return _kernel(
        "nngp", x1, x2, activation, (nu_w, nu_f, nu_c), output, (lengths1, lengths2), tolerance
    )


def _kernel(
    kind: Kind,
    x1: Any,
    x2: Any,
    activation: Any,
    variances: tuple[Any, Any, Any],
    output: Any,
    lengths: tuple[Any, Any],
    tolerance: Any,
) -> Float[Array, "N1 N2 ..."]:
    _checks.variance(**dict(zip(("nu_w", "nu_f", "nu_c"), variances, strict=True)))
    _checks.one_of("output", output, "all", "last", "mean")
    if x2 is None and lengths[1] is not None:
        raise ValueError(
            "lengths2 must be None without x2, got lengths; lengths1 are those of both sides then"
        )
    inputs = _checks.both_sequences(x1, x2)
    sizes = len(inputs[0]), len(inputs[1])
    times = inputs[0].shape[1], inputs[1].shape[1]
    held = {"all": (*sizes, *times), "mean": (*sizes, times[1]), "last": sizes}
    refuse_too_large(held[output], inputs[0].dtype)
    nu = Variances(*(jnp.asarray(variance, inputs[0].dtype) for variance in variances))

    def sides(found: Dual) -> tuple[Sequences, Sequences]:
        first = _side("1", inputs[0], lengths[0], found, nu)
        return first, first if x2 is None else _side("2", inputs[1], lengths[1], found, nu)

    found = dual(activation, tolerance)
    first, second = sides(found)
    chosen = fitted(found, [first.variances, second.variances], tolerance)
    if chosen != found:
        first, second = sides(chosen)
    between = {"all": between_all_times, "mean": between_means, "last": between_ends}[output]
    return between(chosen, kind, nu, first, second)


def _side(
    number: str, x: Float[Array, "N T n_x"], lengths: Any, found: Dual, nu: Variances
) -> Sequences:
    """One side of a kernel, with the variances of its states, which must be finite."""
    steps = _checks.lengths(f"lengths{number}", lengths, x)
    is_step = within(steps, x.shape[1])
    # Padding that is 0 cannot make the variances of anything overflow.
    q = state_variances(found, nu, jnp.where(is_step[..., None], x, 0))
    # Expectations of a pair have products of its variances, some of them four times.
    largest = float(jnp.finfo(q.dtype).max) ** 0.5 / 4
    q = jnp.where(q < largest, q, jnp.nan)
    if not _checks.is_traced(q) and not np.isfinite(np.asarray(q)).all():
        t = int(np.argmin(np.isfinite(np.asarray(q)).all(axis=0)))
        raise ValueError(
            f"nu_w must let the variances of states stay below {largest:.2g}, whose products "
            f"{q.dtype} can hold, got nu_w = {float(nu.w):g}, with which those of x{number} exceed "
            f"it at step {t} of {x.shape[1]}; take a smaller nu_w, smaller inputs, shorter "
            "sequences or float64"
        )
    return Sequences(x, q, steps)
