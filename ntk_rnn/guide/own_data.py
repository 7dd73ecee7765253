r"""Own data: from recordings to models, and to a small RNN that can be used elsewhere.

Inputs and outputs are recorded at equal intervals of time, one row a step. A model explains each
output by the $T$ inputs up to it.

## From a table

`ntk_rnn.data.from_csv` reads the columns of a CSV file, `ntk_rnn.data.from_file` also variables of
`.npz` and `.mat` files, and `ntk_rnn.data.from_arrays` takes arrays. An error in the file is
reported with its line, its column, its value and what to do.

>>> import pathlib, tempfile
>>> import numpy as np
>>> import ntk_rnn as nr
>>> t = np.arange(200)
>>> stimulus, response = np.sin(t) + np.cos(t**2), np.sin(t - 1) + np.cos((t - 1) ** 2)
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "recording.csv")
...     table = np.stack([stimulus, response], axis=1)
...     np.savetxt(path, table, delimiter=",", header="stimulus,response", comments="")
...     recording = nr.data.from_csv(path, inputs="stimulus", outputs="response", seq_len=5)
>>> recording
Recording(200 rows in 1 pieces, n_x=1, n_y=1, seq_len=5)

Nothing is cut: `seq_len` is $T$, how far back a model looks, and may be left out where it is yet to
be found. A column that names the session or trial of each row (`group=`) says where the recording
is interrupted. So does a column of times (`time=`): where it skips, a new piece begins, which
`recording.remarks` says. Steps that are not equal are refused, but for rounding. Decimal commas,
semicolons and marks of encodings are read as spreadsheets write them, and a column `force [N]` is
found as `force`: `recording.inputs` has names and units, `recording.interval` the interval of time
from a row to the next.

## The short way

`ntk_rnn.fit` finds how far back the inputs matter, how fast their effect fades, the noise of each
output and its offset, by the probability of the data, and says how sure the response is:

>>> rng = np.random.default_rng(0)
>>> noisy = (stimulus, 2.0 + response + 0.2 * rng.normal(size=200))
>>> fit = nr.fit(noisy)
>>> fit.kernel, len(fit.impulse_response)  # of all that were tried, in fit.kernels and fit.lags
('rnn', 5)
>>> L, sd = fit.impulse_response[:, 0, 0], fit.standard_deviation[:, 0, 0]
>>> bool(np.all(np.abs(L - [0, 1, 0, 0, 0]) < 3 * sd))  # the response is a delay by 1
True
>>> print(fit.offset.round(1), fit.noise.round(1), fit.memory)
[2.] [0.2] [2]
>>> fit.score(*noisy).r_squared.round(1).tolist()
[1.0]

`fit.predict` has outputs with standard deviations, `fit.frequency_response` and
`fit.step_response` the other views of an engineer, `fit.realize` a small RNN, and `fit.training`
what a wide RNN has learned of the data by a step of gradient descent. `fit.save(path)` and
`ntk_rnn.load` keep it. Trials of different lengths, gaps, delays and weights: see `ntk_rnn.fit`.
`ntk_rnn.ImpulseResponseRegressor` does the same within scikit-learn.

Bands hold the true response with a probability of 95 %, lag by lag, if the system is linear, the
noise is independent from row to row, and the prior suits the response. They are too narrow where
noise drifts slowly. Where an input has little or no effect, `memory` means nothing: look first at
whether `fit.score` on held-out data is above 0.

The prior of a wide RNN (`kernel="rnn"`) is one of several, of which the most probable one is taken.
Others, from system identification, say that neighbouring lags are alike. Where the evidence of a
prior is much lower than that of the best one, its bands are not to be trusted: for the oscillating
system in `tests/fitting/test_tuning.py`, bands of 95 % cover 95 % of the truth with the best prior,
and 80 % with the RNN's. Where noise hides the response of an input, bands hold all scales and
memories that the data allow: of 60 samples with a variance of the noise 7 times that of what is
explained, bands of 95 % cover 96 ± 1 % with the kernel `"tc"`, and more than 99 % at 250 times.

How much tuning is worth depends on how few the data are. Held-out $R^2$ of the two velocities of a
hand, decoded from 52 neurons of `ntk_rnn.data.s1` at 15 lags, tested on the last fifth:

| fitted to | `fit` | Wiener filter (least squares) | ridge, its penalty the best on the test data |
| --- | --- | --- | --- |
| 4.5 minutes | 0.718, 0.712 | 0.701, 0.691 | 0.724, 0.705 |
| 23 minutes | 0.743, 0.722 | 0.741, 0.719 | 0.743, 0.719 |

Where few lags answer to an input that moves much, there is little to gain. An example is the gas
furnace of Box and Jenkins (*Time Series Analysis*, Series J: gas rate and CO2, 296 samples). With
20 lags, held-out $R^2$ on the last 96 samples is, beside ridge regression with cross-validation
over time, and beside the eigensystem realization of order 4 (ERA) of python-control:

| fitted to the first | `fit` | least squares | ridge | ERA |
| --- | --- | --- | --- | --- |
| 60 samples | 0.601 | 0.598 | 0.598 | 0.655 |
| 100 samples | 0.664 | 0.672 | 0.672 | 0.668 |
| 200 samples | 0.684 | 0.689 | 0.688 | 0.655 |

The rest of this page takes the steps one by one.

## Before fitting

>>> train, test = recording.split(test_fraction=0.2)
>>> data = train.compress()

- **Split by time, centre and scale.** `split` takes the last rows for test, since neighbouring rows
  are alike, and puts both parts into units in which the training part has mean 0 and deviation 1:
  models have no offset and expect numbers of order 1. `train.units` leads back. A second file is
  put into the same units by `standardized(train.units)`.
- **Length.** $T$ bounds the memory of the fitted model. The first $T - 1$ outputs of each piece are
  left out, since they have fewer than $T$ inputs.
- **Larger than memory, or still arriving.** `ntk_rnn.compress_recording` goes through chunks of
  rows once, and keeps of each chunk its last $T - 1$ inputs for the next one.
- **Missing targets.** Weights of 0, one a row, leave them out.

The compressed data can be used wherever a pair of sequences `(x, y)` can.

## Trials that begin at rest

Sequences `x (N, T, n_x)` and `y (N, T, n_y)` begin at rest: before the first step, inputs count as
0. That is right for trials before which nothing happens. A continuous recording that is cut into
such sequences is fitted worse, the more so the shorter they are: in each, the first steps answer to
inputs that are not seen.

>>> x, y = recording.at_rest()  # windows of 5 rows, as if each began at rest
>>> x.shape, y.shape
((40, 5, 1), (40, 5, 1))

Weights over `(N, T)` are for variable lengths, gaps, and targets at the last step. Pad short
sequences with zeros at the end, and give padding weight 0; give gaps in the targets weight 0, where
they may be NaN:

>>> y[0, 3:] = np.nan  # the first sequence has three steps
>>> weights = np.where(np.isnan(y[..., 0]), 0.0, 1.0)
>>> trials = nr.compress(x, y, weights)

`ntk_rnn.data.training_units` standardizes sequences, and `ntk_rnn.data.chronological_split` makes
all overlapping windows of a recording, as the paper's decoders take them. `ntk_rnn.data.s1` has a
recording of cortex to try things on.

## Fit

The limit of a wide RNN, and an ordinary convolution:

>>> rho = nr.lag_weights(5, nu_w=0.3, nu_f=1.0, nu_c=1.0)
>>> scaled = nr.kernel_regression(rho, data)
>>> unscaled = nr.kernel_regression(np.ones(5), data)
>>> eta = scaled.max_learning_rate / 2
>>> L = scaled.impulse_response(step=10_000, learning_rate=eta)
>>> L.shape
(5, 1, 1)
>>> test.r_squared(L).round(2).tolist()  # one for each output, on the rows held out
[1.0]

`test.predict(L)` are the outputs themselves, and `train.units.outputs` has them in the units of the
file.

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

## Save and load

NumPy keeps the matrices in a file that other programs can read as well. If data were standardized,
add their units, as `**units._asdict()`, because predictions need them.

>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "model.npz")
...     np.savez(path, **params["params"])
...     with np.load(path) as file:
...         loaded = {"params": {name: file[name] for name in ("W", "F", "C")}}
>>> model = nr.LinearRNN(width=3, out_dim=1)
>>> np.array_equal(model.apply(loaded, x), model.apply(params, x))
True

The response alone, saved by `np.save` and loaded by `np.load`, predicts by `ntk_rnn.causal_conv`.
Parameters of any other model are saved by `flax.serialization`, as `ntk_rnn.guide.own_model` shows.

## Without Python

`ntk-rnn fit trials.csv --inputs u1 u2 --outputs y --time t --trial id` goes the whole way: it reads
the table, holds out the last trials (of one continuous record, the last fifth), fits an impulse
response whose kernel and number of lags are those of highest evidence, and writes the folder
`trials-fit`:

- `report.html`, complete in one file: how well held-out data are predicted, the response with bands
  of 95 %, its frequencies, how far back inputs matter, and which kernel explains the data best;
- its figures, as PNG and PDF;
- `response.csv`, each lag of each response in the units of the table;
- `model.npz`, which `ntk_rnn.load` reads.

`ntk-rnn predict trials-fit/model.npz new.csv --out predictions.csv` predicts from new inputs, with
the bands in which 95 % of measurements are expected, and with the columns of `--trial` and `--time`
if these are named. Inputs in other units than those of the fit are refused, where a file says its
units. Earlier results stay unless a run succeeds.
"""
