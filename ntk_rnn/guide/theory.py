r"""Theory: each result of the paper, with its function, its test and its errata.

The paper is Emami, Sahraee-Ardakan, Pandit, Rangan and Fletcher, *Implicit Bias of Linear RNNs*,
ICML 2021; equations have its numbers. Tests are files of the repository. `ntk-rnn theory` checks
all of this numerically, in about a minute, and prints what it found.

## RNNs and convolutions are the same maps (eqs. 1 to 9, Proposition 2.1)

- **Statement.** (a) A linear RNN is the convolution with $L_j = n^{-(j+1)/2} C W^j F$. (b) Every
  $L$ of $T$ lags is the impulse response of an RNN of width $T \min(n_x, n_y)$.
- **Functions.** `ntk_rnn.impulse_response`, `ntk_rnn.causal_conv`, `ntk_rnn.toeplitz`,
  `ntk_rnn.realize`, `ntk_rnn.hankel_singular_values`.
- **Tests.** `tests/test_impulse.py`, `tests/test_proposition_2_1.py`.
- **Errata.** The spectral radius of $W / \sqrt n$ tends to $\sqrt{\nu_W}$, not $\nu_W$; the
  condition of stability, $\nu_W < 1$, stands. In eq. 33, $W = \sqrt n \, \mathrm{diag}(\lambda)$.

## The kernel of a wide RNN (eqs. 17, 20 and 21, Theorem 3.3)

- **Statement.** As $n \to \infty$ the neural tangent kernel of the RNN tends to that of the
  scaled convolution with the lag weights
  $\rho_j = \nu_C (j \nu_F \nu_W^{j-1} + \nu_W^j) + \nu_F \nu_W^j$:
  $$ K_{ts}(x, x') = \sum_{j=0}^{\min(t, s)} \rho_j \, \langle x_{t-j}, x'_{s-j} \rangle. $$
  For $\nu_W \le 1$, $\rho_j \le \rho_{\max} \nu_W^{j-1}$ with
  $\rho_{\max} = \nu_C (T \nu_F + 1) + \nu_F$ (eq. 22).
- **Functions.** `ntk_rnn.lag_weights`, `ntk_rnn.lag_weight_bound`, `ntk_rnn.analytic_ntk`; at
  finite width `ntk_rnn.finite_width_gram` (exact) and `ntk_rnn.empirical_ntk` (of any network).
- **Tests.** `tests/kernels/test_infinite_width.py`, `tests/training/test_theorem_3_3b.py`.
- **Errata.** Sums over lags at two times, in eqs. 51 and 52, run to $\min(t, s)$.

## The kernel at finite width

- **Statement.** Not in the paper. With $A_a = C (W / \sqrt n)^a$ and $B_a = (W / \sqrt n)^a F$,
  $P_{ab} = A_a A_b^\top / n$ and $Q_{ab} = B_a^\top B_b / n$, the gradients of the entries of $L$
  have the inner products
  $$ \langle \nabla L_j^{pq}, \nabla L_k^{rs} \rangle =
     \delta_{pr} Q_{jk}^{qs} + \delta_{qs} P_{jk}^{pr} +
     \sum_{a < j, \, b < k} P_{ab}^{pr} Q_{j-1-a,\,k-1-b}^{qs}. $$
  Up to $O(1/\sqrt n)$ they are $\rho_j$ on the diagonal and 0 elsewhere.
  For any other causal linear layer they are the kernel between unit impulses; see
  [Own layer](own_layer.html).
- **Functions.** `ntk_rnn.finite_width_gram`, `ntk_rnn.FiniteWidthGram`; `ntk_rnn.layer_gram`, with
  `ntk_rnn.OrthogonalRNN`, `ntk_rnn.DiagonalRNN`, `ntk_rnn.LRU` and `ntk_rnn.S4D`.
- **Tests.** `tests/kernels/test_finite_width.py`, `tests/kernels/test_layers.py`,
  `tests/layers/test_layers.py`.

## The kernel by sampling (Lemma B.1)

- **Statement.** $K(x, x') = \mathbb{E}_v [(J(x) v)(J(x') v)^\top]$ for $v \sim \mathcal N(0, I)$
  over all parameters.
- **Functions.** `ntk_rnn.monte_carlo_ntk`, for any network, with its standard error.
- **Tests.** `tests/kernels/test_lemma_b_1.py`.

## Gradient descent in closed form (Proposition 3.1, Appendix B.4)

- **Statement.** With $A$ the lagged inputs, $D = \mathrm{diag}(\rho)$ and
  $D^{1/2} A^\top A D^{1/2} = V \Lambda V^\top$,
  $$ L^\ell = L^0 + D^{1/2} V \, \frac{1 - (1 - \eta \Lambda)^\ell}{\Lambda} \, V^\top D^{1/2}
     A^\top (y - A L^0), $$
  stable for $\eta < 2 / \lambda_{\max}$.
- **Functions.** `ntk_rnn.kernel_regression`, also with momentum, for gradient flow, and for a
  dense Gram matrix in place of $D$. `ntk_rnn.gradient_descent` and `ntk_rnn.train` take the
  steps, and `ntk_rnn.max_learning_rate` gives the largest stable rate of any model.
- **Tests.** `tests/regression/test_prediction.py`, `tests/regression/test_momentum.py`.
- **Errata.** The paper speaks of the mean squared error and a learning rate of $10^{-4}$; only
  the summed loss of Appendix B.4 converges within its figures.

## The kernel for any activation (Proposition 3.1)

- **Statement.** The proposition is about recurrent networks with any Lipschitz activation. Their
  kernel is that of Alemohammad et al. (2020), a recursion along each of its diagonals; see
  [Non-linear RNNs](nonlinear.html). Memory at stationary inputs, by $\chi$, is not in the paper.
- **Functions.** `ntk_rnn.RNN`, `ntk_rnn.recurrent_ntk`, `ntk_rnn.recurrent_nngp`; `ntk_rnn.chi`,
  `ntk_rnn.stationary_variance`, `ntk_rnn.effective_lag_weights`, `ntk_rnn.critical_nu_w`.
- **Tests.** `tests/kernels/test_recurrent_rntk.py`, `tests/theory/test_edge_of_chaos.py`.

## The impulse response at the start (Theorem 3.3a, Appendix A)

- **Statement.** As $n \to \infty$ the entries of $L_j$ tend to independent
  $\mathcal N(0, \nu_C \nu_F \nu_W^j)$, and the hidden state to a Gaussian law (eqs. 43 and 49).
- **Functions.** `ntk_rnn.gaussian_limit`, `ntk_rnn.impulse_response_moments`,
  `ntk_rnn.hidden_state_covariance`, `ntk_rnn.hidden_state_limit`, `ntk_rnn.gaussian_wasserstein`
  (eq. 32).
- **Tests.** `tests/theory/test_theorem_3_3a.py`.

## How far training moves each lag (Theorem 4.1)

- **Statement.** $\lVert L_j^\ell - L_j^0 \rVert_F \le B_2 \, \rho_j \, \eta \, \ell$ for
  $\eta < B_1 = 1 / (\rho_{\max} \lVert A \rVert_2^2)$: long lags, whose $\rho_j$ is small, hardly
  move.
- **Functions.** `ntk_rnn.drift_bound`.
- **Tests.** `tests/theory/test_theorem_4_1.py`.
- **Errata.** The proof of $B_2 = \lVert A^\top b \rVert$ (eqs. 60 and 61) has a gap, and with
  this constant the bound fails in places. $B_2 = \lVert A \rVert_2 \lVert b \rVert$ is rigorous up
  to the limit of stability. Eq. 59 lacks brackets: $(I - \eta A^\top A D)^k$.

## State evolution (Lemma C.1, eqs. 66 and 70)

- **Statement.** The rows of $q_{t+1} = \sum_\ell A_\ell G_\ell(q_t, u_t) / \sqrt n$, with the
  same random matrices $A_\ell$ at all times, tend to Gaussian ones, with
  $$ \mathrm{cov}(Q_{t+1}, Q_{s+1}) = \sum_\ell \nu_\ell \,
     \mathbb{E}[G_\ell(Q_t, U_t)^\top G_\ell(Q_s, U_s)]. $$
- **Functions.** `ntk_rnn.state_evolution`, in both forms of the lemma, and
  `ntk_rnn.simulate_evolution` at finite $n$.
- **Tests.** `tests/theory/evolution/test_lemma_c_1.py`.
- **Errata.** Eqs. 70f, 74 and 98 have $\nu_W$ or nothing where they should have $\nu_\ell$, the
  variance of each matrix.

## Figures and table

`ntk-rnn reproduce` runs them; see `ntk_rnn.guide.reproducing`. In the caption of Fig. 3,
$n_x = 15$, $n_y = 1$ and $y_t = x_{t - \mathrm{delay}}$ cannot all hold. Here the delay is
applied to the teacher's output (`ntk_rnn.data.delay`).
"""
