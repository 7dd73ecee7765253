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
says to run it again, so the same command continues an interrupted `reproduce`. Its exit code is 0
when it has run, 2 for a mistake in the arguments, and with `--strict` 1 if a claim does not hold.

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

The studies are `fig1` to `fig4`, `wide`, `fig5` and `table1` on recordings of cortex, `kernels`,
`nonlinear`, `layers`, and `bias`, which is about the bias to short memory itself. `wide` continues
`fig4` to a width of 100,000, at which `W` is known through its products alone (`wide_rnn`).
`nonlinear` compares networks of several activations, at the start and in training, with those of
infinite width (`RNN`, `recurrent_ntk`). `layers` says what linear RNNs, linear recurrent units and
state-space layers remember (`layer_gram`, `memory`), and trains each. Studies on recordings need a
file of 1.4 MB (`ntk_rnn.data.s1`). It is downloaded if it is neither at `--data PATH` nor where the
environment variable `NTK_RNN_DATA` points. Without it these studies are left out, and the report
says so.

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
"""
