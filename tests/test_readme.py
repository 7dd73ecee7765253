"""What the README says: its examples run, its commands and files exist."""

import re
from pathlib import Path

import ntk_rnn as nr
from ntk_rnn import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_examples_run_one_after_the_other(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        assert block.count("\n") <= 12
        exec(block, names)
    kernel_error, training_gap = (float(line) for line in capsys.readouterr().out.split())
    # The network is 500 wide: both are of the order of 1 / sqrt(500).
    assert 0 < kernel_error < 0.5 and 0 < training_gap < 0.2
    assert names["K"].shape == names["K_net"].shape == (4, 4, 10, 10)


def test_the_test_command_is_the_one_that_ci_runs():
    assert "pip install uv && uv run pytest" in README
    assert "check 'pip install uv && uv run pytest'" in (ROOT / ".ci" / "run").read_text()


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
    assert all(hasattr(cli, command.capitalize()) for command in commands), commands


def test_the_version_to_cite_is_this_one():
    assert f"\nversion: {nr.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
