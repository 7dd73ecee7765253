# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8. The memory of your own layer
#
# A layer that is causal, linear in its inputs and the same at all times is a convolution with its
# impulse response, $y_t = \sum_{j \le t} L_j x_{t-j}$. What gradient descent does to it is in the
# Gram matrix of the gradients of $L$, which `layer_gram` computes for any such layer, and `memory`
# reads: which lags are learned first, which never, and what to change.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import ntk_rnn as nr
from ntk_rnn import plotting

# %matplotlib inline

# %% [markdown]
# ## Layers that are there
#
# At infinite width, a linear RNN with a Gaussian or an orthogonal $W$ has lag weights that fall
# geometrically. A linear recurrent unit (Orvieto et al. 2023) with eigenvalues all over the unit
# disk forgets by a power law, and one with eigenvalues near the circle hardly forgets at all.

# %%
T = 60
weights = {
    "Gaussian W, $\\nu_W$ = 0.3": nr.lag_weights(T, nu_w=0.3, nu_f=1.0, nu_c=1.0),
    "Gaussian W, $\\nu_W$ = 0.8": nr.lag_weights(T, nu_w=0.8, nu_f=1.0, nu_c=1.0),
    "LRU, unit disk": nr.LRU(width=1, out_dim=1).lag_weights(T),
    "LRU, ring [0.9, 0.999]": nr.LRU(width=1, out_dim=1, r_min=0.9, r_max=0.999).lag_weights(T),
}
fig, (ax,) = plotting.panels(1, width=6.5, height=3.8)
for (name, rho), color in zip(weights.items(), plotting.shades(4), strict=True):
    ax.plot(rho / rho[0], color=color, label=f"{name}: {nr.memory(rho).lags:.1f} lags")
ax.set_yscale("log")
ax.set_ylim(1e-6, 2)
ax.set_xlabel("lag (time steps)")
ax.set_ylabel("weight relative to lag 0")
plotting.legend(ax, "memory: 95 % of the weight", loc="center left", bbox_to_anchor=(1.03, 0.5))
fig

# %% [markdown]
# The table says what that costs. Half of lag $j$ takes a number of steps that grows as
# $1 / \rho_j$.

# %%
print(nr.memory(weights["Gaussian W, $\\nu_W$ = 0.3"][:12]).table())

# %% [markdown]
# To remember eight lags, change $\nu_W$, or the radius of the ring:

# %%
nu_w = nr.value_for_memory(8.0, lambda nu_w: nr.lag_weights(T, nu_w, 1.0, 1.0))
r_max = nr.value_for_memory(8.0, lambda r: nr.LRU(1, 1, r_max=r).lag_weights(T))
print(f"Gaussian W: nu_W = {nu_w:.2f}; LRU: r_max = {r_max:.2f}")

# %% [markdown]
# ## A layer of one's own
#
# Here is one in Flax NNX, of a few lines: leaky averages, each with a rate and a weight that are
# learned. `functional` makes functions and parameters of it.


# %%
class Averages(nnx.Module):
    def __init__(self, width, rngs):
        self.scale = width**-0.5
        self.rate = nnx.Param(jax.random.uniform(rngs.params(), (width,)) / self.scale)
        self.readout = nnx.Param(jax.random.normal(rngs.params(), (width,)))

    def __call__(self, x):  # one input and one output
        lags = jnp.arange(x.shape[1], dtype=x.dtype)[:, None]
        powers = (self.rate[...][None] * self.scale) ** lags
        return nr.causal_conv((powers @ self.readout[...] * self.scale)[:, None, None], x)


layer, params = nr.functional(Averages(500, nnx.Rngs(0)))
gram = nr.layer_gram(layer, params, seq_len=10, in_dim=1)
found = nr.memory(gram)
print(found.table())

# %% [markdown]
# Much of its Gram matrix is beside the diagonal, which the table takes into account: averages that
# all decay without a turn are hard to tell apart, so all but the first lags take very long.

# %%
found.plot()

# %% [markdown]
# ## Trained, and predicted
#
# The same Gram matrix predicts the whole path of training, before a step is taken.

# %%
x = jax.random.normal(jax.random.key(1), (50, 10, 1))
y = jnp.concatenate([jnp.zeros((50, 2, 1)), x[:, :-2]], axis=1)  # delayed by two steps
start = layer(params, nr.unit_impulses(10, 1)).transpose(1, 2, 0)
kernel = nr.kernel_regression(gram, (x, y), initial=start)
rate = float(kernel.max_learning_rate) / 2
path = nr.gradient_descent(layer, params, (x, y), steps=1000, learning_rate=rate)
predicted = kernel.train_loss(path.step, rate)

fig, (ax,) = plotting.panels(1)
ax.plot(path.step[1:], path.train_loss[1:], color=plotting.BLUE, label="the layer, trained")
ax.plot(path.step[1:], predicted[1:], color="black", linestyle=(0, (1, 2.5)), label="predicted")
ax.set_xscale("log")
ax.set_xlabel("step of gradient descent")
ax.set_ylabel("training loss")
plotting.legend(ax)
gap = np.max(np.abs(path.train_loss - predicted)) / path.train_loss[0]
print(f"largest gap over the initial loss: {gap:.1e}")
fig
