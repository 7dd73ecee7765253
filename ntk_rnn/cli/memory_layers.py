"""The layers of ``ntk-rnn memory``: their kernels, and what to change for a wanted memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from ntk_rnn._terminal import UserError

if TYPE_CHECKING:
    from ntk_rnn.cli.commands import Memory

Layer = Literal["gaussian", "orthogonal", "diagonal", "lru", "s4d-lin", "s4d-inv"]
LAYERS: tuple[Layer, ...] = get_args(Layer)

# Where values for a wanted memory are looked for: stable ones that float32 tells from 1.
_LARGEST = 0.9999


def kernel(options: Memory) -> tuple[str, Any]:
    """What a layer is, in words, and its kernel: lag weights, or a Gram matrix at a width and seed.

    Raises:
      ValueError: if an option is out of range.
    """
    import jax
    import jax.numpy as jnp

    import ntk_rnn as nr

    ring, nu = f"r_min = {options.r_min:g}, r_max = {options.r_max:g}", f"nu_w = {options.nu_w:g}"
    if options.layer.startswith("s4d"):
        layer = _layer(options, options.nu_w)
        params = layer.init(jax.random.key(options.seed), jnp.zeros((1, 1, 1)))
        title = f"{options.layer}, width {options.width}, seed {options.seed}"
        return title, nr.layer_gram(layer, params, options.seq_len, 1)
    on_ring = options.layer in ("diagonal", "lru")
    title = f"{options.layer}, {ring if on_ring else nu}, infinite width"
    return title, _weights(options, options.r_max if on_ring else options.nu_w)


def with_memory(options: Memory, lags: float) -> tuple[str, float]:
    """Which option to change for a memory of so many lags, and to what.

    Raises:
      ValueError: if no value has it.
    """
    import ntk_rnn as nr

    if options.layer.startswith("s4d"):
        raise UserError(
            f"lags must be left out for {options.layer}, whose lags are learned together, got "
            f"{lags:g}; see what dt_min of ntk_rnn.S4D does"
        )
    name, least = "nu_w", 0.001
    if options.layer in ("diagonal", "lru"):
        name, least = "r_max", max(options.r_min, 0.001)
        if least >= _LARGEST:
            raise UserError(f"r_min must be below {_LARGEST:g} with lags, got {least:g}; e.g. 0.9")
    found = nr.value_for_memory(lags, lambda value: _weights(options, value), (least, _LARGEST))
    return name, found


def _weights(options: Memory, value: float) -> Any:
    """Lag weights with a ``nu_w``, or an ``r_max`` where there is a ring."""
    import ntk_rnn as nr

    if options.layer == "gaussian":
        return nr.lag_weights(options.seq_len, value, options.nu_f, options.nu_c)
    return _layer(options, value).lag_weights(options.seq_len)


def _layer(options: Memory, value: float) -> Any:
    import ntk_rnn as nr

    nu: Any = {"nu_f": options.nu_f, "nu_c": options.nu_c}
    if options.layer == "orthogonal":
        return nr.OrthogonalRNN(options.width, 1, nu_w=value, **nu)
    if options.layer.startswith("s4d"):
        variant: Any = options.layer.removeprefix("s4d-")
        return nr.S4D(options.width, 1, variant=variant, **nu)
    kind = nr.DiagonalRNN if options.layer == "diagonal" else nr.LRU
    return kind(options.width, 1, r_min=options.r_min, r_max=value, **nu)
