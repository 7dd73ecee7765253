r"""Own layer: what any causal linear layer learns first, and how long its memory is.

A layer that is causal, linear in its inputs and the same at all times is the convolution with its
impulse response, $y_t = \sum_{j \le t} L_j x_{t-j}$. Linear RNNs are such layers, and so are linear
recurrent units, state-space layers, and most that people build to remember for long. What gradient
descent does to one is in the Gram matrix of the gradients of $L$,

$$ G_{jpq, krs} = \langle \nabla L_j^{pq}, \nabla L_k^{rs} \rangle, $$

which `ntk_rnn.layer_gram` computes. Here is a layer in NNX, a leaky average for each of 200 rates:

>>> import jax
>>> import jax.numpy as jnp
>>> import numpy as np
>>> import ntk_rnn as nr
>>> from flax import nnx
>>> class Averages(nnx.Module):
...     def __init__(self, width, rngs):
...         self.scale = width**-0.5  # as W / sqrt(n) is the matrix of a linear RNN
...         self.rate = nnx.Param(jax.random.uniform(rngs.params(), (width,)) / self.scale)
...         self.readout = nnx.Param(jax.random.normal(rngs.params(), (width,)))
...     def __call__(self, x):  # one input and one output
...         lags = jnp.arange(x.shape[1], dtype=x.dtype)[:, None]
...         powers = (self.rate[...][None] * self.scale) ** lags
...         return nr.causal_conv((powers @ self.readout[...] * self.scale)[:, None, None], x)
>>> layer, params = nr.functional(Averages(200, nnx.Rngs(0)))
>>> gram = nr.layer_gram(layer, params, seq_len=10, in_dim=1)
>>> gram.shape
(10, 1, 1, 10, 1, 1)

Functions `apply_fn(params, x)` and Linen modules do as well. For complex parameters, gradients are
by their real and imaginary parts; outputs must be real, so return `y.real`.

## Which lags it learns

The diagonal has the lag weights. For white inputs, and where `G` is close to diagonal, gradient
descent takes a number of steps that grows as one over the weight of a lag:

>>> weights = np.diagonal(gram.reshape(10, 10))
>>> bool(weights[0] > weights[3] > weights[6])
True

The parameterization decides this as much as the layer does. Without the scale on the rates, a step
of training moves each rate `n` times as far, and long lags, which depend on rates most, have the
largest weights.

Beside the diagonal is how much learning one lag changes another. A `ntk_rnn.LinearRNN` has little
there, and less the wider it is; averages that all decay without a turn have much. In both cases
`ntk_rnn.kernel_regression` has the whole path of training, without training:

>>> x = jax.random.normal(jax.random.key(1), (20, 10, 1))
>>> y = jnp.cumsum(x, axis=1) / 3
>>> start = layer(params, nr.unit_impulses(10, 1)).transpose(1, 2, 0)  # the impulse response
>>> kernel = nr.kernel_regression(gram, (x, y), initial=start)
>>> rate = float(kernel.max_learning_rate) / 2
>>> path = nr.gradient_descent(layer, params, (x, y), steps=100, learning_rate=rate)
>>> gap = np.abs(path.train_loss - kernel.train_loss(path.step, rate))
>>> bool(gap.max() < 0.02 * path.train_loss[0])  # falls with the width
True

## How far back it remembers

`ntk_rnn.memory` says this of any Gram matrix or lag weights: the weight of each lag, its share, the
steps of gradient descent that learn half of it, and how many lags, counted from the present, hold
95 % of the weight:

>>> found = nr.memory(gram)
>>> found.weight.shape, bool(found.lags < 10)
((10,), True)
>>> print(nr.memory(nr.lag_weights(5, nu_w=0.3, nu_f=1.0, nu_c=1.0)).table())
lag    weight     share    so far     steps
  0         2     0.414     0.414         1
  1       1.6     0.331     0.746         1
  2      0.78     0.162     0.907       1.4
  3     0.324    0.0671     0.974      3.92
  4     0.124    0.0257         1      10.8
The first 3.6 of these 5 lags hold 95 % of their weight.
The last ones still weigh much: with more lags, memory is longer.
Steps to learn 50 % of a lag at the learning rate 0.5; below 1 is stable.

Steps are those for long white inputs; `data=` has them for data at hand. With lag weights each lag
is learned by itself. With a Gram matrix lags are learned together, and `found.off_diagonal` says
how much: a real diagonal RNN, with 0.8, takes a hundred times as long and more for all but the
first lags as its weights alone would have it. `found.plot()` draws shares and steps, and
`ntk-rnn memory` does all of this for the layers below. What to change for a longer memory is
`ntk_rnn.value_for_memory`:

>>> nu_w = nr.value_for_memory(8.0, lambda nu_w: nr.lag_weights(50, nu_w, 1.0, 1.0))
>>> r_max = nr.value_for_memory(8.0, lambda r: nr.DiagonalRNN(1, 1, r_max=r).lag_weights(50))
>>> print(f"{nu_w:.3f} {r_max:.3f}")
0.575 0.911

## Layers that are there

With $m_j = \mathbb{E} \lvert \lambda \rvert^{2j}$ for eigenvalues $\lambda$ all around a ring:

| layer | lag weights at infinite width |
| --- | --- |
| `ntk_rnn.LinearRNN`, Gaussian `W` | `ntk_rnn.lag_weights` (eq. 21), geometric |
| `ntk_rnn.OrthogonalRNN` | the same |
| `ntk_rnn.DiagonalRNN` on a ring | $(\nu_F + \nu_C) \, m_j$ |
| `ntk_rnn.LRU` on a ring | $(\nu_F + \nu_C) (m_j - m_{j+1})$ |
| real `ntk_rnn.DiagonalRNN`, `ntk_rnn.S4D` | none: lags stay correlated, and `G` says how |

For eigenvalues all over the unit disk the LRU has $(\nu_F + \nu_C) / ((j+1)(j+2))$: its memory
falls as a power law, where that of the Gaussian RNN is geometric.

>>> lru = nr.LRU(width=2000, out_dim=1, r_min=0.9, r_max=0.999)
>>> rho = lru.lag_weights(13)
>>> [round(float(rho[j] / rho[0]), 2) for j in (3, 6, 12)]
[0.67, 0.46, 0.24]

At a finite width the phases are learned as well, which raises long lags by a share of order
$j^2 / n$; `layer_gram` has it. Diagonal layers are evaluated by one product and a convolution, and
their `G` is a sum over states: with 10,000 states and 1000 steps, a step of training takes half a
second on two CPU cores, and `G` twenty.

## What is refused

`layer_gram` tries the layer first. One that is not linear, not causal or not the same at all times
is refused, with the size of what is wrong relative to the outputs:

>>> try:
...     nr.layer_gram(lambda p, x: jnp.tanh(p * x), jnp.float32(1.0), seq_len=5, in_dim=1)
... except ValueError as error:
...     print(str(error).split(" (by")[0].split("got one that ")[1])
is not linear in its inputs

So is a layer with dropout, and one that normalizes by the batch. For networks that are not linear,
`ntk_rnn.empirical_ntk` and `ntk_rnn.recurrent_ntk` give kernels between sequences
([Own model](own_model.html), [Non-linear RNNs](nonlinear.html)).
"""
