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
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        assert block.count("\n") <= 12
        exec(block, names)
    kernel_error, training_gap, *table = capsys.readouterr().out.splitlines()
    # The network is 500 wide: both are of the order of 1 / sqrt(500).
    assert 0 < float(kernel_error) < 0.5 and 0 < float(training_gap) < 0.2
    assert names["K"].shape == names["K_inf"].shape == names["K_relu"].shape == (4, 4, 10, 10)
    assert table[0].split() == ["lag", "weight", "share", "so", "far", "steps"]
    assert np.abs(names["fit"].impulse_response[:10, 0, 0] - 0.8 ** np.arange(10)).max() < 0.15


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


def test_it_can_be_read_aloud_in_four_minutes():
    """At 200 words a minute, without the code and what is cited."""
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    assert len(re.findall(r"[\w'-]*[a-zA-Z][\w'-]*", text)) < 800


def test_what_is_called_exists():
    table = README[README.index("| you want to know") :].split("\n\n", 1)[0]
    names = re.findall(r"`(\w+)`", table)
    assert len(names) >= 8
    assert not [name for name in names if not hasattr(nr, name)]


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)", README)
    assert not [
        link for link in links if not link.startswith("http") and not (ROOT / link).exists()
    ]


def test_every_command_exists():
    commands = set(re.findall(r"ntk-rnn ([a-z]+)", README))
    assert commands >= {"reproduce", "theory", "memory", "doctor"}
    assert commands <= cli.commands.COMMANDS.keys()


def test_what_is_cited_is_what_is_installed():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = PYPROJECT["project"]
    assert cited["version"] == project["version"] == nr.__version__
    assert cited["license"] == project["license"]
    assert cited["keywords"] == project["keywords"]
    assert cited["authors"] == project["authors"]
    assert cited.get("repository-code") == project.get("urls", {}).get("Repository")
