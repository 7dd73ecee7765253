# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7. Any activation: sequences classified by the kernel of a wide RNN
#
# Proposition 3.1 of the paper holds for recurrent networks with any activation $\phi$ that is
# Lipschitz,
#
# $$g_t = W h_{t-1} / \sqrt n + F x_t, \qquad h_t = \phi(g_t), \qquad y_t = C h_t / \sqrt n.$$
#
# Their kernel at infinite width, the recurrent NTK of Alemohammad et al. (2020), is
# `recurrent_ntk`. Here it reads digits row by row and says which digit it was. How well it does so
# depends on how long the network remembers the first rows.

# %%
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.ticker import NullLocator
from scipy.optimize import brentq
from sklearn.datasets import load_digits

import ntk_rnn as nr
from ntk_rnn import plotting

# %matplotlib inline

# %% [markdown]
# ## How long does a network remember?
#
# A small change of the input is handed on, squared, by a factor $\chi = \nu_W \mathbb
# E[\phi'(g)^2]$ from step to step, where the linear RNN has $\nu_W$. An activation that saturates
# needs a larger $\nu_W$ for the same memory. Left, lag weights of the linearized response at
# $\nu_W = 0.9$; right, with each activation's own $\nu_W$ for which $\chi = 0.7$.

# %%
names = ("identity", "relu", "erf", "tanh")
styles = dict(zip(names, ((0, (1, 1.5)), "-", (0, (5, 3)), (0, (5, 1, 1, 1))), strict=True))
colors = dict(
    zip(names, (plotting.GREY, plotting.BLUE, plotting.ORANGE, plotting.GREEN), strict=True)
)


def nu_w_of(activation, chi):
    """The ``nu_w`` of a memory: ``chi`` grows with it, and is 1 at the critical one."""
    at = jax.jit(lambda nu_w: nr.chi(activation, nu_w, nu_f=1.0))
    highest = 0.99 * float(nr.critical_nu_w(activation, nu_f=1.0))
    return brentq(lambda nu_w: float(at(nu_w)) - chi, 0.01, highest, xtol=1e-4)


fig, axes = plotting.panels(2, width=4.0)
for name in names:
    own = nu_w_of(name, chi=0.7)
    for ax, nu_w in zip(axes, (0.9, own), strict=True):
        rho = nr.effective_lag_weights(20, name, nu_w, 1.0, 1.0)
        label = name if ax is axes[0] else rf"{name}, $\nu_W$ = {nu_w:.2f}"
        ax.plot(rho, color=colors[name], linestyle=styles[name], label=label)
for ax, title in zip(axes, (r"equal $\nu_W$ = 0.9", r"equal $\chi$ = 0.7"), strict=True):
    ax.set_yscale("log")
    ax.set_xticks(range(0, 20, 5))
    ax.set_xlabel("lag $j$ (time steps)")
    ax.set_title(title, fontsize=11)
    plotting.legend(ax)
axes[0].set_ylabel(r"effective lag weight $\rho_j$")
fig

# %% [markdown]
# At equal $\chi$ the weights fall alike, and what is left of the difference is how much of a
# signal passes the units at all.
#
# ## Digits, row by row
#
# scikit-learn ships 1797 handwritten digits of 8 x 8 pixels. Each is a sequence of 8 steps, its
# rows, with 8 inputs, its columns, and a bias: a ninth input that is always 1. Targets are one-hot.
# They are split at random once: up to 600 to train on, 400 to choose by, 797 to test with.

# %%
digits = load_digits()
rows = digits.images.astype(np.float32)
rows = rows / np.sqrt((rows**2).sum(axis=2).mean())  # the mean of |x_t|^2 is 1
x = np.concatenate([rows, np.ones_like(rows[:, :, :1])], axis=2)
y = np.eye(10, dtype=np.float32)[digits.target]
order = np.random.default_rng(0).permutation(len(x))
train, held_out = order[:600], order[600:]
print("inputs", x.shape, "and targets", y.shape)

# %% [markdown]
# ## Four kernels
#
# Two are those of wide networks that say after the last row which digit it was,
# `output="last"`. Beside them are the two that everyone tries first: the linear kernel of all 64
# pixels, and the Gaussian one (RBF), which is told where each pixel is and need not remember
# anything. All but the linear one have one number to choose, from five values each.


# %%
def linear(x1, x2):
    return jnp.einsum("itq,ktq->ik", x1, x2, precision="highest") / 8


def gaussian(x1, x2, gamma):
    a, b = x1.reshape(len(x1), -1), x2.reshape(len(x2), -1)
    products = jnp.matmul(a, b.T, precision="highest")
    squares = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1) - 2 * products
    return jnp.exp(-gamma * squares)


def recurrent(activation, nu_w):
    return partial(
        nr.recurrent_ntk, activation=activation, nu_w=nu_w, nu_f=1.0, nu_c=1.0, output="last"
    )


grid = (0.5, 1.0, 2.0, 4.0, 8.0)
kernels = {
    "linear": {None: linear},
    "Gaussian": {gamma: partial(gaussian, gamma=gamma / 10) for gamma in grid},
    "RNN, ReLU": {nu_w: recurrent("relu", nu_w) for nu_w in grid},
    "RNN, erf": {nu_w: recurrent("erf", nu_w) for nu_w in grid},
}

# %% [markdown]
# `kernel_regression` solves gradient descent on each kernel in closed form at any time (Proposition
# 3.1). Times are in units of the largest stable learning rate; the last one is infinity, where the
# training digits are interpolated. Stopping before that regularizes. The number and the time are
# those with the smallest squared error on the 400 digits to choose by, for each kernel and each
# number of training digits.

# %%
times = np.append(np.geomspace(1, 1e5, 16), np.inf)
sizes = (150, 300, 600)


class Course(NamedTuple):
    """Squared errors on the digits to choose by, and shares of test digits that are right."""

    loss: np.ndarray
    right: np.ndarray


def course(kernel_fn, size):
    used = train[:size]
    path = nr.kernel_regression(kernel_fn, (x[used], y[used]))
    outputs = np.asarray(path.predict(x[held_out], time=times * float(path.max_learning_rate)))
    loss = np.mean((outputs - y[held_out])[:, :400] ** 2, axis=(1, 2))
    right = outputs.argmax(axis=-1) == digits.target[held_out]
    return Course(loss, right[:, 400:].mean(axis=1))


courses = {
    (name, size): {value: course(kernel_fn, size) for value, kernel_fn in family.items()}
    for name, family in kernels.items()
    for size in sizes
}

# %%
chosen, tested = {}, {}
for (name, size), family in courses.items():
    value = min(family, key=lambda value: family[value].loss.min())
    best = family[value].loss.argmin()
    chosen[name, size], tested[name, size] = value, family[value].right[best]
for name in kernels:
    share = tested[name, 600]
    error = np.sqrt(share * (1 - share) / 797)
    print(f"{name}: {share:.1%} +- {error:.1%} of the test digits are right")
    print(f"    chosen: {chosen[name, 600]} of {tuple(kernels[name])}")

# %% [markdown]
# The RNNs read one row after the other, and are as good as the Gaussian kernel, which sees the
# whole image: their differences are within the standard errors. The linear kernel is far behind.

# %%
looks = {
    "linear": (plotting.GREY, "s", (0, (1, 1.5))),
    "Gaussian": (plotting.GREEN, "^", (0, (5, 1, 1, 1))),
    "RNN, ReLU": (plotting.BLUE, "o", "-"),
    "RNN, erf": (plotting.ORANGE, "D", (0, (5, 3))),
}
fig, (ax,) = plotting.panels(1, width=5.0)
for name, (color, marker, style) in looks.items():
    wrong = [1 - tested[name, size] for size in sizes]
    ax.plot(sizes, wrong, color=color, marker=marker, markersize=4.5, linestyle=style, label=name)
ax.set_xscale("log")
ax.set_yscale("log")
ax.set_xticks(sizes, [str(size) for size in sizes])
ax.xaxis.set_minor_locator(NullLocator())
shares = (0.01, 0.02, 0.05, 0.1)
ax.set_yticks(shares, [f"{share:.0%}" for share in shares])
ax.yaxis.set_minor_locator(NullLocator())
ax.set_xlabel("training digits")
ax.set_ylabel("test digits that are wrong")
plotting.legend(ax)
fig

# %% [markdown]
# ## Memory decides
#
# The network answers after the last row. If it has forgotten the first ones, it cannot know the
# digit: so fewer are wrong as $\chi$ grows towards 1. Far beyond, the first rows outweigh the last
# ones, and with erf their smallest differences grow until all sequences are as far apart as any.
# Both networks are best near the edge of chaos, $\chi = 1$. The left panel has the ends of training
# with all five $\nu_W$; the right one has the course of learning with what was chosen.

# %%
fig, (memory, learning) = plotting.panels(2, width=4.0)
for name, activation in (("RNN, ReLU", "relu"), ("RNN, erf", "erf")):
    color, marker, style = looks[name]
    wrong = [1 - each.right[-1] for each in courses[name, 600].values()]
    # Half of the units of ReLU are off at any variance, also where none is stationary (nu_w >= 2).
    chi = [nu_w / 2 if activation == "relu" else nr.chi("erf", nu_w, 1.0, 2.0) for nu_w in grid]
    memory.plot(chi, wrong, color=color, marker=marker, markersize=4.5, linestyle=style, label=name)
for name, (color, _, style) in looks.items():
    right = courses[name, 600][chosen[name, 600]].right
    learning.plot(times[:-1], 1 - right[:-1], color=color, linestyle=style, label=name)
memory.set_xlabel(r"$\chi$ at the power of these inputs")
learning.set_xlabel("time of gradient flow / largest stable rate")
memory.set_ylabel("test digits that are wrong")
for ax in (memory, learning):
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_yticks(shares, [f"{share:.0%}" for share in shares])
    ax.yaxis.set_minor_locator(NullLocator())
    plotting.legend(ax)
ticks = (0.25, 0.5, 1, 2, 4)
memory.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
memory.xaxis.set_minor_locator(NullLocator())
fig
