"""Recordings of one's own, and what is said of those that cannot be used."""

import csv
import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import ntk_rnn as nr

# A trial each of three rows; `note` is not asked for.
TRIALS = """trial,light,touch,rate,note
a,0.5,1,10,first
a,1.5,2,20,
a,2.5,3,30,"odd, or not"
b,3.5,4,40,
b,4.5,5,50,
b,5.5,6,60,last
"""
COLUMNS = {"inputs": ["light", "touch"], "outputs": "rate"}


@pytest.fixture
def saved(tmp_path):
    def save(content):
        path = tmp_path / "trials.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return save


def test_groups_are_sequences(saved):
    x, y = nr.data.from_csv(saved(TRIALS), **COLUMNS, group="trial").at_rest()
    assert x.dtype == y.dtype == np.float64
    np.testing.assert_array_equal(x[:, :, 0], [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])
    np.testing.assert_array_equal(x[:, :, 1], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(y, 10 * x[:, :, 1:])


def test_windows_at_rest_follow_each_other_within_groups(saved):
    path = saved(TRIALS)
    x, _ = nr.data.from_csv(path, "touch", "rate", seq_len=4).at_rest()
    np.testing.assert_array_equal(x[:, :, 0], [[1, 2, 3, 4]])
    x, _ = nr.data.from_csv(path, "touch", "rate", seq_len=2, group="trial").at_rest()
    np.testing.assert_array_equal(x[:, :, 0], [[1, 2], [4, 5]])


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(3, 9), min_size=1, max_size=5), st.integers(1, 3))
def test_windows_are_all_that_fit_and_cross_no_group(sizes, seq_len):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    row = np.arange(sum(sizes))
    recording = nr.data.from_arrays(np.stack([row, labels], 1), row, seq_len=seq_len, groups=labels)
    x, y = recording.at_rest()
    assert x.shape == (sum(size // seq_len for size in sizes), seq_len, 2)
    assert np.all(np.diff(x[:, :, 0]) == 1) and np.all(np.diff(x[:, :, 1]) == 0)
    assert len(np.unique(x[:, :, 0])) == x[:, :, 0].size
    np.testing.assert_array_equal(y, x[:, :, :1])


def test_a_file_and_its_arrays_are_the_same(saved, tmp_path):
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((12, 3))
    path = tmp_path / "written.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "c"], *columns.tolist()])
    pairs = nr.data.from_csv(path, ["c", "a"], "b", seq_len=5)
    again = nr.data.from_arrays(columns[:, [2, 0]], jnp.asarray(columns[:, 1]), seq_len=5)
    np.testing.assert_array_equal(pairs.x, again.x)
    np.testing.assert_allclose(pairs.y, again.y, rtol=1e-6)  # JAX's own array may be float32


@pytest.mark.parametrize(
    "content",
    [
        TRIALS.replace(",", ";").replace("odd; or", "odd, or"),
        "\n" + TRIALS.replace(",", "\t").replace("\n", "\r\n") + "\t\t\t\t\r\n\r\n",
        TRIALS.encode("utf-8-sig"),
        TRIALS.encode("utf-16"),
        TRIALS.replace("light,", ' "light",').replace("odd, or", "odd,\nor"),
    ],
    ids=["semicolons", "tabs", "UTF-8 with mark", "UTF-16", "spaces and lines within cells"],
)
def test_what_programs_export_is_read(saved, content):
    x, y = nr.data.from_csv(saved(content), **COLUMNS, group="trial").at_rest()
    assert x.shape == (2, 3, 2) and y[1, 2, 0] == 60


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("light,", "lihgt,", "trials.csv, line 1: there is no column 'light', the columns are "
         "'trial', 'lihgt', 'touch', 'rate', 'note'; did you mean 'lihgt'?"),
        ("trial,light,touch,rate,note\n", "", "there is no column 'trial', .*must name the colu"),
        ("note", "rate", "line 1: column 'rate' is there 2 times"),
        ("3.5", "3.5 mV", "trials.csv, line 5, column 'light': '3.5 mV' is not a number; corr"),
        ("3.5", '"3,5"', "line 5, column 'light': '3,5' has a decimal comma; export"),
        ("3.5", "", "line 5, column 'light': the cell is empty; fill it in"),
        ("3.5", "NaN", "line 5, column 'light': the number is missing, got 'NaN'; fill"),
        ("3.5", "-inf", "line 5, column 'light': '-inf' is not a finite number"),
        (",50", ",1_0", "line 6, column 'rate': '1_0' is not a number"),
        (".5,", ".5?,", r"line 2, .*'0.5\?' is not a number.* \(6 cells are not numbers, this is"),
        ("b,4.5,5,50,", ",,,,", "line 6, column 'trial': the cell is empty"),
        ("b,3.5,4,40,", "b,3.5,4,40", "line 5: this line has 4 cells where line 1 has 5; add"),
        ("b,5.5", "a,5.5", "group 'a' at trials.csv, lines 2 to 4 and again at trials.csv, line"
         " 7; sort"),
        ('not"', "not", "line 4: this is not a line of a CSV file .*not closed"),
        (TRIALS[28:], "", "at least one of numbers, got 1 lines"),
        (TRIALS, "", "at least one of numbers, got 0 lines"),
    ],
)  # fmt: skip
def test_the_place_and_the_remedy_are_named(saved, old, new, message):
    assert old in TRIALS
    with pytest.raises(ValueError, match=message):
        nr.data.from_csv(saved(TRIALS.replace(old, new)), **COLUMNS, group="trial")


@pytest.mark.usefixtures("unannotated")
def test_files_that_are_none_are_named(saved, tmp_path):
    path = saved(TRIALS)
    for other, message in (
        (tmp_path / "trails.csv", "a file that is there, got .*trails.csv'; did you mean 'trials"),
        (tmp_path / "x.csv", "the CSV files in that folder are 'trials.csv'"),
        (tmp_path / "no" / "x.csv", "there is no folder .*no' either"),
        (tmp_path, "got the folder"),
    ):
        with pytest.raises(ValueError, match=message):
            nr.data.from_csv(other, **COLUMNS, seq_len=2)
    path.unlink()
    with pytest.raises(ValueError, match="there are no CSV files in"):
        nr.data.from_csv(path, **COLUMNS, seq_len=2)
    for content, message in (
        (b"PK\x03\x04...", 'got a workbook .* save the sheet as "CSV UTF-8"'),
        (TRIALS.replace("last", "µ").encode("latin-1"), "line 7: the text is not in UTF-8"),
    ):
        with pytest.raises(ValueError, match=message):
            nr.data.from_csv(saved(content), **COLUMNS, seq_len=2)


@pytest.mark.usefixtures("unannotated")
def test_what_is_asked_for_is_checked(saved):
    path = saved(TRIALS)
    for changed, message in (
        ({"inputs": []}, "inputs must be the name of a column or a list of names"),
        ({"inputs": ["touch", "touch"]}, "inputs must not name a column twice"),
        ({"inputs": ["touch", "rate"]}, "got 'rate' as both: it would predict itself"),
        ({"seq_len": 0}, "seq_len must be a positive integer, got 0"),
        ({"seq_len": 7}, r"got 7 where the recording has 6 \(trials.csv, lines 2 to 7\); take"),
        ({"seq_len": 4, "group": "trial"}, "got 4 where group 'a' has 3 .*or remove that group"),
    ):
        with pytest.raises(ValueError, match=message):
            nr.data.from_csv(path, **COLUMNS | changed)


def test_without_a_length_pieces_are_as_they_are(saved):
    """How many inputs explain an output may be found later, so trials may differ in length."""
    shorter = saved(TRIALS.replace("b,5.5,6,60,last\n", ""))
    recording = nr.data.from_csv(shorter, **COLUMNS, group="trial")
    assert recording.seq_len is None and recording.pieces.tolist() == [0, 3]
    with pytest.raises(ValueError, match=r"2 to 3 rows, the fewest .* row 3; say seq_len=2 to"):
        recording.at_rest()
    whole = nr.data.from_csv(shorter, **COLUMNS)
    with pytest.raises(ValueError, match=r"seq_len must be given .* got None"):
        whole.compress()
    train, test = whole.split(0.4, standardize=False)
    np.testing.assert_array_equal(np.concatenate([train.x, test.x]), whole.x)
    assert (len(train.x), train.units) == (3, None)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("inputs", "outputs", "groups", "message"),
    [
        (np.ones((5, 2)), np.ones(6), None, "unequal lengths: 5 in inputs, 6 in outputs; cut or"),
        (np.ones(5), np.ones(5), [0] * 4, "5 in inputs, 5 in outputs, 4 in groups"),
        (np.ones(5), np.ones(5), [[0]] * 5, re.escape("groups must have shape (rows,), got shape")),
        ([1, 2, np.nan], np.ones(3), None, r"inputs must be finite, .* index \(2,\); fill them in"),
        (np.ones(3), ["1", "2", "x"], None, "outputs must hold real numbers, got dtype <U1"),
        (np.ones((2, 3, 1)), np.ones(2), None, "inputs must have shape .rows, columns."),
        (np.ones(5), np.ones(5), list("aabab"), "'a' at rows 0 to 1 and again at row 3;"),
        (
            np.ones(3),
            np.ones(3),
            ["a", None, None],
            "groups must name .* got 'None' at row 1;",
        ),
        (np.ones(3), np.ones(3), np.array([1, np.nan, 2]), "groups must name .* got 'nan' at row"),
        (np.ones(2), np.ones(2), np.ma.masked_equal([1, 2], 2), "groups must not be masked"),
        (
            np.ma.masked_equal([1, 2], 2),
            np.ones(2),
            None,
            "inputs must not be masked, got 1",
        ),
        (np.ones(2), [np.ma.masked, 1.0], None, "outputs must not be masked, got 1 masked"),
        (np.ones(2), [1j, 2], None, "outputs must be real, got dtype complex128"),
        (np.ones(2), np.array(["2024", "2025"], "M8[Y]"), None, "outputs must hold real numbers"),
        ([[1], [1, 2]], np.ones(2), None, "inputs must be one array, got list of unequal lengths"),
    ],
)
def test_arrays_are_checked(inputs, outputs, groups, message):
    with pytest.raises(ValueError, match=message):
        nr.data.from_arrays(inputs, outputs, seq_len=1, groups=groups)
