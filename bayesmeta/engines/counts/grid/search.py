"""The search for a grid of mu that encloses and resolves the posterior, for every node of tau at once."""

from dataclasses import dataclass, replace

import numpy as np

from bayesmeta.engines.counts.average_shared import sharpest_width
from bayesmeta.engines.counts.grid.errors import average_error, missed, sinc_error, typical
from bayesmeta.engines.counts.grid.integrand import Grid, Posed
from bayesmeta.engines.counts.grid.mu_axis import Stretched
from bayesmeta.engines.counts.loglik_between_limits import Bounded
from bayesmeta.engines.counts.loglik_tables import RoughError
from bayesmeta.errors import ConvergenceError
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors.mixtures import parts_of
from bayesmeta.priors.quartiles import middle_and_width

# Sinc interpolation of a Gaussian errs by exp(-pi^2 / (2 step^2)) = 7e-13 with this step.
STEP = 0.42
# First step on a stretched axis, which is refined more often than not.
FAR_STEP = 0.2
# A side of the grid of mu grows by this factor until what lies at its end is less than EDGE.
GROWTH, EDGE = 1.6, 1e-13
# Most places of mu for each tau; a uniform grid with more than these takes longer than a stretched one.
MAX_GRID, MAX_UNIFORM = 2048, 1024
# Agreement asked of sums over the random effects when their step is halved, a fifth of what the grid may err by, and
# how often it may be halved.
RESOLVED = 2e-11
MAX_HALVINGS = 4
# Where a likelihood may have a crease this many halvings are enough to see that more will not help.
PATIENCE = 1
# Half the step keeps every node and adds as many; a new grid is as cheap where the step shrinks to no less than this.
CLOSE = 1.0 / 1.4
# A finer grid that leaves more than this part of the error shows that it is the averages that are rough.
STUCK = 0.3
# Largest error of the interpolated density of mu given tau, relative to its peak.
TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What was tried so far to enclose and resolve mu.

    Parameters
    ----------
    given
        The studies' likelihoods and the priors, for messages.
    posed
        What is integrated.
    reach
        How far the grid of u goes to either side.
    step
        Its spacing.
    last
        The error of the grid before; infinite where that tells nothing about the next one's.
    halvings
        How often the step of the sums over the random effects was halved.
    known
        A grid with some of the same nodes.
    """

    given: StudyLikelihoods
    posed: Posed
    reach: tuple[float, float]
    step: float = STEP
    last: float = np.inf
    halvings: int = 0
    known: Grid | None = None

    def finer_averages(self) -> "Search":
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
                # Between limits any likelihood may have a crease too faint to be seen in its table.
                np.ones_like(suspect) if isinstance(curves, Bounded) else suspect,
            )
        posed = replace(self.posed, averages=self.posed.averages.finer())
        return replace(self, posed=posed, halvings=self.halvings + 1, last=np.inf, known=None)


def enclosed_and_resolved(search: Search) -> tuple[Posed, Grid, float]:
    """Return what is integrated in the end, the grid that encloses and resolves it, and the error of that.

    Raises
    ------
    ConvergenceError
        If the posterior cannot be enclosed or resolved.
    """
    while True:
        search = _affordable(search)
        grid = _evaluate(search)
        wider = _wider(search, grid)
        if wider is not None:
            search = wider
        elif average_error(search.posed, grid) > RESOLVED:
            search = search.finer_averages()
        elif missed(search.posed, grid) > TOLERANCE:
            search = replace(search, step=0.5 * search.step, last=np.inf, known=grid)
        else:
            error = sinc_error(search.posed, grid)
            if error <= TOLERANCE:
                return search.posed, grid, error
            search = _finer(search, grid, error)


def _affordable(search: Search) -> Search:
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


def _stretched(posed: Posed) -> Posed:
    """Return the same on an axis that is fine about the studies, as wide as tau makes them, and about the prior.

    Of a mixture that is its narrowest part.
    """
    precision = 1.0 / (posed.curves.scale[:, None] ** 2 + posed.tau**2)
    center = (precision * posed.curves.center[:, None]).sum(axis=0) / precision.sum(axis=0)
    found = [(0.0, np.inf), *map(middle_and_width, parts_of(posed.prior))]
    place, width = min(found, key=lambda part: part[::-1])
    return replace(posed, axis=Stretched(place, width), center=center, scale=precision.sum(axis=0) ** -0.5)


def _evaluate(search: Search) -> Grid:
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
    return Grid(u, density, np.exp(log - top), top)


def _wider(search: Search, grid: Grid) -> Search | None:
    """Return the search on a wider grid, where there is something beyond this one; None where there is nothing."""
    total = float(grid.mass.sum())
    edges = float(grid.mass[:, 0].sum()) / total, float(grid.mass[:, -1].sum()) / total
    if max(edges) > EDGE:
        low, high = (GROWTH * r if e > EDGE else r for r, e in zip(search.reach, edges, strict=True))
        return replace(search, reach=(low, high), known=grid)
    farther = _elsewhere(search.posed, grid)
    if farther == (0.0, 0.0):
        return None
    low, high = (max(r, f) for r, f in zip(search.reach, farther, strict=True))
    return replace(search, reach=(low, high), known=grid)


def _elsewhere(posed: Posed, grid: Grid) -> tuple[float, float]:
    """Return how far below and above its center the grid of mu must reach to hold all modes that were found; or zeros.

    The grid grows from one mode until nothing is left at its ends, and would not see another one beyond a valley.
    """
    mass, u = grid.mass, grid.u
    rows = np.unique(np.concatenate([typical(mass)[0], np.linspace(0, len(mass) - 1, 5).astype(np.intp)]))
    at, log = posed.log_masses(rows, grid.step, posed.averages.rough)
    counts = (log > grid.top + np.log(EDGE)) & ((at < u[0]) | (at > u[-1]))
    return -min(0.0, float(at[counts].min(initial=0.0))), max(0.0, float(at[counts].max(initial=0.0)))


def _finer(search: Search, grid: Grid, error: float) -> Search:
    """Return the search on a finer grid, or with finer averages where it is these that are rough."""
    if error > STUCK * search.last:
        return search.finer_averages()
    # If the error falls as exp(-c / step) this brings it down to a tenth of the tolerance. Where that is far off, or
    # has failed, the step is halved, which leaves what is known on the grid.
    ratio = float(np.log(min(error, 0.1)) / np.log(0.1 * TOLERANCE))
    step = search.step * (ratio if ratio > CLOSE and np.isinf(search.last) else 0.5)
    return replace(search, step=step, last=error, known=grid)
