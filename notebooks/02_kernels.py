# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Three ways to the kernel
#
# The neural tangent kernel (NTK) of a network $f$ with parameters $\vartheta$,
#
# $$K(x, x') = \frac{\partial f(x)}{\partial \vartheta}
# \frac{\partial f(x')}{\partial \vartheta}^{\!\top} \qquad \text{(eqs. 11 and 17),}$$
#
# says how gradient descent on one sequence changes the outputs to another. For sequences of $T$
# steps it is a $T \times T$ block for each pair. Here are three ways to it:
#
# | way | function | for |
# | --- | --- | --- |
# | empirical, by neural-tangents | `empirical_ntk` | any network |
# | exact, by the impulse response | `finite_width_gram(...).ntk` | linear RNNs of any width |
# | analytic (eq. 20) | `analytic_ntk` | linear RNNs of infinite width |

# %%
import jax
import jax.numpy as jnp
import numpy as np

import ntk_rnn as nr
from ntk_rnn import plotting
from ntk_rnn.reproduction.studies import kernels
from ntk_rnn.reproduction.studies.configs import KernelsConfig

# %matplotlib inline

# %% [markdown]
# ## The first two are equal, at every width
#
# Four sequences of ten steps, and an RNN of 100 hidden units.

# %%
T = 10
nu = {"nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0}
x = jax.random.normal(jax.random.key(0), (4, T, 1))
rnn = nr.LinearRNN(width=100, out_dim=1, **nu)
params = rnn.init(jax.random.key(1), x)

empirical = nr.empirical_ntk(rnn, params, x)  # (4, 4, T, T)
exact = nr.finite_width_gram(params, T).ntk(x)
print("relative difference:", f"{jnp.linalg.norm(empirical - exact) / jnp.linalg.norm(exact):.1e}")

# %% [markdown]
# ## The third is their limit
#
# $$K_{t,s}(x, x') = \sum_{j \le \min(t, s)} \rho_j \langle x_{t-j}, x'_{s-j} \rangle
# \qquad \text{(eq. 20)}$$
#
# with the lag weights $\rho_j$ of eq. 21. Below are the blocks of two sequences with themselves and
# with each other, $2 T \times 2 T$ numbers: first of a narrow RNN, then of a wide one, then of the
# limit.

# %%
rho = nr.lag_weights(T, **nu)
limit = nr.analytic_ntk(x, None, rho)
wide = nr.LinearRNN(width=3000, out_dim=1, **nu).init(jax.random.key(2), x)
blocks = {
    "n = 100 (empirical)": empirical,
    "n = 3000 (exact)": nr.finite_width_gram(wide, T).ntk(x),
    "infinite width (analytic)": limit,
}

# %%
fig, axes = plotting.panels(3, width=3.3, height=3.2)
largest = float(jnp.max(jnp.abs(limit[:2, :2])))
for ax, (name, kernel) in zip(axes, blocks.items(), strict=True):
    square = nr.as_matrix(kernel[:2, :2])
    image = ax.imshow(square, cmap="RdBu_r", vmin=-largest, vmax=largest)
    ax.axhline(T - 0.5, color="black", linewidth=0.8)
    ax.axvline(T - 0.5, color="black", linewidth=0.8)
    ax.set_title(name, fontsize=11)
    ax.set_xticks([4.5, 14.5], ["$s$, sequence 1", "$s$, sequence 2"])
    ax.set_yticks([4.5, 14.5], ["$t$, sequence 1", "$t$, sequence 2"], rotation=90, va="center")
    ax.grid(False)
fig.colorbar(image, ax=axes, label="kernel $K_{t,s}$", shrink=0.85)
fig

# %% [markdown]
# ## Where the difference is
#
# All kernels are $K = X G X'^\top$, with the matrix $X$ of lagged inputs and the Gram matrix $G$ of
# the gradients of the impulse response: $G_{jk} = \langle \nabla L_j, \nabla L_k \rangle$. It does
# not depend on the inputs, and tends to $\mathrm{diag}(\rho)$ as the width grows. Below is
# $G_{jk} / \sqrt{\rho_j \rho_k}$, which tends to the identity.

# %%
fig, axes = plotting.panels(2, width=3.6, height=3.2)
for ax, weights in zip(axes, (params, wide), strict=True):
    gram = nr.finite_width_gram(weights, T).dense()[:, 0, 0, :, 0, 0]
    scaled = gram / jnp.sqrt(jnp.outer(rho, rho))
    image = ax.imshow(scaled, cmap="RdBu_r", vmin=-1.5, vmax=1.5)
    ax.set_title(f"n = {len(weights['params']['W'])}", fontsize=11)
    ax.set_xlabel("lag $k$")
    ax.set_ylabel("lag $j$")
    ax.grid(False)
fig.colorbar(image, ax=axes, label=r"$G_{jk} / \sqrt{\rho_j \rho_k}$")
fig

# %% [markdown]
# Long lags are the farthest from their limit. They weigh the least in the kernel, which is why it
# converges nevertheless.
#
# ## How fast they meet
#
# The distance falls as $1 / \sqrt{n}$. This is the study that `ntk-rnn kernel` runs, with fewer
# seeds: kernels by neural-tangents from the network alone, against eq. 20.

# %%
config = KernelsConfig(widths=(32, 64, 128, 256, 512, 1024), seeds=4)
arrays = kernels.run(config, advance=lambda: None)
kernels.plot(config, arrays)

# %%
for number in kernels.numbers(config, arrays):
    print(f"{number.quantity}: {number.ours}")

# %% [markdown]
# ## What each way costs
#
# The empirical kernel takes the derivatives of every output, so its cost grows with the sequences.
# The exact one takes two chains of $T$ products with $W$, once for a network: then each pair of
# sequences costs a small matrix product. Here are the kernels of 500 sequences at width 1000,
# 250,000 blocks.

# %%
many = jax.random.normal(jax.random.key(3), (500, T, 1))
network = nr.LinearRNN(width=1000, out_dim=1, **nu).init(jax.random.key(4), many)
blocks = np.asarray(nr.finite_width_gram(network, T).ntk(many))
print(blocks.shape, f"{blocks.nbytes / 1e6:.0f} MB")
