"""Causal linear layers besides the linear RNN, each with its equation and its source."""
