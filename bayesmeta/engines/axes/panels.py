"""Adaptive Gauss-Legendre panels on a logarithmic axis: where the mass of one positive quantity lies, to 1e-12.

A density on ``(lower, upper)`` is integrated in ``u = log(x - lower)``, or in the logit of the
position where `upper` is finite. On that axis boundary modes, integrable poles at the lower end and
algebraic tails all become smooth and short, whatever the unit of the data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_legendre

from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals.axis import from_axis, log_jacobian, to_axis
from bayesmeta.values import Array

ORDER = 16
NODES, WEIGHTS = (np.asarray(a) for a in roots_legendre(ORDER))
# Row m gives the coefficient of the Legendre polynomial P_m from the values at the nodes.
TO_LEGENDRE = (np.polynomial.legendre.legvander(NODES, ORDER - 1) * WEIGHTS[:, None]).T * (
    np.arange(ORDER)[:, None] + 0.5
)

# Weights of the second barycentric formula at the Legendre points (Wang & Xiang 2012, Math. Comput. 81:861-877).
BARYCENTRIC = (-1.0) ** np.arange(ORDER) * np.sqrt((1.0 - NODES**2) * WEIGHTS)

# exp(-700) and exp(2 * 320) are still doubles: tau is not 0, tau^2 not infinite.
U_LOW, U_HIGH = -700.0, 320.0
# Panels this far (in log) below the highest one cannot matter, even for probabilities of 1e-30.
NEGLIGIBLE = 85.0
# The last Legendre coefficients decay like rho^-15 where the Gauss sum errs like rho^-32: 1e-7 there means 1e-14 here.
SMOOTH = 1e-7
# A feature whose integral is this small beside the mass need not be resolved relative to itself.
FAINT = 1e-4
MAX_PANELS = 4000


@dataclass(frozen=True, slots=True, eq=False)
class Panels:
    """Gauss-Legendre panels that carry a density on a positive axis.

    Parameters
    ----------
    lower, upper
        ``(P,)`` ends of the interval whose log or logit axis the panel uses.
    left, right
        ``(P,)`` ends of the panels on that axis, ascending in x.
    """

    lower: Array
    upper: Array
    left: Array
    right: Array

    def __len__(self) -> int:
        return len(self.left)

    def take(self, index: NDArray[np.intp]) -> "Panels":
        """Return the panels at `index`."""
        return Panels(self.lower[index], self.upper[index], self.left[index], self.right[index])

    def split(self) -> "Panels":
        """Return every panel cut in two halves, in order."""
        middle = 0.5 * (self.left + self.right)
        return Panels(
            np.repeat(self.lower, 2),
            np.repeat(self.upper, 2),
            np.column_stack([self.left, middle]).ravel(),
            np.column_stack([middle, self.right]).ravel(),
        )

    def points(self) -> Array:
        """Return the ``(P, ORDER)`` nodes on the log or logit axis."""
        half = 0.5 * (self.right - self.left)
        return (self.left + half)[:, None] + half[:, None] * NODES

    def weights(self) -> Array:
        """Return the ``(P, ORDER)`` Gauss-Legendre weights on that axis."""
        return (0.5 * (self.right - self.left))[:, None] * WEIGHTS

    def locate(self, x: Array) -> tuple[NDArray[np.intp], Array]:
        """Return the panel of each x, the nearest one below where none holds it, and the place in it.

        Panels run from -1 to 1; beyond that lie places left of all panels, right of them or in a gap between them.
        """
        starts = from_axis(self.left, self.lower, self.upper)
        panel = np.clip(np.searchsorted(starts, x, side="right") - 1, 0, len(self) - 1)
        u = to_axis(x, self.lower[panel], self.upper[panel])
        half = 0.5 * (self.right - self.left)[panel]
        return panel, np.asarray((u - self.left[panel]) / half - 1.0)


def lagrange(place: Array) -> Array:
    """Return ``(n, ORDER)`` weights of a panel's nodes that interpolate at places from -1 to 1 in it."""
    gap = np.clip(place, -1.0, 1.0)[:, None] - NODES
    exact = gap == 0.0
    terms = BARYCENTRIC / np.where(exact, 1.0, gap)
    terms = np.where(exact.any(axis=1)[:, None], exact, terms)
    return np.asarray(terms / terms.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A density evaluated on panels.

    Parameters
    ----------
    panels
        Where.
    x
        ``(P, ORDER)`` nodes, in the unit of the quantity.
    logg
        ``(P, ORDER)`` log of the unnormalised density times ``dx/du``.
    extra
        ``(P, ORDER, q)`` what else was computed at the nodes, so that nothing is computed twice.
    """

    panels: Panels
    x: Array
    logg: Array
    extra: Array

    @property
    def peak(self) -> float:
        """Highest value of `logg`."""
        return float(np.max(self.logg))

    def masses(self) -> Array:
        """Return the ``(P, ORDER)`` masses of the nodes, relative to ``exp(peak)``."""
        return np.asarray(np.exp(self.logg - self.peak) * self.panels.weights())

    def log_total(self) -> float:
        """Return the log of the integral."""
        return self.peak + float(np.log(np.sum(self.masses())))

    def interpolate(self, values: Array, x: Array) -> Array:
        """Return the polynomial through ``(P * ORDER,)`` smooth `values` at the nodes, evaluated at `x`.

        Left and right of all panels, where there is no mass, the nearest end's value is returned.
        """
        panel, place = self.panels.locate(x)
        return np.asarray(np.sum(lagrange(place) * values.reshape(-1, ORDER)[panel], axis=1))


# Maps ``(n,)`` values of x to ``(n,)`` log densities and ``(n, q)`` other numbers worth keeping.
type LogDensity = Callable[[Array], tuple[Array, Array]]


type Features = Callable[[Rule], Array]


def evaluate(logf: LogDensity, panels: Panels) -> Rule:
    """Return the log density `logf` (per unit of x) on the nodes of `panels`."""
    u = panels.points()
    lower, upper = panels.lower[:, None], panels.upper[:, None]
    x = from_axis(u, lower, upper)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        value, extra = logf(x.ravel())
        logg = value.reshape(x.shape) + log_jacobian(u, lower, upper)
    if np.isnan(logg).any() or np.isposinf(logg).any():
        bad = float(x[np.isnan(logg) | np.isposinf(logg)][0])
        raise ConvergenceError(
            f"The log density of tau is not finite at {bad:g}. Check the prior's logpdf there, or cut the prior off."
        )
    return Rule(panels, x, logg, extra.reshape(*x.shape, -1))


def join(first: Rule, second: Rule) -> Rule:
    """Return both sets of panels as one, ascending in x."""
    parts = (first, second)
    cat = [np.concatenate([getattr(p.panels, n) for p in parts]) for n in ("lower", "upper", "left", "right")]
    order = np.lexsort((cat[2], cat[0]))
    panels = Panels(*cat).take(order)
    return Rule(
        panels,
        np.concatenate([first.x, second.x])[order],
        np.concatenate([first.logg, second.logg])[order],
        np.concatenate([first.extra, second.extra])[order],
    )


def keep(rule: Rule, index: NDArray[np.intp]) -> Rule:
    """Return the panels of `rule` at `index`."""
    return Rule(rule.panels.take(index), rule.x[index], rule.logg[index], rule.extra[index])


def first_panels(intervals: Sequence[tuple[float, float]], landmarks: Array) -> Panels:
    """Return panels that reach over every scale the density could live on.

    Parameters
    ----------
    intervals
        Adjoining intervals, cut where the prior has a jump or a kink.
    landmarks
        Values of x where something is known to happen: standard errors, spread of the data,
        quantiles of the prior. Between them panels are 2 wide on the log axis; beyond, they double.
    """
    parts = []
    for lower, upper in intervals:
        ends = np.array([lower]), np.array([upper])
        u = to_axis(landmarks[(landmarks > lower) & (landmarks < upper)], *ends)
        low, high = (float(u.min()) - 3.0, float(u.max()) + 3.0) if u.size else (-3.0, 3.0)
        low, high = max(low, U_LOW + 2.0), min(high, U_HIGH - 2.0)
        core = np.linspace(low, high, max(4, 1 + int(np.ceil((high - low) / 2.0))))
        reach = 2.0 * (2.0 ** np.arange(1, 10) - 1.0)
        left = np.unique(np.maximum(low - reach[::-1], U_LOW))
        right = np.unique(np.minimum(high + reach, U_HIGH))
        edges = np.unique(np.concatenate([left, core, right]))
        size = len(edges) - 1
        parts.append(Panels(np.full(size, lower), np.full(size, upper), edges[:-1], edges[1:]))
    return Panels(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("lower", "upper", "left", "right")))


def _live(rule: Rule, order: float, reach: float) -> NDArray[np.intp]:
    """Return the panels that can matter for the mass or for moments up to `order`, and their neighbours."""
    height = rule.logg.max(axis=1) + np.log(rule.panels.right - rule.panels.left)
    log_x = np.log(np.maximum(rule.x, np.finfo(float).tiny))
    moment = (rule.logg + order * log_x).max(axis=1)
    near = log_x.min(axis=1) < log_x.flat[int(np.argmax(rule.logg))] + reach
    live = (height >= height.max() - NEGLIGIBLE) | (near & (moment >= moment.max() - 0.6 * NEGLIGIBLE))
    grown = live.copy()
    grown[:-1] |= live[1:]
    grown[1:] |= live[:-1]
    return np.flatnonzero(grown & (near | live))


def rough(rule: Rule, features: Features | None = None) -> NDArray[np.intp]:
    """Return the indices of the panels on which the density, or a feature times it, is not resolved."""
    mass = np.exp(rule.logg - rule.peak)
    half = 0.5 * (rule.panels.right - rule.panels.left)
    weights = rule.panels.weights()
    values = mass[:, :, None]
    if features is not None:
        values = np.concatenate([values, values * np.abs(features(rule))], axis=2)
    totals = np.einsum("pif,pi->f", values, weights)
    tail = np.abs(np.einsum("mi,pif->pmf", TO_LEGENDRE[-3:], values)).max(axis=1) * half[:, None]
    return np.flatnonzero((tail > SMOOTH * np.maximum(totals, FAINT * totals[0])).any(axis=1))


def refine(
    logf: LogDensity, rule: Rule, features: Features | None = None, order: float = 0.0, reach: float = np.inf
) -> Rule:
    """Cut panels in two until the density, alone and times each feature, is smooth on each of them.

    Parameters
    ----------
    features
        Maps a rule to ``(P, ORDER, f)`` functions that will be integrated against the density.
    order
        Highest moment that is wanted.
    reach
        How far right of the peak (log scale) moments are followed; beyond, the tail is a known power.

    Raises
    ------
    ConvergenceError
        If that takes more panels than any density with finitely many jumps needs.
    """
    if rule.peak == -np.inf:
        raise ConvergenceError(
            "The posterior density of tau is 0 as far as doubles go, at every scale that was looked at. "
            "Check the scale of the prior of tau against that of the data."
        )
    for _ in range(60):
        live = _live(rule, order, reach)
        rule = rule if len(live) == len(rule.panels) else keep(rule, live)
        bad = rough(rule, features)
        if bad.size == 0:
            return rule
        if len(rule.panels) + bad.size > MAX_PANELS:
            break
        good = np.ones(len(rule.panels), dtype=bool)
        good[bad] = False
        rule = join(keep(rule, np.flatnonzero(good)), evaluate(logf, rule.panels.take(bad).split()))
    raise ConvergenceError(
        f"The posterior of tau was not resolved with {len(rule.panels) * ORDER} nodes. "
        "Check the prior of tau for jumps or spikes, or use engine='nuts'."
    )


def check_enclosed(rule: Rule) -> None:
    """Raise when the density has not died away at the ends of what doubles can hold.

    Raises
    ------
    ConvergenceError
        If the outermost panels at the limit still carry mass: tails too heavy to integrate.
    """
    total = rule.log_total()
    for column, limit, end in ((0, U_LOW, "towards 0"), (-1, U_HIGH, "towards infinity")):
        at_limit = (rule.panels.left if column == 0 else rule.panels.right) == limit
        if at_limit.any() and float(rule.logg[at_limit, column].max()) - total > np.log(1e-13):
            raise ConvergenceError(
                f"The posterior of tau is too heavy {end} to be integrated: its mass does not die away within "
                "the range of doubles. Use a prior of tau with lighter tails, or one that stays finite at 0."
            )
