"""The studies of ``ntk-rnn reproduce``, each named after the figure or table that it is about."""
