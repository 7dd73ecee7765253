"""ntk_rnn: the theory of wide linear recurrent networks, made computable.

Every equation of *Implicit Bias of Linear RNNs* (Emami, Sahraee-Ardakan, Pandit, Rangan,
Fletcher, ICML 2021; "the paper") is a function. The one idea: every model here is a causal linear
map of sequences, and its impulse response ``L``, shape ``(T, n_y, n_x)``, says all there is to
say about it. A kernel is a Gram matrix over the entries of ``L``, a data set is a least-squares
problem over ``L``, and training is a path of ``L``.

What to read first, and how to do what, is in the guide, ``ntk_rnn.guide``. This page has every
name, each with its equation, the shapes it takes and gives, and an example.

Names are loaded when first used: importing the package loads neither neural-tangents nor a model,
and changes no JAX setting.
"""

import lazy_loader

__version__ = "0.1.0"

# The public names and where they are stand in ``__init__.pyi``, once.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
