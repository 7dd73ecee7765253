# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. The implicit bias: which delays can an RNN learn, and how fast?
#
# A wide linear RNN can represent any impulse response. Whether gradient descent finds it in time is
# another matter: lag $j$ is learned at a rate proportional to its weight
#
# $$\rho_j = \nu_C \left( j\, \nu_F \nu_W^{j-1} + \nu_W^j \right) + \nu_F \nu_W^j
# \qquad \text{(eq. 21),}$$
#
# which decays about as $\nu_W^j$. So the variances at initialization decide what is remembered.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from ipywidgets import FloatSlider, IntSlider, interact
from matplotlib.figure import Figure

import ntk_rnn as nr
from ntk_rnn import plotting

# %matplotlib inline

# %%
fig, (ax,) = plotting.panels(1)
variances = (0.1, 0.3, 0.6, 0.9)
for nu_w, color in zip(variances, plotting.shades(4), strict=True):
    ax.plot(nr.lag_weights(30, nu_w, 1.0, 1.0), color=color, label=rf"$\nu_W$ = {nu_w}")
ax.set_yscale("log")
ax.set_ylim(1e-8, 1e2)
ax.set_xlabel("lag $j$ (time steps)")
ax.set_ylabel(r"lag weight $\rho_j$")
plotting.legend(ax)
fig

# %% [markdown]
# ## The task: give back the input of $d$ steps before
#
# The targets are $y_t = x_{t-d}$, for white inputs. The error that remains for each delay has a
# closed form (Proposition 3.1). For white inputs it is about
#
# $$\frac{\|A L^\ell - y\|^2}{\|y\|^2} \approx (1 - \eta \rho_d s_d)^{2 \ell}$$
#
# with the energy $s_d$ of the inputs that reach lag $d$. In the figure, 1 means that nothing has
# been learned, and 0 that all has. The line is where half of the error is gone. Each model takes
# half of its largest stable learning rate, and starts from $L = 0$.

# %%
T = 20
x = jax.random.normal(jax.random.key(0), (50, T, 1))
steps = np.unique(np.geomspace(1, 1e5, 80).astype(int))
rho = nr.lag_weights(T, nu_w=0.3, nu_f=1.0, nu_c=1.0)
scaled = nr.delay_errors(rho, x, steps)
unscaled = nr.delay_errors(jnp.ones(T), x, steps)

# %%
fig, axes = plotting.panels(2, width=4.0)
for ax, found, title in (
    (axes[0], scaled, r"scaled convolution (wide RNN), $\nu_W$ = 0.3"),
    (axes[1], unscaled, "unscaled convolution"),
):
    image = ax.pcolormesh(np.arange(T), steps, found.error, vmin=0, vmax=1, shading="nearest")
    ax.contour(np.arange(T), steps, found.error, [0.5], colors="white", linewidths=1.5)
    ax.set_yscale("log")
    ax.set_xticks(range(0, T, 4))
    ax.set_xlabel("delay $d$ (time steps)")
    ax.set_title(title, fontsize=11)
    ax.grid(False)
axes[0].set_ylabel("step of gradient descent")
fig.colorbar(image, ax=axes, label="error / error of predicting 0")
fig

# %% [markdown]
# The unscaled convolution learns all delays at about the same time, and the last ones a little
# later only because fewer inputs reach them. For the RNN each further step of delay takes about
# $1 / \nu_W$ times as many steps of training.
#
# ## Check: train an RNN
#
# An RNN of width 1000 is trained on some of the delays, one after the other, at the same learning
# rate.

# %%
rnn = nr.LinearRNN(width=1000, out_dim=1, nu_w=0.3, nu_f=1.0, nu_c=1.0)
params = rnn.init(jax.random.key(1), x)
delays, numbers = (1, 5, 7, 9, 11), np.array([100, 1000])
left = []
for d in delays:
    task = (x, nr.data.delay(x, d))
    path = nr.gradient_descent(
        rnn, params, task, steps=1000, learning_rate=scaled.learning_rate, record_at=numbers
    )
    left.append(2 * path.train_loss / jnp.sum(task[1] ** 2))

# %%
closed = nr.delay_errors(rho, x, numbers, scaled.learning_rate)
flat = nr.delay_errors(jnp.ones(T), x, numbers)
fig, axes = plotting.panels(2, width=4.0)
for r, (ax, number) in enumerate(zip(axes, numbers, strict=True)):
    ax.plot(flat.error[r], color=plotting.GREEN, linestyle=(0, (1, 1.5)),
            label="unscaled convolution")  # fmt: skip
    ax.plot(closed.error[r], color=plotting.ORANGE, linestyle=(0, (5, 3)),
            label="scaled convolution")  # fmt: skip
    found = [errors[r] for errors in left]
    ax.plot(delays, found, "o", color=plotting.BLUE, markersize=4.5, label="linear RNN, n = 1000")
    ax.set_xticks(range(0, T, 4))
    ax.set_xlabel("delay $d$ (time steps)")
    ax.set_title(f"after {number} steps", fontsize=11)
axes[0].set_ylabel("error / error of predicting 0")
plotting.legend(axes[0], loc="center right")
fig

# %% [markdown]
# The RNN is ahead of its limit where the width is too small for the limit to hold. To move lag $d$
# by 1, the parameters must move by $1 / \sqrt{\rho_d}$. Spread over $n$ hidden units, that is
# little only as long as $n \rho_d$ is large. So a network learns its longest delays while its
# kernel changes.

# %% [markdown]
# ## Try it: what does your RNN remember?
#
# The left panel has the lag weights. The right one has the steps that each delay takes until half
# of its error is gone. The grey line is the number of steps that you have, and delays below it are
# learned.


# %%
def picture(nu_w: float, nu_f: float, nu_c: float, seq_len: int, log10_steps: float) -> Figure:
    """Lag weights, and steps until each delay is learned."""
    rho = nr.lag_weights(seq_len, nu_w, nu_f, nu_c)
    tried = np.unique(np.geomspace(1, 1e6, 60).astype(int))
    inputs = jax.random.normal(jax.random.key(2), (20, seq_len, 1))
    fig, (weights, needed) = plotting.panels(2)
    for title, lags, color, style in (
        ("wide linear RNN", rho, plotting.BLUE, "o-"),
        ("unscaled convolution", jnp.ones(seq_len), plotting.GREEN, "s:"),
    ):
        weights.plot(lags, style, color=color, markersize=4, label=title)
        needed.plot(
            nr.delay_errors(lags, inputs, tried).steps_needed(), style, color=color, markersize=4
        )
    needed.axhline(10**log10_steps, color=plotting.GREY, linewidth=1.2, label="your steps")
    for ax, label in ((weights, r"lag weight $\rho_j$"), (needed, "steps until half is learned")):
        ax.set_yscale("log")
        ax.set_ylabel(label)
        plotting.legend(ax)
        ax.set_xticks(range(0, seq_len, 5))
    weights.set_ylim(1e-6, 1e2)
    needed.set_ylim(0.8, 1.2e6)
    weights.set_xlabel("lag $j$ (time steps)")
    needed.set_xlabel("delay $d$ (time steps)")
    return fig


# %% [markdown]
# Sliders appear here where the notebook runs (Jupyter, VS Code, Colab). A page that only shows it
# has the figures below in their place.

# %%
sliders = interact(
    picture,
    nu_w=FloatSlider(0.3, min=0.05, max=0.95, step=0.05, description="nu_W"),
    nu_f=FloatSlider(1.0, min=0.1, max=4.0, step=0.1, description="nu_F"),
    nu_c=FloatSlider(1.0, min=0.1, max=4.0, step=0.1, description="nu_C"),
    seq_len=IntSlider(20, min=2, max=40, description="T"),
    log10_steps=FloatSlider(3.0, min=0.0, max=6.0, step=0.1, description="log10 steps"),
)

# %% [markdown]
# With the paper's variances, $\nu_W = 0.3$ and $\nu_F = \nu_C = 1$, and 1000 steps:

# %%
picture(0.3, 1.0, 1.0, 20, 3.0)

# %% [markdown]
# With $\nu_W = 0.8$ the RNN remembers much longer:

# %%
picture(0.8, 1.0, 1.0, 20, 3.0)

# %% [markdown]
# And with $\nu_F = \nu_C = 0.2$ the share of $W$ in eq. 21, $j\, \nu_C \nu_F \nu_W^{j-1}$, is
# smaller beside the others: large variances favour lags from 1 on.

# %%
picture(0.3, 0.2, 0.2, 20, 3.0)
