"""Interrupts, and the bar on a terminal."""

import math
import os
import pty
import select
import signal

import pytest

from ntk_rnn import _terminal
from ntk_rnn._terminal import interrupts, progress_bar


@pytest.fixture(autouse=True)
def _handler(interruptible):
    """Ctrl-C raises KeyboardInterrupt, also where the suite is run in the background."""


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_first_interrupt_is_a_request_and_the_second_one_raises():
    before = signal.getsignal(signal.SIGINT)
    with interrupts(at_once=False) as asked:
        assert not asked()
        interrupt()
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_at_once_raises_and_is_noted():
    with interrupts(at_once=True) as asked:
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert asked()


def test_an_inner_request_is_noted_by_the_blocks_around_it():
    """As of training in a study: the study must not go on with a path that has been cut short."""
    with interrupts(at_once=True) as outer:
        with interrupts(at_once=False) as inner:
            interrupt()
            assert inner()
        assert outer()
        with interrupts(at_once=False) as later:
            assert not later()


def test_bar_is_drawn_on_a_terminal_and_gone_when_it_ends(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    control, end = pty.openpty()
    with open(end, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        with progress_bar("steps", 10, patience=0.0) as show:
            show(3, "loss 0.5")
        with progress_bar("steps", 10, patience=math.inf) as show:  # work that ends before
            show(10)
        with progress_bar("steps", 10, wanted=False, patience=0.0) as show:
            show(10)
    drawn = os.read(control, 100_000).decode()
    os.close(control)
    assert "3/10" in drawn and "steps" in drawn and "loss 0.5" in drawn and "10/10" not in drawn
    assert drawn.endswith("\x1b[2K")  # the line is cleared


def test_a_bar_says_nothing_that_is_not_known(monkeypatch):
    """How many there are, how fast they are done, and how long that will take."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    clock = iter(range(100))
    monkeypatch.setattr(_terminal.time, "perf_counter", lambda: next(clock))
    control, end = pty.openpty()
    read = b""
    with open(end, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        with progress_bar("units", None, patience=0.0) as show:
            show(0, "loading")
        with progress_bar("steps", 4000, patience=0.0) as show:
            show(1000)  # a run that goes on from there
            show(1010, "loss 0.5")
        stderr.flush()
        while select.select([control], [], [], 0)[0]:  # some of it at a time
            read += os.read(control, 100_000)
    drawn = read.decode()
    os.close(control)
    assert "0 units, loading" in drawn
    assert "1010/4000 steps, loss 0.5, 10 steps/s, 0:04:59 left" in drawn
    assert "?" not in drawn.replace("\x1b[?25", "") and "-:--:--" not in drawn


def test_no_bar_where_stderr_is_not_a_terminal(capsys):
    with progress_bar("steps", None, patience=0.0) as show:
        show(1, "loss 0.5", total=2)
    assert capsys.readouterr().err == ""
