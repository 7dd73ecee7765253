"""The kinds of plot that figures are made of."""

import matplotlib
import numpy as np

from ntk_rnn import plotting


def test_bands_are_median_and_quartiles():
    samples = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0], [5.0, 10.0]])
    _, (ax, other) = plotting.panels(2)
    plotting.bands(ax, np.arange(2), samples, "five")
    assert ax.lines[0].get_ydata().tolist() == [3.0, 6.0]
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.min() == 2.0 and heights.max() == 8.0
    plotting.bands(other, np.arange(2), samples[:1], "one")
    assert not other.collections


def test_rows_of_panels_follow_each_other(tmp_path):
    fig, axes = plotting.panels(3, rows=2, width=2.0, height=1.5)
    assert fig.get_size_inches().tolist() == [6.0, 3.0]
    place = [ax.get_subplotspec() for ax in axes]
    assert [(p.rowspan.start, p.colspan.start) for p in place] == [
        (row, column) for row in range(2) for column in range(3)
    ]
    plotting.save(fig, tmp_path, "six")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["six.pdf", "six.png"]


def test_equal_figures_are_equal_files(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        fig, (ax,) = plotting.panels(1)
        ax.plot([0, 1], [1, 2])
        plotting.save(fig, folder)
    for name in ("figure.png", "figure.pdf"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / "figure.png").read_bytes()[:4] == b"\x89PNG"
    pdf = (tmp_path / "a" / "figure.pdf").read_bytes()
    assert pdf[:5] == b"%PDF-" and b"Date" not in pdf
    # Fonts are embedded, as TrueType, and no setting is left behind.
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    assert matplotlib.rcParams["pdf.fonttype"] == matplotlib.rcParamsDefault["pdf.fonttype"]


def test_one_legend_below_all_panels():
    fig, axes = plotting.panels(2)
    axes[0].plot([0, 1], label="both")
    axes[1].plot([0, 1], label="both")
    plotting.points(axes[1], np.arange(2), np.ones((3, 2)), "one")
    plotting.legend_below(fig, axes, plotting.over_seeds("medians", 3), 2)
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == ["both", "one"]
    assert legend.get_title().get_text() == "medians of 3 seeds"
    assert plotting.over_seeds("medians", 1) == "one seed"


def test_a_tick_at_each_width():
    _, (ax,) = plotting.panels(1)
    ax.plot([10, 300], [1e-3, 1e-1])
    plotting.against_width(ax, np.array([10, 300]), (1, 3))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "300"]
    assert not ax.get_xticks(minor=True).size and not ax.get_yticks(minor=True).size
    assert set(np.round(ax.get_yticks(), 6)) >= {0.001, 0.003, 0.01, 0.03, 0.1}
