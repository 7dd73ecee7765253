r"""Long runs: mini-batches, checkpoints, interruptions and ensembles.

`ntk_rnn.gradient_descent` is one compiled loop on all data, which can itself be compiled,
differentiated and batched. `ntk_rnn.train` is for runs that last: it takes the same steps in
compiled chunks of about half a second, and what can be done between chunks is on this page.
Either returns a `ntk_rnn.TrainingPath`.

>>> import jax
>>> import ntk_rnn as nr
>>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
>>> model = nr.LinearRNN(width=50, out_dim=1)
>>> params = model.init(jax.random.key(1), x)
>>> path = nr.train(
...     model, params, (x, y), epochs=3, batch_size=10, key=jax.random.key(2), learning_rate=1e-3
... )
>>> path.step.tolist()  # 2 steps an epoch, recorded where epochs begin
[0, 2, 4, 6]

## Cheaper steps first

- For a causal linear model and full batches, `ntk_rnn.compress` makes the data a triangle of
  $T n_x$ rows, and a step costs the same for any number of sequences. It takes a stream of
  batches as well, so the data need not fit into memory.
- The limit of infinite width needs no steps at all: `ntk_rnn.kernel_regression` has the loss at
  step 1,000,000 as soon as that at step 1.
- `ntk_rnn.max_learning_rate` says what is stable. A rate past it is refused where that can be
  seen at the start, and a run whose loss turns non-finite ends one step before, with a warning
  that names the largest stable rate. The path up to there is returned.

## Checkpoints and Ctrl-C

```python
path = nr.train(model, params, (x, y), steps=100_000, learning_rate=1e-4,
                checkpoint="runs/wide", progress=True)
```

With `checkpoint=` a run writes its state about every minute, or every `checkpoint_every` steps.
The same call goes on from the newest one, to the same bits as a run that was never interrupted,
after anything up to `kill -9`. The last three are kept; a damaged one is moved aside, and the one
before it is taken. Asked for with other data, another optimizer or another width, a folder is
refused rather than continued wrongly.

Ctrl-C ends a run after the chunk at hand: the path so far is returned, with a warning that says
how to go on. A second Ctrl-C ends it at once.

`optimizer=` takes any optimizer of optax in place of `learning_rate=`, and `learning_rate=` any
schedule of optax.

## Ensembles

Many runs that differ in seeds, variances or learning rates are one batched computation:
`ntk_rnn.ensemble` compiles the run once and makes as many at a time as fit into memory. What
differs between runs is passed as arrays.

## Kernels larger than memory

`ntk_rnn.write_ntk` writes a kernel to a file, block by block, and goes on where it was
interrupted.
"""
