"""Results are replaced whole or not at all."""

import csv
import json
import math

import numpy as np
import pytest

from ntk_rnn._terminal import UserError
from ntk_rnn.reproduction import results
from ntk_rnn.reproduction.claims import Number
from ntk_rnn.reproduction.verdicts import at_most

ROWS = [{"seed": 0, "loss": 0.5}, {"seed": 1, "loss": 0.25}]


def save(out, value):
    with results.replacing(out, "fig") as folder:
        arrays = {"loss": np.full(3, value)}
        claims, numbers = [at_most("small", value, 2.0)], [Number("value", "", f"{value}")]
        results.write(folder, {"value": value}, arrays, ROWS, claims, numbers)


def value_of(out):
    config, arrays = results.read(out / "fig")
    assert (arrays["loss"] == config["value"]).all()
    return config["value"]


def names(out):
    return sorted(path.name for path in out.iterdir())


def test_a_folder_holds_what_was_written(tmp_path):
    save(tmp_path / "new" / "results", 1.0)
    folder = tmp_path / "new" / "results" / "fig"
    assert names(folder) == [
        "arrays.npz", "claims.csv", "config.json", "metrics.csv", "numbers.csv",
    ]  # fmt: skip
    assert json.loads((folder / "config.json").read_text()) == {"value": 1.0}
    with (folder / "metrics.csv").open() as file:
        assert list(csv.DictReader(file)) == [{k: str(v) for k, v in row.items()} for row in ROWS]
    with (folder / "claims.csv").open() as file:
        (claim,) = csv.DictReader(file)
    assert claim == {"statement": "small", "value": "1", "bar": "at most 2", "verdict": "holds"}
    assert (folder / "numbers.csv").read_text() == "quantity,paper,ours\nvalue,,1.0\n"


def test_a_second_run_replaces_what_the_first_has_written(tmp_path):
    """And nothing else that is in its folder."""
    save(tmp_path, 1.0)
    written = names(tmp_path / "fig")
    (tmp_path / "fig" / "notes.txt").write_text("mine")
    (tmp_path / "fig" / "more").mkdir()
    (tmp_path / "fig" / "more" / ".draft").write_text("mine too")
    (tmp_path / "fig" / "link").symlink_to("nowhere")
    save(tmp_path, 2.0)
    assert value_of(tmp_path) == 2.0 and names(tmp_path) == ["fig"]
    # Killed after the new results were put in place, before the files of the user were.
    save(tmp_path / "other", 3.0)
    (tmp_path / "fig").rename(tmp_path / ".fig.old-a")
    (tmp_path / "other" / "fig").rename(tmp_path / "fig")
    (tmp_path / "other").rmdir()
    results.recover(tmp_path, ["fig"])
    assert value_of(tmp_path) == 3.0 and names(tmp_path) == ["fig"]
    assert names(tmp_path / "fig") == sorted([*written, "link", "more", "notes.txt"])
    assert (tmp_path / "fig" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "fig" / "more" / ".draft").read_text() == "mine too"


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_results(tmp_path, error):
    save(tmp_path, 1.0)
    with pytest.raises(error), results.replacing(tmp_path, "fig") as folder:
        (folder / "config.json").write_text("{}")
        raise error
    assert value_of(tmp_path) == 1.0 and names(tmp_path) == ["fig"]


def test_a_failing_replacement_leaves_the_old_results(tmp_path):
    save(tmp_path, 1.0)
    with (
        pytest.raises(UserError, match="out must be"),
        results.replacing(tmp_path, "fig") as folder,
    ):
        folder.rename(tmp_path / "gone")  # so that there is nothing to put in place
    assert value_of(tmp_path) == 1.0 and names(tmp_path) == ["fig", "gone"]


def test_what_killed_runs_leave_is_put_right(tmp_path):
    save(tmp_path, 1.0)
    # Killed while working, and killed between moving the old results and the new ones.
    (tmp_path / ".fig.new-a").mkdir()
    (tmp_path / "fig").rename(tmp_path / ".fig.old-b")
    with pytest.raises(ZeroDivisionError), results.replacing(tmp_path, "fig"):
        assert value_of(tmp_path) == 1.0
        raise ZeroDivisionError
    assert names(tmp_path) == ["fig"]
    # Killed before deleting the old results.
    (tmp_path / ".fig.old-c").mkdir()
    save(tmp_path, 2.0)
    assert value_of(tmp_path) == 2.0 and names(tmp_path) == ["fig"]


def test_runs_at_the_same_time_leave_each_other_alone(tmp_path):
    with results.replacing(tmp_path, "fig") as first:
        save(tmp_path, 2.0)
        assert first.is_dir()
        results.write(first, {"value": 1.0}, {"loss": np.ones(1)}, ROWS, [], [])
    assert value_of(tmp_path) == 1.0 and names(tmp_path) == ["fig"]


def test_other_peoples_files_are_not_replaced(tmp_path):
    (tmp_path / "fig").mkdir()
    (tmp_path / "fig" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"fig holds other files .*choose another --out"):
        save(tmp_path, 1.0)
    assert names(tmp_path / "fig") == ["thesis.tex"] and names(tmp_path) == ["fig"]


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "fig").touch()
    with pytest.raises(UserError, match=r"fig is a file; move it"):
        save(tmp_path, 1.0)
    with pytest.raises(UserError, match=r"out must be where results can be written"):
        save(tmp_path / "fig", 1.0)
    assert names(tmp_path) == ["fig"]


def test_results_behind_a_link(tmp_path):
    save(tmp_path / "elsewhere", 1.0)
    (tmp_path / "fig").symlink_to(tmp_path / "elsewhere" / "fig")
    save(tmp_path, 2.0)
    assert value_of(tmp_path) == 2.0 and value_of(tmp_path / "elsewhere") == 1.0
    assert names(tmp_path) == ["elsewhere", "fig"]


def test_what_a_finished_run_says_of_itself(tmp_path):
    config = {
        "study": "fig", "title": "a figure", "preset": "paper", "config": {"seeds": 1}, "x64": True,
        "versions": {"ntk_rnn": "0.1", "flax": None}, "paper": ["a", "b"], "choices": [],
        "device": {"platform": "cpu", "kind": "cpu", "count": 1},
    }  # fmt: skip
    claims = [at_most("small, or not", 1.0, 2.0), at_most("small", math.nan, 2.0)]
    numbers = [Number("loss\nof all", "0.5", "0.4 +- 0.1")]
    folder = tmp_path / "fig"
    assert results.finished(folder) is None
    with results.replacing(tmp_path, "fig") as new:
        results.write(new, config, {"loss": np.ones(1)}, ROWS, claims, numbers)
        (new / "figure.png").write_bytes(b"\x89PNG")
    assert results.finished(folder) == (config, claims, numbers)
    assert [claim.verdict for claim in claims] == ["holds", "does not hold"]

    whole = (folder / "arrays.npz").read_bytes()
    for name, text in (
        ("claims.csv", "statement,value,bar,holds\nsmall,1,2,True\n"),  # an earlier version's
        ("claims.csv", "statement,value,bar,verdict\nsmall,1,2,True\n"),
        ("numbers.csv", "quantity\nloss\n"),
        ("config.json", '{"study": "fig"}'),
        ("config.json", "["),
        ("config.json", json.dumps(config | {"config": {}})),
        ("config.json", json.dumps(config | {"versions": None})),
        ("claims.csv", ""),
        ("claims.csv", "statement,value,bar,verdict\n" + "x" * 200_000 + ",1,2,holds\n"),
        ("numbers.csv", "quantity,paper,ours\nloss,0.5\n"),
        ("arrays.npz", ""),
        ("arrays.npz", whole[: len(whole) // 2]),
        ("arrays.npz", whole[:90] + bytes([whole[90] ^ 1]) + whole[91:]),
        ("figure.png", ""),
    ):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        assert results.finished(folder) is None, (name, text)
        (folder / name).write_bytes(before)
    for name in ("figure.png", "arrays.npz"):
        before = (folder / name).read_bytes()
        (folder / name).unlink()
        assert results.finished(folder) is None
        (folder / name).write_bytes(before)
    assert results.finished(folder) is not None


def test_what_killed_runs_finished_is_seen_again(tmp_path):
    results.recover(tmp_path / "new", ["fig"])
    assert names(tmp_path) == []
    save(tmp_path, 1.0)
    (tmp_path / "fig").rename(tmp_path / ".fig.old-b")
    (tmp_path / ".fig.new-a").mkdir()
    results.recover(tmp_path, ["fig"])
    assert value_of(tmp_path) == 1.0 and names(tmp_path) == ["fig"]


def test_texts_are_written_whole_or_not_at_all(tmp_path):
    results.write_texts(tmp_path / "new", lambda: {"a.md": "first"})

    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        results.write_texts(tmp_path / "new", fails)
    assert (tmp_path / "new" / "a.md").read_text() == "first"
    results.write_texts(tmp_path / "new", lambda: {"a.md": "second\n", "b.md": "±\udcff"})
    assert (tmp_path / "new" / "a.md").read_bytes() == b"second\n"
    assert (tmp_path / "new" / "b.md").read_text(encoding="utf-8") == "±\\udcff"
    assert names(tmp_path / "new") == ["a.md", "b.md"]
    with pytest.raises(UserError, match="out must be"):
        results.write_texts(tmp_path / "new" / "a.md", fails)
