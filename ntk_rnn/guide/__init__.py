r"""Guide: what the library is about, and how to do things with it.

What to read first depends on what you want to do:

- [Concepts](guide/concepts.html): the impulse response, the one idea of the library, and its
  symbols and shapes.
- [Theory](guide/theory.html): each result of the paper, with its function, its test and its
  errata.
- [Reproducing](guide/reproducing.html): the figures of the paper, and how to read the report.
- [Non-linear RNNs](guide/nonlinear.html): their kernel for any activation, regression with it, and
  how long they remember.
- [Own data](guide/own_data.html): from recordings to models, and to a small RNN that can be used
  elsewhere.
- [Own model](guide/own_model.html): neural tangent kernels of any network.
- [Own layer](guide/own_layer.html): what any causal linear layer learns first, such as an LRU or a
  state-space layer.
- [Coming from neural-tangents](guide/from_neural_tangents.html): which name is which, and what
  differs.
- [Long runs](guide/long_runs.html): mini-batches, checkpoints, interruptions, ensembles.
- [Any width](guide/any_width.html): training in the subspace that gradients reach, with a `W` that
  is never formed.
- [Accelerators](guide/accelerators.html): GPU and TPU, precision and memory.
- [Several devices](guide/devices.html): `W` and the data, split over the devices of one host or
  of many.

Eight notebooks, shown with their figures, use all of this:

1. [A tour](../notebooks/01_tour.html): equation, function, picture, check.
2. [Kernels](../notebooks/02_kernels.html): three kernels, and how they meet as the width grows.
3. [Training](../notebooks/03_training.html): training compared with the predictor, lag by lag.
4. [The implicit bias](../notebooks/04_implicit_bias.html): which delays a given RNN can learn.
5. [Recordings of cortex](../notebooks/05_s1_recordings.html): the paper's experiment on real data.
6. [Own data](../notebooks/06_own_data.html): from a table to a small RNN to ship.
7. [Any activation](../notebooks/07_nonlinear.html): sequences classified by the kernels of
   non-linear RNNs.
8. [Layers](../notebooks/08_layers.html): which lags your own layer learns, and how soon.

Every public name, with its equation, its shapes and an example, is on the pages of
[`ntk_rnn`](../ntk_rnn.html) and [`ntk_rnn.data`](data.html).

These pages are docstrings: `help("ntk_rnn.guide.concepts")` shows one without a browser, and
`pytest --doctest-modules ntk_rnn` runs their examples with all others. In a clone of the repository
`python -m ntk_rnn.guide` makes the whole site, with the notebooks, in `build/site`.
"""
