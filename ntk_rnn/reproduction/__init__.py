"""Experiments: the studies that the command line reproduces.

A study is a module of pure functions (see :class:`~ntk_rnn.reproduction.registry.StudyModule`):
``run`` computes arrays, and ``metrics``, ``claims`` and ``plot`` read them, so that a table or a
figure can be made again from what a run saved.
"""
