"""``python -m ntk_rnn``: the command line, where the ``ntk-rnn`` script is not on the path."""

from ntk_rnn.cli import run

if __name__ == "__main__":
    run()
