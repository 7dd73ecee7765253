"""Functions of symmetric matrices, with derivatives where eigenvalues coincide.

The derivative of eigenvectors has the factors ``1 / (lambda_i - lambda_j)``, which are infinite
where eigenvalues coincide. The function of the matrix has a derivative there all the same, in which
divided differences stand for these factors (Daleckii and Krein): with ``M = V diag(lambda) V^T``
``d f(M) = V (Gamma * V^T dM V) V^T``, ``Gamma_ij = (f_i - f_j) / (lambda_i - lambda_j)``, and
``f'`` where the two are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from ntk_rnn._namespace import einsum
from ntk_rnn._types import AnyArray


@jax.custom_jvp
def with_derivative_of(value: Any, other: Any) -> Any:
    """``value``, which equals ``other`` but for rounding, with the derivative of ``other``."""
    return value


@with_derivative_of.defjvp
def _with_derivative_of_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    return with_derivative_of(*primals), tangents[1]


@jax.custom_jvp
def eigen_of_diagonal(
    matrix: Float[AnyArray, "k k"],
) -> tuple[Float[AnyArray, " k"], Float[AnyArray, "k k"]]:
    """Eigenvalues and eigenvectors of a matrix that is diagonal, but whose changes need not be."""
    return jnp.diagonal(matrix), jnp.eye(len(matrix), dtype=matrix.dtype)


@eigen_of_diagonal.defjvp
def _eigen_of_diagonal_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    eigenvalues, basis = eigen_of_diagonal(*primals)
    change = _in_basis(basis, *tangents)
    gaps = eigenvalues[None, :] - eigenvalues[:, None]
    # Infinite where eigenvalues coincide, which only second derivatives of functions see.
    turn = jnp.where(jnp.eye(len(basis), dtype=bool), 0, change / gaps)
    return (eigenvalues, basis), (jnp.diagonal(change), einsum("ij,jk->ik", basis, turn))


def _in_basis(
    basis: Float[AnyArray, "k k"], matrix: Float[AnyArray, "k k"]
) -> Float[AnyArray, "k k"]:
    return einsum("ia,ij,jb->ab", basis, matrix, basis)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def function_times(
    function: Callable[[Float[AnyArray, " k"], Any], Float[AnyArray, "*batch k"]],
    matrix: Float[AnyArray, "k k"],
    vectors: Float[AnyArray, "k b"],
    options: Any,
) -> Float[AnyArray, "*batch k b"]:
    """``f(M) u`` for a symmetric ``M`` that is diagonal, but whose changes need not be.

    Its first derivatives are right at any eigenvalues, the further ones where these are distinct
    (elsewhere they are NaN).

    Args:
      function: ``f``, of eigenvalues and ``options``, an element at a time.
      matrix: ``M``.
      vectors: ``u``.
      options: a pytree of what else ``f`` depends on.
    """
    eigenvalues, _ = eigen_of_diagonal(matrix)
    return einsum("...k,kb->...kb", function(eigenvalues, options), vectors)


@function_times.defjvp
def _function_times_jvp(function: Any, primals: Any, tangents: Any) -> tuple[Any, Any]:
    matrix, vectors, options = primals
    d_matrix, d_vectors, d_options = tangents
    eigenvalues, basis = eigen_of_diagonal(matrix)
    change, rotated = _in_basis(basis, d_matrix), einsum("ia,ib->ab", basis, vectors)
    f, slope = jax.jvp(
        lambda values: function(values, options), (eigenvalues,), (jnp.ones_like(eigenvalues),)
    )
    _, by_options = jax.jvp(lambda o: function(eigenvalues, o), (options,), (d_options,))
    # Where eigenvalues nearly coincide, the mean of both slopes stands for the divided difference.
    # At this distance the error of the one and the rounding of the other are alike.
    gaps = eigenvalues[:, None] - eigenvalues[None, :]
    sizes = jnp.maximum(jnp.abs(eigenvalues)[:, None], jnp.abs(eigenvalues)[None, :])
    close = jnp.abs(gaps) <= jnp.finfo(gaps.dtype).eps ** (1 / 3) * sizes
    apart = jnp.where(close, 0, change / jnp.where(close, 1, gaps))
    near = jnp.where(close, change / 2, 0)
    moved = (
        einsum("...i,ij,jb->...ib", f, apart, rotated)
        - einsum("ij,...j,jb->...ib", apart, f, rotated)
        + einsum("...i,ij,jb->...ib", slope, near, rotated)
        + einsum("ij,...j,jb->...ib", near, slope, rotated)
        + einsum("...i,ib->...ib", by_options, rotated)
        # Written out, because JAX drops the rules of functions of tangents in reverse mode.
        + einsum("...i,ib->...ib", f, einsum("ia,ib->ab", basis, d_vectors))
    )
    value = function_times(function, matrix, vectors, options)
    return value, einsum("ai,...ib->...ab", basis, moved)


@jax.custom_jvp
def symmetric_root(matrix: Float[AnyArray, "d d"]) -> Float[AnyArray, "d d"]:
    """The root ``S`` with ``S S = M`` of a positive semi-definite ``M``; see ``root_factors``."""
    roots, vectors = root_factors(matrix)
    return einsum("ik,k,jk->ij", vectors, roots, vectors)


@symmetric_root.defjvp
def _symmetric_root_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    """``S dS + dS S = dM``, along the eigenvalues that are not 0, or one of which is not."""
    (matrix,), (d_matrix,) = primals, tangents
    roots, vectors = root_factors(matrix)
    sums = roots[:, None] + roots[None, :]
    change = _in_basis(vectors, (d_matrix + d_matrix.T) / 2)
    change = jnp.where(sums > 0, change / jnp.where(sums > 0, sums, 1), 0)
    return symmetric_root(matrix), einsum("ia,ab,jb->ij", vectors, change, vectors)


def root_factors(
    matrix: Float[AnyArray, "d d"],
) -> tuple[Float[AnyArray, " d"], Float[AnyArray, "d d"]]:
    """Roots of eigenvalues, rising, and eigenvectors; eigenvalues that are rounding count as 0."""
    values, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2)
    rounding = len(matrix) * jnp.finfo(matrix.dtype).eps * jnp.max(jnp.abs(values))
    kept = values > rounding
    return jnp.where(kept, jnp.sqrt(jnp.where(kept, values, 1)), 0), vectors
