"""A page rendered from Markdown that is complete in one file: no scripts, nothing to fetch."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

_STYLE = """\
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222;
       font: 16px/1.5 system-ui, sans-serif; }
h2 { margin-top: 3rem; padding-top: .6rem; border-top: 2px solid #222; }
h3 { margin: 1.6rem 0 .4rem; font-size: 1rem; }
img { display: block; max-width: 100%; margin: 1rem auto; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ccc; text-align: left;
         vertical-align: top; overflow-wrap: break-word; }
td strong { color: #a33c00; }
li { margin: .2rem 0; }
@media print { h2 { break-before: page; } }
"""


def render(title: str, markdown: str, pictures: Mapping[str, bytes]) -> str:
    """Renders Markdown to a page with its pictures in it.

    No other picture is: no file is read for one, and its place is empty.

    Args:
      title: the title of the page.
      markdown: what to render; HTML in it is shown as it is written.
      pictures: PNG files, by their addresses in the Markdown.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in _all(tokens):
        if token.type == "image":
            picture = pictures.get(str(token.attrGet("src")), b"")
            data = base64.b64encode(picture).decode("ascii")
            token.attrSet("src", f"data:image/png;base64,{data}")
    for token, text in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            token.attrSet("id", text.content.replace(" ", "-"))
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())
