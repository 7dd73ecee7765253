"""``ntk-rnn reproduce``: runs studies that are not finished yet, and reports on all that are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ntk_rnn import _terminal
from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction import display, registry, report, results, runs
from ntk_rnn.reproduction.claims import Claim
from ntk_rnn.reproduction.studies.configs import Config
from ntk_rnn.reproduction.unfinished import Unfinished


def reproduce(
    configs: Mapping[str, Config],
    out: Path,
    *,
    asked_for: Collection[str] = (),
    force: bool = False,
    data: str | None = None,
) -> list[Claim]:
    """Runs studies, one after the other, and writes the report of all that are finished in ``out``.

    A study that ``out`` holds already is not run again, and one whose data cannot be had is left
    out. Of one that was interrupted, units of work that were finished are taken up (`Unfinished`).

    Args:
      configs: the configurations of the studies to run, by the name of the study.
      out: folder of all results.
      asked_for: names of the studies whose data must be there.
      force: whether to run studies again that ``out`` holds, and all of their units.
      data: path of the S1 recordings; they are looked for if ``None``.

    Returns:
      The claims of all studies that have not been left out.

    Raises:
      ValueError: if data that must be there cannot be had, before anything is run; if a study
        cannot be run; or if ``out`` cannot be written to.
    """
    results.recover(out, list(registry.STUDIES))
    studies = {name: registry.find(name) for name in configs}
    kept: dict[str, results.Finished] = {}
    for name, study in studies.items():
        found = None if force else runs.finished_before(study, configs[name], out)
        if found is not None:
            kept[name] = found
    needing = [name for name, study in studies.items() if study.needs_data and name not in kept]
    # A file that is named is looked at even if no study needs it, since it is meant to be there.
    reason = _why_missing(data) if needing or data is not None else None
    if reason and (data is not None or set(asked_for) & set(needing)):
        raise UserError(reason)
    left_out = dict.fromkeys(needing, reason) if reason else {}
    report.prepare(out)
    claims: list[tuple[str, Claim]] = []
    unfinished = Unfinished(out, anew=force)
    try:
        for name, study in studies.items():
            if name in left_out:
                continue
            if name in kept:
                _terminal.note(f"{name}: kept, {out / name} (--force runs it again)")
                found = kept[name]
            else:
                found = display.run_study(study, configs[name], out, unfinished)
            claims += [(name, claim) for claim in found.claims]
        # Only now, since studies may share units.
        unfinished.discard()
    finally:
        if claims or left_out:  # of the studies that have finished, also when a later one fails
            # Before anything is printed, which may fail as well.
            entries = report.write(out, left_out)
            if claims:
                display.print_claims(claims)
            display.print_studies(entries, left_out, out)
    return [claim for _, claim in claims]


def _why_missing(path: str | None) -> str | None:
    """Why the S1 recordings cannot be had, and what to do about it; ``None`` if they can.

    Raises:
      ValueError: if there is a file, but a wrong one.
    """
    from ntk_rnn import data

    try:
        data.s1(path)
    except data.DataUnavailable as error:
        return str(error)
    except ValueError as error:
        raise UserError(str(error)) from error
    return None
