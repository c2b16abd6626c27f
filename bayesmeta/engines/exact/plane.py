r"""The joint posterior of (mu, tau) on nodes, for models that give each study's likelihood.

Given tau the posterior of mu is put on a grid that is uniform in `exact.axis`: in mu about its own mode or, where heavy
tails leave mu on many scales, on an axis that is fine about the studies and the prior. The trapezoidal rule and sinc
interpolation converge geometrically on it; tau lies on the panels of `engines.nodes`, placed
by a Laplace approximation and then evaluated in full.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

from bayesmeta.engines import nodes
from bayesmeta.engines.exact.averages import Averages, averages
from bayesmeta.engines.exact.axis import Axis, Stretched, Uniform
from bayesmeta.engines.exact.bounded import Bounded, tabulate
from bayesmeta.engines.exact.curves import Curves, RoughError
from bayesmeta.engines.exact.shared_nodes import alike, sharpest_width
from bayesmeta.engines.nodes import ORDER
from bayesmeta.engines.tau import known_tau
from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals.axis import log_jacobian
from bayesmeta.marginals.sinc import sinc_basis
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import Prior
from bayesmeta.priors.mixtures import parts_of
from bayesmeta.priors.quartiles import middle_and_width
from bayesmeta.values import Array

# Sinc interpolation of a Gaussian errs by exp(-pi^2 / (2 step^2)) = 7e-13 with this step.
STEP = 0.42
# First step on a stretched axis, which is refined more often than not.
FAR_STEP = 0.2
# The grid of mu grows until what lies at its ends is less than this.
EDGE = 1e-13
# On a stretched grid every so many places tell where there is anything: more than exp(NOTHING) of a row's largest.
COARSE, NOTHING = 8, -70.0
# Panels of tau that the Laplace approximation gives less mass than this are left out.
NEGLIGIBLE_PANEL = 1e-14
NEGLIGIBLE_SECOND = 1e-11
# Most places of mu for each tau; a uniform grid with more than these takes longer than a stretched one.
MAX_GRID, MAX_UNIFORM = 2048, 1024
# Quantiles of the prior of mu at which other modes are looked for.
FAN = np.array([1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.03, 0.07, 0.12, 0.18, 0.25, 0.32, 0.4, 0.46])
# More probability than this per unit of log tau at the ends of the panels says that there is more beyond them.
OPEN_END = 1e-8
# A range of theta that exceeds the studies and the prior by no more than so many standard errors is taken whole.
NEARBY = 200.0
# A likelihood this far below its maximum (log scale) has no part in an average over random effects.
FALLEN = 1000.0
# Quantiles of tau at which the interpolation of mu is checked.
SINC_CHECKS = (1e-6, 1e-3, 0.05, 0.3, 0.5, 0.7, 0.95, 1.0 - 1e-3, 1.0 - 1e-6, 1.0 - 1e-8)
# Probabilities of mu given tau at which sums over the random effects are checked: a normal's at -3, -1.5, ..., 3 SDs.
PROBES = (0.00135, 0.067, 0.5, 0.933, 0.99865)
# Agreement asked of sums over the random effects when their step is halved, and how often it may be.
RESOLVED = 2e-11
MAX_HALVINGS = 4
# Where a likelihood may have a crease this many halvings are enough to see that more will not help.
PATIENCE = 1
# A step that must shrink by less than this is halved.
CLOSE = 1.0 / 1.4
# Largest error of the interpolated density of mu given tau, relative to its peak.
TOLERANCE = 1e-10


UNIFORM = Uniform()

# Maps ``(T, M)`` values of mu and ``(T,)`` of tau to ``(T, M)`` logs of averaged likelihoods.
type LogAverage = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The joint posterior of mu and tau on ``(T, M)`` nodes.

    Parameters
    ----------
    curves, averages
        The studies' log likelihoods, and their averages over the random effects.
    rule
        Panels and nodes of tau; None for a common-effect model.
    tau
        ``(T,)`` nodes; zero for a common-effect model.
    center, scale
        ``(T,)`` place and unit of the grid of mu given each tau.
    axis, u
        How mu follows from u, and the ``(M,)`` uniform grid of u.
    mu
        ``(T, M)`` nodes of mu.
    mass
        ``(T, M)`` posterior mass of the nodes, adding up to one.
    log_weight
        ``(T,)`` log posterior mass of the nodes of tau, also where `mass` underflows.
    log_evidence
        Log marginal likelihood (of the priors as given; meaningless if one is improper).
    error
        Estimate of the error of the density of mu given tau, relative to its peak, or of the sum over all nodes.
    """

    curves: Curves | Bounded
    averages: Averages
    rule: nodes.Rule | None
    tau: Array
    center: Array
    scale: Array
    axis: Axis
    u: Array
    mu: Array
    mass: Array
    log_weight: Array
    log_evidence: float
    error: float

    @property
    def step(self) -> float:
        """Spacing of `u`."""
        return float(self.u[1] - self.u[0])

    def spacing(self, counts: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return ``(T,)`` the least and the largest distance between nodes of mu that count; `counts` is ``(T, M)``."""
        slope = self.axis.slope(self.mu, self.center[:, None], self.scale[:, None])
        ends = np.where(counts, slope, np.inf).min(axis=1), np.where(counts, slope, 0.0).max(axis=1)
        return self.step * ends[0], self.step * ends[1]

    @property
    def m(self) -> Array:
        """``(M,)`` the grid of `u` in whole steps."""
        return np.rint(self.u / self.step)

    @property
    def weight(self) -> Array:
        """``(T,)`` posterior mass of the nodes of tau."""
        return np.asarray(self.mass.sum(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class _Posed:
    """What is to be integrated: averages, prior of mu, the nodes of tau with their log prior mass, and the axis of mu.

    ``places`` are values of mu at which modes are looked for.
    """

    curves: Curves | Bounded
    averages: Averages
    prior: Prior
    tau: Array
    log_weight: Array
    center: Array
    scale: Array
    places: Array
    axis: Axis = UNIFORM

    def mu_at(self, rows: NDArray[np.intp], u: Array) -> Array:
        """Return ``(rows, M)`` values of mu."""
        return self.axis.mu(u, self.center[rows, None], self.scale[rows, None])

    def log_slope(self, rows: NDArray[np.intp], mu: Array) -> Array:
        """Return ``(rows, M)`` logs of dmu/du."""
        return np.asarray(np.log(self.axis.slope(mu, self.center[rows, None], self.scale[rows, None])))

    def log_density(self, rows: NDArray[np.intp], u: Array) -> Array:
        """Return ``(rows, M)`` log of likelihood times prior of mu per unit of u, at the given rows of tau."""
        mu, tau = self.mu_at(rows, u), self.tau[rows]
        known = self.prior.logpdf(mu) + self.log_slope(rows, mu)
        if isinstance(self.axis, Uniform):
            return np.asarray(known + self.averages.grid(mu, tau))
        # Next to a small tau almost all of a far-reaching grid is empty.
        few = np.unique(np.r_[0 : len(u) : COARSE, len(u) - 1])
        rough = self.averages.rough(mu[:, few], tau) + known[:, few]
        counts = rough > rough.max(axis=1, keepdims=True) + NOTHING
        near = np.searchsorted(few, np.arange(len(u)), side="right") - 1
        counts = _widened(counts)[:, near]
        return np.asarray(known + averaged_where(self.averages.grid, mu, tau, counts, -np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Densities on a grid of mu: `log` is ``(T, M)``, `mass` relative to the largest node, whose log is `top`."""

    u: Array
    log: Array
    mass: Array
    top: float

    @property
    def step(self) -> float:
        return float(self.u[1] - self.u[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What was tried so far to enclose and resolve mu.

    ``reach`` is how far the grid goes to either side, ``last`` the error of the grid before, ``known`` a grid with some
    of the same nodes.
    """

    given: StudyLikelihoods
    posed: _Posed
    reach: tuple[float, float]
    step: float = STEP
    last: float = np.inf
    halvings: int = 0
    known: _Grid | None = None

    def finer_averages(self) -> "_Search":
        """Return the search with sums over the random effects of half the step.

        Raises
        ------
        RoughError
            If they were halved often enough to see that it does not help.
        """
        curves, study = self.posed.curves, self.given.study
        suspect = np.zeros(len(study), dtype=bool) if isinstance(curves, Bounded) else curves.suspect
        if self.halvings == MAX_HALVINGS or (self.halvings == PATIENCE and suspect.any()):
            worst = int(np.argmin(sharpest_width(curves) / curves.scale))
            raise RoughError(
                f"The averages over the random effects were not resolved: the likelihood of study "
                f"{study[worst]!r} changes too abruptly. Use engine='nuts'.",
                suspect,
            )
        posed = replace(self.posed, averages=self.posed.averages.finer())
        return replace(self, posed=posed, halvings=self.halvings + 1, last=np.inf, known=None)


def plane(likelihoods: StudyLikelihoods) -> Plane:
    """Return the joint posterior of mu and tau on nodes.

    Raises
    ------
    ConvergenceError
        If the posterior cannot be enclosed or resolved.
    """
    rule, search = _start(likelihoods)
    while True:
        search = _affordable(search)
        grid = _evaluate(search)
        wider = _wider(search, grid)
        if wider is not None:
            search = wider
        elif _average_error(search.posed, grid) > RESOLVED:
            search = search.finer_averages()
        elif _missed(search.posed, grid) > TOLERANCE:
            search = replace(search, step=0.5 * search.step, last=np.inf, known=grid)
        else:
            error = _sinc_error(search.posed, grid)
            if error <= TOLERANCE:
                return _finished(likelihoods, rule, search.posed, grid, error)
            search = _finer(search, grid, error)


def _start(likelihoods: StudyLikelihoods) -> tuple[nodes.Rule | None, _Search]:
    """Return panels of tau, None where it is known, and the first grid of mu for each of their nodes."""
    curves = tabulate(likelihoods, *theta_range(likelihoods))
    average = averages(likelihoods, curves)
    known = known_tau(likelihoods.tau)
    if known is not None:
        rule, tau, log_weight = None, np.array([known]), np.zeros(1)
    else:
        assert likelihoods.tau is not None
        rule = tau_rule(likelihoods, average)
        tau, log_weight = rule.x.ravel(), log_prior_mass(rule, likelihoods.tau)
    placed = average.place(tau)
    posed = _Posed(
        curves, average, likelihoods.mu, tau, log_weight, placed.center, placed.scale, landmarks(likelihoods)
    )
    return rule, _Search(likelihoods, posed, (placed.reach, placed.reach))


def _widened(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the flags and their neighbours' in the row."""
    out = flags.copy()
    out[:, 1:] |= flags[:, :-1]
    out[:, :-1] |= flags[:, 1:]
    return out


def averaged_where(grid: LogAverage, mu: Array, tau: Array, used: NDArray[np.bool_], otherwise: float) -> Array:
    """Return ``(T, M)`` logs of averages where they are used, computed on the columns that some rows together need."""
    out = np.full(mu.shape, otherwise)
    for rows in alike(tau, ORDER):
        columns = np.flatnonzero(used[rows].any(axis=0))
        if columns.size:
            span = slice(columns[0], columns[-1] + 1)
            out[rows, span] = grid(mu[rows, span], tau[rows])
    return out


def _affordable(search: _Search) -> _Search:
    """Return the search, on a stretched axis where a uniform one needs too many nodes.

    Raises
    ------
    ConvergenceError
        If the stretched one does so too.
    """
    low, high = search.reach
    stretched = isinstance(search.posed.axis, Stretched)
    if low + high < (MAX_GRID if stretched else MAX_UNIFORM) * search.step:
        return search
    if stretched:
        raise ConvergenceError(
            f"The posterior of mu was not enclosed or resolved with {MAX_GRID} places of mu for each tau, with the "
            f"priors {search.given.mu!r} of mu and {search.given.tau!r} of tau. Use priors with lighter tails, e.g. "
            "normal(0, 2.82) and half_normal(0.5), or engine='nuts'."
        )
    posed = _stretched(search.posed)
    ends = [search.posed.mu_at(np.arange(len(posed.tau)), np.array([end]))[:, 0] for end in (-low, high)]
    below, above = (float(np.abs(posed.axis.u(end, posed.center, posed.scale)).max()) for end in ends)
    return replace(search, posed=posed, reach=(below, above), step=FAR_STEP, last=np.inf, known=None)


def _stretched(posed: _Posed) -> _Posed:
    """Return the same on an axis that is fine about the studies, as wide as tau makes them, and about the prior.

    Of a mixture that is its narrowest part.
    """
    precision = 1.0 / (posed.curves.scale[:, None] ** 2 + posed.tau**2)
    center = (precision * posed.curves.center[:, None]).sum(axis=0) / precision.sum(axis=0)
    found = [(0.0, np.inf), *map(middle_and_width, parts_of(posed.prior))]
    place, width = min(found, key=lambda part: part[::-1])
    return replace(posed, axis=Stretched(place, width), center=center, scale=precision.sum(axis=0) ** -0.5)


def _evaluate(search: _Search) -> _Grid:
    """Return the densities on the grid of a search; what is known already is not computed again."""
    posed, step, known = search.posed, search.step, search.known
    first, last = (np.ceil(reach / step) for reach in search.reach)
    u, rows = step * np.arange(-first, last + 1.0), np.arange(len(posed.tau))
    density, fresh = np.empty((len(rows), len(u))), np.ones(len(u), dtype=bool)
    if known is not None:
        # A grid whose step was halved has the very numbers of the one before it.
        _, old, new = np.intersect1d(known.u, u, assume_unique=True, return_indices=True)
        fresh[new] = False
        density[:, new] = known.log[:, old]
    if fresh.any():
        density[:, fresh] = posed.log_density(rows, u[fresh])
    log = density + (posed.log_weight + np.log(step))[:, None]
    top = float(log.max())
    return _Grid(u, density, np.exp(log - top), top)


def _wider(search: _Search, grid: _Grid) -> _Search | None:
    """Return the search on a wider grid, where there is something beyond this one; None where there is nothing."""
    total = float(grid.mass.sum())
    edges = float(grid.mass[:, 0].sum()) / total, float(grid.mass[:, -1].sum()) / total
    if max(edges) > EDGE:
        low, high = (1.6 * r if e > EDGE else r for r, e in zip(search.reach, edges, strict=True))
        return replace(search, reach=(low, high), known=grid)
    farther = _elsewhere(search.posed, grid)
    if farther == (0.0, 0.0):
        return None
    low, high = (max(r, f) for r, f in zip(search.reach, farther, strict=True))
    return replace(search, reach=(low, high), known=grid)


def _finer(search: _Search, grid: _Grid, error: float) -> _Search:
    """Return the search on a finer grid, or with finer averages where it is these that are rough."""
    if error > 0.3 * search.last:
        return search.finer_averages()
    # If the error falls as exp(-c / step) this brings it down to a tenth of the tolerance. Where that is far off, or
    # has failed, the step is halved, which leaves what is known on the grid.
    ratio = float(np.log(min(error, 0.1)) / np.log(0.1 * TOLERANCE))
    step = search.step * (ratio if ratio > CLOSE and np.isinf(search.last) else 0.5)
    return replace(search, step=step, last=error, known=grid)


def _finished(
    likelihoods: StudyLikelihoods, rule: nodes.Rule | None, posed: _Posed, grid: _Grid, error: float
) -> Plane:
    """Return the plane of a grid that encloses and resolves the posterior."""
    total = float(grid.mass.sum())
    if rule is not None:
        _check_tau(rule, likelihoods, grid.mass.sum(axis=1) / total)
    evidence = grid.top + float(np.log(total))
    log_weight = logsumexp(grid.log, axis=1) + posed.log_weight + np.log(grid.step) - evidence
    return Plane(
        curves=posed.curves,
        averages=posed.averages,
        rule=rule,
        tau=posed.tau,
        center=posed.center,
        scale=posed.scale,
        axis=posed.axis,
        u=grid.u,
        mu=posed.mu_at(np.arange(len(posed.tau)), grid.u),
        mass=grid.mass / total,
        log_weight=np.asarray(log_weight),
        log_evidence=evidence,
        error=error,
    )


def landmarks(likelihoods: StudyLikelihoods) -> Array:
    """Return places of mu from all over its prior and the studies, with points between them."""
    places = [np.quantile(likelihoods.center, np.linspace(0.0, 1.0, 11))]
    for part in parts_of(likelihoods.mu):
        places.append(np.asarray(part.ppf(np.concatenate([FAN, [0.5], 1.0 - FAN]))))
    at = np.unique(np.concatenate(places)[np.isfinite(np.concatenate(places))])
    return np.unique(np.concatenate([at, 0.5 * (at[1:] + at[:-1])]))


def _elsewhere(posed: _Posed, grid: _Grid) -> tuple[float, float]:
    """Return how far below and above its center the grid of mu must reach to hold all modes that were found; or zeros.

    The grid grows from one mode until nothing is left at its ends, and would not see another one beyond a valley.
    """
    mass, u = grid.mass, grid.u
    rows = np.unique(np.concatenate([_typical(mass)[0], np.linspace(0, len(mass) - 1, 5).astype(np.intp)]))
    at = posed.axis.u(posed.places, posed.center[rows, None], posed.scale[rows, None])
    mu = np.broadcast_to(posed.places, at.shape)
    log = posed.averages.rough(mu, posed.tau[rows]) + posed.prior.logpdf(mu) + posed.log_slope(rows, mu)
    log += (posed.log_weight[rows] + np.log(grid.step))[:, None]
    counts = (log > grid.top + np.log(EDGE)) & ((at < u[0]) | (at > u[-1]))
    return -min(0.0, float(at[counts].min(initial=0.0))), max(0.0, float(at[counts].max(initial=0.0)))


def _check_tau(rule: nodes.Rule, likelihoods: StudyLikelihoods, weight: Array) -> None:
    """Refuse a posterior of tau whose panels, placed by an approximation to it, do not hold it."""
    assert likelihoods.tau is not None
    density = (weight.reshape(rule.x.shape) / rule.panels.weights()).ravel()
    low, high = likelihoods.tau.support
    near = (float(rule.x[0, 0]) <= low + 1e-100, float(rule.x[-1, -1]) >= min(high, 1e100) * (1.0 - 1e-6))
    if any(end > OPEN_END and not at for end, at in zip(density[[0, -1]], near, strict=True)):
        raise ConvergenceError(
            f"The posterior of tau was not enclosed: with the priors {likelihoods.mu!r} of mu and {likelihoods.tau!r} "
            "of tau it is not where an approximation placed it. Use priors that contradict the studies less, or "
            "engine='nuts'."
        )


def _sinc_error(posed: _Posed, grid: _Grid) -> float:
    """Compare the sinc interpolant half-way between nodes with the density itself, for typical values of tau.

    The sums over even and over odd nodes, which differ by as much as an interpolant errs, are compared for all tau.
    """
    rows, extreme = _typical(grid.mass)
    mass, step = grid.mass[rows], grid.step
    between = grid.u[:-1] + 0.5 * step
    shift = (posed.log_weight[rows] + np.log(step))[:, None] - grid.top
    known = np.exp(posed.log_density(rows, between) + shift)
    guess = mass @ sinc_basis(between / step, np.rint(grid.u / step)).T
    error = np.max(np.abs(guess - known), axis=1) / mass.max(axis=1)
    return max(float(np.max(error * extreme)), _uneven(grid))


def _uneven(grid: _Grid) -> float:
    """Return the difference of sums over even and over odd nodes, of all tau, relative to the whole."""
    return float(np.abs(grid.mass @ (1.0 - 2.0 * (np.arange(len(grid.u)) % 2))).sum() / grid.mass.sum())


def _missed(posed: _Posed, grid: _Grid) -> float:
    """Compare the sinc interpolant with the density where parts of the prior lie, which may fall between all nodes."""
    if len(parts_of(posed.prior)) <= 1:
        return 0.0
    rows, extreme = _typical(grid.mass)
    mu = np.broadcast_to(posed.places, (len(rows), len(posed.places)))
    u = posed.axis.u(mu, posed.center[rows, None], posed.scale[rows, None])
    inside = (u > grid.u[0]) & (u < grid.u[-1])
    mass, step = grid.mass[rows], grid.step
    guess = np.einsum("rpm,rm->rp", sinc_basis(u / step, np.rint(grid.u / step)), mass)
    log = posed.averages.grid(mu, posed.tau[rows]) + posed.prior.logpdf(mu) + posed.log_slope(rows, mu)
    known = np.exp(np.minimum(log + (posed.log_weight[rows] + np.log(step))[:, None] - grid.top, 300.0))
    error = np.where(inside, np.abs(guess - known), 0.0).max(axis=1) / mass.max(axis=1)
    return float(np.max(error * extreme))


def _average_error(posed: _Posed, grid: _Grid) -> float:
    """Compare sums over the random effects with finer ones, at typical values of mu and tau."""
    rows, extreme = _typical(grid.mass)
    share = np.cumsum(grid.mass[rows], axis=1) / grid.mass[rows].sum(axis=1, keepdims=True)
    columns = np.unique([np.searchsorted(row, PROBES) for row in share]).clip(0, len(grid.u) - 1)
    known = replace(posed, averages=posed.averages.finer()).log_density(rows, grid.u[columns])
    height = grid.mass[np.ix_(rows, columns)] / grid.mass[rows].max(axis=1)[:, None]
    away = np.subtract(grid.log[np.ix_(rows, columns)], known, where=height > 0.0, out=np.zeros(height.shape))
    return float(np.max(np.abs(away) * height * extreme[:, None]))


def _typical(mass: Array) -> tuple[NDArray[np.intp], Array]:
    """Return rows of the plane from all over the posterior of tau, and how much an error there counts."""
    weight = mass.sum(axis=1)
    share = np.cumsum(weight) / weight.sum()
    rows = np.unique(np.searchsorted(share, SINC_CHECKS).clip(0, len(share) - 1))
    # A value of tau counts as much as the probability of values as extreme as it.
    tail = np.minimum(share[rows], 1.0 - share[rows] + weight[rows] / weight.sum())
    return rows, np.minimum(1.0, 20.0 * tail)


def theta_range(likelihoods: StudyLikelihoods) -> tuple[Array, Array]:
    """Return ``(k,)`` ends of the range of theta in which each study's likelihood could matter."""
    finite = np.where(np.isfinite(likelihoods.scale), likelihoods.scale, 1.0)
    limit = 1e6 * float(finite.max())
    first = float(np.min(likelihoods.center - 40.0 * finite))
    last = float(np.max(likelihoods.center + 40.0 * finite))
    low, high = (float(end) for end in np.clip(likelihoods.mu.support, -limit, limit))
    if likelihoods.mu.proper:
        tails = [float(q) for q in likelihoods.mu.ppf(np.array([1e-15, 1e-3, 1.0 - 1e-3, 1.0 - 1e-15]))]
        low, high = max(low, tails[0]), min(high, tails[3])
        first, last = min(first, tails[1]), max(last, tails[2])
    spread = 0.0
    if likelihoods.tau is not None:
        spread = limit
        if likelihoods.tau.proper:
            spread = min(limit, 9.0 * float(likelihoods.tau.ppf(np.array(1.0 - 1e-14))))
    ends = min(first, low) - spread, max(last, high) + spread
    return _fallen(likelihoods, first, ends[0]), _fallen(likelihoods, last, ends[1])


def dies_away(given: StudyLikelihoods) -> NDArray[np.bool_]:
    """Return ``(k, 2)``: whether each study's likelihood dies away far below and far above its center."""
    far = 60.0 * np.where(np.isfinite(given.scale), given.scale, 1.0)
    value = given.loglik(np.stack([given.center - far, given.center, given.center + far], axis=1))
    return np.asarray(value[:, [0, 2]] < value[:, [1]] - 30.0)


def _fallen(likelihoods: StudyLikelihoods, inner: float, outer: float) -> Array:
    """Return ``(k,)`` how far out, between `inner` and `outer`, each study's likelihood is worth knowing.

    Where mu lies between the studies and its prior, theta gets beyond only by a random effect, and a likelihood
    that has fallen to nothing there stays nothing.
    """
    finite = np.where(np.isfinite(likelihoods.scale), likelihoods.scale, 1.0)
    if any(np.isfinite(likelihoods.support)) or abs(outer - inner) <= NEARBY * finite.min():
        return np.full(len(likelihoods.center), outer)
    farthest = abs(outer - inner)
    away = np.full(len(likelihoods.center), float(np.abs(inner - likelihoods.center).max()))
    peak = likelihoods.loglik(likelihoods.center[:, None])[:, 0]
    known, theta = likelihoods.loglik(np.full((len(away), 1), inner))[:, 0], np.full(len(away), inner)
    going = np.ones(len(away), dtype=bool)
    while going.any():
        # A study whose end is found stays there: farther out its baseline could be past integrating.
        theta = np.where(going, inner + np.copysign(np.minimum(away, farthest), outer - inner), theta)
        value = likelihoods.loglik(theta[:, None])[:, 0]
        going &= ((value > peak - FALLEN) | (value > known - 1.0)) & (away < farthest)
        away = np.where(going, 2.0 * away, away)
    return theta


def log_prior_mass(rule: nodes.Rule, prior: Prior) -> Array:
    """Return ``(T,)`` logs of the prior's masses of the nodes of tau."""
    panels = rule.panels
    slope = log_jacobian(panels.points(), panels.lower[:, None], panels.upper[:, None])
    return np.asarray((slope + np.log(panels.weights())).ravel() + prior.logpdf(rule.x.ravel()))


def tau_rule(likelihoods: StudyLikelihoods, average: Averages, slack: float = 0.0) -> nodes.Rule:
    """Return panels of tau on which the posterior is smooth, placed by an approximation to it.

    With `slack` the approximation may be wrong by that much (log scale) about which panels count.
    """
    prior = likelihoods.tau
    assert prior is not None

    def approximate(tau: Array) -> tuple[Array, Array]:
        placed = average.place(tau)
        return np.asarray(prior.logpdf(tau)) + placed.log, np.column_stack([placed.center, placed.scale])

    widths = np.where(np.isfinite(likelihoods.scale), likelihoods.scale, 1.0)
    smallest, k = float(widths.min()), len(widths)
    landmarks = [smallest / np.sqrt(k), float(widths.max()), float(np.ptp(likelihoods.center)) + smallest]
    if prior.proper:
        landmarks += [float(q) for q in prior.ppf(np.array([0.05, 0.5, 0.95]))]
    low, high = prior.support
    cuts = sorted({low, *(b for b in prior.breaks if low < b < high), high})
    first = nodes.first_panels(list(pairwise(cuts)), np.array(landmarks))
    rule = nodes.refine(approximate, nodes.evaluate(approximate, first))
    nodes.check_enclosed(rule)
    rule = nodes.refine(approximate, rule, features)
    share = rule.masses().sum(axis=1)
    # A panel may matter to the variance of a new study's effect where it does not to any probability.
    second = (rule.masses() * rule.x**2).sum(axis=1)
    least = np.exp(-slack)
    used = (share > least * NEGLIGIBLE_PANEL * share.sum()) | (second > least * NEGLIGIBLE_SECOND * second.sum())
    # None between them is left out: where there is no second moment its sum is all in the last panels.
    return nodes.keep(rule, np.arange(np.flatnonzero(used)[0], np.flatnonzero(used)[-1] + 1))


def features(rule: nodes.Rule) -> Array:
    """Return approximate probabilities of mu and of a new study's effect given tau, at a few places of each."""
    mu, scale = rule.extra[..., 0], rule.extra[..., 1]
    mass = rule.masses()
    mass = mass / mass.sum()
    center = np.sum(mass * mu)
    found = []
    for sd in (scale, np.sqrt(scale**2 + rule.x**2)):
        width = np.exp(np.sum(mass * np.log(sd)))
        found += [ndtr((center + s * width - mu) / sd) for s in (-6.0, -2.0, 0.0, 2.0, 6.0)]
    return np.stack(found, axis=-1)
