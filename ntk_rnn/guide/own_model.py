r"""Own model: neural tangent kernels of any network.

A model is a function `apply_fn(params, x)` or a Flax module. `params` is any pytree of arrays, and
sequences, along the first axis of `x`, must not depend on each other (batch normalization by
running statistics only). Outputs are real; they may have another shape `(N, ...)` than the inputs,
as those of a model that says one thing about each sequence.

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

## What counts as a parameter

Kernels are over what is trained, and training moves nothing else:

- of a function's `params`: floating arrays, and complex ones by their real and imaginary parts;
  integers, booleans and random keys are held fixed;
- of what `init` of a Linen module returned: the collection `"params"`. Others, such as
  `batch_stats`, are held fixed, also for a function of variables that has the collections
  `"params"` and `"batch_stats"`, as `lambda v, x: net.apply(v, x, train=False)`;
- of the state of an NNX module: its `nnx.Param`.

What is held fixed comes back unchanged in the `params` of a path of training. So an NNX module goes
in with its state, and is put together again from the state that comes out. `ntk_rnn.functional`
gives both a function and the state at once. A module that changes its variables when it is called,
by dropout or batch normalization, is refused; `module.eval()` first makes it one that does not.

>>> from flax import nnx
>>> class Decoder(nnx.Module):
...     def __init__(self, rngs):
...         self.norm = nnx.BatchNorm(2, use_running_average=True, rngs=rngs)
...         self.readout = nnx.Linear(2, 1, rngs=rngs)
...     def __call__(self, x):
...         return self.readout(self.norm(x))
>>> decoder = Decoder(nnx.Rngs(0))
>>> graph, state = nnx.split(decoder)
>>> nr.empirical_ntk(decoder, state, x).shape
(3, 3, 5, 5)
>>> y = jnp.ones((3, 5, 1))
>>> path = nr.gradient_descent(decoder, state, (x, y), steps=10, learning_rate=1e-2)
>>> trained = nnx.merge(graph, path.params)
>>> bool(jnp.isclose(jnp.sum((trained(x) - y) ** 2) / 2, path.train_loss[-1]))
True

Modules of other libraries are functions of their own arrays, as `lambda p, x: eqx.combine(p,
static)(x)` with `p, static = eqx.partition(module, eqx.is_array)` for Equinox.

## Which one

- `ntk_rnn.analytic_ntk`: the linear RNN of infinite width, from its lag weights.
- `ntk_rnn.finite_width_gram`: the linear RNN at any width, exactly. It is the fastest for linear
  RNNs, because it differentiates the network once, and not once for each sequence.
- `ntk_rnn.layer_gram`: any causal linear layer, once for all sequences
  ([Own layer](own_layer.html)).
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

`ntk_rnn.gradient_descent`, `ntk_rnn.train`, `ntk_rnn.max_learning_rate` and `ntk_rnn.ensemble` take
any such model, with targets of the shape of its outputs. A model that is causal and linear in its
inputs may be trained on data compressed by `ntk_rnn.compress`; a probe finds out whether it is, and
other models are refused. To see how far training leaves the kernel regime, compare
`ntk_rnn.empirical_ntk` at the start and at the end; for the linear RNN `kernel_drift=True` records
it at every step.
"""
