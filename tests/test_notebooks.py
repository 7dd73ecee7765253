"""The notebooks: that what is saved is what their scripts say, names no machine, and answers."""

import json
import re
from pathlib import Path

import jupytext
import pytest
from jupyter_client.manager import run_kernel

FOLDER = Path(__file__).parents[1] / "notebooks"
SAVED = sorted(FOLDER.glob("[0-9]*.ipynb"))
# Folders of a user or a machine, addresses in memory, and times of the clock.
PRIVATE = re.compile(
    r"(?<![\w.])/(home|root|tmp|work|usr|opt|Users|private)/|[A-Z]:\\|0x[0-9a-f]{6,}|\d\d:\d\d:\d\d"
)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def test_there_are_eight_and_small_ones():
    assert [path.name[:2] for path in SAVED] == [f"{k:02d}" for k in range(1, 9)]
    assert sum(path.stat().st_size for path in SAVED) < 3e6


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_notebook_and_its_script_are_in_step(path):
    """Cell by cell: a script is `# %%` or `# %% [markdown]`, and then the cell."""
    script = path.with_suffix(".py").read_text(encoding="utf-8").split("# ---\n", 2)[2]
    parts = re.split(r"^# %%( \[markdown\])?\n", script, flags=re.MULTILINE)[1:]
    cells = read(path)["cells"]
    assert len(parts) == 2 * len(cells)
    for kind, text, cell in zip(parts[::2], parts[1::2], cells, strict=True):
        assert cell["cell_type"] == ("markdown" if kind else "code")
        lines = text.strip("\n").splitlines()
        if kind:
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
        else:
            lines = [re.sub(r"^# (?=%matplotlib)", "", line) for line in lines]
        assert "\n".join(lines) == source(cell)


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_notebook_has_run_in_order_without_a_warning(path):
    notebook = read(path)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    for output in outputs:
        assert output["output_type"] != "error" and output.get("name") != "stderr"
        texts = [output.get("text", []), *output.get("data", {}).values()]
        assert not any("Warning" in "".join(text) for text in texts)
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_notebook_names_no_machine(path):
    notebook = read(path)
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        for output in cell.get("outputs", []):
            assert output.get("metadata", {}) == {}
            shown = [text for kind, text in output.get("data", {}).items() if "image" not in kind]
            for text in (output.get("text", []), *shown):
                assert not PRIVATE.search("".join(text)), text


def test_sliders_show_the_figure():
    """Among what the kernel tells, which is heard out: nbclient answers the widget that holds
    outputs, and then waits for ever if the next reply comes while it does, as on a busy machine."""
    notebook = jupytext.read(FOLDER / "04_implicit_bias.py")
    needed = ("import jax", "def picture", "interact(")
    cells = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and any(word in cell.source for word in needed)
    ]
    assert len(cells) == 3
    told = []
    with run_kernel(kernel_name="python3") as client:
        for cell in cells:
            reply = client.execute_interactive(cell, output_hook=told.append)
            assert reply["content"]["status"] == "ok", reply["content"]
    # While the state of a widget names a message, what that message displays is shown in it.
    shown, holder = [], None
    for message in told:
        content = message["content"]
        if message["msg_type"] == "comm_msg" and "msg_id" in content["data"].get("state", {}):
            holder = content["data"]["state"]["msg_id"]
        if message["msg_type"] == "display_data":
            assert holder in ("", None, message["parent_header"]["msg_id"])
            shown.append((bool(holder), "image/png" in content["data"]))
    # The sliders themselves are displayed beside it.
    assert sorted(shown) == [(False, False), (True, True)]
