"""Checks of arguments, each raising an error that names the argument, the value and the remedy.

Each kind of value has one check, and the modules sort them by kind. Other rooms call all of them
through this package, as in ``_checks.integer("n", n)``.

Shapes and types are known while JAX traces, so they are always checked. Values are checked
where they are concrete; traced ones pass, so that checked functions can be compiled,
differentiated and batched.
"""

from ntk_rnn._checks.agreement import common_type, one_dtype, same, same_devices
from ntk_rnn._checks.arrays import (
    batch,
    computed,
    fitting,
    nonnegative,
    not_empty,
    numbers,
    real,
    unmasked,
)
from ntk_rnn._checks.data_sets import (
    both_sequences,
    data_set,
    inputs_and_targets,
    lengths,
    pair,
    sequences,
)
from ntk_rnn._checks.entries import finite, finite_leaves
from ntk_rnn._checks.inspection import is_traced, shown
from ntk_rnn._checks.matrices import semidefinite_error, symmetric_semidefinite
from ntk_rnn._checks.objects import function, number_type, path, random_key
from ntk_rnn._checks.responses import impulse_response, initial_response, weight_per_lag
from ntk_rnn._checks.scalars import flag, fraction, integer, number, one_of, positive, variance

__all__ = [
    "batch",
    "both_sequences",
    "common_type",
    "computed",
    "data_set",
    "finite",
    "finite_leaves",
    "fitting",
    "flag",
    "fraction",
    "function",
    "impulse_response",
    "initial_response",
    "inputs_and_targets",
    "integer",
    "is_traced",
    "lengths",
    "nonnegative",
    "not_empty",
    "number",
    "number_type",
    "numbers",
    "one_dtype",
    "one_of",
    "pair",
    "path",
    "positive",
    "random_key",
    "real",
    "same",
    "same_devices",
    "semidefinite_error",
    "sequences",
    "shown",
    "symmetric_semidefinite",
    "unmasked",
    "variance",
    "weight_per_lag",
]
