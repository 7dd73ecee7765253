"""What the README says: its examples run, its commands and files exist."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

import ntk_rnn as nr
from ntk_rnn import cli

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Where commands are written down, and the group that each program needs.
COMMANDS = [
    ROOT / "README.md",
    ROOT / ".ci" / "run",
    ROOT / ".github" / "CONTRIBUTING.md",
    *sorted((ROOT / "ntk_rnn" / "guide").glob("*.py")),
]
NEEDED = dict.fromkeys(("pytest", "ruff", "pyright", "jupyter"), "dev") | {
    "python -m ntk_rnn.guide": "docs",
    "python -m benchmarks": "bench",
}


def test_examples_run_one_after_the_other(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 7
    names = {}
    for block in blocks:
        assert block.count("\n") <= 12
        exec(block, names)
    kernel_error, training_gap = (float(line) for line in capsys.readouterr().out.split())
    # The network is 500 wide: both are of the order of 1 / sqrt(500).
    assert 0 < kernel_error < 0.5 and 0 < training_gap < 0.2
    assert names["K"].shape == names["K_net"].shape == names["K_relu"].shape == (4, 4, 10, 10)
    assert names["found"].tolist() == [0, 1, 0, 1]
    assert np.abs(names["response"][:10, 0, 0] - 0.8 ** np.arange(10)).max() < 0.15


def test_the_test_command_is_the_one_that_ci_runs():
    command = "pip install uv && uv run --group dev pytest"
    assert f"\n{command}\n" in README
    assert f"check '{command}'" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_commands_name_the_group_that_has_what_they_run(path):
    """The default install has none of the groups: it is what running the library needs."""
    assert PYPROJECT["tool"]["uv"]["default-groups"] == []
    assert set(NEEDED.values()) <= PYPROJECT["dependency-groups"].keys()
    for run in re.findall(r"\buv run ([^&`'\n#]+)", path.read_text(encoding="utf-8")):
        group = re.search(r"--group (\w+)", run)
        words = re.sub(r"--(group|resolution|with|extra) \S+|--isolated", "", run).split()
        program = " ".join(words[: 3 if words[:2] == ["python", "-m"] else 1])
        assert program not in NEEDED or (group and group[1] == NEEDED[program]), run


def test_every_row_of_the_table_names_what_exists():
    for row in rows_below("| equation or result"):
        _, _, functions, tests, _ = row.split("|")
        for test in re.findall(r"`(tests/[^`]+)`", tests):
            assert (ROOT / test).exists(), test
        for name in re.findall(r"`(\w+)`", functions):
            assert hasattr(nr, name), name


def test_every_erratum_names_a_test():
    rows = rows_below("| where | instead")
    assert len(rows) >= 7
    for row in rows:
        (test,) = re.findall(r"`(tests/[^`]+)` \|$", row)
        assert (ROOT / test).exists(), test


def rows_below(header):
    """The rows of a table of the README, which ends with the first empty line."""
    table = README[README.index(header) :].split("\n\n", 1)[0]
    return table.splitlines()[2:]


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)", README)
    assert not [
        link for link in links if not link.startswith("http") and not (ROOT / link).exists()
    ]


def test_every_command_exists():
    commands = set(re.findall(r"ntk-rnn ([a-z]+)", README))
    assert commands >= {"reproduce", "theory", "kernel", "doctor"}
    assert commands <= cli.commands.COMMANDS.keys()


def test_what_is_cited_is_what_is_installed():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = PYPROJECT["project"]
    assert cited["version"] == project["version"] == nr.__version__
    assert cited["license"] == project["license"]
    assert cited["keywords"] == project["keywords"]
    assert cited["authors"] == project["authors"]
    assert cited.get("repository-code") == project.get("urls", {}).get("Repository")
