"""How slowly a posterior of several standard deviations falls, and which moments that leaves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.priors import fixed_value
from bayesmeta.values import Array

# With more rows than this every power that a prior of practice leaves is gone.
MANY = 400


@dataclass(frozen=True, slots=True, eq=False)
class Tails:
    """Where the posterior density falls only as a power of some standard deviations that grow together.

    Parameters
    ----------
    exponents
        Sets of parameters, and the power with which the density of their common size falls.
    """

    exponents: tuple[tuple[frozenset[str], float], ...]

    @property
    def heavy(self) -> bool:
        """Whether there is any such tail."""
        return bool(self.exponents)

    def exponent(self, name: str | None = None) -> float:
        """Return the power with which the density of a parameter falls, of any of them when not named."""
        return min((power for names, power in self.exponents if name is None or name in names), default=math.inf)

    def reaches(self, growth: float, name: str | None, drop: float) -> bool:
        """Return whether the expectation of what grows as a power is finite, and the lattice holds all of it but 1e-6.

        Parameters
        ----------
        growth
            The power.
        name
            Parameter whose power it is; that of any of them when None.
        drop
            Log of the density's peak over that of the last places.
        """
        power = self.exponent(name)
        return math.isinf(power) or (power - 1.0 > growth and (power - 1.0 - growth) / (power - 1.0) * drop > 13.8)


def tails(given: Gaussian, covariance: Covariance) -> Tails:
    """Return the power tails of a posterior.

    Where standard deviations S grow together the likelihood, coefficients with flat priors integrated out, falls as a
    power: by the rank of their random effects' design, less the number of flat coefficients that they hide.

    Raises
    ------
    ModelError
        If the posterior is improper.
    """
    free = [c for c in given.components if fixed_value(c.prior) is None]
    open_ended = [c.name for c in free if math.isfinite(c.prior.tail_exponent) and math.isinf(c.prior.support[1])]
    found = []
    for size in range(1, len(open_ended) + 1):
        for names in combinations(open_ended, size):
            priors = sum(given.component(name).prior.tail_exponent for name in names)
            power = priors + _rank_less_hidden(given, covariance, names) - (size - 1)
            _check_proper(given, names, power)
            found.append((frozenset(names), power))
    return Tails(tuple(found))


def _check_proper(given: Gaussian, names: Sequence[str], power: float) -> None:
    if power > 1.0:
        return
    flat = [term for term, prior in zip(given.terms, given.beta, strict=True) if not prior.proper]
    priors = ", ".join(repr(given.component(name).prior) for name in names)
    raise ModelError(
        f"The posterior is improper: with {len(flat)} coefficient(s) with flat priors ({', '.join(flat)}) the data do "
        f"not bound {' and '.join(names)} under {priors}. Use priors of variance parameters with lighter tails, e.g. "
        "half_normal(0.5), or proper priors of the coefficients."
    )


def _rank_less_hidden(given: Gaussian, covariance: Covariance, names: Sequence[str]) -> float:
    if given.n > MANY:
        return float(MANY)
    places = [i for i, component in enumerate(given.components) if component.name in names]
    Z = np.hstack([_pattern(covariance, i) for i in places])
    X = given.X[:, [not prior.proper for prior in given.beta]]
    rank = int(np.linalg.matrix_rank(Z))
    beside = int(np.linalg.matrix_rank(np.hstack([Z, X / np.maximum(np.abs(X).max(axis=0), 1e-300)]))) - rank
    return float(rank - (X.shape[1] - beside))


def _pattern(covariance: Covariance, i: int) -> Array:
    """Return ``(n, q)``: the design of a component's random effects, correlated levels made independent."""
    loading = covariance.loadings[i]
    Z = np.zeros((len(loading.z), len(loading.names)))
    Z[np.arange(len(loading.z)), loading.level] = loading.z
    return Z if loading.relation is None else Z @ loading.relation
