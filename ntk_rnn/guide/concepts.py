r"""Concepts: the impulse response as the one idea.

Every model here is a causal linear map of sequences, from inputs $x_t$ to outputs $y_t$: an
output is a linear function of the present and past inputs. Such a map is determined by its
*impulse response* $L$ (eq. 5 of the paper):

$$ y_t = \sum_{j=0}^{t} L_j \, x_{t-j}, \qquad L_j \in \mathbb{R}^{n_y \times n_x}. $$

$L_j$ is what remains of an input after $j$ steps: the model's memory at lag $j$. Two models with
the same $L$ are the same, whatever their parameters.

## The models

The *linear RNN* (eq. 1) of width $n$, in the parameterization in which its kernel has a limit, is

$$ h_t = \tfrac{1}{\sqrt n} W h_{t-1} + F x_t, \qquad y_t = \tfrac{1}{\sqrt n} C h_t,
   \qquad L_j = n^{-(j+1)/2} \, C W^j F. $$

The entries of $W$, $F$ and $C$ are Gaussian at the start, of mean 0 and variances $\nu_W$,
$\nu_F$ and $\nu_C$. `ntk_rnn.LinearRNN` is the model, `ntk_rnn.impulse_response` computes its
$L$, and `ntk_rnn.realize` does the reverse: it finds an RNN for any $L$.

The *scaled convolution* (eqs. 7 and 8), `ntk_rnn.ScaledConv`, has
$L_j = \sqrt{\rho_j} \, \theta_j$ and is trained in $\theta$. With $\rho_j = 1$ it is an ordinary
convolution.

## Everything is about the impulse response

- A **kernel** is a Gram matrix over the entries of $L$: how much a step of training at one entry
  moves another. For infinite width it is diagonal, one number $\rho_j$ for each lag
  (`ntk_rnn.lag_weights`); at finite width it is `ntk_rnn.finite_width_gram`. The neural tangent
  kernel of sequences follows from it by matrix products with the inputs.
- A **data set**, under squared loss, is a least-squares problem over $L$, and no larger than $L$
  itself: `ntk_rnn.compress` finds it.
- **Training** is a path of $L$: `ntk_rnn.gradient_descent` takes it step by step, and
  `ntk_rnn.kernel_regression` has it in closed form.

The paper's result is now short. As the width grows, the RNN is trained like the scaled
convolution with the lag weights

$$ \rho_j = \nu_C (j \, \nu_F \nu_W^{j-1} + \nu_W^j) + \nu_F \nu_W^j, $$

which fall geometrically for $\nu_W < 1$. So lag $j$ is learned at a rate in proportion to
$\rho_j$: short memory first, long memory perhaps never. That is the *implicit bias* of the title.

## Symbols and shapes

- $N$ sequences of $T$ steps with $n_x$ inputs and $n_y$ outputs: `x` is `(N, T, n_x)`, `y` is
  `(N, T, n_y)`. A sequence starts at rest; sequences do not see each other.
- $L$ is `(T, n_y, n_x)`, $\rho$ is `(T,)`, and `params` is what `init` of a model returned:
  `{"params": {"W": (n, n), "F": (n, n_x), "C": (n_y, n)}}`, or
  `{"params": {"theta": (T, n_y, n_x)}}`.
- A kernel of $N_1$ and $N_2$ sequences is `(N1, N2, T, T)`, averaged over outputs. Where all
  pairs of outputs are kept it is `(N1, N2, T, T, n_y, n_y)`. Sequences of different lengths give
  `(N1, N2, T1, T2)`. `ntk_rnn.as_matrix` makes a matrix of either, for eigenvalues or a solver.
- Time is counted in steps: no function has another unit of time, and inputs and outputs keep
  whatever units they have. A learning rate belongs to a loss: here that is
  $\tfrac12 \sum \lVert \hat y - y \rVert^2$ over sequences, times and outputs (Appendix B.4),
  unless a function is given `loss="mean"`. A rate $\eta$ for the sum does what $\eta N T n_y / 2$
  does for the mean squared error.

## In code

>>> import jax
>>> import numpy as np
>>> import ntk_rnn as nr
>>> x, y = nr.data.teacher(jax.random.key(0), 20, 5)  # 20 sequences of 5 steps
>>> model = nr.LinearRNN(width=50, out_dim=1, nu_w=0.3, nu_f=1.0, nu_c=1.0)
>>> params = model.init(jax.random.key(1), x)
>>> L = nr.impulse_response(params, 5)
>>> L.shape
(5, 1, 1)
>>> np.allclose(model.apply(params, x), nr.causal_conv(L, x), atol=1e-5)
True

This is how training changes it in the limit of infinite width, at steps 0, 100 and 1000:

>>> rho = nr.lag_weights(5, nu_w=0.3, nu_f=1.0, nu_c=1.0)
>>> path = nr.kernel_regression(rho, (x, y), initial=L)
>>> path.impulse_response(step=np.array([0, 100, 1000]), learning_rate=1e-3).shape
(3, 5, 1, 1)
"""
