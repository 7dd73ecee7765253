"""Gradient descent of a wide linear RNN in the subspace that gradients reach."""
