"""The web site of the documentation: built by pdoc, and searched for what is broken in it."""

from __future__ import annotations

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


def build(folder: Path) -> list[str]:
    """Writes the pages of the public names, of the guide, and of the notebooks beside the package.

    Returns:
      The warnings of pdoc.
    """
    import pdoc
    import pdoc.render

    pdoc.render.configure(docformat="google", math=True)
    for name in ntk_rnn.__all__:
        _show_as_written(getattr(ntk_rnn, name))
    for name in ntk_rnn.data.__all__:
        _show_as_written(getattr(ntk_rnn.data, name))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc("ntk_rnn", "ntk_rnn.guide", "!ntk_rnn.guide._site", output_directory=folder)
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
    from nbconvert import HTMLExporter

    target.mkdir(parents=True, exist_ok=True)
    for notebook in notebooks:
        body, _ = HTMLExporter().from_filename(str(notebook))
        body = body.replace('.ipynb"', '.html"')  # links to each other
        (target / f"{notebook.stem}.html").write_text(body, encoding="utf-8")


class _Page(HTMLParser):
    """The anchors of a page, its links, and the code in its docstrings, linked or not."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.text: list[str] = []
        self.unlinked: list[str] = []
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        if tag == "a" and (link := given.get("href")):
            self.links.add(link)
        if tag in ("div", "pre", "code", "a"):
            self._open.append((tag, given.get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        if ("div", "docstring") not in self._open or "pre" in tags:
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
    if _ROLE.search("".join(page.text)):
        yield "a role such as :func:, which pdoc does not render"
