# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6. Bring your own data
#
# You have recorded inputs and outputs over time, and want to know what of the past the outputs
# depend on. Here is the way from a file to three fitted models, their $R^2$, the impulse response
# that they have found, and a small network that can be used elsewhere. Replace the file and the
# names of its columns by yours.
#
# The example is made up, so that it is known what should be found: 80 trials of half a second in
# bins of 20 ms, in which light and touch go up and down about a mean at which they are held before.
# A neuron answers to light at once, and to touch with a rise and then a dip.

# %%
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import r2_score

import ntk_rnn as nr
from ntk_rnn import plotting

# %matplotlib inline

# %%
print(*Path("trials.csv").read_text().splitlines()[:4], sep="\n")

# %% [markdown]
# ## From a CSV file
#
# The first line names the columns, every other line is a time step. A column can say which trial a
# row belongs to. These trials begin at rest: before each, nothing happens. `at_rest()` says so. A
# recording that goes on all the time is not to be cut like that, as is shown further below.

# %%
inputs, outputs = ["light (mW)", "touch (mN)"], ["rate (spikes/s)"]
x, y = nr.data.from_csv("trials.csv", inputs, outputs, group="trial").at_rest()
print("inputs", x.shape, "and outputs", y.shape, "as (trials, time steps, columns)")

# %% [markdown]
# What cannot be used is refused, and the message says where it is and what to do:

# %%
for wrong in (
    {"path": "trails.csv"},
    {"inputs": ["light", "touch (mN)"]},
    {"group": None},
    {"seq_len": 40},
):
    try:
        nr.data.from_csv(
            **{"path": "trials.csv", "inputs": inputs, "outputs": outputs, "group": "trial"} | wrong
        )
    except ValueError as error:
        print(error, end="\n\n")

# %% [markdown]
# ## One continuous recording
#
# It is taken as it is: `seq_len=` says how many inputs, up to its own time step, explain an output,
# and `compress()` gives what all models here take. `from_csv` and `from_arrays` are used alike;
# here the recording is made up, of a system of two states with three inputs and two outputs. The
# last fifth is for test.

# %%
rng = np.random.default_rng(0)
drive = rng.normal(size=(5000, 3))
for t in range(1, 5000):
    drive[t] += 0.5 * drive[t - 1]
turn = 0.9 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
state, answer = np.zeros(2), np.empty((5000, 2))
for t in range(5000):
    state = turn @ state + drive[t] @ [[1.0, 0.2], [-0.5, 1.0], [0.3, -0.8]]
    answer[t] = state + rng.normal(size=2)


def least_squares(data):
    fit = nr.kernel_regression(jnp.ones(memory), data)
    return fit.impulse_response(np.inf, fit.max_learning_rate / 2)


for memory in (5, 10, 20, 40):
    recording = nr.data.from_arrays(drive, answer, seq_len=memory)
    train, test = recording.split(test_fraction=0.2)
    whole = test.r_squared(least_squares(train.compress())).mean()
    windows, targets = test.at_rest()
    predicted = nr.causal_conv(least_squares(train.at_rest()), windows)
    cut = r2_score(targets.reshape(-1, 2), predicted.reshape(-1, 2))
    print(f"T = {memory}: R^2 = {whole:.2f} as it is, {cut:.2f} in windows at rest")

# %% [markdown]
# Windows of $T$ rows that each begin at rest are the wrong way here: their outputs answer to inputs
# of the window before as well, which such a window does not have. The shorter they are, the worse
# is the fit.
#
# A recording that does not fit into memory, or that is still going on, is compressed chunk by
# chunk: `nr.compress_recording(chunks, seq_len=20)`.

# %% [markdown]
# ## Training and test
#
# Back to the trials, of which the last 20 are for test. The models have no constant term, so inputs
# and outputs are taken in units of the training trials: less their mean, over their standard
# deviation. What comes before the first bin of a trial then counts as inputs at their mean.

# %%
units = nr.data.training_units(x[:60], y[:60])
train, test = units.standardize(x[:60], y[:60]), units.standardize(x[60:], y[60:])
T = x.shape[1]

# %% [markdown]
# ## Three models
#
# A linear RNN (eqs. 1 and 4), trained by gradient descent; the convolution that it is in the limit
# of infinite width, with lag weights $\rho_j$ (eqs. 7, 8 and 21); and a plain convolution,
# $\rho_j = 1$. The convolutions need no training: their path has a closed form (Appendix B.4). All
# start from the impulse response of the RNN and take equally many steps, each at half of its
# largest stable learning rate.

# %%
rnn = nr.LinearRNN(width=500, out_dim=1, nu_w=0.3, nu_f=1.0, nu_c=1.0)
params = rnn.init(jax.random.key(0), train[0])
initial = nr.impulse_response(params, T)
rho = nr.lag_weights(T, nu_w=0.3, nu_f=1.0, nu_c=1.0)
scaled = nr.kernel_regression(rho, train, initial=initial)
unscaled = nr.kernel_regression(jnp.ones(T), train, initial=initial)

steps, rate = 1000, scaled.max_learning_rate / 2
path = nr.gradient_descent(rnn, params, train, steps=steps, learning_rate=rate, record_at=[0])
fitted = {
    "linear RNN": path.impulse_response[-1],
    "scaled convolution": scaled.impulse_response(steps, rate),
    "unscaled convolution": unscaled.impulse_response(steps, unscaled.max_learning_rate / 2),
}

# %% [markdown]
# ## How good are they?
#
# $R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2$ on the test trials: 1 is perfect, 0 is no
# better than the mean.

# %%
for name, L in fitted.items():
    predicted = nr.causal_conv(L, test[0])
    print(f"{name}: R^2 = {r2_score(test[1].ravel(), predicted.ravel()):.3f}")

# %% [markdown]
# ## What they have found: the impulse response
#
# How the rate answers to an input of one unit in one bin, in the bins after it.

# %%
LOOKS = {
    "linear RNN": (plotting.BLUE, "-"),
    "scaled convolution": (plotting.ORANGE, (0, (5, 3))),
    "unscaled convolution": (plotting.GREEN, (0, (1, 1.5))),
}
milliseconds = 20 * np.arange(T)
fig, axes = plotting.panels(2)
for q, (ax, column) in enumerate(zip(axes, inputs, strict=True)):
    gain = units.y_scale[0] / units.x_scale[q]
    for name, L in fitted.items():
        color, style = LOOKS[name]
        ax.plot(milliseconds, gain * L[:, 0, q], color=color, linestyle=style, label=name)
    kind, unit = column.rstrip(")").split(" (")
    ax.set_title(f"answer to {kind}", fontsize=11)
    ax.set_xlabel("time since the input (ms)")
    ax.set_ylabel(f"change of rate (spikes/s per {unit})")
plotting.legend(axes[0])
fig

# %%
fig, (ax,) = plotting.panels(1, width=6.5)
ax.plot(milliseconds, y[-1, :, 0], "o", color="black", markersize=4, label="recorded")
for name, L in fitted.items():
    color, style = LOOKS[name]
    rate_found = units.outputs(nr.causal_conv(L, test[0][-1:]))[0, :, 0]
    ax.plot(milliseconds, rate_found, color=color, linestyle=style, label=name)
ax.set_xlabel("time in the trial (ms)")
ax.set_ylabel("rate (spikes/s)")
ax.set_title("The last test trial", fontsize=11)
plotting.legend(ax, loc="center left", bbox_to_anchor=(1, 0.5))
fig

# %% [markdown]
# ## A small network to ship
#
# Every impulse response is that of some RNN (Proposition 2.1b), and often a small one does. The
# singular values of the block Hankel matrix $L_{i+j}$ say how small: what follows a sharp fall is
# not needed.

# %%
L = fitted["scaled convolution"]
fig, (ax,) = plotting.panels(1)
ax.plot(range(1, 13), nr.hankel_singular_values(L)[:12], "o", color=plotting.ORANGE)
ax.set_yscale("log")
ax.set_xlabel("hidden units")
ax.set_ylabel("Hankel singular value of $L$")
fig

# %%
small = {width: nr.realize(L, method="balanced", order=width) for width in (1, 2, 3, 4, 6)}
for width, weights in small.items():
    network = nr.LinearRNN(width=width, out_dim=1, evaluation="scan")
    score = r2_score(test[1].ravel(), network.apply(weights, test[0]).ravel())
    print(f"{width} hidden units: R^2 = {score:.3f}")

# %% [markdown]
# Three hidden units do as well as 500. The network is three matrices, which
# `np.savez("small_rnn.npz", **small[3]["params"])` saves; whoever has them needs nothing of this
# library: $h \leftarrow W h / \sqrt n + F x$ and $y = C h / \sqrt n$ at every time step.

# %%
small[3]["params"]
