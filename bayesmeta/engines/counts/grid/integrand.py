"""What is to be integrated over mu and tau, and its values on a grid of mu for each tau."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.axes.panels import ORDER
from bayesmeta.engines.counts.average_shared import alike
from bayesmeta.engines.counts.grid.mu_axis import Axis, Uniform
from bayesmeta.engines.counts.loglik_between_limits import Bounded
from bayesmeta.engines.counts.loglik_tables import Curves
from bayesmeta.engines.counts.random_effects import Averages
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import Prior
from bayesmeta.priors.mixtures import parts_of
from bayesmeta.values import Array

# On a stretched grid every so many nodes tell where there is anything: they are at most 1.6 apart in u, so that one of
# them is on each peak as wide as u's unit.
COARSE = 8
# Less than this beside a row's largest (log scale), 4e-31, is nothing. True effects leave out nodes below 1e-22: rough
# values may be wrong by a factor of 1e8.
NOTHING = -70.0
# Quantiles of the prior of mu at which other modes are looked for.
FAN = np.array([1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.03, 0.07, 0.12, 0.18, 0.25, 0.32, 0.4, 0.46])

UNIFORM = Uniform()

# Maps ``(T, M)`` values of mu and ``(T,)`` of tau to ``(T, M)`` logs of averaged likelihoods.
type LogAverage = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """What is to be integrated.

    Parameters
    ----------
    curves, averages
        The studies' log likelihoods, and their averages over the random effects.
    prior
        Of mu.
    tau, log_weight
        ``(T,)`` nodes of tau, and logs of their prior masses.
    center, scale
        ``(T,)`` place and unit of the grid of mu given each tau.
    places
        ``(P,)`` values of mu at which modes are looked for.
    axis
        How mu follows from u.
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

    def log_masses(self, rows: NDArray[np.intp], step: float, average: LogAverage) -> tuple[Array, Array]:
        """Return ``(rows, P)`` u of the places, and the log masses of nodes there on a grid with that step."""
        u = self.axis.u(self.places, self.center[rows, None], self.scale[rows, None])
        mu = np.broadcast_to(self.places, u.shape)
        log = average(mu, self.tau[rows]) + self.prior.logpdf(mu) + self.log_slope(rows, mu)
        return u, np.asarray(log + (self.log_weight[rows] + np.log(step))[:, None])

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
class Grid:
    """Densities on a grid of mu.

    Parameters
    ----------
    u
        ``(M,)`` uniform grid.
    log
        ``(T, M)`` logs of likelihood times prior of mu, per unit of u.
    mass
        ``(T, M)`` posterior masses of the nodes of mu and tau, relative to the largest.
    top
        Log of the largest.
    """

    u: Array
    log: Array
    mass: Array
    top: float

    @property
    def step(self) -> float:
        """Spacing of `u`."""
        return float(self.u[1] - self.u[0])


def landmarks(likelihoods: StudyLikelihoods) -> Array:
    """Return places of mu from all over its prior and the studies, with points between them."""
    places = [np.quantile(likelihoods.center, np.linspace(0.0, 1.0, 11))]
    for part in parts_of(likelihoods.mu):
        places.append(np.asarray(part.ppf(np.concatenate([FAN, [0.5], 1.0 - FAN]))))
    at = np.unique(np.concatenate(places)[np.isfinite(np.concatenate(places))])
    return np.unique(np.concatenate([at, 0.5 * (at[1:] + at[:-1])]))


def averaged_where(grid: LogAverage, mu: Array, tau: Array, used: NDArray[np.bool_], otherwise: float) -> Array:
    """Return ``(T, M)`` logs of averages where they are used, computed on the columns that some rows together need."""
    out = np.full(mu.shape, otherwise)
    for rows in alike(tau, ORDER):
        columns = np.flatnonzero(used[rows].any(axis=0))
        if columns.size:
            span = slice(columns[0], columns[-1] + 1)
            out[rows, span] = grid(mu[rows, span], tau[rows])
    return out


def _widened(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the flags and their neighbours' in the row."""
    out = flags.copy()
    out[:, 1:] |= flags[:, :-1]
    out[:, :-1] |= flags[:, 1:]
    return out
