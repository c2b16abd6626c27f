"""A quantity whose posterior is a weighted average of other posteriors: model averaging."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmeta.marginals.search import Searched, invert
from bayesmeta.values import Array, IntervalKind


@dataclass(frozen=True, slots=True, eq=False)
class Average(Searched):
    """Weighted average of continuous distributions, with at most one atom at the lower end of the support.

    Parameters
    ----------
    weights, parts
        ``(n,)`` weights and the distributions they belong to.
    atom
        Probability of `atom_at` exactly: a common-effect model's share in the posterior of tau.
    atom_at
        Where; not above any part's support.
    """

    weights: Array
    parts: Sequence[Any]
    atom: float = 0.0
    atom_at: float = 0.0
    kind: IntervalKind = "credible"

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
        found = {self.atom_at: self.atom} if self.atom > 0 else {}
        for w, part in zip(self.weights.tolist(), self.parts, strict=True):
            for value, share in getattr(part, "atoms", {}).items():
                found[value] = found.get(value, 0.0) + w * share
        return found

    def _sum(self, word: str, x: Array) -> Array:
        return np.asarray(sum(w * getattr(p, word)(x) for w, p in zip(self.weights, self.parts, strict=True)))

    def _cdf(self, x: Array) -> Array:
        return self._sum("cdf", x) + self.atom * (x >= self.atom_at)

    def _sf(self, x: Array) -> Array:
        return self._sum("sf", x) + self.atom * (x < self.atom_at)

    def _logpdf(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self._sum("pdf", x))

    def mean(self) -> float:
        """Return the mean."""
        means = sum(w * p.mean() for w, p in zip(self.weights, self.parts, strict=True))
        return float(means + self.atom * self.atom_at)

    def sd(self) -> float:
        """Return the standard deviation."""
        m = self.mean()
        if not math.isfinite(m):
            return math.inf
        parts = zip(self.weights, self.parts, strict=True)
        second = sum(w * (p.sd() ** 2 + (p.mean() - m) ** 2) for w, p in parts)
        return math.sqrt(float(second + self.atom * (self.atom_at - m) ** 2))

    def mode(self) -> float:
        """Return where the density is highest: the atom, if there is one."""
        return self.atom_at if self.atom > 0 else Searched.mode(self)

    def _ppf(self, q: Array) -> Array:
        low, high = self.support
        out = np.where(q <= 0.0, low, high)
        out = np.where((q > 0) & (q <= self.atom), self.atom_at, out)
        for rising, chosen in ((True, (q > self.atom) & (q <= 0.5)), (False, (q > max(0.5, self.atom)) & (q < 1.0))):
            if chosen.any():
                out[chosen] = self._inside(q[chosen], rising)
        return out

    def _inside(self, q: Array, rising: bool) -> Array:
        # Given no atom below, the parts' own quantiles at these probabilities enclose the average's.
        share = (q - self.atom) / (1.0 - self.atom)
        each = np.stack([np.asarray(p.ppf(share)) for p in self.parts])
        middle, spread = each.mean(axis=0), [p.ppf(0.75) - p.ppf(0.25) for p in self.parts]
        low, high = each.min(axis=0), each.max(axis=0)
        pad = 1e-12 * (np.abs(low) + np.abs(high)) + 1e-300
        return invert(
            self._cdf if rising else self._sf,
            lambda x: self._sum("pdf", x),
            np.log(q if rising else 1.0 - q),
            rising,
            (np.maximum(low - pad, self.support[0]), high + pad),
            middle,
            float(np.mean(spread)),
        )
