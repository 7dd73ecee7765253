r"""Reproducing the paper: the commands for its figures, and how to read the report.

```bash
ntk-rnn reproduce                # every study of the paper
ntk-rnn reproduce fig1 fig3      # two of them
ntk-rnn reproduce --smoke        # each in seconds, at sizes that show only that it works
ntk-rnn theory                   # every result of the paper, numerically
ntk-rnn kernel                   # the empirical kernel against the analytic one
```

Each has `--help`, and `python -m ntk_rnn` does the same as `ntk-rnn` where scripts are not on the
path. A study that has been run with the same configuration and version is kept, unless `--force`
says to run it again, so the same command continues an interrupted `reproduce`. Of `fig5` and
`table1`, which train for minutes, each model that has been trained is kept as well. The exit code
is 0 when it has run, 2 for a mistake in the arguments, and with `--strict` 1 if a claim does not
hold.

In a terminal where `source .venv/bin/activate` has put `ntk-rnn` on the path, bash completes
commands, studies and options after

```bash
ntk-rnn completion bash > ~/.ntk-rnn.bash
echo 'source ~/.ntk-rnn.bash' >> ~/.bashrc && source ~/.ntk-rnn.bash
```

For zsh it is `ntk-rnn completion zsh > ~/.ntk-rnn.zsh`, and `~/.zshrc`.

## What a study is

A configuration, seeds, a figure, and *claims*: statements of the paper in a form that can be
tested, such as "the slope of the gap against the width is $-1/2$". Each is tested over seeds, by
an effect and its standard error, and has one of three verdicts: it holds, it does not hold, or it
cannot be told with so many seeds. A claim that does not hold is shown as such. The sizes, learning
rates and numbers of steps are those of the paper, and where the paper leaves something open the
report says what was chosen.

The studies are `fig1` to `fig4`, `wide`, `fig5`, `table1` and `readings` on recordings of cortex,
`kernels`, `nonlinear`, `layers`, and `bias`, which is about the bias to short memory itself. `wide`
continues `fig4` to a width of 100,000, at which `W` is known through its products alone
(`wide_rnn`). `nonlinear` compares networks of several activations, at the start and in training,
with those of infinite width (`RNN`, `recurrent_ntk`). `layers` says what linear RNNs, linear
recurrent units and state-space layers remember (`layer_gram`, `memory`), and trains each.
`readings` says which choices decide on Table 1. Studies on recordings need a file of 1.4 MB
(`ntk_rnn.data.s1`). It is downloaded if it is neither at `--data PATH` nor where the environment
variable `NTK_RNN_DATA` points. Without it these studies are left out, and the report says so.

## Where results go

`results/NAME/` has the figure (PNG and PDF), the arrays (`arrays.npz`), tables of what was
measured and claimed (`metrics.csv`, `numbers.csv`, `claims.csv`), and what they were made with
(`config.json`: configuration, seeds, versions). `results/report.html` puts all of them on one
page, the paper's numbers beside ours; `results/report.md` is the same as text. Every file is
written under another name and renamed when it is complete.

NumPy reads the arrays:

```python
arrays = dict(np.load("results/fig1/arrays.npz"))
```

## How exact it is

Everything random has a seed, which `config.json` holds. Another machine or version rounds
differently, which changes the last digits of single numbers, and more digits where training
amplifies rounding. Claims are about medians and slopes over seeds and are tested against their
standard errors, so they do not depend on such digits.

## What the studies find

With 8 seeds in float32, on two CPU cores, `ntk-rnn reproduce` finds (gaps are medians, relative to
the start):

| claim | measured |
| --- | --- |
| Figs. 1 and 2: RNN of width 1000 against its convolution, gap of the training loss | 0.0076 |
| the same for the test loss | 0.0079 in the median |
| closed form against the trained convolution, every step | 1.2e-6 |
| kernel of the RNN against the analytic one, widths 64 to 2048: log-log slope | -0.47 +- 0.06 |

One of the 8 seeds has a gap of 0.15, because its teacher happens to have large outputs. What the
network has to learn is then large beside its own outputs at the start, so that at width 1000 it
leaves the kernel regime.

`ntk-rnn theory training`, with 16 seeds at widths 64 to 512, compares the largest differences over
200 steps of training:

| as the width grows | log-log slope |
| --- | --- |
| outputs of the RNN minus those of its linearization at the start | -1.00 +- 0.12 |
| drift of the RNN's kernel | -0.98 +- 0.07 |
| outputs of the RNN minus those of the scaled convolution | -0.61 +- 0.10 |

So a network is close to its own linearization long before its kernel is close to the limit.

`ntk-rnn reproduce nonlinear` does the same for networks with an activation, at equal `chi` and with
8 seeds. The gap is the largest over 100 steps, on training or new sequences, relative to the
distance from the targets at the start. Slopes are log-log in the width, from 64 to 2048 for the
distance of the kernel from `ntk_rnn.recurrent_ntk`, and to 1024 for the gap:

| activation | slope of the kernel's distance | slope of the gap | gap at width 1024 |
| --- | --- | --- | --- |
| ReLU | -0.47 +- 0.04 | -0.48 +- 0.03 | 0.030 |
| erf | -0.52 +- 0.02 | -0.45 +- 0.02 | 0.036 |
| tanh | -0.52 +- 0.02 | -0.46 +- 0.02 | 0.032 |

`ntk-rnn reproduce fig3 fig4` finds the bias to short memory: with 40 seeds and after 1000 steps,
the scaled convolution is the better one up to a delay of 3.5 steps, and the unscaled one beyond.
Gaps fall with the width at slopes of -0.51 to -0.56 (of 18 of its 64 seeds). Not all that Fig. 3
shows holds here:

- At delays near the length of the sequences all models are about as bad.
- The error of the unscaled convolution is flat only in absolute units.
- In the limit of training the scaled convolution is the worse one at every delay, because there are
  200 targets for 300 unknowns.

`ntk-rnn reproduce bias` shows the bias itself (the figure above). The number of steps that a lag
takes grows as `1 / rho_j`, to 2 %, for a wide RNN that has little to change. One that has much to
change needs fewer steps at long lags. For ReLU, erf and tanh networks of infinite width it grows as
one over the derivative of `recurrent_ntk` by the inner product of inputs at that lag, taken between
independent sequences, to 6 %. At equal `chi` they need more steps for long lags than the linear
RNN.

`ntk-rnn reproduce layers` compares linear layers at equal decay of white states, with 8 seeds at a
width of 2048: how many lags, of 20, hold 95 % of the weight, how many steps half of lag 19 takes,
and how far the loss of a delay task is from the predicted one, relative to the start:

| layer | lags | steps for lag 19 | gap |
| --- | --- | --- | --- |
| Gaussian RNN | 6.4 | 18,700 | 0.0021 |
| orthogonal RNN | 6.5 | 18,500 | 0.0008 |
| LRU | 10.8 | 96 | 0.0003 |
| diagonal RNN | 16.7 | 14 | 0.0006 |
| S4D-Inv | 18.3 | 5.6 | 0.0011 |
| S4D-Lin | 18.5 | 1.9 | 0.0014 |

`ntk-rnn reproduce fig5 table1` decodes the velocity of a monkey's hand from 52 neurons, in the 29.3
of the paper's 51 minutes that are public in this form. $R^2$ of the x and y velocity after 100
epochs, with 8 seeds, 3 of the RNN:

| | all data | in the paper | 4.5 minutes | in the paper |
| --- | --- | --- | --- | --- |
| RNN | 0.717, 0.710 | 0.646, 0.591 | 0.633, 0.638 | 0.604, 0.426 |
| scaled convolution | 0.722, 0.711 | 0.644, 0.586 | 0.639, 0.630 | 0.605, 0.423 |
| unscaled convolution | 0.734, 0.715 | 0.657, 0.603 | 0.616, 0.587 | 0.586, 0.392 |
| scaled minus unscaled | -0.013, -0.004 | -0.012, -0.017 | +0.023, +0.044 | +0.019, +0.032 |

Standard errors of the last line are at most 0.004 over seeds, and 0.004 and 0.01 over pieces of
the recording. The recording and what is held out of it are not the paper's, and with them levels
differ; which model is ahead is the same. It depends on how long is trained: with little data the
scaled models are ahead from a training time of about 100 on (the learning rate times the number of
windows in all batches; 100 epochs are 232), and after 15 epochs they still are behind.

`ntk-rnn reproduce readings` asks which of the choices that the paper leaves open decide on that
order, in closed form, at all training times and for every chunk of 4.5 minutes. $R^2$ of the scaled
minus that of the unscaled convolution, in the output where the order is less clear, with errors
over seeds for all data and over chunks for 4.5 minutes:

| targets | tested on | training time | all data | 4.5 minutes |
| --- | --- | --- | --- | --- |
| last bin | one test part | 35 | -0.047 +- 0.001 | -0.019 +- 0.004 |
| last bin | one test part | 232 | -0.0061 +- 0.0003 | +0.008 +- 0.005 |
| last bin | the end of each chunk | 232 | -0.0061 +- 0.0003 | -0.002 +- 0.006 |
| all bins | the end of each chunk | 5 | -0.0059 +- 0.0008 | +0.019 +- 0.005 |
| all bins | the end of each chunk | 75 | +0.0025 +- 0.0002 | +0.032 +- 0.002 |

Two choices decide: how long is trained, and the targets. With targets in the last bin, means over
chunks have the order of the paper at training times of about 130 to 1000; with targets in all bins
(`--targets all`) at 2.4 to 7.5, or 15 times as long if errors are averaged over the bins and not
summed. Single chunks differ: which of them is taken decides where the models are close. So do
mini-batches, by which the unscaled convolution ends 0.005 below its closed form.
"""
