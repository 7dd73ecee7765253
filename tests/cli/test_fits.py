"""The commands ``fit`` and ``predict``: from a file to a report, a model and predictions."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn import cli
from ntk_rnn.cli.fits import diagnostics, fitting, report

ROWS, LAGS = 600, 12
COMMAND = [sys.executable, "-W", "error", "-m", "ntk_rnn"]
# Processes run in folders of their own, by the library that is tested.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {
    "PYTHONPATH": str(Path(nr.__file__).parents[1])
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")


def recorded(seed, rows=ROWS):
    """Two inputs and two outputs, of which the last does not depend on the first input."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    lag = np.arange(LAGS)
    slow, fast = 2 * lag * np.exp(-lag / 2), np.exp(-lag.astype(float))
    y = np.stack([np.convolve(x[:, 0], slow)[:rows] + np.convolve(x[:, 1], fast)[:rows],
                  np.convolve(x[:, 1], slow)[:rows]], axis=1)  # fmt: skip
    return x, 5 + y + 0.3 * rng.normal(size=y.shape)


#: Names that must be escaped in a page, or in the text of a figure.
HEADER = ["trial", "t [s]", "light <b>&1 [mW]", "touch_$x_ [mN]", "rate [spikes/s]", "for*ce*"]
ASKED = ["--inputs", "light <b>&1", "touch_$x_", "--outputs", "rate", "for*ce*"]
QUICK = ["--lags", str(LAGS), "--kernel", "tc"]


def written(path, x, y, trials=1, gap=()):
    rows = len(x)
    trial = np.repeat(np.arange(trials), rows // trials)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(HEADER)
        for t in range(rows):
            if t not in gap:
                numbers = [f"{number:.6f}" for number in (0.02 * t, *x[t], *y[t])]
                cells = [number.replace(".", ",") for number in numbers]
                table.writerow([f"no. {trial[t]}", *cells])
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A run in a process of its own, of a table in which two rows are missing."""
    folder = tmp_path_factory.mktemp("fit")
    x, y = recorded(0)
    written(folder / "rig 3.csv", x, y, gap=(100, 101))
    done = subprocess.run(
        [*COMMAND, "fit", "rig 3.csv", *ASKED, "--time", "t", "--lags", str(LAGS)],
        capture_output=True, text=True, cwd=folder, env=ENVIRONMENT,
    )  # fmt: skip
    return done, folder, x, y


def test_fit_tells_results_on_stdout_and_remarks_on_stderr(fitted):
    done, folder, _, _ = fitted
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"rate: \d\d\.\d % of the variance of held-out data is .*", lines[0]), lines
    assert re.search(r"rate: inputs of the last 0.\d+ s \(\d+ time steps\) make 95 %", done.stdout)
    assert lines[-2:] == [
        "report: rig 3-fit/report.html",
        "model: rig 3-fit/model.npz",
    ]
    plan, remark = done.stderr.splitlines()
    rows = "fitting 478 rows by evidence: kernels rnn, di, tc, dc, ss, flat; number of lags 12"
    assert plan == rows
    assert remark.startswith("note: time jumps from 1.98 to 2.04 (rig 3.csv, lines 101 to 102)")
    assert sorted(path.name for path in folder.iterdir()) == ["rig 3-fit", "rig 3.csv"]


def test_fit_writes_a_model_and_the_response_as_a_table(fitted):
    _, folder, x, y = fitted
    out = folder / "rig 3-fit"
    figures = ["frequency_response", "impulse_response", "kernels", "memory", "prediction"]
    names = ["config.json", "model.npz", "report.html", "response.csv"]
    names += [f"{name}.{kind}" for name in figures for kind in ("pdf", "png")]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert json.loads((out / "config.json").read_text())["lags"] == LAGS
    fit = nr.load(out / "model.npz")
    assert fit.inputs == (nr.data.Channel("light <b>&1", "mW"), nr.data.Channel("touch_$x_", "mN"))
    assert [str(channel) for channel in fit.outputs] == ["rate [spikes/s]", "for*ce*"]
    assert (fit.interval, fit.time_unit, len(fit.kernels)) == (0.02, "s", 6)
    with (out / "response.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = np.array([float(row["response"]) for row in rows]).reshape(2, 2, LAGS)
    np.testing.assert_allclose(found.transpose(2, 0, 1), fit.impulse_response, rtol=1e-8)
    assert {row["unit"] for row in rows} >= {"spikes/s per mW", "units per mN"}
    assert rows[1]["lag (s)"] == "0.02" and rows[1]["lag (time steps)"] == "1"
    # Least squares on the rows of the training part, across no gap, say nearly the same.
    kept = np.delete(np.arange(ROWS), (100, 101))[: ROWS - 2 - round(0.2 * (ROWS - 2))]
    whole = [t for t in kept if t >= LAGS - 1 and not 100 <= t < 101 + LAGS]
    A = np.array([[1, *x[t - LAGS + 1 : t + 1][::-1].ravel()] for t in whole])
    solution = np.linalg.lstsq(A, y[whole])[0][1:].reshape(LAGS, 2, 2).swapaxes(1, 2)
    assert np.abs(solution - fit.impulse_response).max() < 0.1


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_report_is_complete_in_one_file_and_escaped(fitted):
    text = (fitted[1] / "rig 3-fit" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 5
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in images)
    assert not {tag for tag, _ in page.tags} & {"b", "script", "link", "iframe", "em", "object"}
    assert not re.search(r"(src|href)=\"(?!data:)", text) and "url(" not in text
    told = ["light <b>&1", "touch_$x_", "for*ce*", "spikes/s per mW", "sampling interval"]
    told += ["steady-state gain", "effective degrees of freedom of 24", "rate: offset "]
    for words in told:
        assert words in page.text, words
    assert "rig 3.csv: 478 rows in 2 continuous pieces to fit to, and the last 120" in page.text


def test_the_score_is_that_of_held_out_rows(fitted):
    done, folder, x, y = fitted
    fit = nr.load(folder / "rig 3-fit" / "model.npz")
    test = np.arange(ROWS - 120, ROWS)
    predicted = fit.offset + sum(x[test - lag] @ fit.impulse_response[lag].T for lag in range(LAGS))
    # The first of them are explained by inputs of the training part.
    error, target = (y[test] - predicted)[:, 0], y[test][:, 0]
    r_squared = 1 - np.sum(error**2) / np.sum((target - target.mean()) ** 2)
    told = float(re.search(r"R² = ([\d.]+)", done.stdout)[1])
    assert told == pytest.approx(r_squared, abs=1e-3) and told > 0.9


def test_predict_is_the_convolution_with_bands(fitted, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, folder, _, _ = fitted
    x, y = recorded(1, 400)
    new = written(tmp_path / "new.csv", x, y, trials=2)
    model, out = folder / "rig 3-fit" / "model.npz", tmp_path / "predictions.csv"
    monkeypatch.delenv("COLUMNS", raising=False)
    args = ["predict", str(model), str(new), "--trial", "trial", "--time", "t"]
    assert cli.main(args) == 0
    printed, told = capsys.readouterr()
    assert not told
    assert printed.startswith("predictions of 400 rows: predictions.csv (22 are empty: the fir")
    with out.open() as file:
        header, *rows = csv.reader(file)
    assert header[:4] == ["row", "trial", "t [s]", "rate [spikes/s]"]
    assert header[4:6] == ["rate lower 95 %", "rate upper 95 %"]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 401)]
    empty = [k for k, row in enumerate(rows) if not any(row[3:])]
    assert empty == [*range(LAGS - 1), *range(200, 200 + LAGS - 1)]
    numbers = np.array([row[3:] for row in rows if row[3]], float).reshape(-1, 2, 3)
    known = np.delete(np.arange(400), empty)
    fit = nr.load(model)
    x = x.round(6)
    expected = fit.offset + sum(x[known - lag] @ fit.impulse_response[lag].T for lag in range(LAGS))
    np.testing.assert_allclose(numbers[:, :, 0], expected, rtol=1e-7)
    middle, low, high = np.moveaxis(numbers, 2, 0)
    np.testing.assert_allclose(middle - low, high - middle, rtol=1e-4)
    inside = (low <= y[known]) & (y[known] <= high)
    # Measurements are independent of each other: 3 standard errors of 95 %.
    assert abs(inside.mean() - 0.95) < 3 * np.sqrt(0.95 * 0.05 / inside.size)


def test_whole_trials_are_held_out(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "r.csv", *recorded(2), trials=6)
    args = ["r.csv", "--inputs", "touch_$x_", "--outputs", "for*ce*", "--trial", "trial", *QUICK]
    assert cli.main(["fit", *args, "--test-fraction", ".3", "--out", "there/it is"]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    page = Page((tmp_path / "there" / "it is" / "report.html").read_text(encoding="utf-8"))
    assert "r.csv: 400 rows in 4 continuous pieces to fit to, and the last 200" in page.text
    assert "a time step is from one row to the next" in page.text
    # Of one kernel there is nothing to compare.
    assert not (tmp_path / "there" / "it is" / "kernels.png").exists()
    assert [tag for tag, _ in page.tags].count("img") == 4
    # What is there is replaced, and only by a fit that has succeeded.
    before = (tmp_path / "there" / "it is" / "model.npz").read_bytes()
    assert cli.main(["fit", *args, "--lags", "101", "--out", "there/it is"]) == 2
    assert (tmp_path / "there" / "it is" / "model.npz").read_bytes() == before
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["it is"]


def test_no_memory_is_claimed_where_inputs_have_no_effect(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    u, y = np.random.default_rng(1).normal(size=(2, 300))
    np.savez("r.npz", u=u, y=y)
    assert cli.main(["fit", "r.npz", "--inputs", "u", "--outputs", "y", *QUICK]) == 0
    told = capsys.readouterr().out
    assert "y: no effect of the inputs is seen" in told and "make 95 %" not in told
    page = Page((tmp_path / "r-fit" / "report.html").read_text(encoding="utf-8"))
    assert "No memory is told" in page.text and "make 95 %" not in page.text
    assert not (tmp_path / "r-fit" / "memory.png").exists()
    assert [tag for tag, _ in page.tags].count("img") == 3


def test_arrays_of_programs_are_fitted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = recorded(3, 300)
    np.savez("r.npz", u=x, y=y[:, 1], t=np.arange(300))
    assert cli.main(["fit", "r.npz", "--inputs", "u", "--outputs", "y", "--time", "t", *QUICK]) == 0
    told = capsys.readouterr().out
    assert "units of the time column" in told
    fit = nr.load("r-fit/model.npz")
    assert [channel.name for channel in fit.inputs] == ["u 1", "u 2"]
    assert cli.main(["predict", "r-fit/model.npz", "r.npz", "--time", "t", "--out", "p.csv"]) == 0
    capsys.readouterr()
    np.savez("new.npz", v=x[:50])
    # Of an array with several columns, the name is that of the array.
    assert cli.main(["predict", "r-fit/model.npz", "new.npz", "--inputs", "v"]) == 0
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 51
    told = " ".join(capsys.readouterr().out.split())
    assert "(11 are empty: the first 11, for which inputs are not all known)" in told
    assert told.endswith(
        "all rows were taken as one recording; if they are of trials, name --trial"
    )


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["fit"], ["FILE", "--inputs", "--outputs"]),
        (["fit", "x.csv", "--inputs", "a", "--outputs", "b"], ["path must be a file", "'r.csv'"]),
        (["fit", "r.csv", "--inputs", "a", "--outputs", "rate"], ["there is no column 'a'"]),
        (
            ["fit", "r.csv", *ASKED, *QUICK, "--lags", "0"],
            ["seq_len must be a positive integer, got 0"],
        ),
        (["fit", "r.csv", *ASKED, *QUICK, "--lags", "99"], ["seq_len must leave", "99"]),
        (["fit", "short.csv", *ASKED, "--trial", "trial", *QUICK], ["lags must leave rows", "12"]),
        (["fit", "r.csv", *ASKED, "--kernel", "rbf"], ["--kernel", "'rbf'", "'ss'"]),
        (
            ["fit", "r.csv", *ASKED, "--delay", "1", "2", "3"],
            ["delay must be one", "2 inputs", "3"],
        ),
        (["fit", "r.csv", *ASKED, *QUICK, "--delay", "12"], ["delay must be less than", "12"]),
        (["fit", "r.csv", *ASKED, *QUICK, "--delay", "-1"], ["delay must be", "-1"]),
        (["fit", "r.csv", *ASKED, "--test-fraction", "1"], ["test_fraction must be between", "1"]),
        (["fit", "r.csv", *ASKED, "--out", "r.csv"], ["out must be the path of a folder", "r.csv"]),
        (["fit", "r.csv", *ASKED, "--out", "kept"], ["kept holds other files"]),
        (
            ["fit", "zero.csv", "--inputs", "u", "--outputs", "y"],
            ["outputs must vary", "'y' with 0"],
        ),
        (
            ["fit", "zero.csv", "--inputs", "y", "--outputs", "u"],
            ["inputs must vary", "'y' with 0"],
        ),
        (
            ["predict", "r.csv", "r.csv"],
            ["path must be a file that ImpulseFit.save wrote", "r.csv"],
        ),
        (["predict", "none.npz", "r.csv"], ["path must be", "none.npz"]),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(
    tmp_path, capsys, monkeypatch, args, parts
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    written(tmp_path / "r.csv", *recorded(4, 60))
    lines = (tmp_path / "r.csv").read_text().splitlines(keepends=True)
    lines[55:] = [line.replace("no. 0", "no. 1") for line in lines[55:]]
    (tmp_path / "short.csv").write_text("".join(lines))
    (tmp_path / "zero.csv").write_text("u,y\n" + "".join(f"{k * k},0\n" for k in range(30)))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine").touch()
    there = sorted(tmp_path.rglob("*"))
    assert cli.main(args) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("ntk-rnn: error: ")
    assert all(part in err for part in parts), err
    assert sorted(tmp_path.rglob("*")) == there


def test_predictions_are_refused_for_other_inputs(fitted, tmp_path, capsys):
    model, other = fitted[1] / "rig 3-fit" / "model.npz", tmp_path / "other.csv"
    other.write_text("t,a,b,c\n" + "".join(f"{k * 0.05:.2f},1,2,3\n" for k in range(40)))
    for args, message in (
        ([], "there is no column 'light <b>&1'"),
        (["--inputs", "a", "b", "c"], "same number of inputs, got 3 and 2"),
        (["--inputs", "a", "b", "--time", "t"], "steps of the fit, 0.02 s, got 0.05"),
        (["--inputs", "a", "b", "--out", str(other)], "out must be another file than those"),
        (["--inputs", "a", "b", "--out", str(model)], "out must be another file than those"),
        (["--inputs", "a", "b", "--out", "no/p.csv"], "out must be a file that can be written"),
    ):
        assert cli.main(["predict", str(model), str(other), *args]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.usefixtures("interruptible")
def test_interrupted_nothing_is_left(tmp_path, capsys, monkeypatch):
    """While it fits: the folder that it has begun vanishes, and there is no traceback."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "r.csv", *recorded(5))
    begun = []

    def stop(*args, **options):
        begun.extend(os.listdir())
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)  # which Ctrl-C ends
        raise AssertionError("not interrupted")

    monkeypatch.setattr(fitting, "fitted", stop)
    assert cli.main(["fit", "r.csv", *ASKED]) == 130
    assert len(begun) == 2 and os.listdir() == ["r.csv"]
    out, err = capsys.readouterr()
    assert (out, err) == ("", "ntk-rnn: interrupted; earlier results are as they were\n")


# Reason: a browser is a program of the system, which not every machine that runs the tests has.
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium on this system")
def test_a_browser_shows_the_report_without_complaint(fitted, tmp_path):
    folder = fitted[1] / "rig 3-fit"
    log = browse(tmp_path, folder / "report.html", f"--screenshot={tmp_path / 'page.png'}")
    assert "CONSOLE" not in log.stderr, log.stderr
    assert (tmp_path / "page.png").stat().st_size > 100_000
    # A script counts the figures that the browser could decode.
    count = "document.title = [...document.images].filter(i => i.naturalWidth > 99).length"
    page = (folder / "report.html").read_text(encoding="utf-8")
    (tmp_path / "counted.html").write_text(f"{page}<script>onload = () => {count}</script>")
    counted = browse(tmp_path, tmp_path / "counted.html", "--dump-dom")
    assert f"<title>{len(list(folder.glob('*.png')))}</title>" in counted.stdout


def browse(folder, page, *options):
    """A page in a browser that asks for nothing from a network."""
    browser = next(name for name in BROWSERS if shutil.which(name))
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={folder / 'profile'}", "--window-size=1200,6000",
            *options, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_predictions_have_the_trials_and_times_of_the_file(fitted, tmp_path, capsys):
    _, folder, x, y = fitted
    model = str(folder / "rig 3-fit" / "model.npz")
    new = written(tmp_path / "new.csv", x[:60], y[:60], trials=2)
    with new.open("a") as file:
        file.write("\n;;;;;\n")  # rows that were once in use
    out = tmp_path / "p.csv"
    options = ["--time", "t", "--trial", "trial", "--out", str(out)]
    assert cli.main(["predict", model, str(new), *options]) == 0
    header, *rows = csv.reader(out.read_text(encoding="utf-8").splitlines())
    assert header[:4] == ["row", "trial", "t [s]", "rate [spikes/s]"]
    assert [row[:3] for row in (rows[0], rows[-1])] == [
        ["1", "no. 0", "0.000000"], ["60", "no. 1", "1.180000"]
    ]  # fmt: skip
    text = new.read_text(encoding="utf-8").split("\n", 1)
    bare = ";".join(name.partition(" [")[0] for name in text[0].split(";"))
    new.write_text("\n".join([bare, "-;s;mW;mN;spikes/s;-", text[1]]), encoding="utf-8")
    before = out.read_bytes()
    assert cli.main(["predict", model, str(new), *options]) == 0
    assert out.read_bytes() == before
    array = tmp_path / "new.npz"
    np.savez(array, a=x[:60, 0], b=x[:60, 1], t=0.02 * np.arange(60), trial=["x"] * 60)
    assert cli.main(["predict", model, str(array), "--inputs", "a", "b", *options]) == 0
    rows = list(csv.reader(out.read_text(encoding="utf-8").splitlines()))
    assert [row[:3] for row in (rows[0], rows[2])] == [["row", "trial", "t"], ["2", "x", "0.02"]]


def test_new_inputs_and_times_must_be_in_the_units_of_the_fit(fitted, tmp_path, capsys):
    _, folder, x, y = fitted
    model = str(folder / "rig 3-fit" / "model.npz")
    new, out = tmp_path / "new.csv", tmp_path / "p.csv"
    for old, other, message in (
        ("[mW]", "[W]", "inputs must be in the units of the fit, 'light <b>&1 [mW]', got"),
        ("t [s]", "t [ms]", "time must go on in the steps of the fit, 0.02 s, got 0.02 ms"),
    ):
        written(new, x[:60], y[:60])
        new.write_text(new.read_text(encoding="utf-8").replace(old, other), encoding="utf-8")
        assert cli.main(["predict", model, str(new), "--time", "t", "--out", str(out)]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert not out.exists()


def test_a_folder_in_the_place_of_predictions_is_named_and_nothing_is_left(
    fitted, tmp_path, capsys, monkeypatch
):
    _, folder, x, y = fitted
    monkeypatch.chdir(tmp_path)
    model = str(folder / "rig 3-fit" / "model.npz")
    new = written(tmp_path / "new.csv", x[:60], y[:60])
    (tmp_path / "here").mkdir()
    before = sorted(os.listdir())
    for out in ("here", "."):
        assert cli.main(["predict", model, str(new), "--out", out]) == 2
        assert "out must be a file that can be written" in capsys.readouterr().err
        with pytest.raises(ValueError, match="path must be a file that can be written"):
            nr.load(model).save(out)
    assert sorted(os.listdir()) == before


def test_inputs_that_differ_in_the_unit_alone_are_predicted_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = recorded(1, rows=100)
    table = np.concatenate([x, y[:, :1]], axis=1)
    np.savetxt("r.csv", table, delimiter=",", header="f [N],f [V],y", comments="")
    asked = ["--inputs", "f [N]", "f [V]", "--outputs", "y", *QUICK]
    assert cli.main(["fit", "r.csv", *asked, "--out", "m"]) == 0
    assert cli.main(["predict", "m/model.npz", "r.csv", "--out", "p.csv"]) == 0


def test_inputs_have_no_effect_before_their_delays(tmp_path, capsys, monkeypatch):
    """The evidence is compared with that of a constant by the formula of independent samples."""
    monkeypatch.chdir(tmp_path)
    x, y = recorded(6)
    y = np.roll(y, 3, axis=0)
    written(tmp_path / "r.csv", x, y)
    recording = fitting.read("r.csv", ASKED[1:3], ["rate"], time=None, trial=None)
    found = fitting.fitted(
        recording,
        "r.csv",
        lags=LAGS + 3,
        delay=(3, 1),
        kernel="tc",
        test_fraction=0.2,
        tell=print,
    )
    target = found.train.y[LAGS + 2 :, 0]
    num = len(target) - 1  # one is spent on the offset
    variance = np.sum((target - target.mean()) ** 2) / num
    constant = -0.5 * num * (1 + np.log(2 * np.pi * variance))
    np.testing.assert_allclose(diagnostics.gains(found), [found.fit.evidence - constant], rtol=1e-9)

    args = ["r.csv", *ASKED, "--lags", str(LAGS + 3), "--kernel", "tc", "--delay", "3", "1"]
    assert cli.main(["fit", *args, "--out", "m"]) == 0
    response = nr.load("m/model.npz").impulse_response
    assert not response[:3, :, 0].any() and not response[:1, :, 1].any()
    assert (
        response[1:, 0, 1].all() and "of the variance of held-out data" in capsys.readouterr().out
    )
    text = Page((tmp_path / "m" / "report.html").read_text(encoding="utf-8")).text
    assert "touch_$x_: it has an effect after 1 time step at the earliest" in text


def test_a_gain_has_its_band_and_a_frequency_its_unit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = recorded(7, 300)
    table = np.column_stack([np.arange(300.0), x[:, 0], y[:, 0]])
    np.savetxt("r.csv", table, delimiter=",", header="t [ms],u,y", comments="")
    recording = fitting.read("r.csv", ["u"], ["y"], time="t", trial=None)
    found = fitting.fitted(
        recording,
        "r.csv",
        lags=LAGS,
        delay=(0,),
        kernel="tc",
        test_fraction=0.2,
        tell=print,
    )
    assert found.frequency_unit == "cycles per ms"
    gain = found.fit.impulse_response.sum()
    half = 1.96 * np.sqrt(found.fit.covariance[0, :, 0, :, 0].sum())
    text = Page(report.page(found, {})).text
    assert f"{gain:.4g}" in text and f"{gain - half:.4g} to {gain + half:.4g}" in text


def test_a_response_that_may_be_longer_than_was_tried_is_told(tmp_path):
    rng = np.random.default_rng(8)
    u = rng.normal(size=300)
    y = np.convolve(u, np.ones(100))[:300] + 0.1 * rng.normal(size=300)
    np.savez(tmp_path / "r.npz", u=u, y=y)
    recording = fitting.read(str(tmp_path / "r.npz"), ["u"], ["y"], time=None, trial=None)
    told = []
    found = fitting.fitted(
        recording, "r.npz", lags=None, delay=(0,), kernel="tc", test_fraction=0.3, tell=told.append
    )
    most = len(found.fit.impulse_response)
    assert most == max(each.seq_len for each in found.fit.lags)
    assert f"try more, as --lags {2 * most}" in found.remarks[-1]
    tried = ", ".join(str(each.seq_len) for each in found.fit.lags)
    assert told == [f"fitting 210 rows by evidence: kernel tc; number of lags {tried}"]
