"""A quantity whose posterior is a weighted average of other posteriors: model averaging."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from bayesmeta.marginals.search import Searched, check_level, invert
from bayesmeta.values import Array, Interval, IntervalKind

# Places at which a width is looked at on each piece of an axis of probabilities: near its ends, and evenly between.
_PLACES = np.concatenate([[1e-9, 1e-6, 1e-4], np.linspace(0.0, 1.0, 49)[1:-1], [1 - 1e-4, 1 - 1e-6, 1 - 1e-9]])


@dataclass(frozen=True, slots=True, eq=False)
class Average(Searched):
    """Weighted average of distributions, some of which may be single values (`Known`).

    Parameters
    ----------
    weights, parts
        ``(n,)`` weights, which add up to one, and the distributions they belong to.
    measure
        Effect measure whose analysis scale the quantity is on; empty for other quantities.
    """

    weights: Array
    parts: Sequence[Any]
    kind: IntervalKind = "credible"
    measure: str = ""

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """Ends of the support."""
        ends = [part.support for part in self.parts]
        return min(e[0] for e in ends), max(e[1] for e in ends)

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where the density of a part may jump or have a kink."""
        return tuple(sorted({b for part in self.parts for b in getattr(part, "breaks", ())}))

    @property
    def atoms(self) -> dict[float, float]:
        """Values with a probability of their own, and that probability."""
        found: dict[float, float] = {}
        for w, part in self._held():
            for value, share in getattr(part, "atoms", {}).items():
                found[value] = found.get(value, 0.0) + w * share
        return found

    def _held(self) -> Iterator[tuple[float, Any]]:
        """Return the parts that hold probability, with their weights: 0 times an infinite SD is no number."""
        return ((w, part) for w, part in zip(self.weights.tolist(), self.parts, strict=True) if w > 0.0)

    def _sum(self, word: str, x: Array) -> Array:
        return np.asarray(sum(w * getattr(p, word)(x) for w, p in self._held()))

    def _cdf(self, x: Array) -> Array:
        return self._sum("cdf", x)

    def _sf(self, x: Array) -> Array:
        return self._sum("sf", x)

    def _logpdf(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self._sum("pdf", x))

    def mean(self) -> float:
        """Return the mean."""
        return float(sum(w * p.mean() for w, p in self._held()))

    def sd(self) -> float:
        """Return the standard deviation."""
        m = self.mean()
        if not math.isfinite(m):
            return math.inf
        return math.sqrt(float(sum(w * (p.sd() ** 2 + (p.mean() - m) ** 2) for w, p in self._held())))

    def mode(self) -> float:
        """Return where the density is highest: the most probable single value, if there is one."""
        atoms = self.atoms
        return max(atoms, key=lambda value: atoms[value]) if atoms else Searched.mode(self)

    def hdi(self, level: float = 0.95) -> Interval:
        """Return the shortest interval."""
        if not self.atoms:
            return Searched.hdi(self, level)
        low, high = self._shortest(check_level(level))
        return Interval(low, high, level, self.kind, "hdi")

    def _steps(self) -> tuple[Array, Array]:
        """Return ``(m,)`` atoms in rising order, and their probabilities."""
        atoms = sorted(self.atoms.items())
        return np.array([value for value, _ in atoms]), np.array([share for _, share in atoms])

    def _ppf(self, q: Array) -> Array:
        low, high = self.support
        out = np.where(q <= 0.0, low, high)
        for rising, chosen in ((True, (q > 0.0) & (q <= 0.5)), (False, (q > 0.5) & (q < 1.0))):
            if chosen.any():
                out[chosen] = self._inside(q[chosen], rising)
        return out

    def _inside(self, q: Array, rising: bool) -> Array:
        at, share = self._steps()
        tail, target = (self._cdf, q) if rising else (self._sf, 1.0 - q)
        here, level = tail(at) if at.size else at, target[:, None]
        # Which atoms lie below each quantile, and which end at it or below.
        passed = here < level if rising else here > level
        reached = here - share < level if rising else here + share > level
        hit = reached & ~passed
        after = np.where(passed, at, -np.inf).max(axis=1, initial=-np.inf)
        before = np.where(reached, np.inf, at).min(axis=1, initial=np.inf)
        solved = self._between(q, rising, target, after, before)
        return np.where(hit.any(axis=1), at[hit.argmax(axis=1)], solved) if at.size else solved

    def _between(self, q: Array, rising: bool, target: Array, after: Array, before: Array) -> Array:
        """Return quantiles, between the atoms at `after` and `before`."""
        parts = [p for _, p in self._held()]
        # The parts' own quantiles enclose the average's.
        each = np.stack([np.asarray(p.ppf(q)) for p in parts])
        spread = np.array([float(p.ppf(0.75) - p.ppf(0.25)) for p in parts])
        wide = spread > 0.0
        low, high = each.min(axis=0), each.max(axis=0)
        pad = 1e-12 * (np.abs(low) + np.abs(high)) + 1e-300
        low = np.maximum(np.maximum(low - pad, self.support[0]), after)
        high = np.maximum(np.minimum(high + pad, before), low)
        start = each[wide].mean(axis=0) if wide.any() else low
        # At an atom itself the density may be infinite.
        start = np.where((start > low) & (start < high), start, 0.5 * (low + high))
        scale = float(spread[wide].mean()) if wide.any() else float(np.ptp(each)) or 1.0
        tail = self._cdf if rising else self._sf
        return invert(tail, lambda x: self._sum("pdf", x), np.log(target), rising, (low, high), start, scale)

    def _shortest(self, level: float) -> tuple[float, float]:
        """Return the shortest interval with a probability of at least `level`, atoms at its ends included."""
        room, (at, share) = 1.0 - level, self._steps()
        upto = self._cdf(at)
        below = upto - share
        found = [(p, min(p + level, 1.0)) for p in (0.0, room)]
        pairs = [self._limits(*pair) for pair in found]
        # Where an interval begins with an atom, or ends with one, it holds the whole of it.
        pairs += [(a, self._limits(p, p + level)[1]) for a, p in zip(at, below, strict=True) if p <= room]
        pairs += [(self._limits(p - level, p)[0], a) for a, p in zip(at, upto, strict=True) if p >= level]
        cuts = np.unique(np.clip(np.concatenate([[0.0, room], below, upto, below - level, upto - level]), 0.0, room))
        for p, q in pairwise(cuts.tolist()):
            middle = 0.5 * (p + q)
            inside = ((below < x) & (x < upto) for x in (middle, middle + level))
            if q - p > 1e-12 and not any(held.any() for held in inside):
                pairs.append(self._narrowest(p, q, level))
        low, high = min(pairs, key=lambda pair: pair[1] - pair[0])
        return float(low), float(high)

    def _limits(self, p: float, q: float) -> tuple[float, float]:
        low, high = self._ppf(np.clip(np.array([p, q]), 0.0, 1.0))
        return float(low), float(high)

    def _narrowest(self, first: float, last: float, level: float) -> tuple[float, float]:
        """Return the shortest interval that begins at a probability between two, both of its ends outside atoms."""
        grid = first + (last - first) * _PLACES
        width = self._ppf(np.minimum(grid + level, 1.0)) - self._ppf(grid)
        best = int(np.argmin(width))
        a, b = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])

        def tilt(p: float) -> float:
            low, high = self._sum("pdf", self._ppf(np.array([p, p + level])))
            return float(high - low)

        def size(p: float) -> float:
            low, high = self._limits(p, p + level)
            return high - low

        if tilt(a) > 0.0 > tilt(b):
            p = float(brentq(tilt, a, b, xtol=1e-15, rtol=1e-14))
        else:
            p = float(minimize_scalar(size, bounds=(a, b), method="bounded", options={"xatol": 1e-12}).x)
        return min((self._limits(p, p + level) for p in (p, float(grid[best]))), key=lambda pair: pair[1] - pair[0])
