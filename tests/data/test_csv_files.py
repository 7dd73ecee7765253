"""CSV files as programs write them, by two readers that must agree, and what is said of others."""

import gzip
import os
import tracemalloc

import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.data import csv_files

PLAIN = "u,y\n1,0.5\n2,0.25\n"


@pytest.fixture
def read(tmp_path):
    def rows(content, name="r.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        found = nr.data.from_csv(path, "u", "y", **{"seq_len": 2} | options)
        return found.x[:, 0].tolist(), found.y[:, 0].tolist()

    return rows


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        "# rig 3, 2024\n\n# 100 Hz\n" + PLAIN,
        "# u,y\n1,0.5\n2,0.25\n",  # as np.savetxt writes it
        "sep=;\nu;y\n1;0.5\n2;0.25\n",
        'sep=|\r\n"u"|y\r\n1|0.5\r\n2|0.25\r\n',
        "u;y\n1,0;0,5\n2,0;0,25\n",
        "u;y;z\n1;0,5;\u22121\n2;0,25;\u22121\n",
        "u\ty\n1,0\t0,5\n2,0\t0,25\n",
        "sep=|\nu|y\n1,0|0,5\n2,0|0,25\n",
        "# u;y\n1,0;0,5\n2,0;0,25\n",
        "u;y;light, left\n1,0;0,5;a\n2,0;0,25;b\n",
        "note, or so;u;y, z;y\n;1,0;2;0,5\n;2,0;2;0,25\n",
        "u [a, b, c];y\n1;0,5\n2;0,25\n",
        "note;u;y\n1.5, or so;1;0,5\n;2;0,25\n",
        '"a;b;c",u,"d;e;f",y\n,1,,0.5\n,2,,0.25\n',
        '"two\nlines",u,y\n,1,0.5\n,2,0.25\n',
        'u,y,note\n1,0.5,"two\nlines"\n2,0.25,\n',
        "u,y\r1,0.5\r2,0.25\r",
        '"u","y"\n"1","0.5"\n"2","0.25"\n\n',
        gzip.compress(PLAIN.encode(), mtime=0),
        gzip.compress(PLAIN.encode("utf-16"), mtime=0),
    ],
)
def test_what_programs_write_is_read(read, monkeypatch, content):
    assert read(content) == ([1, 2], [0.5, 0.25])
    monkeypatch.setattr(csv_files, "_quick_columns", lambda *_: None)
    assert read(content) == ([1, 2], [0.5, 0.25])


def test_plain_files_are_read_by_numpy_alone(read, monkeypatch):
    monkeypatch.delattr(csv_files, "read_table")
    trials = 'u,trial,y,note\n1,"a, b",0.5,"said ""yes"""\n\n2,"a, b",0.25,\n3,c,1,\n4,c,2e3,ä\n'
    assert read(trials, group="trial") == ([1, 2, 3, 4], [0.5, 0.25, 1, 2000])


def test_memory_is_a_few_times_that_of_the_numbers(tmp_path):
    path, table = tmp_path / "long.csv", np.random.default_rng(0).normal(size=(20_000, 4))
    np.savetxt(path, table, delimiter=",", header="u,v,y,z", comments="", fmt="%.6f")
    tracemalloc.start()
    recording = nr.data.from_csv(path, ["u", "v"], ["y", "z"], seq_len=100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(np.concatenate([*recording], axis=1), table, atol=1e-6)
    assert peak < 5 * table.nbytes


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('u,y\n"1,000",0.5\n"2,000",0.25\n', "'1,000' has a comma that may mark thousands or dec"),
        ("u;y\n1,000;2,500\n2,000;1,250\n", "'1,000' has a comma that may mark thousands or dec"),
        ("u;y\n1.000,5;2\n2;1\n", r"'1.000,5' has a comma that may mark thousands or decimals"),
        ("u;y\n1.5;0,5\n2;1\n", "'0,5' has a decimal comma; export"),
        ("u\ty\n1,000\t2,500\n", "'1,000' has a comma that may mark thousands or dec"),
        ("u\ty\n1.5\t0,5\n2\t1\n", "'0,5' has a decimal comma; export"),
        ("u,y\n1,2,5\n3,4,5\n", "line 2: this line has 3 cells where line 1 has 2"),
        ("# rig 3\nu,y\n1,0.5\n2,x\n", "line 4, column 'y': 'x' is not a number"),
        ("# rig 3\nu,z\n1,0.5\n", "line 2: there is no column 'y'"),
        ('u,y,note\n1,2,"a\n3,4,b\n5,6,c\n', "line 2: this is not a line of a CSV file"),
        ('"u,y\n1,2\n3,4\n', "line 1: this is not a line of a CSV file"),
        ("u,y\n1,2\n1e400,4\n", "line 3, column 'u': '1e400' is not a finite number"),
        (
            gzip.compress(PLAIN.encode(), mtime=0)[:-12],
            "a file that can be read to its end, got .*r.csv",
        ),
        (b"\x1f\x8b" + bytes(20), "path must be a file that can be read, got .*r.csv"),
        ("# only\n# comments\n", "must have a line of column names .* got 0 lines"),
    ],
)
def test_what_is_wrong_is_said(read, content, message):
    with pytest.raises(ValueError, match=message):
        read(content)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("label", ["NaN", "NA", "", "None"])
def test_rows_of_no_group_are_not_one(read, label):
    with pytest.raises(
        ValueError, match=r"line 3, column 'trial': the (group is missing|cell is e)"
    ):
        read(f"trial,u,y\na,1,2\n{label},3,4\n{label},5,6\n", group="trial", seq_len=1)


@pytest.mark.usefixtures("unannotated")
def test_paths_and_names_are_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "r.csv").write_text(PLAIN)
    assert nr.data.from_csv("~/r.csv", "u", "y", seq_len=2).x.tolist() == [[1], [2]]
    os.mkfifo(tmp_path / "pipe.csv")
    for path, message in (
        (tmp_path / "pipe.csv", "path must be a file on disk, got .*pipe.csv', a pipe or device"),
        (None, "path must be a path, got None"),
        ("", "path must be a path, got ''"),
        ("a\0b", "path must be a path, got"),
        ("~nobody-here/r.csv", "path must be a file that is there"),
    ):
        with pytest.raises(ValueError, match=message):
            nr.data.from_csv(path, "u", "y", seq_len=2)
    for changed, message in (
        ({"inputs": 1}, "inputs must be the name of a column or a list of names, got 1"),
        ({"outputs": None}, "outputs must be the name of a column or a list of names, got None"),
        ({"group": 3}, "group must be the name of a column, got 3"),
    ):
        options = {"inputs": "u", "outputs": "y", "seq_len": 2} | changed
        with pytest.raises(ValueError, match=message):
            nr.data.from_csv(tmp_path / "r.csv", **options)


def test_lines_of_spaces_are_empty_lines(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("u;y\n1,5;2\n   \n3;4\n \n")
    assert nr.data.from_csv(path, "u", "y").x.tolist() == [[1.5], [3.0]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_text_of_wide_characters_without_a_mark_is_named(tmp_path, encoding):
    path = tmp_path / "r.csv"
    path.write_bytes("u;y\n1;2\n".encode(encoding))
    with pytest.raises(ValueError, match=r"r\.csv must be text in UTF-8, got bytes of 0"):
        nr.data.from_csv(path, "u", "y")


@pytest.mark.parametrize("units", ["s;N;mm/s^2", "[s];[any thing];(mm)", "-;µV;%", "ms;kOhm;°C"])
def test_a_row_of_units_is_read_as_such(tmp_path, units):
    path = tmp_path / "r.csv"
    path.write_text(f"t;u;y\n{units}\n0;1,5;2\n1;2,5;4\n", encoding="utf-8")
    found = nr.data.from_csv(path, "u", "y", time="t")
    time, u, y = ("" if each == "-" else each.strip("[]()") for each in units.split(";"))
    assert (found.time_unit, found.inputs[0].unit, found.outputs[0].unit) == (time, u, y)
    assert found.x.tolist() == [[1.5], [2.5]]


@pytest.mark.parametrize("cells", ["s;off;on", "NaN;N;mm", ";;", "s;1;mm", "s;N"])
def test_a_row_that_may_be_something_else_is_refused(tmp_path, cells):
    path = tmp_path / "r.csv"
    path.write_text(f"t;u;y\n{cells}\n0;1,5;2\n1;2,5;4\n")
    with pytest.raises(ValueError, match=r"r\.csv, line 2"):
        nr.data.from_csv(path, "u", "y", time="t")
