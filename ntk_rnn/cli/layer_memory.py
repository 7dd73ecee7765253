"""The command ``memory``: which lags a layer learns, and what to change for a wanted memory."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import tyro

from ntk_rnn import _terminal
from ntk_rnn._terminal import UserError
from ntk_rnn.cli.values import Folder, check_seed, results_folder
from ntk_rnn.reproduction import display
from ntk_rnn.reproduction.studies.layers_config import Layer

LAYERS: tuple[Layer, ...] = get_args(Layer)

# Where values for a wanted memory are looked for: stable ones that float32 tells from 1.
_LARGEST = 0.9999


@dataclass(frozen=True)
class Memory:
    """Say which lags a layer learns, in how many steps, and how far back it remembers."""

    layer: Layer = "gaussian"
    """Which layer: a linear RNN of Gaussian or orthogonal W, or another one."""
    nu_w: float = 0.3
    """Variance of the entries of W, for gaussian and orthogonal."""
    nu_f: float = 1.0
    """Variance of the entries of F, of B for lru and s4d."""
    nu_c: float = 1.0
    """Variance of the entries of C."""
    r_min: float = 0.0
    """Inner radius of the ring of eigenvalues, for diagonal and lru."""
    r_max: float = 1.0
    """Outer radius of that ring."""
    seq_len: int = 20
    """Number T of lags."""
    lags: Annotated[
        float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="(default: as it is)")
    ] = None
    """Wanted memory, for which nu_w or r_max is changed."""
    width: int = 1024
    """Width at which s4d is drawn; of the others it is infinite."""
    seed: Annotated[int, tyro.conf.arg(metavar="INT")] = 0
    """Seed of that draw."""
    out: Folder = "results"
    """Folder of the results."""

    def __call__(self) -> int:
        """Prints a table and writes a figure; returns the exit code."""
        out = results_folder(self.out)
        check_seed(self.seed)
        _refuse_what_does_not_apply(self)
        display.start_jax()
        import ntk_rnn as nr
        from ntk_rnn import plotting
        from ntk_rnn.reproduction import results

        options = self
        try:
            if self.lags is not None:
                name, value = _with_memory(self, self.lags)
                options = dataclasses.replace(self, **{name: value})
            title, kernel = _kernel(options)
            found = nr.memory(kernel)
        except ValueError as error:  # of the library, about an option
            raise UserError(str(error)) from None
        with results.replacing(out, "memory") as folder:
            figure = found.plot()
            figure.suptitle(title, fontsize=11)
            plotting.save(figure, folder)
            text = json.dumps(dataclasses.asdict(options), indent=2)
            (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        screen = _terminal.console()
        for text in (f"{title}:", found.table(), f"figure: {out / 'memory' / 'figure.png'}"):
            screen.print(text, soft_wrap=True)
        return 0


# Options that say something of some layers alone.
_OF_LAYERS: dict[str, tuple[Layer, ...]] = {
    "nu_w": ("gaussian", "orthogonal"), "r_min": ("diagonal", "lru"), "r_max": ("diagonal", "lru"),
    "width": ("s4d-lin", "s4d-inv"), "seed": ("s4d-lin", "s4d-inv"),
}  # fmt: skip


def _refuse_what_does_not_apply(options: Memory) -> None:
    """Raises ``ValueError`` for an option that would change nothing."""
    for name, layers in _OF_LAYERS.items():
        value = getattr(options, name)
        if options.layer not in layers and value != getattr(Memory, name):
            raise UserError(
                f"{name} must be left out for {options.layer}, got {value:g}; it is for "
                f"{' and '.join(layers)}"
            )


def _kernel(options: Memory) -> tuple[str, Any]:
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


def _with_memory(options: Memory, lags: float) -> tuple[str, float]:
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
    try:
        found = nr.value_for_memory(lags, lambda value: _weights(options, value), (least, _LARGEST))
    except ValueError as error:  # with words for those who write Python
        wrong = str(error).partition(";")[0]
        raise UserError(f"{wrong}; take a larger --seq-len or another --layer") from None
    return name, found


def _weights(options: Memory, value: float) -> Any:
    """Lag weights with a ``nu_w``, or an ``r_max`` where there is a ring."""
    from ntk_rnn.reproduction.studies.named_layers import limit_weights

    return limit_weights(_layer(options, value), options.seq_len)


def _layer(options: Memory, value: float) -> Any:
    """The layer, with a ``nu_w``, or an ``r_max`` where there is a ring."""
    from ntk_rnn.reproduction.studies.named_layers import named_layer

    return named_layer(
        options.layer, options.width, nu_w=value, nu_f=options.nu_f, nu_c=options.nu_c,
        r_min=options.r_min, r_max=value,
    )  # fmt: skip
