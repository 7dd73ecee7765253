"""The report: every figure and table that has been made, with the paper's numbers beside ours.

It is made from results folders alone and holds neither times of day nor durations, so equal folders
make equal reports. It is written as Markdown, from which the page is rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction import html_page, results
from ntk_rnn.reproduction.claims import Claim, Number, Verdict
from ntk_rnn.reproduction.marked_up import items, plain, table
from ntk_rnn.reproduction.registry import STUDIES, Study

MARKDOWN, PAGE = "report.md", "report.html"
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

_TITLE = "Implicit Bias of Linear RNNs, reproduced"
_PREFACE = (
    "Figures and tables of M. Emami, M. Sahraee-Ardakan, P. Pandit, S. Rangan, A. K. Fletcher: "
    "*Implicit Bias of Linear RNNs*, ICML 2021, made again, and studies beyond it. Each study "
    "makes claims, and runs from several seeds say of each whether it *holds*, *does not hold* "
    "or, where seeds are too few, *cannot be told*. What was measured must be 3 standard errors "
    "from its bar for that, or as many as the bar says. Errors of numbers are standard errors."
)
_MARKED_UP = {
    "holds": "holds",
    "does not hold": "**does not hold**",
    "cannot be told": "*cannot be told*",
}


class Entry(NamedTuple):
    """One study as the report shows it.

    Attributes:
      study: the study.
      found: what its results folder holds; ``None`` if there is no finished run.
      run: which configuration was run and with how many seeds, or why there is no run.
    """

    study: Study
    found: results.Finished | None
    run: str

    def tally(self, verdict: Verdict) -> str:
        """How many of its claims have this verdict; empty if it has not been run."""
        if self.found is None:
            return ""
        return str(sum(claim.verdict == verdict for claim in self.found.claims))


def prepare(out: Path) -> None:
    """Makes the folder of all results, to which the report can be written.

    Raises:
      ValueError: if it cannot, or if something else is where the report is to be.
    """
    results.prepare(out)
    for path in (out / MARKDOWN, out / PAGE):
        ours = not path.exists() or (path.is_file() and _TITLE.encode() in path.read_bytes())
        if not ours:
            raise UserError(
                f"out must be where results can be written, but {path} is not the report of an "
                "earlier run; move it, or choose another --out"
            )


def write(out: Path, left_out: Mapping[str, str]) -> list[Entry]:
    """Writes ``report.md`` and ``report.html`` of all studies that are finished in a folder.

    Args:
      out: folder of all results.
      left_out: why studies could not be run, by the name of the study.

    Returns:
      The entries of all studies.

    Raises:
      ValueError: if the folder cannot be written to.
    """
    entries: list[Entry] = []

    def make() -> dict[str, str]:
        entries.extend(_entry(study, out, left_out) for study in STUDIES.values())
        text = markdown(entries, reasons(left_out))
        addresses = [_picture(entry.study) for entry in entries if entry.found]
        pictures = {address: (out / address).read_bytes() for address in addresses}
        return {MARKDOWN: text, PAGE: html_page.render(_TITLE, text, pictures)}

    results.write_texts(out, make)
    return entries


def reasons(left_out: Mapping[str, str]) -> list[str]:
    """A line for each reason why studies could not be run."""
    return [
        f"{', '.join(name for name in left_out if left_out[name] == reason)} left out: {reason}"
        for reason in dict.fromkeys(left_out.values())
    ]


def markdown(entries: Sequence[Entry], remarks: Sequence[str] = ()) -> str:
    """The report as Markdown, with remarks below the table of all studies."""
    rows = [
        [
            f"[{entry.study.name}](#{entry.study.name})" if entry.found else entry.study.name,
            plain(entry.study.title),
            plain(entry.run),
            *map(entry.tally, VERDICTS),
        ]
        for entry in entries
    ]
    summary = table(["study", "what it shows", "run", *VERDICTS], rows)
    parts = [f"# {_TITLE}", _PREFACE, summary, *map(plain, remarks), *_failures(entries)]
    for entry in entries:
        if entry.found is not None:
            parts += _section(entry.study, entry.found)
    return "\n\n".join(parts) + "\n"


def _failures(entries: Sequence[Entry]) -> Iterator[str]:
    """What does not hold, before the details of what does; nothing of runs that show no more."""
    failures = [
        f"{entry.study.name}: {claim.statement}: {claim.value}, and not {claim.bar}"
        for entry in entries
        if entry.found is not None and entry.found.config["preset"] != "smoke"
        for claim in entry.found.claims
        if claim.verdict == "does not hold"
    ]
    if failures:
        yield "**Does not hold:**"
        yield items(failures)


def _entry(study: Study, out: Path, left_out: Mapping[str, str]) -> Entry:
    found = results.finished(out / study.name)
    if found is not None:
        seeds = found.config["config"]["seeds"]
        return Entry(study, found, f"{found.config['preset']}, {seeds} seed{'s' * (seeds != 1)}")
    return Entry(study, None, "left out" if study.name in left_out else "not run")


def _section(study: Study, found: results.Finished) -> Iterator[str]:
    config = found.config
    yield f"## {study.name}"
    yield f"**{plain(study.title)}**"
    if config["preset"] == "smoke":
        yield "*A smoke run, at sizes that show only that it works.*"
    yield f"![{study.name}: {plain(study.title)}]({_picture(study)})"
    yield "### In the paper"
    yield items(config["paper"])
    yield "### Numbers"
    yield _numbers(found.numbers)
    yield "### Claims"
    yield table(["verdict", "claim", "measured", "bar"], map(_claim, found.claims))
    yield "### What the paper leaves unsaid, and is chosen here"
    yield items(config["choices"])
    yield "### Configuration"
    yield items(_settings(config))


def _picture(study: Study) -> str:
    """The address of a study's figure, from the folder of the report."""
    return f"{study.name}/{results.PICTURE}"


def _numbers(numbers: Sequence[Number]) -> str:
    """A table, in which there is a column for the paper only if the paper prints any of them."""
    if not any(number.paper for number in numbers):
        return table(["quantity", "here"], [[plain(n.quantity), plain(n.ours)] for n in numbers])
    rows = [[plain(n.quantity), plain(n.paper), plain(n.ours)] for n in numbers]
    return table(["quantity", "paper", "here"], rows)


def _claim(claim: Claim) -> list[str]:
    return [_MARKED_UP[claim.verdict], plain(claim.statement), plain(claim.value), plain(claim.bar)]


def _settings(config: dict) -> Iterator[str]:
    fields = ", ".join(f"{name} = {_value(value)}" for name, value in config["config"].items())
    yield f"{config['preset']}: {fields}"
    versions = ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    device, dtype = config["device"], "float64" if config["x64"] else "float32"
    yield f"{versions}; {device['count']} x {device['platform']} ({device['kind']}), {dtype}"


def _value(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
