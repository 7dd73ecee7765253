"""Commands in processes of their own: how they end, whatever they are given and print to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ntk_rnn

PACKAGE = str(Path(ntk_rnn.__file__).parents[1])

# Loads the commands once, and runs each in a process of its own, which it leaves by fork.
SERVER = """
import json, os, sys
import ntk_rnn.__main__, ntk_rnn.cli

for line in sys.stdin:
    task = json.loads(line)
    child = os.fork()
    if not child:
        os.environ.update(task["environment"])
        os.chdir(task["folder"])
        for number, name in ((1, task["stdout"]), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["ntk-rnn", *task["command"]]
        ntk_rnn.__main__.run()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def server():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": PACKAGE},
    ) as process:  # fmt: skip
        yield process
        process.stdin.close()


@pytest.fixture
def ended(server, tmp_path):
    """Runs a command; returns its exit code, what it printed and what it told."""
    (tmp_path / "cwd").mkdir()

    def run(*command, stdout="../stdout", **environment):
        task = {
            "command": command, "environment": environment, "stdout": stdout,
            "folder": str(tmp_path / "cwd"),
        }  # fmt: skip
        os.chdir(tmp_path)
        server.stdin.write(json.dumps(task | {"stderr": "stderr"}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        told = tmp_path / "cwd" / "stderr"
        err = told.read_text()
        told.unlink()
        printed = tmp_path / "stdout"
        return code, printed.read_text() if stdout == "../stdout" else "", err

    return run


HUGE = "99999999999999999999"


@pytest.mark.parametrize(
    ("command", "environment", "parts"),
    [
        ("reproduce fig2 --smoke --seeds " + HUGE, {}, ["seeds must be at most", HUGE]),
        ("reproduce --smoke --seeds 2000000000", {}, ["seeds must be at most", "2000000000"]),
        ("reproduce --seeds -1", {}, ["seeds must be at least 1", "-1"]),
        ("reproduce --seeds 1e3", {}, ["--seeds", "1e3"]),
        ("reproduce fig9", {}, ["NAMES must be among", "fig9"]),
        ("reproduce --out", {}, ["--out"]),
        ("reproduce --out=", {}, ["out must be the path of a folder", "empty"]),
        ("reproduce --out " + "x" * 5000, {}, ["out must be the path of a folder", "too long"]),
        ("reproduce --out " + "x" * 256, {}, ["out must be the path of a folder", "too long"]),
        (
            "reproduce --out /dev/null/x",
            {},
            ["out must be the path", "Not a directory"],
        ),
        ("kernel --out " + "x" * 256, {}, ["out must be the path of a folder", "too long"]),
        ("kernel --widths 10000000000000", {}, ["widths must be at most", "10000000000000"]),
        ("kernel --widths " + HUGE * 20, {}, ["widths must be at most", HUGE]),
        ("kernel --widths 10000000", {}, ["widths must give arrays that fit", "4e+05 GB"]),
        ("kernel --seq-len 99999999999", {}, ["seq_len must be at most", "99999999999"]),
        ("kernel --seq-len 9999999", {}, ["seq_len and out_dim must give arrays that fit"]),
        ("kernel --num-sequences " + HUGE, {}, ["num_sequences must be at most", HUGE]),
        ("kernel --in-dim 2147483647", {}, ["seq_len and in_dim must give arrays that fit"]),
        ("kernel --out-dim " + HUGE, {}, ["out_dim must be at most", HUGE]),
        ("kernel --seeds " + HUGE, {}, ["seeds must be at most", HUGE]),
        ("kernel --first-seed " + HUGE, {}, ["first_seed must be from 0 to 2^31 - 1", HUGE]),
        ("kernel --nu-w inf", {}, ["nu_w must be positive and finite", "inf"]),
        ("theory --seed " + HUGE, {}, ["seed must be from 0 to 2^32 - 1", HUGE]),
        ("theory nothing", {}, ["nothing"]),
        ("doctor now", {}, ["now"]),
        ("--tyro-print-completion ksh", {}, ["must be followed by one of bash", "'ksh'"]),
        ("--tyro-print-completion", {}, ["must be followed by one of bash", "nothing"]),
        ("--tyro-write-completion ksh f", {}, ["must be followed by one of bash", "'ksh'"]),
        ("kernel --tyro-print-completion ksh", {}, ["must be followed by one of bash", "'ksh'"]),
        ("kernel --wdths 3", {"COLUMNS": "5"}, ["--wdths"]),
        ("theory figures", {"JAX_PLATFORMS": "nonsense"}, ["unset", "JAX_PLATFORMS=nonsense"]),
        ("theory figures", {"JAX_ENABLE_X64": "banana"}, ["unset", "JAX_ENABLE_X64=banana"]),
        ("kernel --nu-w 1e30", {}, ["nu_w, nu_f and nu_c must give", "1e+30, 1 and 1"]),
        ("kernel --nu-f 1e-45 --nu-c 1e-45", {}, ["nu_w, nu_f and nu_c must give"]),
        ("kernel --nu-f 1e300 --nu-c 1e300", {}, ["nu_w, nu_f and nu_c must give"]),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_every_mistake_ends_with_one_line(ended, tmp_path, command, environment, parts):
    code, out, err = ended(*command.split(), **environment)
    assert code == 2 and out == "", err
    assert err.startswith("ntk-rnn: error: ") and err.count("\n") == 1, err
    assert all(part in err for part in parts), err
    assert not list((tmp_path / "cwd").iterdir())  # and nothing has been begun


@pytest.mark.parametrize("columns", ["0", "1", "5", "-3", "a"])
def test_help_ends_in_any_terminal(ended, columns):
    for command in (["--help"], ["doctor", "--help"]):
        code, out, err = ended(*command, COLUMNS=columns)
        assert code == 0 and err == "" and "ntk-rnn" in out


@pytest.mark.parametrize("command", [["--version"], ["--help"], ["doctor", "--help"]])
def test_a_full_disk_is_told_in_one_line(ended, command):
    code, _, err = ended(*command, stdout="/dev/full")
    assert code == 2
    assert err == "ntk-rnn: error: stdout cannot be written (No space left on device)\n"


def shell(line, tmp_path, **environment):
    program = f"'{sys.executable}' -m ntk_rnn"
    return subprocess.run(
        ["sh", "-c", line.replace("ntk-rnn", program)], cwd=tmp_path,
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": PACKAGE} | environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        ("ntk-rnn --version >&-", 2, "ntk-rnn: error: stdout cannot be written (Bad file"),
        ("ntk-rnn --version 2>&-", 0, ""),
        ("ntk-rnn --version 2>/dev/full", 0, ""),
        ("ntk-rnn reproduce fig9 2>/dev/full", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full(tmp_path, line, code, err):
    done = shell(line, tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith(err) and done.stderr.count("\n") == bool(err)


def test_a_defect_has_an_exit_code_of_its_own(tmp_path):
    """Unlike a claim that does not hold. An interrupt while libraries are loaded is no defect."""
    for raised, code in (("ZeroDivisionError", 70), ("KeyboardInterrupt", 130)):
        (tmp_path / "tyro.py").write_text(f"raise {raised}")
        done = subprocess.run(
            [sys.executable, "-m", "ntk_rnn", "--version"], capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), PACKAGE])},
        )  # fmt: skip
        assert done.returncode == code and done.stdout == ""
        assert ("Traceback" in done.stderr) == (code == 70)
