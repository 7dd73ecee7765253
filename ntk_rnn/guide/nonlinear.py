r"""Non-linear RNNs: the kernel of any activation, regression with it, and how long they remember.

Proposition 3.1 of the paper is about recurrent networks with any activation $\phi$ that is
Lipschitz. `ntk_rnn.RNN` is that network:
$$ g_t = \frac{1}{\sqrt n} W h_{t-1} + F x_t, \quad h_t = \phi(g_t), \quad
   y_t = \frac{1}{\sqrt n} C h_t, \quad h_{-1} = 0. $$
As its width grows, its neural tangent kernel tends to `ntk_rnn.recurrent_ntk`, the recurrent NTK of
Alemohammad, Wang, Balestriero and Baraniuk (*The Recurrent Neural Tangent Kernel*, 2020). With the
identity for $\phi$ these are `ntk_rnn.LinearRNN` and `ntk_rnn.analytic_ntk`. A bias is an input
that is always 1.

>>> from functools import partial
>>> import jax
>>> import jax.numpy as jnp
>>> import ntk_rnn as nr
>>> x = jax.random.normal(jax.random.key(0), (6, 5, 2))  # 6 sequences, 5 steps, 2 inputs
>>> network = dict(activation="erf", nu_w=1.5, nu_f=1.0, nu_c=1.0)
>>> K = nr.recurrent_ntk(x, **network)  # K[i, k, t, s]: time t of x[i], time s of x[k]
>>> K.shape
(6, 6, 5, 5)
>>> model = nr.RNN(width=2000, out_dim=1, **network)
>>> K_model = nr.empirical_ntk(model, model.init(jax.random.key(1), x), x)
>>> bool(jnp.linalg.norm(K_model - K) < 0.1 * jnp.linalg.norm(K))
True

## The recursion

In the limit the pre-activations $g_t(x)$ and $g_s(x')$ are Gaussian (Lemma C.1), of covariance
$S_{ts}$. With the expectations $V_{ts} = \mathbb E[\phi(u) \phi(v)]$ and
$D_{ts} = \mathbb E[\phi'(u) \phi'(v)]$ over Gaussians of the variances and the covariance of these
two,
$$ S_{ts} = \nu_F \langle x_t, x'_s \rangle + \nu_W V_{t-1,s-1}, $$
$$ \Theta_{ts} = \langle x_t, x'_s \rangle + V_{t-1,s-1} + \nu_W D_{t-1,s-1} \Theta_{t-1,s-1}, $$
$$ K_{ts} = V_{ts} + \nu_C D_{ts} \Theta_{ts}, $$
where all at time $-1$ is 0. The three terms of $\Theta$ are the shares of $F$, of $W$, and of all
times before. $W$ is the same at all times, so what happens at $(t, s)$ depends on $(t-1, s-1)$ and
on no other pair: each diagonal of the kernel is a recursion of its own. `ntk_rnn.recurrent_nngp` is
$\nu_C V_{ts}$, the covariance of the outputs at the start.

Both have derivatives in the inputs and in the variances, and work under `jax.jit`, `jax.vmap` and
`jax.grad`. They are finite where two sequences coincide and where inputs are 0.

## Activations

- **In closed form:** `"identity"`, `"relu"`, `"leaky_relu"` (slope 0.01), `"abs"`, `"erf"`,
  `"gelu"`, `"sin"` and `"cos"`.
- **By an expansion:** `"tanh"`, or any function of JAX arrays that acts on each entry. With the
  Hermite polynomials $H_m$ and $\phi(\sqrt a\, z) = \sum_m h_m(a) H_m(z)$, Mehler's formula gives
  $V = \sum_m h_m(a) h_m(b) r^m$ for variables of the variances $a$ and $b$ and of correlation $r$,
  and the same of $\phi'$ gives $D$.

The expansion has as many terms as `tolerance` asks for: the part of $\mathbb E[\phi(u)^2]$ and
$\mathbb E[\phi'(u)^2]$ that may be left out, and if it is not given, one that suits the floating
type. A smooth function needs few terms. One with a kink needs many, and so does one that
saturates where the variances are so large that it looks like a step. There tanh is taken for
$\sum_k w_k \operatorname{erf}(u / s_k)$, which it is to 3e-9 with nine terms and to 1e-7 with
seven: the expectations of pairs of terms are in closed form, at any variance. If the largest
number of terms is not enough, an error says what they leave out, and a larger `tolerance` accepts
that:

>>> K_elu = nr.recurrent_ntk(x, **network | dict(activation=jax.nn.elu), tolerance=1e-3)

Inside `jax.jit` or `jax.grad` the number of terms is fixed, since it cannot depend on the
variances, and nothing says what they leave out: so call the function once outside first. A function
that is not Lipschitz, such as a step or `jnp.exp`, is refused. Programs are compiled for each
function: pass the same one again, not a new `lambda`.

## One output a sequence, and sequences of different lengths

`output="last"` is the kernel of the outputs at the last time of each sequence, and `output="mean"`
that of their means over time. Both have the shape `(N1, N2)`, and "last" computes one diagonal
alone. `lengths1` and `lengths2` say how many steps of each sequence count; padding follows them:

>>> lengths = jnp.array([5, 5, 5, 3, 3, 2])
>>> K_last = nr.recurrent_ntk(x, **network, output="last", lengths1=lengths)
>>> K_last.shape
(6, 6)

`kernel_regression` takes `lengths` as well (see below). Where a function passes on the sequences
alone, as `write_ntk` does, put the padding *before* each sequence instead. If $\phi(0) = 0$, as for
all names above but `"cos"`, the state of a network stays 0 as long as its inputs are 0, that of the
bias included, and adds nothing to the kernel:

>>> padded = jnp.stack([jnp.roll(a.at[k:].set(0), 5 - k, axis=0) for a, k in zip(x, lengths)])
>>> bool(jnp.allclose(nr.recurrent_ntk(padded, **network, output="last"), K_last, rtol=1e-5))
True

## Kernel regression

`ntk_rnn.kernel_regression` takes the kernel as a function of two batches of sequences. It solves
the path of gradient descent of the wide network (Proposition 3.1): steps with or without momentum,
or gradient flow, up to `jnp.inf`, where the training data are interpolated. For outputs at all
times, targets are `(N, T, n_y)`:

>>> y = x[:, :, :1] * x[:, :, 1:]  # a product, which no linear network learns
>>> path = nr.kernel_regression(partial(nr.recurrent_ntk, **network), (x, y))
>>> path.predict(x, step=[0, 10, 100], learning_rate=path.max_learning_rate / 2).shape
(3, 6, 5, 1)

For one output a sequence they are `(N, n_y)`, and classes are one-hot:

>>> labels = jnp.array([0, 0, 1, 1, 2, 2])
>>> kernel_fn = partial(nr.recurrent_ntk, **network, output="last")
>>> classifier = nr.kernel_regression(kernel_fn, (x, jax.nn.one_hot(labels, 3)))
>>> bool((classifier.predict(x, time=jnp.inf).argmax(axis=-1) == labels).all())
True

Sequences of different lengths are padded, and `lengths` go to the kernel function as `lengths1` and
`lengths2`. With outputs at all times, targets in the padding do not count:

>>> classifier = nr.kernel_regression(kernel_fn, (x, jax.nn.one_hot(labels, 3)), lengths=lengths)
>>> classifier.predict(x[:2], time=jnp.inf, lengths=jnp.array([4, 2])).shape
(2, 3)

Stopping early regularizes: pick the time on validation data, as
[notebook 7](../../notebooks/07_nonlinear.html) does. A network starts from outputs that are not 0,
which `initial` subtracts, and then the path is that of this network up to what its width is short
of the limit:

>>> params = model.init(jax.random.key(1), x)
>>> initial = lambda x: model.apply(params, x)
>>> path = nr.kernel_regression(partial(nr.recurrent_ntk, **network), (x, y), initial=initial)
>>> how = dict(steps=20, learning_rate=path.max_learning_rate / 2)
>>> trained = nr.gradient_descent(model, params, (x, y), **how, record_at=[0, 20])
>>> predicted = path.train_loss(trained.step, how["learning_rate"])
>>> bool(jnp.max(jnp.abs(trained.train_loss - predicted)) < 0.1 * predicted[0])
True

A kernel is an array, so everything that takes a precomputed one takes it too, such as
`sklearn.svm.SVC(kernel="precomputed")`. The posterior of the network as a Gaussian process takes
`ntk_rnn.recurrent_nngp`.

## Memory

Under inputs of constant power $p = |x_t|^2$ the variance of the pre-activations settles at
$q = \nu_F p + \nu_W \mathbb E[\phi(g)^2]$ (`ntk_rnn.stationary_variance`). The square of a small
change at right angles to the inputs is then multiplied by
$\chi = \nu_W \mathbb E[\phi'(g)^2]$ at each step (`ntk_rnn.chi`), as it is by $\nu_W$ in a linear
network. The change fades for $\chi < 1$ and grows for $\chi > 1$;
`ntk_rnn.critical_nu_w` is where $\chi = 1$, the edge of chaos.

>>> for name in ("identity", "relu", "erf", "tanh"):
...     print(f"{name}: {nr.critical_nu_w(name, nu_f=1.0):.2f}")
identity: 1.00
relu: 2.00
erf: 2.72
tanh: 3.44

`ntk_rnn.effective_lag_weights` are the lag weights of the linearized response, to which eq. 21 and
all that follows from it apply: with $\kappa = \mathbb E[\phi'(g)^2]$,
$$ \rho_j = \kappa \left( \nu_C \nu_F \kappa\, j \chi^{j-1} + (\nu_C + \nu_F) \chi^j \right). $$
So a saturating network remembers less than a linear one of the same $\nu_W$, and needs a larger
$\nu_W$ for the same memory. At equal $\chi$ the activations differ by powers of $\kappa$ alone.

These weights are about small changes of one sequence. Sequences that are independent have other
ones: their pre-activations differ, and a lag costs a factor of
$\nu_W \mathbb E[\phi'(u) \phi'(v)] < \chi$ at the correlation of theirs. It is those that say how
soon each lag is learned from white inputs, as `ntk-rnn reproduce bias` shows.

>>> rho = nr.effective_lag_weights(20, "tanh", nu_w=2.0, nu_f=1.0, nu_c=1.0)
>>> bool(rho[10] < nr.effective_lag_weights(20, "tanh", 3.0, 1.0, 1.0)[10])
True

## Coming from RNTK code

Code that follows Alemohammad et al. draws all parameters from $\mathcal N(0, 1)$ and scales them in
the network, here of one layer with $m$ inputs:
$$ g_t = \frac{\sigma_w}{\sqrt n} W h_{t-1} + \frac{\sigma_u}{\sqrt m} U x_t + \sigma_b b, \quad
   y = \frac{\sigma_v}{\sqrt n} V h_T. $$
Here the scales are in the variances. This is the same network at the start, with
$\nu_W = \sigma_w^2$, $\nu_F = \sigma_u^2 / m$ and $\nu_C = \sigma_v^2$, but not the same training.
A factor $\sigma$ before parameters multiplies their share of the kernel by $\sigma^2$. Their
recursion is $\Theta_{ts} = S_{ts} + \sigma_w^2 D_{t-1,s-1} \Theta_{t-1,s-1}$ and
$K = \sigma_v^2 (V + D\, \Theta)$ with the same $S$. If $F$ has the variance of $W$ here, and the
inputs are scaled so that $S$ stays what it is, then $\nu_W$ times the $\Theta$ of this page is
theirs. So one call gives their kernel, for any $\sigma_w > 0$:

>>> def rntk(x1, x2, activation, sigma_w, sigma_u, sigma_b, sigma_v):
...     nu = sigma_w**2
...     def scaled(x):
...         bias = jnp.full((*x.shape[:2], 1), sigma_b, x.dtype)
...         inputs = jnp.concatenate([sigma_u / x.shape[2] ** 0.5 * x, bias], axis=2)
...         return inputs / sigma_w
...     return sigma_v**2 * nr.recurrent_ntk(
...         scaled(x1), scaled(x2), activation=activation, nu_w=nu, nu_f=nu, nu_c=nu, output="last"
...     )
>>> rntk(x, x, "relu", 1.4, 1.0, 0.1, 1.0).shape
(6, 6)

| there | here |
| --- | --- |
| $\sigma_w$ | `nu_w` and `nu_f` and `nu_c` are all $\sigma_w^2$ |
| $\sigma_u$ | inputs times $\sigma_u / (\sqrt m \, \sigma_w)$, or without $\sqrt m$ as there |
| $\sigma_b$ | a further input, always $\sigma_b / \sigma_w$ |
| $\sigma_v$ | the kernel times $\sigma_v^2$ |
| $\sigma_h$ | 0: see below |
| output at the last step | `output="last"` |
| a readout for each step, averaged | the mean over $t$ of `K[:, :, t, t]` of `output="all"` |
| several layers | not here |

There each sequence starts from a random state of its own, of variance $\sigma_h^2$. That adds
$\sigma_w^2 \sigma_h^2$ to $S_{0,0}$ and $\Theta_{0,0}$ of a sequence with itself, and nothing to
those of two sequences. Here all start from 0, which is $\sigma_h = 0$. `output="mean"` is another
average: of one readout $C$ over all times, so that it also has the terms with $t \neq s$. The test
`tests/kernels/test_recurrent_rntk.py` compares this section with a loop over their equations.

## Time and memory

For sequences of $T$ steps, time and memory of `output="all"` are proportional to
$N_1 N_2 T^2$, the size of the kernel. Those of "mean" are proportional to $N_1 N_2 T^2$ and
$N_1 N_2 T$, and those of "last" to $N_1 N_2 T$ and $N_1 N_2$. The number of inputs matters only for
their inner products. An expansion costs as many multiplications for each pair as it has terms,
dozens to hundreds, where a closed form takes a few dozen operations.

- **Larger than memory:** `ntk_rnn.write_ntk(path, partial(ntk_rnn.recurrent_ntk, ...), x)` computes
  the kernel in blocks to a file, for every `output`, and continues after an interruption.
- **Several devices:** place the sequences by `ntk_rnn.shard_sequences`. Each device then computes
  its part of the kernel and keeps it: see [Several devices](devices.html).

```python
mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
K = nr.recurrent_ntk(nr.shard_sequences(x, mesh), **network)  # split like x
```
"""
