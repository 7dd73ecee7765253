"""Runs notebooks anew and saves them: ``python notebooks/refresh.py [NAME.py ...]``, or all.

A notebook's script is what is run; the ``.ipynb`` beside it is written whole, with nothing in it of
the machine that ran it. Anything on stderr, such as a warning, is an error. Of widgets nothing is
saved, since without a kernel they do not answer: the figures beside them stand for them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
TIMEOUT = 600  # seconds a cell may take, on a machine that is busy


def refresh(script: Path) -> None:
    """Runs a script's notebook and writes it beside the script.

    Raises:
      RuntimeError: if a cell writes to stderr.
    """
    notebook = jupytext.read(script)
    client = NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": str(script.parent)}},
    )  # fmt: skip
    client.execute()
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    for number, cell in enumerate(notebook.cells):
        # Random by default, and then new at every run.
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            for output in cell.outputs:
                if output.get("name") == "stderr":
                    raise RuntimeError(f"{script.name}, cell {number}: {output.text}")
            cell.outputs = [each for each in cell.outputs if WIDGET not in each.get("data", {})]
    nbformat.validate(notebook)
    nbformat.write(notebook, script.with_suffix(".ipynb"))


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.name for path in FOLDER.glob("[0-9]*.py"))
    for name in names:
        print(name, flush=True)
        refresh(FOLDER / name)
