r"""Coming from neural-tangents: the names that correspond, and the differences.

neural-tangents computes kernels of networks in general; this library computes those of linear
recurrent networks, and calls neural-tangents where a network is of another kind.

| neural-tangents | here |
| --- | --- |
| `empirical_ntk_fn(f)(x1, x2, params)` | `ntk_rnn.empirical_ntk(f, params, x1, x2)` |
| `NtkImplementation.STRUCTURED_DERIVATIVES` | `"structured_derivatives"`, or the same |
| `batch(kernel_fn, batch_size)` | `batch_size=` there; to a file, `ntk_rnn.write_ntk` |
| `stax`, `kernel_fn(x1, x2, "ntk")` | `ntk_rnn.analytic_ntk(x1, x2, rho)` |
| `predict.gradient_descent_mse(k, y)` | `ntk_rnn.kernel_regression(rho, (x, y))` |
| `linearize(f, params)`, trained | `ntk_rnn.kernel_regression(gram.dense(), (x, y))` |
| `monte_carlo_kernel_fn` | a loop over keys, `ntk_rnn.ensemble` |

`stax` has no recurrent layer; here the limit of infinite width comes from `ntk_rnn.lag_weights`.
`ntk_rnn.kernel_regression` takes the data and either these weights or the Gram matrix of
`ntk_rnn.finite_width_gram`, in place of a kernel on the data. `ntk_rnn.monte_carlo_ntk` has no
counterpart in neural-tangents: it samples directions in the parameters of one network.

## Conventions

- **Axes.** As in neural-tangents, `trace_axes=(-1,)` averages over outputs and gives
  `(N1, N2, T, T)`; with `trace_axes=()` the kernel is `(N1, N2, T, T, n_y, n_y)`, each axis of the
  output twice in a row.
- **Batches.** `vmap_axes=0` is always passed: sequences do not depend on each other. Without it
  neural-tangents differentiates the whole batch with respect to every output of it.
- **Parameters.** `LinearRNN` has the NTK parameterization, as `stax.Dense` with
  `parameterization="ntk"`: weights of variance `nu`, divided by $\sqrt n$ in the network. Note
  that `nu_w` is a variance, whereas `W_std` is a standard deviation.
- **Loss and time.** `gradient_descent_mse` descends $\tfrac12$ of the *mean* of squares. Its time
  $t$ with a learning rate $r$ is `time=r * t / y.size` here, for the sum loss, and
  `time=r * t / 2` with `loss="mean"`. Its steps are flow; here `step=, learning_rate=` are steps.
- **Precision.** Products have full float32 precision here on every accelerator, also within
  `ntk_rnn.empirical_ntk`.

## When which is faster

For a linear RNN, `ntk_rnn.empirical_ntk` and `ntk_rnn.finite_width_gram` give the same kernel.
Jacobians cost a pass through the network for each sequence, time and output; the chains of
`ntk_rnn.finite_width_gram` cost two passes, whatever the number of sequences. So the latter is
faster for every linear RNN, and its advantage grows with the number of sequences;
neural-tangents is for everything else. In a clone, `python -m benchmarks exact_ntk` measures this
on your machine, and checks that both give the same numbers.

## Versions

neural-tangents 0.6.5, its last release, does not import on JAX 0.6 or later. This library loads
it all the same, when an empirical kernel is first asked for, without changing JAX for anyone else;
`ntk-rnn doctor` says how it stands. From then on `neural_tangents.predict` works under `jax.jit`,
`jax.vmap` and `jax.grad` too, and with SciPy 1.14 and later. Everything else works without it.
"""
