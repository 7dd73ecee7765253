r"""Own model: neural tangent kernels of any network.

A model is a function `apply_fn(params, x)` or a Flax module. `params` is any pytree of floating
arrays, and sequences, along the first axis of `x`, must not depend on each other (no batch
normalization).

>>> import jax
>>> import jax.numpy as jnp
>>> import numpy as np
>>> import ntk_rnn as nr
>>> def perceptron(params, x):
...     hidden = jnp.tanh(jnp.einsum("ntq,qk->ntk", x, params["inner"], precision="highest"))
...     return jnp.einsum("ntk,kp->ntp", hidden, params["outer"], precision="highest")
>>> keys = jax.random.split(jax.random.key(0), 3)
>>> params = {
...     "inner": jax.random.normal(keys[0], (2, 16)),
...     "outer": jax.random.normal(keys[1], (16, 1)) / 4,
... }
>>> x = jax.random.normal(keys[2], (3, 5, 2))

Its kernel $K(x, x') = J(x) J(x')^\top$, $J = \partial f / \partial \theta$, averaged over
outputs:

>>> K = nr.empirical_ntk(perceptron, params, x)
>>> K.shape
(3, 3, 5, 5)

For networks whose Jacobian is too large, the same kernel by sampling, with the standard error of
each entry:

>>> estimate, error = nr.monte_carlo_ntk(perceptron, params, x, None, jax.random.key(1), 1000)
>>> bool(np.all(np.abs(estimate - K) < 6 * error))
True

## Which one

- `ntk_rnn.analytic_ntk`: the linear RNN of infinite width, from its lag weights.
- `ntk_rnn.finite_width_gram`: the linear RNN at any width, exactly. It is the fastest for linear
  RNNs, because it differentiates the network once, and not once for each sequence.
- `ntk_rnn.empirical_ntk`: any network, exactly, by neural-tangents. Memory grows with the number
  of parameters times `N T n_y`; `batch_size=` bounds `N`.
- `ntk_rnn.monte_carlo_ntk`: any network, with a standard error that falls as one over the root of
  the number of samples. No Jacobian is formed.

## Recurrent networks step by step

`implementation="structured_derivatives"` is the fastest for networks that use each parameter a
few times, and slow for those that use one at every step of time; leave the default there.

## Save and load

`flax.serialization` writes the parameters of any model as bytes, and reads them into parameters of
the same structure:

>>> import flax.serialization
>>> saved = flax.serialization.to_bytes(params)  # for a file: path.write_bytes(saved)
>>> loaded = flax.serialization.from_bytes(params, saved)
>>> np.array_equal(perceptron(loaded, x), perceptron(params, x))
True

During a run, `checkpoint=` of `ntk_rnn.train` saves them by itself (`ntk_rnn.guide.long_runs`).

## Training

`ntk_rnn.gradient_descent`, `ntk_rnn.train`, `ntk_rnn.max_learning_rate` and `ntk_rnn.ensemble`
take any such model. A model that is causal and linear in its inputs may be trained on data
compressed by `ntk_rnn.compress`; a probe finds out whether it is, and other models are refused. To
see how far training leaves the kernel regime, compare `ntk_rnn.empirical_ntk` at the start and
at the end; for the linear RNN `kernel_drift=True` records it at every step.
"""
