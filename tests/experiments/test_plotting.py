"""The kinds of plot that figures are made of."""

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
