r"""Own data: from recordings to models, and to a small RNN that can be used elsewhere.

Models take inputs `x (N, T, n_x)` and targets `y (N, T, n_y)`: $N$ sequences of $T$ steps each,
at equal intervals of time.

## From a table

`ntk_rnn.data.from_csv` reads the columns of a CSV file, and cuts its rows into sequences of
`seq_len` steps, or where a column says that another trial begins. `ntk_rnn.data.from_arrays` does
the same with arrays. An error in the file is reported with its line, its column, its value and
what to do.

>>> import pathlib, tempfile
>>> import numpy as np
>>> import ntk_rnn as nr
>>> rows = [f"{np.sin(t):.4f},{np.sin(t - 1):.4f}" for t in range(60)]
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "recording.csv")
...     _ = path.write_text("\n".join(["stimulus,response", *rows]))
...     x, y = nr.data.from_csv(path, inputs="stimulus", outputs="response", seq_len=5)
>>> x.shape, y.shape
((12, 5, 1), (12, 5, 1))

`ntk_rnn.data.s1` has a recording of cortex to try things on.

## Before fitting

- **Centre and scale.** Models have no offset and expect inputs of the order of 1. Express both
  parts in the means and deviations of the training part, which `ntk_rnn.data.training_units`
  computes.
- **Split by time.** Neighbouring windows of a recording overlap or are alike, so a random split
  tests on what was trained on. `ntk_rnn.data.chronological_split` does not.
- **Length.** $T$ bounds the memory of the fitted model, and lag $j$ has data from only $T - j$
  steps of a sequence.
- **Variable lengths, gaps, targets at the last step.** Weights over `(N, T)` multiply squared
  errors. Pad short sequences with zeros at the end, and give padding weight 0; give gaps in the
  targets weight 0, where they may be NaN:

>>> y[0, 3:] = np.nan  # the first sequence has three steps
>>> weights = np.where(np.isnan(y[..., 0]), 0.0, 1.0)
>>> data = nr.compress(x, y, weights)

The result of `ntk_rnn.compress` can be used wherever a pair `(x, y)` can.

## Fit

The limit of a wide RNN, and an ordinary convolution:

>>> rho = nr.lag_weights(5, nu_w=0.3, nu_f=1.0, nu_c=1.0)
>>> scaled = nr.kernel_regression(rho, data)
>>> unscaled = nr.kernel_regression(np.ones(5), data)
>>> eta = scaled.max_learning_rate / 2
>>> L = scaled.impulse_response(step=10_000, learning_rate=eta)
>>> L.shape
(5, 1, 1)

`train_loss` and `test_loss` of either show when to stop. `step=np.inf` is the end of training, for
which no learning rate is needed: the least-squares fit, the same for both if there are more
targets than unknowns. With $\nu_W = 0.3$ it is out of reach of float32 from about 22 lags on, which
is said; `on_host=True` reaches it at any number of lags.
`ntk_rnn.train` trains the RNN at a finite width.

## Ship

`ntk_rnn.realize` finds an RNN with the fitted impulse response, as small as the tolerance allows,
which is stable at every width. It consists of three matrices and the recurrence
$h_t = W h_{t-1} / \sqrt n + F x_t$, $y_t = C h_t / \sqrt n$, which can be written in any language.

>>> values = nr.hankel_singular_values(L)  # what each further hidden unit adds
>>> params = nr.realize(L, method="balanced", order=3)
>>> {name: array.shape for name, array in sorted(params["params"].items())}
{'C': (1, 3), 'F': (3, 1), 'W': (3, 3)}
"""
