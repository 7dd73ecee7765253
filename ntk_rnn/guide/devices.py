r"""Several devices: the rows of `W` and the sequences of a data set, split over a mesh.

The functions of this library are the same on one device and on many. You decide once how arrays
are split, by placing them, and JAX compiles the exchanges between devices:

>>> import jax
>>> import ntk_rnn as nr
>>> num = len(jax.devices())
>>> mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
>>> x, y = nr.data.teacher(jax.random.key(0), 4 * num, 5)
>>> model = nr.LinearRNN(width=8 * num, out_dim=1)
>>> params = nr.shard_params(model.init(jax.random.key(1), x), mesh)  # W by rows, 8 on each
>>> x, y = nr.shard_sequences((x, y), mesh)  # 4 sequences on each
>>> nr.impulse_response(params, 5).shape  # as on one device, and so are kernels and training
(5, 1, 1)

No device ever holds all of `W`, neither in the chains of the impulse response nor in a training
step: devices exchange arrays of the size of a chain, $T n \min(n_x, n_y)$. At $n = 2048$ each of
eight devices keeps 2.1 of the 17 MB of `W`, and a training step takes 2.2 MB more. A `W` that is
too large for one device can be drawn in parts, each on its device:

```python
init = jax.jit(lambda key: nr.shard_params(model.init(key, x), mesh))
params = init(jax.random.key(1))
```

This holds for `evaluation="impulse"`, which `"auto"` chooses for all but few or short sequences.
With `"scan"`, which goes step by step through time, a device may have to gather `W`, unless the
sequences and the rows of `W` lie along different axes of the mesh:

```python
mesh = jax.sharding.Mesh(np.reshape(jax.devices(), (2, 4)), ("data", "width"))
params = nr.shard_params(params, mesh, axis="width")
x, y = nr.shard_sequences((x, y), mesh, axis="data")
```

`ntk_rnn.empirical_ntk` gives the same numbers on split arrays, but gathers Jacobians, of the size
of all parameters for every sequence and time: `ntk_rnn.finite_width_gram` does not.

## Several hosts

Start the same script on each host. Every process makes the same arrays (drawn from the same seed
or read from the same file), and keeps its part of them:

```python
from jax.experimental.multihost_utils import process_allgather

jax.distributed.initialize("host0:1234", num_processes=2, process_id=rank)  # first of all
mesh = jax.sharding.Mesh(jax.devices(), ("devices",))  # the devices of all hosts
params, data = nr.shard_params(params, mesh), nr.shard_sequences((x, y), mesh)
train = jax.jit(lambda p, d: nr.gradient_descent(model, p, d, steps=9, learning_rate=1e-4))
path = train(params, data)
response = process_allgather(path.impulse_response, tiled=True)  # whole, on every host
```

On a cluster that Slurm, Open MPI or Kubernetes manages, and on Cloud TPUs,
`jax.distributed.initialize()` finds the arguments itself. No process can read the entries of
arrays that are spread over all of them. So use `jax.jit` for calls that take such arrays, as here,
which leaves out the checks of entries, and let `process_allgather` fetch the parts of a result.
`ntk_rnn.compress_shards` compresses each part of a data set on its own process. All processes must
make the same calls in the same order.

To try this, two processes on one computer are enough: pass `"localhost:1234"`, and set
`JAX_PLATFORMS=cpu`. With `XLA_FLAGS=--xla_force_host_platform_device_count=8` in the environment,
one process has eight devices that are parts of a CPU. On the CPUs of several processes, leave JAX's
compilation cache off (`JAX_ENABLE_COMPILATION_CACHE=false` if `JAX_COMPILATION_CACHE_DIR` is set):
with jaxlib 0.10 a program that comes from it may mix up what processes send, and is then wrong.
"""
