"""The reproduction of the paper, which the command line runs.

- `studies`: a module for each figure and table. Its functions are pure (see
  :class:`~ntk_rnn.reproduction.registry.StudyModule`): ``run`` computes arrays, and ``metrics``,
  ``numbers``, ``claims`` and ``plot`` read them, so that a table or a figure can be made again from
  what a run has saved.
- `checks`: a numerical check for each result.
- `claims`, `averages`, `verdicts`: what studies claim, tested over seeds.
- `runs`, `results`, `report`: a run, the folder that it writes, and the report of all folders.
"""
