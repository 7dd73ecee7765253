"""The studies that exist, by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction.claims import Claim, Number
from ntk_rnn.reproduction.studies.bias_config import BiasConfig
from ntk_rnn.reproduction.studies.configs import (
    Config,
    DelayConfig,
    DynamicsConfig,
    KernelsConfig,
    WideConfig,
    WidthConfig,
)
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig, ReadingsConfig
from ntk_rnn.reproduction.studies.layers_config import LayersConfig
from ntk_rnn.reproduction.studies.nonlinear_config import NonlinearConfig

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from ntk_rnn.reproduction.unfinished import Unfinished


@runtime_checkable
class StudyModule(Protocol):
    """What the module of a study has. Only ``run`` computes; the other functions need saved arrays.

    Attributes:
      PAPER: what the paper shows in the figure or table and with which numbers, in sentences.
      CHOICES: what the paper leaves open and what is chosen here (loss, epochs, seeds, split, ...),
        a sentence each.
    """

    PAPER: tuple[str, ...]
    CHOICES: tuple[str, ...]

    def units(self, config: Any, /) -> int:
        """How often ``run`` calls ``advance``."""
        ...

    def run(self, config: Any, advance: Callable[[], None], /) -> dict[str, np.ndarray]:
        """Computes the arrays that are saved, calling ``advance`` after each unit of work."""
        ...

    def metrics(self, config: Any, arrays: dict[str, np.ndarray], /) -> list[dict[str, Any]]:
        """Rows of ``metrics.csv``, all with the same keys."""
        ...

    def numbers(self, config: Any, arrays: dict[str, np.ndarray], /) -> list[Number]:
        """Its main numbers with standard errors, beside those that the paper prints."""
        ...

    def claims(self, config: Any, arrays: dict[str, np.ndarray], /) -> list[Claim]:
        """What the study claims, and whether it holds."""
        ...

    def plot(self, config: Any, arrays: dict[str, np.ndarray], /) -> Figure:
        """The figure."""
        ...


class ResumableModule(Protocol):
    """What a module has besides, whose study goes on where it was interrupted."""

    def run(
        self, config: Any, advance: Callable[[], None], unfinished: Unfinished | None, /
    ) -> dict[str, np.ndarray]:
        """As `StudyModule.run`, with the units of work that have been finished."""
        ...


@dataclass(frozen=True)
class Study:
    """A study: a module, and the configurations to run it with.

    Attributes:
      name: what it is called on the command line, and the name of its results folder.
      title: what it shows, in at most 68 characters.
      module: where its functions are, below ``ntk_rnn.reproduction.studies``.
      paper: the configuration of the paper.
      smoke: one that runs in seconds.
      needs_data: whether it is about the S1 recordings; its configuration then has a field
        ``data``, the path of their file or ``None``.
      resumable: whether its module is a `ResumableModule`.
    """

    name: str
    title: str
    module: str
    paper: Config
    smoke: Config
    needs_data: bool = False
    resumable: bool = False

    def load(self) -> StudyModule:
        """Its functions. This is what imports JAX."""
        return cast(
            StudyModule, importlib.import_module(f"ntk_rnn.reproduction.studies.{self.module}")
        )


# Fig. 5 and Table 1 show the same training.
_DECODING_SMOKE = DecodingConfig(width=100, seq_len=5, epochs=2, seeds=2)

# fmt: off
_ALL = (
    Study("fig1", "a wide linear RNN trains as its equivalent convolution (Fig. 1)", "fig1_2",
          DynamicsConfig(), DynamicsConfig(width=100, steps=50, seeds=3)),
    Study("fig2", "the first ten epochs of fig1 (Fig. 2)", "fig1_2",
          DynamicsConfig(steps=10), DynamicsConfig(width=100, steps=10, seeds=3)),
    Study("fig3", "linear RNNs and scaled convolutions against the delay (Fig. 3)", "fig3",
          DelayConfig(),
          DelayConfig(width=100, in_dim=3, seq_len=8, steps=(10, 100), rnn_steps=100,
                      rnn_delays=(0, 3, 7), seeds=4, rnn_seeds=2)),
    Study("fig4", "the wider a linear RNN, the closer to its convolution (Fig. 4)", "fig4",
          WidthConfig(), WidthConfig(widths=(16, 128), steps=20, seeds=3)),
    Study("wide", "fig4 at any width, and how lazy the RNN becomes (Theorem 3.3)", "wide",
          WideConfig(), WideConfig(widths=(100, 1000), steps=20, seeds=3)),
    Study("fig5", "decoding S1 recordings, over epochs (Fig. 5)", "fig5",
          DecodingConfig(), _DECODING_SMOKE, needs_data=True, resumable=True),
    Study("table1", "decoding S1 recordings, with all and with limited data (Table 1)", "table1",
          DecodingConfig(), _DECODING_SMOKE, needs_data=True, resumable=True),
    Study("readings", "which choices decide on Table 1, in closed form", "readings",
          ReadingsConfig(), ReadingsConfig(width=100, seq_len=5, seeds=2), needs_data=True),
    # The implementation is the quickest to compile, because small widths spend their time on
    # compiling.
    Study("kernels", "the NTK of a linear RNN tends to the analytic one (Theorem 3.3)", "kernels",
          KernelsConfig(),
          KernelsConfig(widths=(16, 64, 256), seeds=4, num_sequences=2, seq_len=5,
                        implementation="jacobian_contraction")),
    Study("nonlinear", "non-linear recurrent networks and their limit (Proposition 3.1)",
          "nonlinear", NonlinearConfig(),
          NonlinearConfig(activations=("relu", "erf"), widths=(16, 64), trained_widths=(16, 64),
                          in_dim=2, seq_len=4, num_kernel=2, num_train=4, num_test=4, steps=40,
                          learning_rate=5e-3, seeds=4)),
    Study("layers", "what LRU, S4D and other linear layers remember (beyond the paper)", "layers",
          LayersConfig(),
          LayersConfig(layers=("gaussian", "lru"), widths=(32, 128), seq_len=5, delay=2,
                       num_train=4, steps=20, seeds=3)),
    Study("bias", "short lags are learned first, as the kernel has it (Theorem 4.1)", "bias",
          BiasConfig(),
          BiasConfig(width=100, seq_len=5, learning_rate=1.6e-5, steps=500, seeds=4, rnn_seeds=3,
                     activations=("erf",), activation_sequences=200, activation_seeds=2)),
)
# fmt: on

STUDIES = {study.name: study for study in _ALL}


def find(name: str) -> Study:
    """The study of this name.

    Raises:
      ValueError: if there is none; names those that exist, and the one closest to ``name``.
    """
    if name in STUDIES:
        return STUDIES[name]
    close = difflib.get_close_matches(name.lower(), STUDIES, n=1)
    raise UserError(
        f"NAMES must be among {', '.join(STUDIES)}, got {name!r}"
        + (f"; did you mean {close[0]!r}?" if close else "; leave it out to run all of them")
    )
