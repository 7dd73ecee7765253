"""Kernel regression: gradient descent in closed form, at any step, without a training loop."""
