r"""Accelerators: GPU and TPU, precision, memory, and what to expect.

The library is written in JAX: the same code runs on a CPU, a GPU and a TPU, and by default on the
first accelerator that JAX finds. `ntk-rnn doctor` says which that is. In a clone, one of these
installs JAX's own builds for accelerators:

```bash
uv sync --extra cuda12     # NVIDIA, CUDA 12
uv sync --extra cuda13     # NVIDIA, CUDA 13
uv sync --extra tpu        # TPU
```

With pip it is `pip install ".[cuda12]"`. `JAX_PLATFORMS=cpu` in the environment selects the CPU.

## Precision

GPUs and TPUs round the inputs of a matrix product of float32 to fewer bits unless told otherwise:
enough to lose the small lags that this library is about. So every product here asks for
`precision="highest"`, and a result on an accelerator agrees with that of a CPU to the rounding of
float32. Your own networks run under the same setting in
`ntk_rnn.empirical_ntk`, `ntk_rnn.gradient_descent` and `ntk_rnn.train`.

In float32 the lags that weigh least are lost to rounding all the same. For $\nu_W = 0.3$,
$T = 40$ and 50 sequences of white noise, the relative error of $L_j$ that
`ntk_rnn.kernel_regression` has after 1000 to $10^6$ steps is

| lag $j$ | 0 | 16 | 18 | 20 | 22 | 24 and on |
| --- | --- | --- | --- | --- | --- | --- |
| float32 | 3e-6 | 3e-6 | 5e-4 | 4e-3 | 2e-2 | 1 |

After infinitely many steps, when all lags have been learned, the lost lags disturb the others as
well: the error is up to 0.1 at lag 0. With `on_host=True` it is below 1e-12 at every lag, and below
1e-7 for float32 data compressed before, which are rounded themselves.

For float64, set `JAX_ENABLE_X64=1` before Python starts, and pass float64 arrays. It is slow on
accelerators made for lower precision, and TPUs emulate it. If only the closed form needs it, pass
`on_host=True` to `ntk_rnn.kernel_regression`, which then computes in float64 on the CPU whatever
the setting.
`ntk_rnn.compress` always factorizes in float64 on the CPU.

>>> import jax
>>> import ntk_rnn as nr
>>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)
>>> rho = nr.lag_weights(5, nu_w=0.3, nu_f=1.0, nu_c=1.0)
>>> kernel = nr.kernel_regression(rho, (x, y), on_host=True)
>>> print(kernel.train_loss(step=100, learning_rate=1e-3).dtype)
float64

## Memory

In numbers of entries, 4 bytes each in float32:

- An RNN takes $n^2 + n (n_x + n_y)$; a training step the parameters, their gradient, and chains
  of $T n \min(n_x, n_y)$.
- A data set takes $N T (n_x + n_y)$, and $N T^2 n_x$ where its lagged inputs are formed.
  Compressed by `ntk_rnn.compress`, it takes $(T n_x)^2$, whatever $N$ is.
- A kernel of sequences takes $N_1 N_2 T^2$. `ntk_rnn.write_ntk` computes it in blocks, to a file.
- `ntk_rnn.finite_width_gram` holds $T^2 (n_x^2 + n_y^2)$, and `dense()` of it $(T n_x n_y)^2$.
- `ntk_rnn.empirical_ntk` forms Jacobians, a copy of all parameters for each sequence, time and
  output; `batch_size=` bounds how many sequences at once. `ntk_rnn.monte_carlo_ntk` forms none.
- `ntk_rnn.ensemble` takes as many runs at once as fit into half of the free memory.

JAX reserves three quarters of a GPU's memory when it starts, so another program may find none
left. With `XLA_PYTHON_CLIENT_PREALLOCATE=false` it takes memory as it needs it.

## What to expect

- The first call of a function with new shapes compiles, for a second or so; later calls with the
  same shapes do not. Keep one model and one `apply_fn`, rather than a new `lambda` a call.
- Calls return before their result is there. To measure times, wait for it with
  `jax.block_until_ready`.
- The chain of the impulse response reads `W` once for each lag, and its gradient reads it once
  more: $8 n^2 T$ bytes in float32, which memory has to deliver. Where `W` is large, at widths of
  several thousand, an accelerator is faster by about the ratio of the memory bandwidths. At widths
  of some hundred it gains less, because a lag takes less time than the few microseconds that it
  takes to start a computation. There, run many networks at once with `ntk_rnn.ensemble`.
- On a CPU half of the time of a large kernel goes into memory that the system hands out anew at
  every call, in pages of 4 kB. Under Linux with glibc 2.35 or later,
  `GLIBC_TUNABLES=glibc.malloc.hugetlb=1`, set before Python starts, asks for large pages, as NumPy
  does by itself: the analytic kernel of $N = 200$, $T = 50$, 400 MB, then takes 0.22 s instead of
  0.42 s on two cores.
- On GPUs a chain of up to 32 lags is unrolled, because a loop waits for the host at every turn.
  It then takes half as long to run, and longer to compile.

Measured with JAX 0.11 in float32, at $T = 10$ and one input and output; all results agree with
each other to 3e-7, and impulse responses with those of float64 to 2e-7:

| | ours | others |
| --- | --- | --- |
| training step, $n = 1000$, $N = 50$, H200 | 0.19 ms | Flax's RNN 0.46, PyTorch 3.5 |
| the same in batches of 10 | 0.26 ms | Flax's RNN 0.35, PyTorch 3.1 |
| training step, $n = 1000$, H100 | 0.16 ms | 2.3 on a CPU of 16 cores |
| training step, $n = 4000$, H100 | 0.63 ms | 0.38 to read $W$ 20 times, at 3.35 TB/s |
| exact kernel, $n = 1000$, $N = 10$, H200 | 0.43 ms | neural-tangents 0.83 to 5.5, PyTorch 7.8 |
| analytic kernel, $N = 200$, $T = 50$, H200 | 2.1 ms | 0.30 to write it |

On a GPU the many small products of other methods run in parallel, so the ratios are smaller than
on a CPU. No TPU has been tried. In a clone, `python -m benchmarks` measures your machine, and
checks in the same run that the numbers are right.
"""
