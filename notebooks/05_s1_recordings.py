# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. The S1 recordings: decoding movement from neurons
#
# A macaque reaches for targets, 52 neurons of its somatosensory cortex (S1) are recorded, and a
# linear model is to tell the velocity of the hand from the spikes of the last 0.75 s. What does the
# implicit bias to short memory do here? Fig. 5 and Table 1 of the paper ask this. Here is one seed,
# trained by full-batch gradient descent; `ntk-rnn reproduce fig5 table1` has the paper's sizes and
# mini-batches, several seeds, and a Wiener filter to compare with.
#
# The recording is published by its authors in KordingLab/spykesML under the MIT licence. It is
# taken from where the environment variable `NTK_RNN_DATA` says, or else downloaded (1.4 MB). Where
# it cannot be had, the next cell says so and the others do nothing.

# %%
import jax
import numpy as np
from IPython.display import display

import ntk_rnn as nr
from ntk_rnn import plotting
from ntk_rnn.reproduction.studies.decoding.config import DecodingConfig
from ntk_rnn.reproduction.studies.decoding.data import compressed, hold_out, split

# %matplotlib inline

# %%
try:
    recording = nr.data.s1()
    print(len(recording.spikes), "bins of 50 ms,", len(recording.pieces), "contiguous pieces")
except nr.data.DataUnavailable as error:
    recording = None
    print("This notebook needs the S1 recordings:", error)

# %% [markdown]
# ## What it looks like
#
# The first ten seconds: spike counts of each neuron, and the velocity of the hand. The file is made
# of many pieces put end to end; grey lines are where one begins, and no window crosses them.

# %%
if recording:
    shown = slice(0, 200)
    seconds = 0.05 * np.arange(200)
    fig, (neurons, hand) = plotting.panels(2, width=4.6)
    image = neurons.pcolormesh(seconds, np.arange(1, 53), recording.spikes[shown].T, cmap="Greys")
    neurons.set_ylabel("neuron")
    neurons.grid(False)
    fig.colorbar(image, ax=neurons, label="spikes per bin of 50 ms")
    hand.plot(seconds, recording.velocity[shown, 0], color="black", label="x")
    hand.plot(seconds, recording.velocity[shown, 1], color="black", linestyle=":", label="y")
    hand.set_ylabel("velocity (as recorded, apparently cm/s)")
    for start in recording.pieces[recording.pieces < 200]:
        hand.axvline(0.05 * start, color="0.6", linewidth=0.8, zorder=0)
    hand.margins(x=0)
    for ax in (neurons, hand):
        ax.set_xlabel("time (s)")
    plotting.legend(hand)
    display(fig)

# %% [markdown]
# ## Windows
#
# A window has $T = 15$ bins, and there is one for every bin that has 14 others before it. The
# target is the velocity in the last bin. The last fifth of the recording is held out. Limited data
# are the first 4.5 minutes. Under squared loss a triangle of 780 rows stands for all windows.

# %%
config = DecodingConfig(width=300)
titles = {"limited": "4.5 minutes of data", "full": "all data"}
if recording:
    data, held_out = {}, {}
    for part, title in titles.items():
        train, test = split(config, recording, part)
        data[part], held_out[part] = (
            compressed(config, train),
            hold_out(config, test),
        )
        print(f"{title}: {len(train.x)} windows for training, {len(test.x)} for test")

# %% [markdown]
# ## Three models
#
# The linear RNN, of width 300 (eqs. 1 and 4), is trained. Its scaled convolution (eqs. 7, 8 and 21)
# and an unscaled one are solved in closed form (Appendix B.4). All start from the impulse response
# of the RNN and have one learning rate.

# %%
at = np.unique([*np.geomspace(1, 1000, 40).astype(int)])
steps = np.geomspace(1, 1e6, 100).astype(int)
if recording:
    rnn = nr.LinearRNN(
        config.width, out_dim=2, nu_w=config.nu_w, nu_f=config.nu_f, nu_c=config.nu_c
    )
    params = rnn.init(jax.random.key(0), train.x[:1])
    initial = nr.impulse_response(params, config.seq_len)
    rho = nr.lag_weights(config.seq_len, config.nu_w, config.nu_f, config.nu_c)
    paths, found = {}, {}
    for part in titles:
        kernels = {
            name: nr.kernel_regression(weights, data[part], initial=initial, on_host=True)
            for name, weights in {"scaled": rho, "unscaled": rho**0}.items()
        }
        rate = min(kernel.max_learning_rate for kernel in kernels.values()) / 2
        found[part] = {name: k.impulse_response(steps, rate) for name, k in kernels.items()}
        path = nr.gradient_descent(
            rnn, params, data[part], steps=int(at[-1]), learning_rate=float(rate), record_at=at
        )
        paths[part] = path.impulse_response

# %% [markdown]
# $R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2$ on held-out windows, mean of the two
# coordinates:

# %%
looks = {
    "scaled": (plotting.ORANGE, (0, (5, 3))),
    "unscaled": (plotting.GREEN, (0, (1, 1.5))),
}
if recording:
    fig, axes = plotting.panels(2)
    for ax, (part, title) in zip(axes, titles.items(), strict=True):
        scores = held_out[part].score(paths[part]).mean(axis=1)
        ax.plot(at, scores, color=plotting.BLUE, label="linear RNN, n = 300")
        for name, (color, style) in looks.items():
            scores = held_out[part].score(found[part][name]).mean(axis=1)
            label = f"{name} convolution"
            ax.plot(steps, scores, color=color, linestyle=style, label=label)
            print(f"{title}, {label}: largest {scores.max():.3f}, in the end {scores[-1]:.3f}")
        ax.set_xscale("log")
        ax.set_ylim(0, 0.8)
        ax.set_title(title, fontsize=11)
        ax.set_xlabel("step of gradient descent")
    axes[0].set_ylabel("$R^2$ on held-out windows (from 0)")
    plotting.legend(axes[1], loc="lower right")
    display(fig)

# %% [markdown]
# With all data the scaled convolution, and the RNN with it, is behind until it has learned
# the longer lags, and ends equal. With 4.5 minutes it ends ahead: what it has not learned would
# have been noise. This is one recording, one split and one seed. The table of `ntk-rnn reproduce`
# says what holds over seeds.
#
# ## Where the memory is
#
# The norm of the impulse response over neurons and coordinates, at each lag, from 4.5 minutes of
# data. Long lags of the scaled convolution stay near 0 until late.

# %%
if recording:
    fig, axes = plotting.panels(2)
    for ax, k in zip(axes, (np.searchsorted(steps, 1000), -1), strict=True):
        for name, (color, style) in looks.items():
            norms = np.linalg.norm(found["limited"][name][k], axis=(1, 2))
            ax.plot(50 * np.arange(config.seq_len), norms, "o", color=color, linestyle=style,
                    markersize=4, label=f"{name} convolution")  # fmt: skip
        ax.set_title(f"after {steps[k]:,} steps", fontsize=11)
        ax.set_xlabel("lag (ms)")
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("norm of $L_j$ (standardized units)")
    plotting.legend(axes[0])
    display(fig)
