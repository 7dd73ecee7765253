"""The checks of arguments that several rooms share."""

import numpy as np
import pytest

from ntk_rnn import _checks


@pytest.mark.parametrize("matrix", [[[1, 0], [0, -1]], [[1, 1], [0, 0]]])
def test_semidefinite_matrices_may_be_a_thousandth_off(matrix):
    """Beside the largest eigenvalue, in the smallest one or in the asymmetry; axes may be split."""
    for size in (1.0, 1e6):
        for shape in ((3, 3), (3, 1, 3, 1)):
            given = np.diag([size, 0, 0])
            given[1:, 1:] = 0.9e-3 * size * np.array(matrix)
            _checks.symmetric_semidefinite("kernel", given.reshape(shape))
            given[1:, 1:] = 1.1e-3 * size * np.array(matrix)
            with pytest.raises(ValueError, match=r"kernel must be symmetric .*; ask for another"):
                _checks.symmetric_semidefinite("kernel", given.reshape(shape), "ask for another")
