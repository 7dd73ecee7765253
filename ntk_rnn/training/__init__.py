"""Gradient descent of models: one compiled loop, and what is around it."""
