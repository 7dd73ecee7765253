"""Benchmarks against what a user would otherwise run: ``python -m benchmarks``.

A *case* is a list of *comparisons*, each of one size; a comparison has *contenders*, of which this
library is the first. What two of them compute is compared before either is timed.
"""
