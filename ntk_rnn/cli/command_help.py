"""What ``--help`` says of the program, and of each command below its first line."""

from __future__ import annotations

from ntk_rnn.reproduction import registry

OVERVIEW = """The theory of wide linear recurrent networks, made computable.

Examples:
  ntk-rnn reproduce fig1 fig2   two figures of the paper, in results/
  ntk-rnn theory drift          checks of Theorem 4.1
  ntk-rnn memory --nu-w .3      which lags an RNN learns, and how soon
  ntk-rnn fit trials.csv ...    the response in one's own data, with a report
  ntk-rnn kernel --help         what a command does, and its options
  ntk-rnn --version             which version this is
"""

# Indented lines are printed as they are.
_DETAILS = {
    "reproduce": """
Studies:
{studies}

DIR/NAME keeps each study until something changes; DIR/report.html has them all.

Exit code:
  0  it has run; with --strict, 1 if a claim does not hold
  2  a mistake in the arguments, or no data for a study that is named
  70 a defect of this program, with a traceback

Example:
  ntk-rnn reproduce fig1 fig2 --smoke --out trial
""",
    "kernel": """
Computes kernels by neural-tangents, for each width and seed, and prints
  their relative Frobenius distance from the kernel of infinite width, and
  the slope of that distance in the width on log-log scales.

Writes the folder DIR/kernels, as the study of this name does.

Exit code:
  0  it has run; with --strict, 1 if a claim does not hold
  2  a mistake in the arguments

Examples:
  ntk-rnn kernel
  ntk-rnn kernel --widths 64 128 256 --in-dim 3 --out-dim 2
""",
    "memory": """
Prints the weight of each lag, its share, and how many steps of gradient
  descent learn half of it for long white inputs. Lag weights are those of
  infinite width; s4d has none, and its Gram matrix is of one draw.

Writes the figure and its options to DIR/memory.

Exit code:
  0  all is well
  2  a mistake in the arguments

Examples:
  ntk-rnn memory --nu-w .3
  ntk-rnn memory --lags 8 --seq-len 50
  ntk-rnn memory --layer lru --r-min .9 --r-max .999 --seq-len 100
""",
    "fit": """
Names of columns may leave out units in brackets: "force" finds "force [N]".
  A new continuous piece begins with each trial and wherever time skips.

Writes a folder with report.html, its figures (PNG and PDF), model.npz for
  `predict` and Python, and response.csv.

Exit code:
  0  all is well
  2  a mistake in the arguments or in the file, which is named with its line

Examples:
  ntk-rnn fit record.csv --inputs u --outputs y --time t
  ntk-rnn fit trials.csv --inputs u1 u2 --outputs y --time t --trial id
""",
    "predict": """
Writes a table with a row for each row of FILE: the outputs, and bands in
  which 95 % of measurements are expected. The first rows of each piece are
  empty, since their inputs are not all known.

Exit code:
  0  all is well
  2  a mistake in the arguments or in a file

Example:
  ntk-rnn predict trials-fit/model.npz new.csv --trial id
""",
    "theory": """
Topics, as NAMES:
  representation  RNNs as causal convolutions; realizations (Section 2)
  kernels         tangent kernels: analytic, empirical, exact, sampled
  training        gradient descent, its closed form, linearization
  initialization  the wide RNN as a Gaussian process (Theorem 3.3a)
  drift           how far each lag can move (Theorem 4.1)
  evolution       state evolution (Lemma C.1)
  figures         what captions say

All of them take about a minute on two CPU cores. Prints a line a result:
  whether it holds, its name in the paper, the error and how much is allowed,
  what was compared and, where the paper is wrong, what was corrected.

Some checks are statistical: with another seed about one run in a hundred
  shows a failure that is none.

Exit code:
  0  every result holds
  1  one does not
  2  a mistake in the arguments

Examples:
  ntk-rnn theory
  ntk-rnn theory drift evolution
  ntk-rnn theory --json --seed 3
""",
    "doctor": """
Tries every implementation of neural-tangents, which are compiled for it: this
  takes about ten seconds on two CPU cores.

Exit code:
  0  all is well
  1  something is wrong; the table says what to do about it

Example:
  ntk-rnn doctor
""",
    "completion": """
This works where the program is called by its name, e.g. after
  source .venv/bin/activate.

Examples:
  ntk-rnn completion bash > ~/.ntk-rnn.bash
  echo 'source ~/.ntk-rnn.bash' >> ~/.bashrc
""",
}


def details(command: str) -> str:
    """The help of a command below its first line."""
    studies = "\n".join(f"  {study.name:9} {study.title}" for study in registry.STUDIES.values())
    return _DETAILS[command].replace("{studies}", studies).rstrip()
