"""The web site of the documentation: built by pdoc, and searched for what is broken in it."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ForwardRef
from urllib.parse import unquote, urlsplit

import ntk_rnn

_LINK = re.compile(rf"(?<![\w.])({'|'.join(ntk_rnn.__all__)})(?![\w.])")
_ROLE = re.compile(r":(func|class|meth|attr|mod|data):`")
_FORMULA = re.compile(r"`[^`]*`|\$\$(?P<block>.+?)\$\$|\$(?P<inline>.+?)\$", re.DOTALL)

# JupyterLab's page without the scripts that it loads from servers.
_NOTEBOOK = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


def build(folder: Path) -> list[str]:
    """Writes the pages of the public names, of the guide, and of the notebooks beside the package.

    Formulas become MathML, which browsers show by themselves, so that the site needs no server.

    Returns:
      The warnings of pdoc.
    """
    import pdoc
    import pdoc.render
    import pdoc.render_helpers

    pdoc.render.configure(docformat="google")
    pdoc.render_helpers.markdown_extensions["latex"] = None
    for name in ntk_rnn.__all__:
        _show_as_written(getattr(ntk_rnn, name))
    for name in ntk_rnn.data.__all__:
        _show_as_written(getattr(ntk_rnn.data, name))
    guide: Any = importlib.import_module("ntk_rnn.guide")
    guide.__all__ = re.findall(r"\(guide/(\w+)\.html\)", guide.__doc__)  # in the order of reading
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc("ntk_rnn", "ntk_rnn.guide", "!ntk_rnn.guide._site", output_directory=folder)
    (folder / "index.html").write_text(
        '<!doctype html><meta http-equiv="refresh" content="0; url=ntk_rnn/guide.html">'
    )
    _convert_notebooks(Path(ntk_rnn.__file__).parents[1] / "notebooks", folder / "notebooks")
    return [f"pdoc: {warning.message}" for warning in caught]


def problems(folder: Path) -> list[str]:
    """Links that lead nowhere, and names of the library in the text that are not linked."""
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        pages[path.resolve()] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    return [
        f"{path.relative_to(folder.resolve())}: {problem}"
        for path, page in pages.items()
        for problem in _problems_of(path, page, pages)
    ]


class _Written:
    """An annotation as its source has it: ``Float[AnyArray, "N T n_x"]``, not what that makes."""

    def __init__(self, annotation: Any) -> None:
        text = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
        # pdoc links whole names and shows their last part.
        self._text = _LINK.sub(r"ntk_rnn.\1", text).replace("' ", "'")

    def __repr__(self) -> str:
        return self._text


def _show_as_written(public: Any) -> None:
    """Replaces the annotations of a function, or of what a class defines."""
    if inspect.ismodule(public):
        return
    functions = [public, *vars(public).values()] if inspect.isclass(public) else [public]
    for function in map(inspect.unwrap, (getattr(f, "fget", f) for f in functions)):
        if inspect.isfunction(function):
            function.__annotations__ = {
                name: _Written(annotation)
                if isinstance(annotation, str | ForwardRef)
                else annotation
                for name, annotation in function.__annotations__.items()
            }


def _convert_notebooks(source: Path, target: Path) -> None:
    """Pages of the executed notebooks, with the outputs that they hold."""
    if not (notebooks := sorted(source.glob("*.ipynb"))):
        return
    import nbformat
    from nbconvert import HTMLExporter

    target.mkdir(parents=True, exist_ok=True)
    exporter = HTMLExporter(raw_template=_NOTEBOOK)
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        # Otherwise the lexer of IPython is asked for, which need not be installed.
        notebook.metadata["language_info"] = {"name": "python"}
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _FORMULA.sub(_mathml, cell.source)
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})
        body = body.replace('.ipynb"', '.html"')  # links to each other
        (target / f"{path.stem}.html").write_text(body, encoding="utf-8")


def _mathml(formula: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    if formula["block"]:
        return convert(formula["block"], display="block")
    return convert(formula["inline"]) if formula["inline"] else formula[0]  # code stays


class _Page(HTMLParser):
    """What a page consists of, as far as it can be broken: links, files, code, formulas."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.sources: set[str] = set()
        self.text: list[str] = []
        self.unlinked: list[str] = []
        self.formulas: list[str] = []
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        if tag == "a" and (link := given.get("href")):
            self.links.add(link)
        if tag in ("img", "link", "script") and (source := given.get("src") or given.get("href")):
            self.sources.add(source)
        if tag in ("div", "pre", "code", "a"):
            self._open.append((tag, given.get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        classes = {name for _, names in self._open for name in names.split()}
        raw = "$" in data or "\\" in data
        if raw and "code" not in tags and classes & {"docstring", "jp-RenderedMarkdown"}:
            self.formulas.append(data.strip())
        if "docstring" not in classes or "pre" in tags:
            return
        self.text.append(data)
        if "code" in tags and "a" not in tags:
            self.unlinked.append(data)


def _problems_of(path: Path, page: _Page, pages: dict[Path, _Page]) -> Iterator[str]:
    for link in sorted(page.links):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or "${" in link:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target not in pages and not target.is_file():
            yield f"link to {link}, which is no page"
        elif parts.fragment and unquote(parts.fragment) not in pages[target].anchors:
            yield f"link to {link}, which is no place on that page"
    for code in page.unlinked:
        if re.match(r"[~.]?(ntk_rnn|nr)\.\w", code):
            yield f"`{code}` in the text, which is no public name"
    for source in sorted(page.sources):
        if urlsplit(source).netloc:
            yield f"{source} is loaded from a server, so the page needs one"
    for formula in page.formulas:
        yield f"a formula that is not rendered in: {formula}"
    if _ROLE.search("".join(page.text)):
        yield "a role such as :func:, which pdoc does not render"
