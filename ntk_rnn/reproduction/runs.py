"""A run of one study: what it computes and writes, and whether an earlier one has done so."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

import ntk_rnn
from ntk_rnn import plotting
from ntk_rnn.reproduction import environment, results
from ntk_rnn.reproduction.claims import Claim
from ntk_rnn.reproduction.registry import ResumableModule, Study
from ntk_rnn.reproduction.studies.configs import Config
from ntk_rnn.reproduction.unfinished import Unfinished


class Run(NamedTuple):
    """What a run produced.

    Attributes:
      folder: where it was written.
      arrays: what was computed.
      claims: what the study claims.
      seconds: how long it took, compilation included.
    """

    folder: Path
    arrays: dict[str, np.ndarray]
    claims: list[Claim]
    seconds: float


def execute(
    study: Study,
    config: Config,
    out: Path,
    *,
    advance: Callable[[], None] = lambda: None,
    unfinished: Unfinished | None = None,
) -> Run:
    """Runs a study and writes its folder, replacing earlier results whole or not at all.

    Args:
      study: the study to run.
      config: its configuration.
      out: folder of all results.
      advance: called after each unit of work.
      unfinished: the finished units of studies that were interrupted.

    Raises:
      ValueError: if the configuration cannot be run or the folder cannot be written.
    """
    module = study.load()
    with results.replacing(out, study.name) as folder:
        started, clock = datetime.now(UTC), time.perf_counter()
        if study.resumable:
            arrays = cast(ResumableModule, module).run(config, advance, unfinished)
        else:
            arrays = module.run(config, advance)
        claims = module.claims(config, arrays)
        plotting.save(module.plot(config, arrays), folder)
        seconds = time.perf_counter() - clock
        record = {
            "study": study.name,
            "title": study.title,
            "preset": _preset(study, config),
            "config": _settings(config),
            "seeds": config.seed_list,
            **environment.describe(),
            "paper": module.PAPER,
            "choices": module.CHOICES,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 2),
        }
        metrics, numbers = module.metrics(config, arrays), module.numbers(config, arrays)
        results.write(folder, record, arrays, metrics, claims, numbers)
    return Run(out / study.name, arrays, claims, seconds)


def finished_before(study: Study, config: Config, out: Path) -> results.Finished | None:
    """What ``out`` holds of a finished run that a new one would only repeat.

    Such a run is of the same study, configuration, version of the library and precision.
    """
    found = results.finished(out / study.name)
    if found is None:
        return None
    expected = {
        "study": study.name,
        "preset": _preset(study, config),
        "config": json.loads(json.dumps(_settings(config))),
    }
    same = all(found.config.get(name) == value for name, value in expected.items())
    if not same or found.config["versions"]["ntk_rnn"] != ntk_rnn.__version__:
        return None
    return found if found.config["x64"] == environment.x64() else None


def _settings(config: Config) -> dict[str, Any]:
    """The fields of a configuration, without the path of the data, which are always the same."""
    return {k: v for k, v in dataclasses.asdict(config).items() if k != "data"}


def _preset(study: Study, config: Config) -> str:
    """Which preset a configuration is, whatever its number of seeds."""
    for name, preset in (("paper", study.paper), ("smoke", study.smoke)):
        if _settings(config) == _settings(preset) | {"seeds": config.seeds}:
            return name
    return "custom"
