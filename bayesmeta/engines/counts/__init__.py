r"""Exact likelihoods of counts: how the integrals are done, and what each error budget is for.

A model file gives each study's log likelihood of its true effect, log L_i(theta), with its baseline integrated out
(`bayesmeta.likelihoods`). What remains is an integral over theta for each study, and one over mu and one over tau::

    log L_i(theta)           each study: its own exact likelihood
         |   tabulated once, as polynomials between knots: loglik_tables (loglik_between_limits where theta has limits)
         v
    Lbar_i(mu, tau)          averaged over theta ~ N(mu, tau^2) or t: random_effects
         |   average_shared: one set of nodes for all mu and studies;  average_laplace: first places, and tiny tau
         v
    p(mu | tau, y)           a uniform grid of mu for every node of tau: grid
         |
         |      tau ^    :  :  . . . . .  :  :       one row for each Gauss-Legendre node of tau,
         |          |    : : . . . . . . . : :       as wide as mu is uncertain there;
         |          |       : : . . . : :            rows hold the mode and 1e-13 of the mass beyond their ends
         |          |         : ... :                is left out at most
         |          +--------------------------> mu
         v
    p(tau | y)               the rows' sums, on panels of tau: grid.tau_panels
         |
         v
    mu, tau, theta_i, theta_new, log evidence: solution;  draws;  theta from (mu, tau) row by row: true_effects

The trapezoidal rule on a uniform grid, and Gauss's on panels, converge geometrically for such smooth densities: half
the step squares the error, so that the difference of two steps says what the finer one errs by.

========================================  =======  ===================================================================
budget                                    value    what it protects
========================================  =======  ===================================================================
baseline, ``likelihoods.baselines``       1e-10    log L_i itself: all that follows is no better
tables, ``loglik_tables.TOLERANCE``       1e-11    a spline in place of log L_i, near its maximum; looser far below it
averages, ``grid.search.RESOLVED``        2e-11    sum over studies of log Lbar_i against half the step of theta
ends of the grid, ``grid.search.EDGE``    1e-13    probability beyond the ends of mu
grid of mu, ``grid.search.TOLERANCE``     1e-10    density half-way between nodes, relative to its peak: quantiles
tau, ``solve._panel_error``               checked  last Legendre coefficients of the density of tau on each panel
all of it, ``solve.TOLERANCE``            1e-8     what the fit promises; more is a `ConvergenceError`
a true effect, ``solution.ADDS_UP``       1e-6     likelihood times the rest of a study's effect adds up to 1
========================================  =======  ===================================================================

Each budget is a fifth to a tenth of the next that it feeds, so that none is spent by the one before.

Where a likelihood has a crease (risk differences of a few patients) or a prior of mu ends or jumps, no such grid
converges: `kinks` does the same integrals on panels cut at the creases. It is slower, shares nothing with the smooth
path but the contract, and so is also an independent check of it. `solve` decides which of the two a posterior needs.
"""
