r"""Long runs: mini-batches, checkpoints, interruptions and ensembles.

`ntk_rnn.gradient_descent` is one compiled loop on all data, which can itself be compiled,
differentiated and batched. `ntk_rnn.train` is for long runs: it takes the same steps in compiled
chunks of about half a second, between which it can report progress, write checkpoints and be
interrupted. Both return a `ntk_rnn.TrainingPath`.

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
- The limit of infinite width needs no steps at all: `ntk_rnn.kernel_regression` computes the loss
  at step 1,000,000 as fast as that at step 1.
- `ntk_rnn.max_learning_rate` gives the largest stable rate. A larger rate is refused where that
  can be seen at the start. A run whose loss turns non-finite ends one step before, with a warning
  that names the largest stable rate, and returns the path up to there.

## Checkpoints and Ctrl-C

```python
path = nr.train(model, params, (x, y), steps=100_000, learning_rate=1e-4,
                checkpoint="runs/wide", progress=True)
```

With `checkpoint=` a run writes its state about every minute, or every `checkpoint_every` steps.
After an interruption of any kind, `kill -9` included, the same call continues from the newest
state and gives the same bits as a run that was never interrupted. The last three states are kept;
a damaged one is moved aside, and the one before it is used. A folder that belongs to other data,
another optimizer or another width is refused.

Ctrl-C ends a run after the current chunk: the path so far is returned, with a warning that says
how to continue. A second Ctrl-C ends it at once.

`optimizer=` takes any optimizer of optax in place of `learning_rate=`, and `learning_rate=` any
schedule of optax.

## Ensembles

Many runs that differ in seeds, variances or learning rates are one batched computation:
`ntk_rnn.ensemble` compiles the run once and makes as many at a time as fit into memory. Pass as
arrays whatever differs between runs.

## Kernels larger than memory

`ntk_rnn.write_ntk` writes a kernel to a file, block by block, and continues where it was
interrupted.
"""
