"""Data: synthetic teachers."""

from ntk_rnn.data.synthetic import add_noise, delay, teacher

__all__ = ["add_noise", "delay", "teacher"]
