"""The documentation: names have examples, shapes and sources; what is broken is found.

The examples are run by ``pytest --doctest-modules ntk_rnn``, and the site is built and searched by
``python -m ntk_rnn.guide``.
"""

import ast
import doctest
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import ntk_rnn as nr
from ntk_rnn import guide

PAGES = [
    f"ntk_rnn.guide.{m.name}" for m in pkgutil.iter_modules(guide.__path__) if m.name[0] != "_"
]
PUBLIC = {f"ntk_rnn.{name}": getattr(nr, name) for name in nr.__all__ if name != "data"} | {
    f"ntk_rnn.data.{name}": getattr(nr.data, name) for name in nr.data.__all__
}

# A place in the paper, the function that has it, or a word of where else it is from.
SOURCE = r"\b(eqs?\.|Theorem|Lemma|Proposition|Appendix|Fig\.|not in the paper)|from ``\w+"

# Modules that hold data, devices and files, of which no paper says anything.
PLUMBING = tuple(
    f"ntk_rnn.{module}"
    for module in (
        "compression",
        "data",
        "training.ensembles",
        "kernels.on_disk",
        "sharding",
    )
)


def test_every_public_name_has_an_example():
    missing = []
    for name, public in PUBLIC.items():
        examples = doctest.DocTestParser().get_examples(inspect.getdoc(public))
        if not any(f"import {name.split('.')[0]}" in example.source for example in examples):
            missing.append(name)
    assert not missing, missing


def test_docstrings_say_the_shapes_of_all_arrays():
    missing = []
    for name, public in PUBLIC.items():
        described = descriptions(inspect.getdoc(public))
        for part, annotation in annotations(public):
            if is_array(annotation) and not has_shape(described.get(part, "")):
                missing.append(f"{name}: {part}")
    assert not missing, "\n".join(missing)


def annotations(public):
    """Names and annotations, as the source has them: the import hook of the tests replaces some."""
    (node,) = ast.parse(inspect.getsource(inspect.unwrap(public))).body
    if isinstance(node, ast.ClassDef):
        fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
        return [(ast.unparse(field.target), ast.unparse(field.annotation)) for field in fields]
    given = [(arg.arg, arg.annotation) for arg in [*node.args.args, *node.args.kwonlyargs]]
    return [
        (name, ast.unparse(annotation)) for name, annotation in [*given, ("Returns", node.returns)]
    ]


def is_array(annotation):
    return bool(re.search(r"(Float|Int|Shaped)\[\w[\w.]*, '[^']*\w", annotation))


def has_shape(text):
    return bool(re.search(r"shape|`\([^)]*\)`|\([^)`]*,[^)`]*\)`", text))


def descriptions(docstring):
    """Of a Google docstring: the text of each argument or attribute, and of what is returned."""
    found = {}
    for title, text in re.findall(r"^(\w+):\n((?:[ ]+.*\n?|\n)+)", docstring, re.MULTILINE):
        text = inspect.cleandoc(text)
        if title == "Returns":
            found[title] = text
        elif title in ("Args", "Attributes"):
            found |= dict(re.findall(r"^(\w+): ((?:.+\n?(?:[ ]+.*\n?)*))", text, re.MULTILINE))
    return found


def test_docstrings_say_where_a_result_comes_from():
    missing = [
        name
        for name, public in PUBLIC.items()
        if not public.__module__.startswith(PLUMBING)
        and not re.search(SOURCE, inspect.getdoc(public))
    ]
    assert not missing, missing


def test_the_guide_names_tests_that_exist():
    text = "\n".join(importlib.import_module(page).__doc__ for page in PAGES)
    tests = re.findall(r"`(tests/[^`]+)`", text)
    assert tests
    assert not [test for test in tests if not (Path(__file__).parents[1] / test).exists()]


def test_the_guide_lists_its_pages():
    linked = re.findall(r"\(guide/(\w+)\.html\)", guide.__doc__)
    assert sorted(linked) == sorted(page.rpartition(".")[2] for page in PAGES)


def test_what_is_broken_in_a_site_is_found(tmp_path):
    from ntk_rnn.guide._site import problems

    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">fine</a><a href="b.html#gone">x</a><a href="c.html">x</a>'
        '<div class="docstring"><code>ntk_rnn.gone</code> <code><a href="b.html">nr.x</a></code>'
        "<pre><code>nr.example</code></pre> $x$ <code>$HOME</code></div>"
        '<script src="https://cdn.example/a.js"></script><script src="a.js"></script>'
        '<div class="jp-RenderedMarkdown">a <mi>\\unknown</mi></div>'
    )
    (tmp_path / "b.html").write_text('<p id="here"></p>')
    assert [problem.split(": ", 1)[1] for problem in problems(tmp_path)] == [
        "link to b.html#gone, which is no place on that page",
        "link to c.html, which is no page",
        "`ntk_rnn.gone` in the text, which is no public name",
        "https://cdn.example/a.js is loaded from a server, so the page needs one",
        "a formula that is not rendered in: $x$",
        "a formula that is not rendered in: \\unknown",
    ]
