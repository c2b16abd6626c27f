"""Functions on a line with creases, as logs at the Gauss-Legendre nodes of panels that are graded towards them.

Between two cuts the panels lie on a logistic axis, on which powers and logarithms of the distance from a cut are
smooth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesmeta.engines.axes.panels import ORDER, TO_LEGENDRE, Panels
from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals.axis import from_axis, log_jacobian, to_axis
from bayesmeta.values import Array

# The panels reach to exp(-60) of an interval's length from its ends.
GRADE = 60.0
# Between its outermost nodes and its ends a log rises by less than this.
ABOVE = 2.0
# A log this far below the largest is that of nothing.
NOTHING = 1e5
MAX_PANELS = 3000
# A panel is cut with a bad one beside it where it is wider by this factor.
OVERHANG = 1.5

# Maps ``(n,)`` places to ``(R, n)`` logs.
type LogRows = Callable[[Array], Array]
# Says which panels are to be kept, and which of these to be cut in two.
type Judge = Callable[["Pieces"], tuple[NDArray[np.bool_], NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Positive functions on a line, ``R`` of them, as logs at the nodes of panels.

    Parameters
    ----------
    panels
        Ascending; between finite ends.
    log
        ``(R, P, ORDER)`` logs of the functions.
    """

    panels: Panels
    log: Array

    @property
    def x(self) -> Array:
        """``(P, ORDER)`` nodes."""
        return nodes_of(self.panels)

    @property
    def weights(self) -> Array:
        """``(P, ORDER)`` weights of the nodes, per unit of x."""
        panels = self.panels
        slope = log_jacobian(panels.points(), panels.lower[:, None], panels.upper[:, None])
        return np.asarray(np.exp(slope) * panels.weights())

    def locate(self, x: Array) -> tuple[NDArray[np.intp], Array]:
        """Return the panel of each x and its place there, from -1 to 1; further out where no panel holds it."""
        panels = self.panels
        starts = from_axis(panels.left, panels.lower, panels.upper)
        panel = np.clip(np.searchsorted(starts, x, side="right") - 1, 0, len(panels) - 1)
        lower, upper = panels.lower[panel], panels.upper[panel]
        u = to_axis(np.clip(x, lower, upper), lower, upper)
        half = 0.5 * (panels.right - panels.left)[panel]
        return panel, np.where((x < lower) | (x > upper), 2.0, (u - panels.left[panel]) / half - 1.0)

    @property
    def finite(self) -> Array:
        """``(R, P, ORDER)`` the logs, those that are next to minus infinity cut: series and sums need numbers."""
        return np.maximum(self.log, np.maximum(self.log.max(axis=(1, 2), keepdims=True), -1e300) - NOTHING)

    def coefficients(self) -> Array:
        """Return ``(R, P, ORDER)`` Legendre coefficients of the logs."""
        return np.asarray(self.finite @ TO_LEGENDRE.T)

    def at(self, x: Array, outside: float = -np.inf) -> Array:
        """Return ``(R, n)`` logs at x; `outside` where no panel holds it.

        Within exp(-60) of a cut the nearest panel's end stands for it.
        """
        panel, place = self.locate(x)
        value = series(self.coefficients(), panel, np.clip(place, -1.0, 1.0))
        # Where a log falls by thousands within a panel its series swings; it is nothing there all the same.
        value = np.minimum(value, self.finite.max(axis=2)[:, panel] + ABOVE)
        panels = self.panels
        deep = (place < -1.0) & (panels.left[panel] <= -GRADE) | (place > 1.0) & (panels.right[panel] >= GRADE)
        return np.where((np.abs(place) <= 1.0 + 1e-9) | deep & (place != 2.0), value, outside)

    def totals(self) -> Array:
        """Return ``(R,)`` logs of the integrals."""
        with np.errstate(divide="ignore"):
            return np.asarray(logsumexp((self.log + np.log(self.weights)).reshape(len(self.log), -1), axis=1))


def series(coefficients: Array, panel: NDArray[np.intp], place: Array) -> Array:
    """Return ``(R, n)`` values of the panels' Legendre series."""
    basis = np.polynomial.legendre.legvander(place, ORDER - 1)
    return np.asarray(np.einsum("rnm,nm->rn", coefficients[:, panel], basis))


def nodes_of(panels: Panels) -> Array:
    """Return the ``(P, ORDER)`` nodes in x."""
    return from_axis(panels.points(), panels.lower[:, None], panels.upper[:, None])


def ends_of(panels: Panels) -> tuple[Array, Array]:
    """Return the panels' ends in x; those next to a cut reach to it."""
    left = np.where(panels.left <= -GRADE, panels.lower, from_axis(panels.left, panels.lower, panels.upper))
    right = np.where(panels.right >= GRADE, panels.upper, from_axis(panels.right, panels.lower, panels.upper))
    return left, right


def first_panels(cuts: Array, landmarks: Array) -> Panels:
    """Return panels between the cuts: short about the landmarks, doubling towards the cuts."""
    parts = []
    for lower, upper in pairwise(cuts):
        inside = landmarks[(landmarks > lower) & (landmarks < upper)]
        u = np.clip(to_axis(inside, np.array(lower), np.array(upper)), -GRADE + 4.0, GRADE - 4.0)
        low, high = (float(u.min()) - 3.0, float(u.max()) + 3.0) if u.size else (-3.0, 3.0)
        core = np.linspace(low, high, 1 + int(np.ceil((high - low) / 2.0)))
        reach = 2.0 * (2.0 ** np.arange(1, 7) - 1.0)
        edges = np.unique(np.clip(np.concatenate([low - reach, core, high + reach]), -GRADE, GRADE))
        size = len(edges) - 1
        parts.append(Panels(np.full(size, lower), np.full(size, upper), edges[:-1], edges[1:]))
    return Panels(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("lower", "upper", "left", "right")))


def evaluate(logf: LogRows, panels: Panels, about: str = "a posterior density") -> Pieces:
    """Return the functions on the nodes of the panels; messages say what they are about.

    Raises
    ------
    ConvergenceError
        If a value is no number: comparisons would take it for one that is resolved.
    """
    x = nodes_of(panels)
    log = logf(x.ravel()).reshape(-1, *x.shape)
    if np.isnan(log).any() or (log == np.inf).any():
        place = float(x[(~(log < np.inf)).any(axis=0)][0])
        raise ConvergenceError(f"Quadrature of {about}: it could not be computed at {place:.6g}. Use engine='nuts'.")
    return Pieces(panels, log)


def refine(logf: LogRows, pieces: Pieces, judge: Judge, about: str = "a posterior density") -> Pieces:
    """Cut panels in two until `judge` is satisfied with all that it keeps.

    Raises
    ------
    ConvergenceError
        If that takes too many panels.
    """
    for _ in range(80):
        kept, bad = judge(pieces)
        bad &= kept
        good = kept & ~bad
        if not bad.any():
            return pieces if kept.all() else Pieces(pieces.panels.take(np.flatnonzero(kept)), pieces.log[:, kept])
        if int(kept.sum() + bad.sum()) > MAX_PANELS:
            break
        new = evaluate(logf, pieces.panels.take(np.flatnonzero(bad)).split(), about)
        parts = (pieces.panels.take(np.flatnonzero(good)), new.panels)
        panels = Panels(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("lower", "upper", "left", "right")))
        order = np.lexsort((panels.left, panels.lower))
        pieces = Pieces(panels.take(order), np.concatenate([pieces.log[:, good], new.log], axis=1)[:, order])
    place = float(pieces.x[bad][0, 0])
    raise ConvergenceError(
        f"Quadrature of {about}: it was not resolved near {place:.6g} with {len(bad) * ORDER} nodes. "
        "Use engine='nuts', and report the data as a bug."
    )


def grown(live: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the panels that are live, and their neighbours."""
    out = live.copy()
    out[:-1] |= live[1:]
    out[1:] |= live[:-1]
    return out


def _overhanging(panels: Panels, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the panels that are wider than a bad one beside them.

    A wide one would not see what there is close to its end, while the other closes in on a narrow peak there.
    """
    width = panels.right - panels.left
    out = np.zeros(len(bad), dtype=bool)
    out[:-1] |= bad[1:] & (width[:-1] > OVERHANG * width[1:])
    out[1:] |= bad[:-1] & (width[1:] > OVERHANG * width[:-1])
    return out


def tails(values: Array) -> Array:
    """Return ``(R, P)`` sizes of the last Legendre coefficients of ``(R, P, ORDER)`` values."""
    return np.asarray(np.abs(values @ TO_LEGENDRE[-3:].T).max(axis=2))


def resolves_densities(smooth: float, fall: float, about: str) -> Judge:
    """Return a judge of densities: each is smooth to `smooth` of its integral; what is below exp(-fall) goes.

    Messages say what they are about.
    """

    def judge(pieces: Pieces) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        panels = pieces.panels
        slope = log_jacobian(panels.points(), panels.lower[:, None], panels.upper[:, None])
        logg = pieces.log + slope
        peak = logg.max(axis=(1, 2), keepdims=True)
        if not np.isfinite(peak).all():
            raise ConvergenceError(
                f"Quadrature of {about}: it is 0 as far as was looked. Check the scales of the priors."
            )
        mass = np.exp(logg - peak)
        total = (mass * panels.weights()).sum(axis=(1, 2))
        half = 0.5 * (panels.right - panels.left)
        bad = (tails(mass) * half > smooth * total[:, None]).any(axis=0)
        height = logg.max(axis=2) - peak[:, :, 0] + np.log(half)
        return grown((height > -fall).any(axis=0)), bad | _overhanging(panels, bad)

    return judge


def resolves_logs(smooth: float, fall: float, floor: float, limits: tuple[float, float]) -> Judge:
    """Return a judge of functions that must be right relative to themselves, however small.

    Parameters
    ----------
    smooth
        Of the log, absolutely, and of the function relative to its peak on the panel (the root of that, for Gauss sums
        square it).
    fall
        Below exp(-fall) of its peak a function need only have a smooth log.
    floor
        Panels no wider are left as they are.
    limits
        Ends of the functions' domain, near which the distance from them is rounded in x.
    """
    rounded = 3e-6 * (limits[1] - limits[0])

    def judge(pieces: Pieces) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        log = pieces.finite
        top = log.max(axis=2)
        below = log.max(axis=(1, 2))[:, None] - top
        rough = tails(log) > smooth * (1.0 + below)
        rough |= (tails(np.exp(log - top[:, :, None])) > np.sqrt(smooth)) & (below < fall)
        left, right = ends_of(pieces.panels)
        wide = right - left > floor + 1e-11 * np.maximum(np.abs(left), np.abs(right))
        wide &= (left < limits[1] - rounded) & (right > limits[0] + rounded)
        return np.ones(len(left), dtype=bool), rough.any(axis=0) & wide

    return judge
