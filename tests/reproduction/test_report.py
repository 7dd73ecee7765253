"""The report: what results folders say, as Markdown and as a page that is complete in itself."""

import base64
import json
from html.parser import HTMLParser

import pytest

from ntk_rnn.reproduction import html_page, report, results
from ntk_rnn.reproduction.claims import Claim, Number

CONFIG = {
    "study": "fig2", "title": "", "preset": "smoke", "config": {"width": 8, "seeds": 1,
    "steps": [1, 2]}, "versions": {"ntk_rnn": "0.1", "jax": "1.0"}, "x64": True,
    "device": {"count": 2, "platform": "cpu", "kind": "cpu"}, "paper": ["n = 1000."],
    "choices": ["The loss is a sum."],
}  # fmt: skip
CLAIMS = [
    Claim("RNN < <b>convolution</b> | *n*", "1 +- 0.1", "below 2", "holds"),
    Claim("a_b_c _d_ (_e_) /_f_/g &lt; [x](y) `d` \\e", "3", "below 2", "does not hold"),
    Claim("widths ~2~ differ", "2", "within +-2", "cannot be told"),
]
NUMBERS = [Number("R^2", "0.72", "0.70 +- 0.01"), Number("gap", "", "0.1")]
PICTURE = b"\x89PNG not really"


class Page(HTMLParser):
    """The cells of tables, the addresses of pictures, and the tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells, self.pictures, self.ids = [], set(), [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag in ("td", "th"):
            self.cells.append("")
        if tag == "img":
            self.pictures.append(attributes["src"])
        elif tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


@pytest.fixture
def out(tmp_path):
    with results.replacing(tmp_path, "fig2") as folder:
        results.write(folder, CONFIG, {}, [{"seed": 0}], CLAIMS, NUMBERS)
        (folder / "figure.png").write_bytes(PICTURE)
    return tmp_path


def test_report_of_what_is_there(out):
    (out / "fig1").mkdir()  # of a run that has not finished
    entries = report.write(out, {"kernels": "no *stars*; look up", "fig4": "no *stars*; look up"})
    runs = {entry.study.name: entry.run for entry in entries}
    assert runs["fig2"] == "smoke, 1 seed" and runs["fig1"] == "not run"
    assert runs["kernels"] == "left out"
    text = (out / "report.md").read_text()
    assert "| [fig2](#fig2) |" in text and "| smoke, 1 seed | 1 | 1 | 1 |" in text
    assert "| kernels |" in text and "| left out |  |  |  |" in text
    assert "kernels, fig4 left out: no \\*stars\\*; look up\n" in text
    assert text.count("## fig") == 1 and "![fig2: " in text and "](fig2/figure.png)" in text
    assert "| quantity | paper | here |" in text
    assert "| R^2 | 0.72 | 0.70 ± 0.01 |" in text and "| gap |  | 0.1 |" in text
    assert "| **does not hold** |" in text and "| *cannot be told* |" in text
    assert (
        "- smoke: width = 8, seeds = 1, steps = 1 2\n- ntk_rnn 0.1, jax 1.0; 2 x cpu (cpu), float64"
        in text
    )
    assert "- n = 1000." in text and "- The loss is a sum." in text


@pytest.mark.parametrize("preset", ["paper", "smoke"])
def test_what_does_not_hold_is_on_the_first_page(out, preset):
    config = json.loads((out / "fig2" / "config.json").read_text()) | {"preset": preset}
    (out / "fig2" / "config.json").write_text(json.dumps(config))
    report.write(out, {})
    first = (out / "report.md").read_text().split("\n## ")[0]
    (wrong,) = [claim for claim in CLAIMS if claim.verdict == "does not hold"]
    assert (f"- fig2: {report.plain(wrong.statement)}: " in first) == (preset == "paper")
    assert sum(line.startswith("- ") for line in first.splitlines()) == (preset == "paper")


def test_numbers_of_which_the_paper_prints_none_have_no_column_for_it(tmp_path):
    with results.replacing(tmp_path, "fig2") as folder:
        results.write(folder, CONFIG, {}, [{"seed": 0}], CLAIMS, [Number("gap", "", "0.1")])
        (folder / "figure.png").write_bytes(PICTURE)
    report.write(tmp_path, {})
    text = (tmp_path / "report.md").read_text()
    assert "| quantity | here |" in text and "| gap | 0.1 |" in text


def test_page_is_complete_and_says_what_was_said(out):
    report.write(out, {})
    text = (out / "report.html").read_text()
    parsed = Page(text)
    assert not parsed.tags & {"script", "link", "b", "a_b_c"} and "http" not in text
    (source,) = parsed.pictures
    kind, data = source.split(",")
    assert kind == "data:image/png;base64" and base64.b64decode(data) == PICTURE
    assert parsed.ids == ["fig2"] and 'href="#fig2"' in text
    for claim in CLAIMS:
        i = parsed.cells.index(claim.statement)
        assert parsed.cells[i - 1] == claim.verdict
        assert parsed.cells[i + 1 : i + 3] == [c.replace("+-", "±") for c in claim[1:3]]


def test_equal_folders_make_equal_reports(out):
    report.write(out, {})
    before = {name: (out / name).read_bytes() for name in ("report.md", "report.html")}
    for name in before:
        (out / name).unlink()
    (out / ".report.md.new").write_text("of a run that was killed")
    report.write(out, {})
    assert all((out / name).read_bytes() == text for name, text in before.items())
    assert sorted(path.name for path in out.iterdir()) == ["fig2", "report.html", "report.md"]


def test_html_in_markdown_is_shown_as_it_is():
    text = html_page.render("<title>", "## fig1\n\n<script>1</script> **bold**", {})
    assert Page(text).ids == ["fig1"] and "&lt;script&gt;" in text and "<strong>bold" in text
    assert "<title>&lt;title&gt;</title>" in text


# Markdown and HTML for all that a results folder can name, and a picture of the machine.
MARKED = (
    "![p]({}) <img src=x> <script>1</script> **b** `c` [l](http://x) | a\n\n# heading\n\n- item"
)


def pieces(text):
    """The tags of a page, how often each, and its pictures."""
    page = Page(text)
    return {tag: text.count(f"<{tag}") for tag in page.tags}, page.pictures


@pytest.mark.parametrize("start", ["", "# ", "- ", "+ ", "= ", "1. ", "12) ", "    ", "> "])
def test_nothing_that_a_folder_says_is_markup(out, tmp_path, start):
    path = out / "fig2" / "config.json"
    path.write_text(json.dumps(CONFIG | {"preset": "custom"}))
    report.write(out, {})
    expected = pieces((out / "report.html").read_text())
    picture = tmp_path / "private.png"
    picture.write_bytes(b"\x89PNG of the user")
    bad = start + MARKED.format(picture)
    marked = CONFIG | {
        "title": bad, "preset": bad, "paper": [bad], "choices": [bad],
        "config": CONFIG["config"] | {bad: bad, "steps": [bad, bad]},
        "versions": {"ntk_rnn": bad, bad: bad},
        "device": {"count": 2, "platform": bad, "kind": bad},
    }  # fmt: skip
    path.write_text(json.dumps(marked))
    report.write(out, {})
    assert pieces((out / "report.html").read_text()) == expected
    assert base64.b64encode(picture.read_bytes()) not in (out / "report.html").read_bytes()


def test_only_pictures_that_are_given_are_embedded(tmp_path):
    (tmp_path / "a.png").write_bytes(PICTURE)
    markdown = f"![a](a.png) ![b]({tmp_path}/a.png) ![c](../a.png)"
    page = Page(html_page.render("t", markdown, {"a.png": PICTURE}))
    data = base64.b64encode(PICTURE).decode()
    assert page.pictures == [f"data:image/png;base64,{data}", *["data:image/png;base64,"] * 2]


def deep(levels):
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "text",
    [
        *(json.dumps(CONFIG | {name: 3}) for name in CONFIG),
        *(json.dumps(CONFIG | {name: {}}) for name in ("device", "versions", "config")),
        json.dumps(CONFIG | {"paper": "a"}),
        json.dumps(CONFIG | {"paper": ["a", 3]}),
        json.dumps(CONFIG | {"config": {"seeds": "a"}}),
        json.dumps(CONFIG | {"config": {"seeds": 1, "width": {"a": 1}}}),
        json.dumps(CONFIG | {"config": {"seeds": 1, "width": [[1]]}}),
        json.dumps(CONFIG).replace('"n = 1000."', deep(500)),
        json.dumps(CONFIG).replace('"n = 1000."', deep(100_000)),
        deep(100_000),
        "9" * 10_000,
    ],
)
def test_a_record_of_other_types_is_of_no_finished_run(out, text):
    assert report.write(out, {})[1].run == "smoke, 1 seed"
    (out / "fig2" / "config.json").write_text(text)
    assert report.write(out, {})[1].run == "not run"
