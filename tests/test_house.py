"""How the house is laid out: which room may import from which, and what modules are called.

Imports are read from the source, so those inside functions and for type checkers count as well.
"""

import ast
import graphlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module imports from its own layer and from those above it.
LAYERS = (
    "_checks _files _functions _memory _namespace _networks _neural_tangents _terminal _types",
    "sequences",
    "loss activations",
    "compression",
    "products",
    "impulse",
    "hankel linearity models realization sharding",
    "objective",
    "kernels",
    "layers",
    "regression",
    "training",
    "plotting power_law",
    "theory",
    "data",
    "fitting",
    "reproduction",
    "guide",
    "cli __main__",
)
ROOMS = {room: place for place, layer in enumerate(LAYERS) for room in layer.split()}

# Those who use the library as its users do, by ``import ntk_rnn as nr``.
USERS = ("reproduction", "guide", "cli")

# What benchmarks and notebooks may import besides public names.
OUTSIDE = {*LAYERS[0].split(), "plotting", "power_law"}
STUDIES_SHOWN = {"02_kernels.py", "05_s1_recordings.py"}  # notebooks that present a study


def files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in files("ntk_rnn")}


def room(module):
    """The folder or module just below the package, or ``""`` for the package itself."""
    return module.partition(".")[2].partition(".")[0]


@cache
def imported(path):
    """The modules of the package that a file imports; the package itself for public names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things are"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys()
            if not names <= MODULES.keys():
                found.add(node.module)
    return {name for name in found if name.partition(".")[0] == "ntk_rnn"}


INSIDE = [name for name in MODULES if name != "ntk_rnn"]


def test_every_room_has_its_place():
    assert not {room(module) for module in INSIDE} - ROOMS.keys()


def test_contributors_are_told_this_order():
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| room |") :].split("\n\n", 1)[0]
    firsts = [row.split("|")[1] for row in table.splitlines()]
    rooms = [name for first in firsts for name in re.findall(r"`(\w+)/?`", first)]
    assert {room(module) for module in INSIDE} - {"__main__"} <= set(rooms)
    places = [ROOMS[name] for name in rooms]
    assert places == sorted(places)


def test_imports_go_one_way():
    against = [
        f"{module} imports {other}"
        for module in INSIDE
        for other in imported(MODULES[module])
        if other != "ntk_rnn" and ROOMS[room(other)] > ROOMS[room(module)]
    ]
    assert not against, "\n".join(against)


def test_only_users_of_the_library_import_its_public_names():
    against = [
        module
        for module in INSIDE
        if "ntk_rnn" in imported(MODULES[module]) and room(module) not in USERS
    ]
    assert not against, against


def test_no_modules_import_each_other():
    graph = {module: imported(MODULES[module]) - {"ntk_rnn", module} for module in INSIDE}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError has the cycle


def test_benchmarks_and_notebooks_use_what_users_have():
    against = [
        f"{path.name} imports {other}"
        for path in [*files("benchmarks"), *files("notebooks")]
        for other in imported(path)
        if other != "ntk_rnn"
        and room(other) not in OUTSIDE
        and not (path.name in STUDIES_SHOWN and other.startswith("ntk_rnn.reproduction.studies"))
    ]
    assert not against, "\n".join(against)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_has_a_docstring_and_a_name_of_its_own(module):
    """A module with the name of a function that it defines is hidden by it where both are used."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{module} has no docstring"
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert module.rpartition(".")[2] not in functions


def test_tests_mirror_the_package():
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in files("tests")}
    missing = {folder for folder in folders if not (ROOT / "ntk_rnn" / folder).is_dir()}
    assert not missing, missing
