"""Tables as spreadsheets hold them, and arrays of NumPy and MATLAB: all lead to one recording."""

import datetime

import numpy as np
import pytest
import scipy.io

import ntk_rnn as nr

RNG = np.random.default_rng(0)
ROWS = 40
TIME = np.arange(ROWS) / 50
FORCE, POSITION = RNG.normal(size=(ROWS, 2)).round(3), RNG.normal(size=ROWS).round(3)
TRIAL = np.repeat(["first", "second"], ROWS // 2)
ASKED = {"inputs": ["force"], "outputs": "position", "time": "t", "group": "trial"}


def table(separator=",", decimal="."):
    """As a spreadsheet writes it, with units in the header."""
    lines = [
        separator.join(["trial", "t [s]", "force x (N)", "force y (N)", "position / mm", "note"])
    ]
    for row in range(ROWS):
        numbers = [TIME[row], *FORCE[row], POSITION[row]]
        cells = [TRIAL[row], *(str(number).replace(".", decimal) for number in numbers), "odd"]
        lines.append(separator.join(cells))
    return "\n".join(lines) + "\n"


def written(folder, kind):
    path = folder / f"recording.{kind.split()[0]}"
    variables = {"t [s]": TIME, "force (N)": FORCE, "position": POSITION, "trial": TRIAL}
    if path.suffix == ".npz":
        np.savez(path, **variables)
    elif path.suffix == ".mat":
        plain = {"t": TIME, "force": FORCE, "position": POSITION}
        cells = np.array(TRIAL.tolist(), object)
        # MATLAB has no vectors: a row or a column is a matrix, and texts are in cells.
        scipy.io.savemat(path, plain | {"trial": cells}, oned_as=kind.split()[1])
    else:
        text = table(";", ",") if "decimal" in kind else table("\t" if "tabs" in kind else ",")
        if "lines" in kind:
            text = "\n" + text.replace("\n", "\r\n\r\n") + ",,,,,\r\n"
        path.write_bytes(text.encode("utf-8-sig" if "mark" in kind else "utf-8"))
    return path


@pytest.mark.parametrize(
    "kind",
    ["csv", "csv decimal mark", "tsv tabs mark", "txt lines", "npz", "mat row", "mat column"],
)
def test_all_kinds_of_files_are_the_same_recording(tmp_path, kind):
    path = written(tmp_path, kind)
    is_table = path.suffix not in (".npz", ".mat")
    asked = ASKED | ({"inputs": ["force x", "force y"]} if is_table else {})
    found = nr.data.from_file(path, **asked)
    np.testing.assert_array_equal(found.x, FORCE)
    np.testing.assert_array_equal(found.y[:, 0], POSITION)
    assert found.pieces.tolist() == [0, ROWS // 2] and found.interval == 0.02 and not found.remarks
    names = ["force x", "force y"] if is_table else ["force 1", "force 2"]
    assert [channel.name for channel in found.inputs] == names
    if path.suffix != ".mat":  # whose variables cannot have units in their names
        assert [channel.unit for channel in found.inputs] == ["N", "N"] and found.time_unit == "s"
    assert found.outputs == (nr.data.Channel("position", "mm" if is_table else ""),)


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_outputs_may_be_yet_to_be_predicted(tmp_path, kind):
    inputs = "force y" if kind == "csv" else "force"
    found = nr.data.from_file(written(tmp_path, kind), inputs, [], seq_len=4)
    assert found.y.shape == (ROWS, 0) and found.x.shape[0] == ROWS and not found.outputs
    with pytest.raises(ValueError, match=r"y must .* not be empty, got shape \(40, 0\)"):
        found.compress()


@pytest.mark.parametrize(
    ("header", "name", "unit"),
    [
        ("force [N]", "force", "N"),
        ("force(N)", "force", "N"),
        ("force / N", "force", "N"),
        ("  grip force [mN m] ", "grip force", "mN m"),
        ("spikes/s", "spikes/s", ""),
        ("f(x) [V]", "f(x)", "V"),
        ("x []", "x", ""),
        ("[N]", "[N]", ""),
        ("", "", ""),
    ],
)
def test_units_are_what_headers_say(tmp_path, header, name, unit):
    path = tmp_path / "r.csv"
    path.write_text(f"{header},y\n1,2\n3,4\n")
    for asked in {name, header.strip()}:
        (found,) = nr.data.from_csv(path, asked, "y").inputs
        assert found == nr.data.Channel(name, unit)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("force x (N)", "force y [kN]",
         "line 1: column 'force y' is there 2 times, as 'force y .kN.', 'force y .N.'; name it in"),
        ("force y", "Force y", "there is no column 'force y', .* did you mean 'Force y .N.'"),
        ("0.12,", "0.125,", "goes 0.025 from 0.1 to 0.125 .recording.csv, lines 7 to 8. where"),
        ("0.12,", "0.08,", "goes back from 0.1 to 0.08 .recording.csv, lines 7 to 8.; sort"),
        ("0.12,", "0.1,", "stands still from 0.1 to 0.1 .recording.csv, lines 7 to 8.; .* twice"),
        ("0.12,", ",", "line 8, column 't': the cell is empty"),
        ("0.12,", "12:00:03,", "line 8, column 't': '12:00:03' is not a number"),
        ("0.0,", "12:00:03,", "line 3, column 't': '0.02' is not a time as .* .39 cells are not t"),
        ("0.12,", "#DIV/0!,", "line 8, column 't': '#DIV/0!' is not a number"),
    ],
)  # fmt: skip
def test_what_spreadsheets_hold_besides_is_said(tmp_path, old, new, message):
    assert old in table()
    path = tmp_path / "recording.csv"
    path.write_text(table().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        nr.data.from_file(path, "force y", "position", time="t", group="trial")


@pytest.mark.parametrize(
    "written_as",
    ["%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%fZ", "%H:%M:%S.%f", "%H:%M:%S,%f"],
)
def test_times_may_be_dates(tmp_path, written_as):
    start = datetime.datetime(2024, 5, 1, 12)
    times = [start + datetime.timedelta(milliseconds=20 * row) for row in range(ROWS)]
    path = tmp_path / "r.csv"
    rows = [f"{when.strftime(written_as)};{row};\u2212{row}" for row, when in enumerate(times)]
    path.write_text("\n".join(["when;u;y", *rows]), encoding="utf-8")
    found = nr.data.from_csv(path, "u", "y", time="when")
    assert (found.interval, found.time_unit, found.pieces.tolist()) == (0.02, "s", [0])
    np.testing.assert_array_equal(found.y[:, 0], -np.arange(ROWS))


def test_a_gap_in_a_table_is_named_with_its_lines(tmp_path):
    lines = table().splitlines(keepends=True)
    path = tmp_path / "recording.csv"
    path.write_text("".join(lines[:11] + lines[13:]))
    found = nr.data.from_csv(path, "force y", "position", time="t", group="trial")
    assert found.pieces.tolist() == [0, 10, 18]
    assert "from 0.18 to 0.24 (recording.csv, lines 11 to 12)" in found.remarks[0]


@pytest.mark.usefixtures("unannotated")
def test_variables_that_cannot_be_are_named(tmp_path):
    path = tmp_path / "r.npz"
    np.savez(
        path, t=TIME, u=FORCE, y=POSITION, short=POSITION[:5], trials=np.ones((2, 20, 1)),
        text=TRIAL, bad=np.where(TIME > 0.5, np.nan, TIME),
    )  # fmt: skip
    for changed, message in (
        ({"inputs": "U"}, "r.npz must have one variable 'U', .*'text'.*; did you mean 'u'"),
        ({"inputs": "short"}, "got 5 in 'short', 40 in 'y' rows"),
        ({"inputs": "trials"}, r"trials in r.npz must have shape .*\(2, 20, 1\); put trials one"),
        ({"inputs": "text"}, "text in r.npz must be an array of numbers, got text"),
        ({"inputs": "bad"}, "bad in r.npz must be finite"),
        ({"inputs": "y"}, "got 'y' as both"),
        ({"inputs": ["u", "u"]}, "inputs must not name a column twice"),
        ({"group": "u"}, "u in r.npz must be one number or text a row"),
        ({"time": "u"}, "u in r.npz must be one time a row"),
        ({"time": 3}, "time must be the name of a column, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            nr.data.from_file(path, **{"inputs": "u", "outputs": "y"} | changed)


@pytest.mark.usefixtures("unannotated")
def test_files_that_are_none_are_named(tmp_path):
    np.savez(tmp_path / "right.npz", u=TIME, y=TIME)
    whole = (tmp_path / "right.npz").read_bytes()
    objects = np.empty(1, object)
    np.savez(tmp_path / "objects.npz", u=objects, y=objects)
    np.save(tmp_path / "one.npy", TIME)
    contents = {
        "cut.npz": whole[:-40],
        "one.npz": (tmp_path / "one.npy").read_bytes(),
        "objects.npz": (tmp_path / "objects.npz").read_bytes(),
        "text.npz": b"u,y\n1,2\n",
        "text.mat": b"u,y\n1,2\n" * 40,
        "new.mat": b"MATLAB 7.3 MAT-file".ljust(124) + bytes([0, 2]) + b"IM" + bytes(400),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        match = "version 7.3; save it in MATLAB by .*-v7" if name == "new.mat" else "save it once"
        with pytest.raises(ValueError, match=rf"path must be .*{name}.*{match}"):
            nr.data.from_file(tmp_path / name, "u", "y")
    with pytest.raises(ValueError, match=r"a file that is there, .*did you mean 'right.npz'"):
        nr.data.from_file(tmp_path / "rigth.npz", "u", "y")


@pytest.mark.parametrize(
    ("cells", "interval"),
    [
        (["2024-05-01", "2024-05-02", "2024-05-03"], 86400.0),
        (["00:01.0", "00:02.0", "00:03.0"], 1.0),  # minutes and seconds
        (["59:59.5", "60:00.0", "60:00.5"], 0.5),
        (["9:59", "10:00", "10:01"], 60.0),
        (["23:00:00", "24:00:00", "25:00:00"], 3600.0),
    ],
)
def test_times_as_spreadsheets_write_them(tmp_path, cells, interval):
    path = tmp_path / "r.csv"
    path.write_text("when,u,y\n" + "".join(f"{cell},{k},{k}\n" for k, cell in enumerate(cells)))
    found = nr.data.from_csv(path, "u", "y", time="when")
    assert (found.interval, found.time_unit, found.pieces.tolist()) == (interval, "s", [0])


@pytest.mark.parametrize("cell", ["01.05.2024 12:00", "5/1/2024 12:00", "2024-05-01 00:01.5"])
def test_dates_that_may_be_read_in_two_ways_are_refused(tmp_path, cell):
    path = tmp_path / "r.csv"
    path.write_text(f"when,u,y\n{cell},1,2\n{cell},3,4\n")
    with pytest.raises(ValueError, match=r"'when': .* write a column of times as 2024-05-01 12:00"):
        nr.data.from_csv(path, "u", "y", time="when")


def test_inputs_that_differ_in_the_unit_alone_are_found_in_other_brackets(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("f (N),f (V),y\n1,2,3\n4,5,6\n")
    found = nr.data.from_csv(path, ["f [V]", "f [N]"], "y")
    assert found.x.tolist() == [[2.0, 1.0], [5.0, 4.0]]


def test_single_columns_of_an_array_are_asked_for_by_number(tmp_path):
    path = tmp_path / "r.npz"
    np.savez(path, **{"force [N]": np.arange(12.0).reshape(4, 3), "y": np.arange(4.0)})
    found = nr.data.from_file(path, ["force 3", "force 1"], "y")
    assert list(map(str, found.inputs)) == ["force 3 [N]", "force 1 [N]"]
    np.testing.assert_array_equal(found.x, np.arange(12.0).reshape(4, 3)[:, [2, 0]])
    with pytest.raises(ValueError, match="must have one variable 'force 4'"):
        nr.data.from_file(path, "force 4", "y")
