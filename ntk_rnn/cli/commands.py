"""The commands, as classes whose fields are their options and whose calls do their work."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import tyro

from ntk_rnn import _terminal
from ntk_rnn._terminal import UserError
from ntk_rnn.cli.completion import SHELLS, Shell, script
from ntk_rnn.cli.fits.commands import Fit, Predict
from ntk_rnn.cli.layer_memory import Memory
from ntk_rnn.cli.values import Folder, check_seed, results_folder
from ntk_rnn.reproduction import display, registry
from ntk_rnn.reproduction.checks.topics import TOPICS, Topic
from ntk_rnn.reproduction.claims import Claim
from ntk_rnn.reproduction.studies.configs import Config, KernelsConfig

_T = TypeVar("_T")
_Several = Annotated[
    tuple[_T, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="[NAMES ...]", help_behavior_hint="(default: all)"),
]
_Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")]


@dataclass(frozen=True)
class Reproduce:
    """Run the studies of the paper, check what they claim, and write a report."""

    names: _Several[str] = ()
    """Studies to run."""
    smoke: _Flag = False
    """Run each in seconds, only to see that it works."""
    out: Folder = "results"
    """Folder of the results."""
    seeds: Annotated[
        int | None,
        tyro.conf.arg(metavar="INT", help_behavior_hint="(default: as each study has it)"),
    ] = None
    """Number of seeds."""
    widths: Annotated[
        tuple[int, ...] | None,
        tyro.conf.arg(metavar="[INT ...]", help_behavior_hint=""),
    ] = None
    """Widths, in studies that compare widths."""
    epochs: Annotated[
        int | None,
        tyro.conf.arg(metavar="INT", help_behavior_hint=""),
    ] = None
    """Number of epochs, in fig5 and table1."""
    targets: Annotated[
        Literal["last", "all"] | None,
        tyro.conf.arg(metavar="last|all", help_behavior_hint=""),
    ] = None
    """Steps of windows to decode, in fig5 and table1."""
    force: _Flag = False
    """Run again what DIR holds already."""
    strict: _Flag = False
    """Exit with 1 if a claim does not hold."""
    data: Annotated[
        str | None,
        tyro.conf.arg(metavar="DIR/s1_data.mat", help_behavior_hint=""),
    ] = None
    """S1 recordings; otherwise NTK_RNN_DATA, or fetched."""

    def __call__(self) -> int:
        """Runs the studies; returns the exit code."""
        configs: dict[str, Config] = {}
        out = results_folder(self.out)
        for name in self.names or registry.STUDIES:
            study = registry.find(name)
            changes: dict[str, Any] = {} if self.seeds is None else {"seeds": self.seeds}
            if self.widths is not None:
                _check_compares_widths(study)
                changes["widths"] = self.widths
            decoding = {"epochs": self.epochs, "targets": self.targets}
            given = {option: value for option, value in decoding.items() if value is not None}
            if study.needs_data:
                changes["data"] = self.data
            if hasattr(study.paper, "epochs"):
                changes |= given
            elif given and self.names:
                raise UserError(
                    f"{min(given)} must be left out for {name}, got {given[min(given)]}; it is for "
                    "fig5 and table1"
                )
            configs[name] = dataclasses.replace(
                study.smoke if self.smoke else study.paper, **changes
            )
        display.start_jax()
        from ntk_rnn.reproduction.reproducing import reproduce

        claims = reproduce(configs, out, asked_for=self.names, force=self.force, data=self.data)
        return _exit_code(claims, self.strict)


@dataclass(frozen=True)
class Kernel:
    """Compare the neural tangent kernels of linear RNNs with the analytic one."""

    config: Annotated[KernelsConfig, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=KernelsConfig
    )
    out: Folder = "results"
    """Folder of the results."""
    strict: _Flag = False
    """Exit with 1 if a claim does not hold."""

    def __call__(self) -> int:
        """Runs the study; returns the exit code."""
        study, out = registry.find("kernels"), results_folder(self.out)
        display.start_jax()
        run = display.run_study(study, self.config, out)
        from ntk_rnn.reproduction.studies import kernels

        table = _terminal.table(
            "width", "median relative error", "range over seeds", "x sqrt(width)"
        )
        for width, median, least, largest in kernels.summary(run.arrays):
            scaled = f"{median * width**0.5:.2f}"
            table.add_row(str(width), f"{median:.4f}", f"{least:.4f} to {largest:.4f}", scaled)
        _terminal.console().print(table)
        display.print_claims([(study.name, claim) for claim in run.claims])
        return _exit_code(run.claims, self.strict)


@dataclass(frozen=True)
class Theory:
    """Check every result of the paper numerically."""

    names: _Several[Topic] = ()
    """Which results."""
    seed: Annotated[int, tyro.conf.arg(metavar="INT")] = 0
    """Seed of everything random."""
    json: _Flag = False
    """Print a JSON object a line."""

    def __call__(self) -> int:
        """Runs the checks; returns the exit code."""
        check_seed(self.seed)
        display.start_jax()
        topics = tuple(dict.fromkeys(self.names or TOPICS))
        return 0 if display.run_checks(topics, self.seed, as_json=self.json) else 1


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, what it runs on, and whether neural-tangents works."""

    def __call__(self) -> int:
        """Looks at everything; returns the exit code."""
        from ntk_rnn.reproduction import environment

        table = _terminal.table("what", "found", "", "remark")
        all_is_well = True
        with _terminal.console(stderr=True).status("loading JAX, trying neural-tangents"):
            for check in environment.checks():
                all_is_well &= check.ok
                table.add_row(check.name, check.value, "ok" if check.ok else "WRONG", check.remedy)
        _terminal.console().print(table)
        return 0 if all_is_well else 1


@dataclass(frozen=True)
class Completion:
    """Print the script with which a shell completes commands, studies and options."""

    shell: Annotated[Shell, tyro.conf.Positional]
    """Which shell."""

    def __call__(self) -> int:
        """Prints the script; returns the exit code."""
        names = {"reproduce": registry.STUDIES, "theory": TOPICS, "completion": SHELLS}
        commands = {
            name: [*names.get(name, ()), *_options(command)] for name, command in COMMANDS.items()
        }
        print(script(self.shell, commands), end="")
        return 0


def _options(command: type) -> list[str]:
    """The options of a command."""
    fields = {field.name for field in dataclasses.fields(command)} - {
        "names",
        "shell",
        "file",
        "model",
    }
    if "config" in fields:
        fields = fields - {"config"} | {field.name for field in dataclasses.fields(KernelsConfig)}
    return sorted(f"--{name}".replace("_", "-") for name in (*fields, "help"))


def _check_compares_widths(study: registry.Study) -> None:
    """Raises ``ValueError`` if the widths of a study cannot be chosen."""
    if not hasattr(study.paper, "widths"):
        with_widths = [
            each for each in registry.STUDIES if hasattr(registry.find(each).paper, "widths")
        ]
        raise UserError(
            f"widths must be left out for {study.name}, which does not compare widths; choose "
            f"studies of {', '.join(with_widths)}"
        )


def _exit_code(claims: Sequence[Claim], strict: bool) -> int:
    """A verdict is a result and no failure, unless the user says so."""
    return 1 if strict and any(claim.verdict == "does not hold" for claim in claims) else 0


COMMANDS = {
    "reproduce": Reproduce,
    "kernel": Kernel,
    "memory": Memory,
    "fit": Fit,
    "predict": Predict,
    "theory": Theory,
    "doctor": Doctor,
    "completion": Completion,
}
