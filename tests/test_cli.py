"""The command line, as a user meets it."""

import csv
import importlib.metadata
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn import _terminal, cli
from ntk_rnn.cli.commands import COMMANDS
from ntk_rnn.reproduction import registry, report
from ntk_rnn.reproduction.checks.topics import TOPICS

COMMAND = [sys.executable, "-m", "ntk_rnn"]


@pytest.fixture
def mistake(capsys, monkeypatch, tmp_path):
    """Runs a command that is mistaken; returns the one line that it says about it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*args):
        assert cli.main(args) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and not list(tmp_path.iterdir())
        assert err.startswith("ntk-rnn: error: ")
        return err

    return run


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["reproduce", "fig1", "--epochs", "3"], ["epochs must be left out for fig1, got 3"]),
        (["reproduce", "readings", "--epochs", "3"], ["epochs must be left out for readings"]),
        (["reproduce", "fig5", "--epochs", "0"], ["epochs must be at least 1, got 0"]),
        (["reproduce", "fig5", "--targets", "first"], ["targets", "first", "last"]),
        (["reproduce", "fig0"], ["NAMES", "'fig0'", ", ".join(registry.STUDIES)]),
        (["reproduce", "fig1", "--seeds", "0"], ["seeds", "got 0", "default is 8"]),
        (["reproduce", "fig1", "--widths", "100"], ["widths must be left out for fig1", "wide"]),
        (["reproduce", "wide", "--widths", "0"], ["widths must be at least 1, got 0"]),
        (["reproduce", "fig1", "--data", "no.mat"], ["no.mat"]),
        (
            ["reproduce", "fig1", "--smoke", "--out", "/proc/x"],
            ["out must be where", "/proc/x cannot"],
        ),
        (["reproduce", "--seeds", "many"], ["--seeds", "'many'", "ntk-rnn reproduce --help"]),
        (["kernel", "--widths", "64", "0"], ["widths", "got 0", "64 128 256"]),
        (["kernel", "--nu-w", "-0.3"], ["nu_w", "got -0.3", "default is 0.3"]),
        (["kernel", "--nu-w", "nan"], ["nu_w", "got nan", "default is 0.3"]),
        (["kernel", "--implementation", "quick"], ["--implementation", "'quick'", "'auto'"]),
        (["kernel", "--wdths", "64"], ["--wdths", "ntk-rnn kernel --help"]),
        (["memory", "--layer", "gru"], ["--layer", "'gru'", "'lru'"]),
        (["memory", "--seed", "-1"], ["seed must be from 0 to 2^32 - 1", "-1"]),
        (["memory", "--seq-len", "0"], ["seq_len must be a positive integer, got 0"]),
        (["memory", "--seq-len", "9" * 20], ["seq_len must be at most", "9" * 20]),
        (["memory", "--nu-w", "nan"], ["nu_w must be positive and finite, got nan"]),
        (["memory", "--layer", "lru", "--r-max", "1.5"], ["r_max must be between 0 and 1", "1.5"]),
        (["memory", "--layer", "s4d-inv", "--width", "33"], ["width must be a multiple", "33"]),
        (
            ["memory", "--lags", "80"],
            ["lags must be between 1.852 and 19.45", "larger --seq-len"],
        ),
        (["memory", "--r-min", ".9"], ["r_min must be left out for gaussian, got 0.9"]),
        (["memory", "--layer", "lru", "--nu-w", ".7"], ["nu_w must be left out for lru, got 0.7"]),
        (["memory", "--layer", "lru", "--r-min", "1"], ["r_min must be below 1 for an LRU"]),
        (["memory", "--layer", "s4d-lin", "--lags", "8"], ["lags must be left out for s4d-lin"]),
        (["memory", "--layer", "lru", "--r-min", "1", "--lags", "8"], ["r_min must be below"]),
        (["reprduce"], ["reprduce", "reproduce", "kernel", "doctor"]),
        ([], ["reproduce", "kernel", "doctor", "ntk-rnn --help"]),
        (["--tyro-write-completion", "bash", "no/file"], ["no/file", "make its folder first"]),
    ],
)
def test_a_mistake_is_told_in_one_line(mistake, args, parts):
    line = mistake(*args)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("where", ["report.md", "report.html"])
def test_what_is_in_the_place_of_the_report_is_noticed_first(mistake, tmp_path_factory, where):
    theirs = tmp_path_factory.mktemp("out") / where
    theirs.write_text("# My own report")
    line = mistake("reproduce", "fig2", "--smoke", "--out", str(theirs.parent))
    assert f"{theirs} is not the report" in line
    assert [path.name for path in theirs.parent.iterdir()] == [where]
    assert theirs.read_text() == "# My own report"


def test_what_is_told_is_told_as_it_is(capsys):
    _terminal.note("kept in /tmp/:star:/[bold]")
    table = _terminal.table("where")
    table.add_row("/tmp/:star:")
    _terminal.console().print(table)
    told = capsys.readouterr()
    assert told.err == "kept in /tmp/:star:/[bold]\n" and "/tmp/:star:" in told.out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["reproduce", "kernel", "doctor", "--version"]),
        (
            ["reproduce"],
            [
                "--smoke",
                "--out",
                "--seeds",
                "--force",
                "--strict",
                "--data",
                "Exit code",
                *registry.STUDIES,
            ],
        ),
        (["kernel"], ["--widths", "--in-dim", "--implementation", "Exit code"]),
        (["memory"], ["--layer", "s4d-lin", "--nu-w", "--r-max", "--lags", "Exit code"]),
        (["fit"], ["--inputs", "--trial", "--lags", "--kernel", "report.html", "Exit code"]),
        (["predict"], ["MODEL", "FILE", "--out", "Exit code"]),
        (["theory"], ["--seed", "--json", "Exit code", *TOPICS]),
        (["doctor"], ["Exit code"]),
        (["completion"], ["bash", "zsh"]),
    ],
)
def test_help_fits_80_columns(capsys, monkeypatch, command, words):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as exit_:
        cli.main([*command, "--help"])
    assert not exit_.value.code
    text = capsys.readouterr().out
    assert all(word in text for word in [*words, "Example"])
    assert max(map(len, text.splitlines())) <= 80 and len(text.splitlines()) <= 45


# Reason: completion happens in the shell itself, which some systems do not have.
@pytest.mark.skipif(not shutil.which("bash"), reason="no bash on this system")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["rep"], {"reproduce"}),
        (["reproduce", "fi"], {"fig1", "fig2", "fig3", "fig4", "fig5"}),
        (["reproduce", "fig1", "--smoke", "ta"], {"table1"}),
        (["reproduce", "--out", ""], set()),
        (["theory", "dr"], {"drift"}),
        (["kernel", "--implementation", "a"], {"auto"}),
        (["memory", "--layer", "s4"], {"s4d-lin", "s4d-inv"}),
        (["fit", "trials.csv", "--kernel", ""], {"auto", "rnn", "di", "tc", "dc", "ss", "flat"}),
        (["completion", ""], {"bash", "zsh"}),
    ],
)
def test_bash_completes(capsys, tmp_path, typed, offered):
    assert cli.main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    completed = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '"$(complete -p ntk-rnn | cut -d" " -f5)"; printf "%s\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "-c", completed, "bash", tmp_path / "script", "ntk-rnn", *typed]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = {word for word in done.stdout.split() if not word.startswith("--")}
    assert names == offered and not done.stderr


def test_all_options_are_completed(capsys):
    cli.main(["completion", "zsh"])
    script = capsys.readouterr().out
    for name in COMMANDS:
        words = re.search(rf'(?m)^ +{name}\) words="(.*)"', script)
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        told = re.findall(r"(?m)^\W+(?:-h, )?(--[a-z][a-z-]*)", capsys.readouterr().out)
        assert {word for word in words[1].split() if word.startswith("--")} == set(told), name


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ntk_rnn {importlib.metadata.version('ntk_rnn')}\n"


def test_help_loads_nothing_heavy():
    code = (
        "import sys, ntk_rnn.cli\n"
        "try: ntk_rnn.cli.main(['reproduce', '--help'])\n"
        "except SystemExit: pass\n"
        "print({'jax', 'numpy', 'matplotlib', 'neural_tangents'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A run in a process of its own, under the settings of the suite."""
    out = tmp_path_factory.mktemp("out") / "results"
    settings = {"JAX_NUMPY_RANK_PROMOTION": "raise", "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    # A user's warnings are his own affair, but there should be none.
    command = [COMMAND[0], "-W", "error", *COMMAND[1:]]
    done = subprocess.run(
        [*command, "reproduce", "fig2", "--smoke", "--out", str(out), "--seeds", "2"],
        capture_output=True, text=True, env=environment | settings,
    )  # fmt: skip
    return done, out


def test_reproduce_tells_claims_on_stdout_and_progress_on_stderr(reproduced):
    done, out = reproduced
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    rows = len(registry.STUDIES)
    assert len(lines) == 8 + 4 + rows + 1 and "\x1b" not in done.stdout  # a line a row, no colours
    assert all(word in lines[1] for word in ("study", "claim", "value", "bar", "verdict"))
    assert sum(line.split()[1] == "fig2" for line in lines[3:7]) == 4
    assert all(word in lines[9] for word in ("study", "run", *report.VERDICTS))
    found = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in lines[11:-2]}
    assert found == dict.fromkeys(registry.STUDIES, "not run") | {"fig2": "smoke, 2 seeds"}
    assert lines[-1] == f"report: {out / 'report.md'}, {out / 'report.html'}"
    assert "fig2: " in done.stderr and str(out / "fig2") in done.stderr


def test_reproduce_writes_a_results_folder(reproduced):
    _, out = reproduced
    assert sorted(path.name for path in out.iterdir()) == ["fig2", "report.html", "report.md"]
    assert sorted(path.name for path in (out / "fig2").iterdir()) == [
        "arrays.npz", "claims.csv", "config.json", "figure.pdf", "figure.png", "metrics.csv",
        "numbers.csv",
    ]  # fmt: skip
    config = json.loads((out / "fig2" / "config.json").read_text())
    assert config["study"] == "fig2" and config["seeds"] == [0, 1]
    assert config["x64"] == jax.config.jax_enable_x64
    assert config["config"]["width"] == registry.find("fig2").smoke.width
    assert {"python", "ntk_rnn", "jax", "neural-tangents"} <= set(config["versions"])
    assert {"platform", "kind", "count"} == set(config["device"])
    with np.load(out / "fig2" / "arrays.npz") as arrays:
        assert arrays["rnn_train"].shape == (2, 11)
        assert all(np.isfinite(arrays[name]).all() for name in arrays)
        last = arrays["conv_test"][1, -1]
    with (out / "fig2" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and float(rows[1]["conv_test"]) == pytest.approx(float(last))


# The command line, with a study that says so when it has done a unit of work, and does no other.
STOPS = """
import sys, time
from ntk_rnn.__main__ import run
from ntk_rnn.reproduction.studies import fig1_2

def stopping(config, advance, run=fig1_2.run):
    def stop():
        advance()
        print("in the middle", file=sys.stderr, flush=True)
        while True:
            time.sleep(1000)
    return run(config, stop)

fig1_2.run = stopping
run()
"""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_stopped_in_the_middle_what_is_finished_stays(
    tmp_path, capsys, monkeypatch, reproduced, name
):
    """Of two studies, the first one finished and an earlier run's of the second."""
    monkeypatch.delenv("COLUMNS", raising=False)  # as for the undisturbed run
    shutil.copytree(reproduced[1] / "fig2", tmp_path / "fig2")
    (tmp_path / "fig1").mkdir()
    (tmp_path / "fig1" / "config.json").write_text("old")
    args = ["--smoke", "--seeds", "2", "--out", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", STOPS, "reproduce", "fig2", "fig1", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A process that is killed must not leave half an entry in the cache of the suite.
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
    ) as process:  # fmt: skip
        try:
            told = list(itertools.takewhile(lambda line: line != "in the middle\n", process.stderr))
            assert process.poll() is None, told
            process.send_signal(signal.Signals[name])
            out, err = process.communicate()
        finally:
            process.kill()
    err = "".join([*told, err])
    assert (tmp_path / "fig1" / "config.json").read_text() == "old"
    assert f"fig2: kept, {tmp_path / 'fig2'} (--force runs it again)" in err
    if name == "SIGINT":
        assert process.returncode == 130, err
        assert err.splitlines()[-1] == "ntk-rnn: interrupted; earlier results are as they were"
    else:
        assert list(tmp_path.glob(".fig1.new-*")) and out == ""
        # As if it had been killed while it was replacing the results of the first study.
        (tmp_path / "fig2").rename(tmp_path / ".fig2.old-a")
        assert cli.main(["reproduce", "fig2", *args]) == 0
        out = capsys.readouterr().out
    # What it says is what an undisturbed run of the first study says.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fig1", "fig2", "report.html", "report.md",
    ]  # fmt: skip
    assert out.splitlines()[:-1] == reproduced[0].stdout.splitlines()[:-1]
    for report_name in ("report.md", "report.html"):
        expected = (reproduced[1] / report_name).read_bytes()
        assert (tmp_path / report_name).read_bytes() == expected


@pytest.mark.parametrize("stdout", ["closed", "full"])
def test_the_report_is_written_even_if_nothing_can_be_printed(tmp_path, reproduced, stdout):
    shutil.copytree(reproduced[1] / "fig2", tmp_path / "fig2")
    for name in ("report.md", "report.html"):
        assert not (tmp_path / name).exists()
    if stdout == "closed":  # a pipe from which nobody reads, as after `| head -1`
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open("/dev/full", os.O_WRONLY)
    done = subprocess.run(
        [*COMMAND, "reproduce", "fig2", "--smoke", "--seeds", "2", "--out", str(tmp_path)],
        stdout=writer, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    kept, *told = done.stderr.splitlines()
    assert kept.startswith("fig2: kept, ")
    if stdout == "closed":
        assert done.returncode == 141 and told == []
    else:
        line = "ntk-rnn: error: stdout cannot be written (No space left on device)"
        assert done.returncode == 2 and told == [line]
    for name in ("report.md", "report.html"):
        assert (tmp_path / name).read_bytes() == (reproduced[1] / name).read_bytes()


@pytest.mark.parametrize("verdict", ["holds", "cannot be told", "does not hold"])
def test_a_verdict_is_a_failure_if_the_user_says_so(tmp_path, reproduced, verdict):
    shutil.copytree(reproduced[1] / "fig2", tmp_path / "fig2")
    path = tmp_path / "fig2" / "claims.csv"
    first, *rows = path.read_text().splitlines()
    rows = [",".join([*row.split(",")[:-1], "holds"]) for row in rows[1:]]
    path.write_text("\n".join([first, *rows, f"a claim,1,below 2,{verdict}"]))
    args = ["reproduce", "fig2", "--smoke", "--seeds", "2", "--out", str(tmp_path)]
    assert cli.main(args) == 0
    assert cli.main([*args, "--strict"]) == (verdict == "does not hold")


def test_kernel(tmp_path, capsys, monkeypatch):
    args = ["kernel", "--widths", "8", "16", "--seeds", "1", "--num-sequences", "1",
            "--seq-len", "2", "--implementation", "jacobian_contraction"]  # fmt: skip
    monkeypatch.delenv("COLUMNS", raising=False)
    code = cli.main([*args, "--out", str(tmp_path)])
    out = capsys.readouterr().out
    rows = [line.split("│") for line in out.splitlines()]
    assert [row[1].strip() for row in rows if len(row) == 6] == ["8", "16"]
    verdicts = [row[5].strip() for row in rows if len(row) == 7]
    assert verdicts == ["cannot be told"] * 2 and code == 0  # one seed has no standard error
    assert [path.name for path in tmp_path.iterdir()] == ["kernels"]  # as the study writes it
    assert (tmp_path / "kernels" / "figure.png").is_file()


@pytest.mark.parametrize(
    ("options", "layer", "kernel"),
    [
        ("--nu-w .3", "gaussian, nu_w = 0.3", lambda: nr.lag_weights(20, 0.3, 1.0, 1.0)),
        (
            "--layer lru --r-min .9 --r-max .999 --seq-len 100",
            "lru, r_min = 0.9, r_max = 0.999",
            lambda: nr.LRU(1, 1, r_min=0.9, r_max=0.999).lag_weights(100),
        ),
        (
            "--layer s4d-inv --width 32 --seed 3 --seq-len 4",
            "s4d-inv, width 32, seed 3",
            lambda: s4d_gram("inv", 32, 3, 4),
        ),
    ],
)
def test_memory_is_that_of_the_layer(tmp_path, capsys, options, layer, kernel):
    assert cli.main(["memory", *options.split(), "--out", str(tmp_path)]) == 0
    head, rest = capsys.readouterr().out.split("\n", 1)
    assert head.startswith(layer) and rest.startswith(nr.memory(kernel()).table() + "\n")
    folder = tmp_path / "memory"
    assert rest.splitlines()[-1] == f"figure: {folder / 'figure.png'}"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "figure.pdf", "figure.png",
    ]  # fmt: skip


def s4d_gram(variant, width, seed, seq_len):
    layer = nr.S4D(width, 1, variant=variant)
    params = layer.init(jax.random.key(seed), jnp.zeros((1, seq_len, 1)))
    return nr.layer_gram(layer, params, seq_len, 1)


def test_memory_finds_what_remembers_so_many_lags(tmp_path, capsys):
    args = ["--lags", "8", "--seq-len", "50", "--layer", "diagonal", "--out", str(tmp_path)]
    assert cli.main(["memory", *args]) == 0
    assert "\nThe first 8 of these 50 lags hold 95 % of their weight.\n" in capsys.readouterr().out
    config = json.loads((tmp_path / "memory" / "config.json").read_text())
    assert config["r_max"] == pytest.approx(0.911, abs=5e-4)


def test_doctor(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    code = cli.main(["doctor"])
    out = capsys.readouterr().out
    default = jnp.result_type(float).name
    for word in ("jaxlib", "neural-tangents loads", "structured_derivatives", default, "devices"):
        assert word in out
    assert code == (1 if "WRONG" in out else 0)
