"""Activations of recurrent networks, and their expectations over pairs of Gaussians.

What a wide network computes rests on two numbers for each pair of pre-activations ``(u, v)``, which
are Gaussian: ``V = E[phi(u) phi(v)]`` and ``D = E[phi'(u) phi'(v)]``. Some activations have them in
closed form; for all others an expansion in Hermite polynomials gives them, or, for tanh at large
variances, a mixture of error functions.
"""
