"""Columns that say nothing of a response, and inputs that cannot be told apart."""

import re

import numpy as np
import pytest

import ntk_rnn as nr
from ntk_rnn.data.informative import check_informative

A, B, C = np.random.default_rng(0).normal(size=(3, 200))


def recording(tmp_path, columns):
    path = tmp_path / "r.csv"
    np.savetxt(
        path, np.stack(list(columns.values()), 1), delimiter=",", header=",".join(columns),
        comments="",
    )  # fmt: skip
    inputs = [name for name in columns if name != "y"]
    return nr.data.from_csv(path, inputs, "y")


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (C, []),
        (A, ["'c [V]' is .* of 'a [V]'"]),
        (3 - 7e-3 * B, ["'c [V]' is .* of 'b [V]'"]),
        (A + 2 * B - 5, ["'c [V]' is .* of 'a [V]', 'b [V]'"]),
        (A + 1e-5 * C, []),
    ],
)
def test_inputs_that_go_together_are_named(tmp_path, last, told):
    found = check_informative(recording(tmp_path, {"a [V]": A, "b [V]": B, "c [V]": last, "y": C}))
    assert len(found) == len(told)
    for sentence, parts in zip(found, told, strict=True):
        for part in parts.replace(" [V]", "").split(" .* "):
            assert part in sentence


@pytest.mark.parametrize("value", [0.0, -3.2e9, 0.1])
def test_columns_that_do_not_vary_are_refused(tmp_path, value):
    constant = np.full(200, value)
    with pytest.raises(ValueError, match=re.escape(f"'b' with {value:.6g} in all 200")):
        check_informative(recording(tmp_path, {"a": A, "b": constant, "y": C}))
    with pytest.raises(ValueError, match=re.escape(f"'y' with {value:.6g} in all 200")):
        check_informative(recording(tmp_path, {"a": A, "y": constant}))
    arrays = nr.data.from_arrays(np.stack([A, constant], 1), C)
    with pytest.raises(ValueError, match="inputs must vary, got 'input 2'"):
        check_informative(arrays)
