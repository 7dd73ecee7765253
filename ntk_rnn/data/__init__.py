"""Data: synthetic teachers, recordings of macaque cortex, and one's own recordings."""

from ntk_rnn.data.any_file import from_file
from ntk_rnn.data.channels import Channel
from ntk_rnn.data.macaque import S1, DataUnavailable, s1
from ntk_rnn.data.own_recordings import from_arrays, from_csv
from ntk_rnn.data.recordings import Recording
from ntk_rnn.data.synthetic import add_noise, delay, teacher
from ntk_rnn.data.units import Units, training_units
from ntk_rnn.data.windows import Windows, chronological_split, piece_starts, window_starts

__all__ = [
    "S1",
    "Channel",
    "DataUnavailable",
    "Recording",
    "Units",
    "Windows",
    "add_noise",
    "chronological_split",
    "delay",
    "from_arrays",
    "from_csv",
    "from_file",
    "piece_starts",
    "s1",
    "teacher",
    "training_units",
    "window_starts",
]
