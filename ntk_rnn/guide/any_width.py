r"""Any width: training in the subspace that gradients reach, with a `W` that is never formed.

**The idea.** By eq. 9 the impulse response of a linear RNN is `L_j = A_a (W / sqrt(n)) B_b` for any
`a + b = j - 1`, with the two chains `A_a = C (W / sqrt(n))^a` and `B_b = (W / sqrt(n))^b F`. The
gradient with respect to `W` is a sum of products `A_a^T g B_b^T`. So gradient descent, also with
momentum and on mini-batches, changes `W` only in the span of what the chains reach, whose dimension
`r` is a few dozen and does not grow with the width. With an orthonormal basis `P (n, r)` of it, and
`Y = W^0 P / sqrt(n)` and `Z = W^0^T P / sqrt(n)`, the network that is trained is the small one of
`P^T W P`, `P^T F` and `C P`. A step costs `O(T r^2)`, whatever `n` is, in place of `2 T` products
with `W`.

**What leaves the subspace is known.** `P` begins as the span of both chains before training. For a
vector `P b` of a chain, `|(I - P P^T) W^0 P b|^2 / n = b^T (Y^T Y - w^T w) b` with `w = P^T Y`.
Where this leak, relative to the start of the chain, passes a tolerance, the directions that most of
it goes to are added to `P`, at the price of two products with `W^0` for each. Most are found before
the course, which is explored in a few large steps; where the subspace has to grow in the course, it
is taken again from the start. What is missed of the impulse response is a product of a leak of one
chain and a leak of the other, so the error falls as the square of the tolerance. The square of a
leak holds half of the digits, so a tolerance is at least three roots of the unit of rounding.

>>> import jax
>>> import ntk_rnn as nr
>>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
>>> model = nr.LinearRNN(width=300, out_dim=1)
>>> params = model.init(jax.random.key(1), x)
>>> path = nr.subspace_descent(
...     params, (x, y), steps=100, learning_rate=1e-3, record_at=[0, 100], certify_at=[100]
... )
>>> full = nr.gradient_descent(
...     model, params, (x, y), steps=100, learning_rate=1e-3, record_at=[0, 100]
... )
>>> gap = abs(path.impulse_response[-1] - full.impulse_response[-1]).max()
>>> bool(gap < 1e-3 * abs(full.impulse_response[-1] - full.impulse_response[0]).max())
True

**A certificate.** With `certify_at` the whole network is evaluated at the same parameters, by
products with `W`, and its impulse response and gradient are compared with the small ones.

>>> bool(path.certificate.impulse_response[0] < 1e-3)
True

The parameters at the end are those at the start and a change of low rank; `path.params.dense()`
adds them up. Adam and other optimizers that are not linear in the gradients leave the subspace at
their first step: train with `gradient_descent` or `train` there.

**Without `W`.** The subspace needs `W^0` through `W^0 P` and `W^0^T P` alone, and those of a
Gaussian matrix can be drawn without it, exactly in law, by the conditioning of Appendix C
(eqs. 77-79): for a new unit vector `v` orthogonal to `P`,
`W^0 v / sqrt(n) = P (Z^T v) + (I - P P^T) g` with a fresh `g ~ N(0, nu_W / n)`, and likewise for
the transpose. `wide_rnn` is such a network. Its `W` would take 40 GB here, and 4 TB at a width of a
million. Over several devices, rows of all that it knows are split by `shard_params`.

>>> wide = nr.wide_rnn(jax.random.key(2), width=100_000, in_dim=1, out_dim=1)
>>> wide = wide.with_chains(seq_len=5)
>>> L, gram = nr.impulse_response(wide, 5), nr.finite_width_gram(wide, 5)
>>> path = nr.subspace_descent(wide, (x, y), steps=100, learning_rate=1e-3, record_at=[0, 100])
>>> path.rank < 50
True

It is pure: a question returns its answer with a network that remembers it, or, as here, functions
ask for what they need and forget it. The kernel of a `wide_rnn` is exact by
`finite_width_gram(wide, T).ntk(x)`, so there is nothing to sample for `monte_carlo_ntk`.

**Memory and time.** There are three panels of `n` rows and 32 or 64 columns, and as much again
while they grow; `F`, `C` and all else is small beside them. A width of 1,000,000 takes 1.7 GB in
float32 and, measured on two cores in use by others, 100 seconds for 1000 steps of the problem of
Fig. 1, nearly all of it for the basis. On paper, memory and time are proportional to `n`: with rows
split over 8 devices, a width of 10^7 takes about 2 GB a device, and one of 10^8 about 20 GB; a
growth of the basis, which reads the panels some twenty times, takes 0.4 GB * 20 of memory traffic
a device at 10^7, that is milliseconds at 2 TB/s, and ten times that at 10^8. Steps in the small
space take the same time at all widths.

Sources: Y. M. Lu, Householder dice: a matrix-free algorithm for simulating dynamics on Gaussian and
random orthogonal ensembles, IEEE Transactions on Information Theory, 2021; M. Bayati and
A. Montanari, The dynamics of message passing on dense graphs, with applications to compressed
sensing, IEEE Transactions on Information Theory, 2011.
"""
