# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1. A tour: equation, function, picture, check
#
# A wide linear recurrent network (RNN), trained by gradient descent, learns as a convolution does
# in which lag $j$ has the weight $\rho_j$. The weights decay geometrically, so short memory is
# learned first, and long memory perhaps never.
#
# This is the theory of Emami, Sahraee-Ardakan, Pandit, Rangan and Fletcher, *Implicit Bias of
# Linear RNNs*, ICML 2021; equations have their numbers there. Each step below has an equation, the
# function that computes it, a picture or a number, and a check by another way.

# %%
import jax
import jax.numpy as jnp
import numpy as np

import ntk_rnn as nr
from ntk_rnn import plotting

# %matplotlib inline

# %% [markdown]
# ## The network
#
# $$h_t = \tfrac{1}{\sqrt n} W h_{t-1} + F x_t, \qquad y_t = \tfrac{1}{\sqrt n} C h_t
# \qquad \text{(eqs. 1 and 4)}$$
#
# with $n$ hidden units, and entries of $W, F, C$ drawn from $N(0, \nu_W)$, $N(0, \nu_F)$,
# $N(0, \nu_C)$. It is a Flax module.

# %%
T = 10
nu = {"nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0}

x, y = nr.data.teacher(jax.random.key(0), 100, T, snr_db=20.0)  # 100 sequences of 10 steps
rnn = nr.LinearRNN(width=1000, out_dim=1, **nu)
params = rnn.init(jax.random.key(1), x)
jax.tree.map(jnp.shape, params)

# %% [markdown]
# ## Its impulse response
#
# All that a linear RNN does is a convolution,
# $y_t = \sum_{j \le t} L_j x_{t-j}$ (eq. 5), with the impulse response
#
# $$L_j = n^{-(j+1)/2}\, C W^j F \qquad \text{(eq. 9).}$$
#
# Check: convolving with $L$ gives what the network gives, step by step.

# %%
L = nr.impulse_response(params, T)  # (T, outputs, inputs)
step_by_step = rnn.clone(evaluation="scan").apply(params, x)
print("largest difference:", f"{jnp.max(jnp.abs(nr.causal_conv(L, x) - step_by_step)):.1e}")

# %% [markdown]
# At initialization the entries of $L_j$ tend to independent Gaussians of variance
# $\nu_C \nu_F \nu_W^j$ as the width grows (Theorem 3.3a).

# %%
lag, deviation = np.arange(T), np.sqrt(nr.gaussian_limit(T, **nu))
fig, (ax,) = plotting.panels(1)
for k, shade in ((2, "0.85"), (1, "0.7")):
    label = f"± {k} standard deviations, Theorem 3.3(a)"
    ax.fill_between(lag, -k * deviation, k * deviation, color=shade, label=label)
ax.plot(lag, L[:, 0, 0], "o-", color=plotting.BLUE, label="one RNN of width 1000")
ax.set_xlabel("lag $j$ (time steps)")
ax.set_ylabel("impulse response $L_j$")
plotting.legend(ax)
fig

# %% [markdown]
# ## What training sees: the lag weights
#
# $$\rho_j = \nu_C \left( j\, \nu_F \nu_W^{j-1} + \nu_W^j \right) + \nu_F \nu_W^j
# \qquad \text{(eq. 21)}$$
#
# is how easily gradient descent moves lag $j$: the share of $W$, of $F$ and of $C$. It is bounded
# by a geometric sequence, $\rho_j \le \rho_{\max} \nu_W^{j-1}$ (eq. 22). At finite width the same
# numbers are the diagonal of the Gram matrix of the gradients of $L$.

# %%
rho = nr.lag_weights(T, **nu)
at_width, beside = nr.finite_width_gram(params, T).lag_weights()

fig, (ax,) = plotting.panels(1)
ax.plot(lag, nr.lag_weight_bound(T, **nu), color=plotting.GREY, linewidth=1, label="bound (eq. 22)")
ax.plot(lag, rho, color="black", linestyle=(0, (1, 2.5)), label=r"$\rho_j$ (eq. 21)")
ax.plot(lag, at_width, "o", color=plotting.BLUE, label="the RNN of width 1000")
ax.set_yscale("log")
ax.set_xlabel("lag $j$ (time steps)")
ax.set_ylabel(r"lag weight $\rho_j$")
plotting.legend(ax)
fig

# %% [markdown]
# ## The equivalent convolution
#
# A convolution with $L_j = \sqrt{\rho_j}\, \theta_j$ (eqs. 7 and 8) has the neural tangent kernel
#
# $$K_{t,s}(x, x') = \sum_{j \le \min(t, s)} \rho_j \langle x_{t-j}, x'_{s-j} \rangle
# \qquad \text{(eqs. 17 and 20),}$$
#
# and the RNN has it in the limit of infinite width (Theorem 3.3). Check: the kernels of four
# sequences, in the units of that limit.

# %%
conv = nr.ScaledConv(rho, out_dim=1)
theta = conv.params_from(L)  # starts from the impulse response of the RNN
limit = nr.analytic_ntk(x[:4], None, rho)  # (4, 4, T, T)
kernels = {
    "scaled convolution": nr.empirical_ntk(conv, theta, x[:4]),
    "RNN of width 1000": nr.finite_width_gram(params, T).ntk(x[:4]),
}
for name, kernel in kernels.items():
    distance = jnp.linalg.norm(kernel - limit) / jnp.linalg.norm(limit)
    print(f"{name}: relative distance from eq. 20 is {distance:.1e}")

# %% [markdown]
# ## Training, and its prediction
#
# The loss is $\tfrac12 \sum \|\hat y - y\|^2$, with 50 sequences for training and 50 for test. The
# RNN and the convolution are trained by gradient descent. The closed form (Proposition 3.1,
# Appendix B.4) is not trained: it gives every step at once.

# %%
train, test = (x[:50], y[:50]), (x[50:], y[50:])
training = {"test": test, "steps": 1000, "learning_rate": 1e-4}
rnn_path = nr.gradient_descent(rnn, params, train, **training)
conv_path = nr.gradient_descent(conv, theta, train, **training)
closed = nr.kernel_regression(rho, train, initial=L)
predicted = closed.test_loss(test, rnn_path.step, 1e-4)

# %%
fig, (ax,) = plotting.panels(1)
ax.plot(rnn_path.step, rnn_path.test_loss, color=plotting.BLUE, label="linear RNN, n = 1000")
ax.plot(conv_path.step, conv_path.test_loss, color=plotting.ORANGE, linestyle=(0, (5, 3)),
        label="scaled convolution")  # fmt: skip
ax.plot(rnn_path.step, predicted, color="black", linestyle=(0, (1, 2.5)), label="closed form")
ax.set_yscale("log")
ax.set_xlabel("step of gradient descent")
ax.set_ylabel("test loss (half the summed squares)")
plotting.legend(ax)
fig

# %%
for name, path in {"RNN": rnn_path, "scaled convolution": conv_path}.items():
    gap = jnp.max(jnp.abs(path.test_loss - predicted)) / path.test_loss[0]
    print(f"{name} against closed form, largest gap over the initial loss: {gap:.1e}")

# %% [markdown]
# ## Back to a small network
#
# Every impulse response is that of some RNN (Proposition 2.1b). So what a network of width 1000
# has learned can be done by a small one. The teacher that made these data has 4 hidden units.

# %%
learned = rnn_path.impulse_response[-1]
for order in (1, 2, 4):
    small = nr.realize(learned, method="balanced", order=order)
    error = jnp.linalg.norm(nr.impulse_response(small, T) - learned) / jnp.linalg.norm(learned)
    print(f"{order} hidden units: relative error of the impulse response {error:.1e}")

# %% [markdown]
# ## Where to go from here
#
# | notebook | question |
# | --- | --- |
# | [2. Kernels](02_kernels.ipynb) | How do three ways to the kernel meet as the width grows? |
# | [3. Training](03_training.ipynb) | How well is training predicted, lag by lag? |
# | [4. Implicit bias](04_implicit_bias.ipynb) | Which delays can a given RNN learn, how fast? |
# | [5. S1 recordings](05_s1_recordings.ipynb) | What does this do to decoding from neurons? |
# | [6. Own data](06_own_data.ipynb) | What about your data? |
# | [7. Any activation](07_nonlinear.ipynb) | What of networks that are not linear? |
# | [8. Layers](08_layers.ipynb) | How far back does your own layer remember? |
