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
# depend on, and how sure that is. Here is the way from a file to a fitted, tested and saved model.
# Replace the file and the names of its columns by yours.
#
# The example is made up, so that it is known what should be found: 80 trials of half a second in
# bins of 20 ms, in which light and touch go up and down. A neuron answers to light at once, and to
# touch with a rise and then a dip.
#
# Whoever wants no Python gets the same as a report from the command line:
# `ntk-rnn fit trials.csv --inputs light touch --outputs rate --time time --trial trial`.

# %%
from pathlib import Path

import numpy as np

import ntk_rnn as nr
from ntk_rnn import plotting

# %matplotlib inline

# %%
print(*Path("trials.csv").read_text().splitlines()[:4], sep="\n")

# %% [markdown]
# ## From a file to a model
#
# The first line names the columns, with their units, and every other line is a time step. A column
# says which trial a row belongs to, and another one at which time it is. The last fifth of the
# trials is held out for test. `fit` tunes its assumptions on the response, the kernel, and the
# noise so that the training data are most probable; here it also chooses how many lags there are.

# %%
recording = nr.data.from_csv("trials.csv", ["light", "touch"], "rate", time="time", group="trial")
train, test = recording.split(test_fraction=0.2, standardize=False)
fit = nr.fit(train, [5, 10, 15, 20])
fit

# %% [markdown]
# On the trials that are held out, $R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2$ is 1 for
# perfect predictions and 0 for those that are no better than the mean.

# %%
print(f"R^2 = {fit.score(test).r_squared[0]:.3f}, noise {fit.noise[0]:.2f} spikes/s")
print(f"95 % of what is explained are inputs of the last {fit.memory[0] * fit.interval:.2f} s")

# %% [markdown]
# ## The impulse response, and how sure it is
#
# How the rate answers to an input of one unit in one bin, in the bins after it. Bands hold the true
# response with a probability of 95 %, bin by bin.

# %%
milliseconds = 1000 * fit.interval * np.arange(len(fit.impulse_response))
fig, axes = plotting.panels(2)
for q, (ax, channel) in enumerate(zip(axes, fit.inputs, strict=True)):
    middle, half = fit.impulse_response[:, 0, q], 1.96 * fit.standard_deviation[:, 0, q]
    ax.fill_between(milliseconds, middle - half, middle + half, alpha=0.25)
    ax.plot(milliseconds, middle, "o-", markersize=3)
    ax.set_title(f"answer to {channel.name}", fontsize=11)
    ax.set_xlabel("time since the input (ms)")
    ax.set_ylabel(f"change of rate ({fit.outputs[0].unit} per {channel.unit})")
fig

# %% [markdown]
# ## Predictions
#
# Bands of measurements are wider: they have the noise as well. The first outputs of a trial are not
# predicted, because the inputs before it are not known.

# %%
mean, deviation = fit.predict(test, return_std=True)
half = 1.96 * np.hypot(deviation, fit.noise)
last = slice(test.pieces[-1], None)
seconds = fit.interval * np.arange(len(mean[last]))
fig, (ax,) = plotting.panels(1, width=6.5)
ax.fill_between(seconds, (mean - half)[last, 0], (mean + half)[last, 0], alpha=0.2)
ax.plot(seconds, mean[last, 0], label="predicted")
ax.plot(seconds, test.y[last, 0], "o", color="black", markersize=4, label="recorded")
ax.set_xlabel("time in the trial (s)")
ax.set_ylabel(str(fit.outputs[0]))
ax.set_title("The last trial", fontsize=11)
plotting.legend(ax, loc="center left", bbox_to_anchor=(1, 0.5))
fig

# %% [markdown]
# ## Which assumptions explain the data best
#
# A kernel says what is assumed of a response before data are seen: `rnn` are the lag weights of a
# wide linear RNN (eq. 21), the others are those of system identification, and `flat` is ridge
# regression. A difference of 3 in log evidence makes one 20 times as probable as another.

# %%
ranking = sorted(fit.kernels, key=lambda each: each.evidence)
fig, (ax,) = plotting.panels(1, width=6.0, height=2.8)
ax.barh([each.kernel for each in ranking], [each.evidence - fit.evidence for each in ranking])
ax.set_xlabel("log evidence relative to the best")
fig

# %% [markdown]
# ## What a wide RNN learns of them
#
# Gradient descent of a wide linear RNN on these data has a closed form (Appendix B.4): it learns
# short lags first.

# %%
steps = [1, 10, 100, 1000]
learned = fit.training(steps, nu_w=0.3, nu_f=1.0, nu_c=1.0)
fig, (ax,) = plotting.panels(1, width=6.0)
for step, response, shade in zip(steps, learned, plotting.shades(len(steps)), strict=True):
    ax.plot(milliseconds, response[:, 0, 1], color=shade, label=f"{step} steps")
ax.plot(milliseconds, fit.impulse_response[:, 0, 1], "--", color=plotting.ORANGE, label="fitted")
ax.set_xlabel("time since touch (ms)")
ax.set_ylabel("change of rate (spikes/s per mN)")
plotting.legend(ax)
fig

# %% [markdown]
# ## A small network to ship, and a file to keep
#
# Every impulse response is that of some RNN (Proposition 2.1b). `realize` takes as few hidden units
# as the uncertainty of the response allows. Whoever has the three matrices needs nothing of this
# library: $h \leftarrow W h / \sqrt n + F x$ and $y = C h / \sqrt n$ at every time step. `save`
# keeps the whole fit, which `nr.load` and `ntk-rnn predict` read.

# %%
small = fit.realize()
{name: matrix.shape for name, matrix in small["params"].items()}

# %%
fit.save("model.npz")
same = nr.load("model.npz").predict(test)
Path("model.npz").unlink()
bool(np.array_equal(same, mean, equal_nan=True))

# %% [markdown]
# ## What cannot be used is refused
#
# The message says where it is, and what to do.

# %%
asked = {"path": "trials.csv", "inputs": ["light", "touch"], "outputs": "rate", "group": "trial"}
for wrong in ({"path": "trails.csv"}, {"inputs": "ligth"}, {"group": None, "time": "time"}):
    try:
        nr.data.from_csv(**asked | wrong)
    except ValueError as error:
        print(error, end="\n\n")
