"""Every result of the paper as a numerical check of a few seconds (``ntk-rnn theory``).

Each module checks the results of one kind; :mod:`~ntk_rnn.reproduction.checks.catalogue` lists them
all. The tests of the suite are more thorough; these show a reader what each result says and how
well it holds, where it can be changed and tried.
"""
