# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. Training against the predictor
#
# In the limit of infinite width, gradient descent on the RNN is gradient descent on a convolution
# whose lag $j$ has the weight $\rho_j$ (Theorem 3.3). Under squared loss that has a closed form
# (Proposition 3.1, Appendix B.4): with the matrix $A$ of lagged inputs, targets $y$ and
# $D = \mathrm{diag}(\rho)$, the impulse response after $\ell$ steps is
#
# $$L^\ell = L^0 + D^{1/2} V \, \frac{1 - (1 - \eta \Lambda)^\ell}{\Lambda} \, V^\top D^{1/2}
# A^\top (y - A L^0), \qquad D^{1/2} A^\top A D^{1/2} = V \Lambda V^\top .$$
#
# So every step of training is known before it is taken. How well does it hold at finite width?

# %%
import jax
import jax.numpy as jnp
import numpy as np

import ntk_rnn as nr
from ntk_rnn import plotting

# %matplotlib inline

# %% [markdown]
# ## A task
#
# A small linear RNN, the teacher, makes the data: 100 sequences of 10 steps, with noise at 20 dB.
# Half are for training. These are the sizes of Fig. 1 of the paper. Try another key: where a
# teacher's outputs are large, there is more to learn, and a network must be wider to be predicted.

# %%
T, steps, rate = 10, 1000, 1e-4
nu = {"nu_w": 0.3, "nu_f": 1.0, "nu_c": 1.0}
x, y = nr.data.teacher(jax.random.key(0), 100, T, snr_db=20.0)
train, test = (x[:50], y[:50]), (x[50:], y[50:])
rho = nr.lag_weights(T, **nu)

# %% [markdown]
# ## Loss curves
#
# Here are RNNs of three widths, each with its own closed form, which starts from the same impulse
# response.

# %%
at = np.unique([0, *np.geomspace(1, steps, 150).astype(int)])
paths, predictors = {}, {}
for width in (30, 200, 1000):
    rnn = nr.LinearRNN(width, out_dim=1, **nu)
    params = rnn.init(jax.random.key(width), x)
    paths[width] = nr.gradient_descent(
        rnn, params, train, test=test, steps=steps, learning_rate=rate,
        record_at=at, kernel_drift=True,
    )  # fmt: skip
    initial = nr.impulse_response(params, T)
    predictors[width] = nr.kernel_regression(rho, train, initial=initial)

# %%
fig, axes = plotting.panels(3, width=3.2)
for ax, (width, path) in zip(axes, paths.items(), strict=True):
    predicted = predictors[width].test_loss(test, path.step, rate)
    ax.plot(path.step, path.test_loss, color=plotting.BLUE, label="linear RNN")
    ax.plot(path.step, predicted, color="black", linestyle=(0, (1, 2.5)), label="closed form")
    ax.set_title(f"n = {width}", fontsize=11)
    ax.set_xlabel("step of gradient descent")
    ax.set_yscale("log")
    gap = jnp.max(jnp.abs(path.test_loss - predicted)) / path.test_loss[0]
    print(f"n = {width}: largest gap over the initial loss {gap:.1e}")
for ax in axes:
    ax.set_ylim(0.8, 2000)
axes[0].set_ylabel("test loss (half the summed squares)")
plotting.legend(axes[0])
fig

# %% [markdown]
# ## Lag by lag
#
# The loss hides what is learned when. The impulse response shows it: lag $j$ moves at a rate
# proportional to $\rho_j$, so short lags come first. Lines are the RNN of width 1000, dots the
# closed form, and triangles at the right are where least squares puts each lag, after infinitely
# many steps.

# %%
path, predictor = paths[1000], predictors[1000]
predicted = predictor.impulse_response(path.step, rate)
settled = predictor.impulse_response(jnp.inf, rate)

fig, (ax,) = plotting.panels(1, width=6.5, height=3.8)
for j, color in enumerate(plotting.shades(6)[::-1]):
    ax.plot(path.step[1:], path.impulse_response[1:, j, 0, 0], color=color, label=f"lag {j}")
    ax.plot(path.step[1:], predicted[1:, j, 0, 0], color="black", linestyle=(0, (1, 4)))
    ax.plot(steps, settled[j, 0, 0], marker=">", markersize=7, color=color, clip_on=False)
ax.set_xscale("log")
ax.margins(x=0)
ax.set_xlabel("step of gradient descent")
ax.set_ylabel("impulse response $L_j$")
plotting.legend(ax, loc="center left", bbox_to_anchor=(1.03, 0.5))
fig

# %% [markdown]
# The part of its way that each lag has gone after some numbers of steps is:

# %%
part = predictor.impulse_response(jnp.asarray([10, 100, 1000]), rate)[:, :, 0, 0]
start, end = predictor.initial[:, 0, 0], settled[:, 0, 0]
table = np.asarray((part - start) / (end - start))
print("lag       " + "".join(f"{j:8d}" for j in range(6)))
for number, row in zip((10, 100, 1000), table, strict=True):
    print(f"{number:5d} steps" + "".join(f"{share:8.2f}" for share in row[:6]))

# %% [markdown]
# ## How far the kernel drifts
#
# The prediction rests on a kernel that stays as it is. At finite width it drifts:
# $\|G^\ell - G^0\|_F / \|G^0\|_F$, with the exact Gram matrix $G$ of the gradients of $L$, is the
# smaller the wider the network.

# %%
fig, (ax,) = plotting.panels(1)
for (width, path), color in zip(paths.items(), plotting.shades(3), strict=True):
    ax.plot(path.step[1:], path.kernel_drift[1:], color=color, label=f"n = {width}")
ax.set_xscale("log")
ax.set_yscale("log")
ax.set_xlabel("step of gradient descent")
ax.set_ylabel("relative drift of the kernel")
plotting.legend(ax)
fig

# %% [markdown]
# ## Any width
#
# Gradient descent adds to $W$ only products of vectors that the chains $C W^a$ and $W^b F$ reach,
# and those span a few dozen dimensions, whatever the width. `subspace_descent` trains there. All it
# needs of $W$ are products with that subspace, and `wide_rnn` draws those without $W$, exactly in
# law. Here $W$ would take 40 GB.

# %%
wide = nr.wide_rnn(jax.random.key(0), width=100_000, in_dim=1, out_dim=1, **nu)
path = nr.subspace_descent(
    wide, train, test=test, steps=steps, learning_rate=rate, record_at=at
)  # fmt: skip
predictor = nr.kernel_regression(rho, train, initial=nr.impulse_response(wide, T))
gap = jnp.max(jnp.abs(path.test_loss - predictor.test_loss(test, path.step, rate)))
print(f"{path.rank} dimensions; largest gap over the initial loss {gap / path.test_loss[0]:.1e}")

# %% [markdown]
# ## When the learning rate is too large
#
# The closed form also knows the largest learning rate that is stable, $2 / \lambda_{\max}$. Asked
# for more, `gradient_descent` refuses.

# %%
print("largest stable learning rate:", f"{predictors[1000].max_learning_rate:.2e}")
try:
    nr.gradient_descent(rnn, params, train, steps=10, learning_rate=0.1)
except ValueError as error:
    print(error)
