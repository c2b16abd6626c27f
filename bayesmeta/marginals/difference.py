"""The difference of two independent quantities: one posterior minus another."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.marginals.average import Average
from bayesmeta.marginals.density import Density
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.marginals.known import Known, known
from bayesmeta.marginals.mixture import NormalMixture
from bayesmeta.marginals.search import Searched, invert
from bayesmeta.marginals.sinc import SincDensity, tabulate
from bayesmeta.values import Array, IntervalKind

# Nodes that together hold less than this change no printed figure, and are most of the product of two mixtures.
NEGLIGIBLE = 1e-17
# A mixture of more normals than the first is slow to invert, and one of more than the second takes minutes.
FEW_PAIRS, MOST_PAIRS = 20_000, 1_000_000
# Where a tabulated difference is checked the other way round, and by how much its probabilities may differ.
CHECKED, AGREES = (0.001, 0.025, 0.5, 0.975, 0.999), 1e-8


def difference(first: Any, second: Any) -> Any:
    """Return the distribution of one quantity minus another that is independent of it.

    Two mixtures of normals give a mixture of normals, exactly. Two sets of draws are subtracted draw by draw.
    Any other pair is integrated over the nodes of the second, on which its own probabilities rest.

    Parameters
    ----------
    first, second
        Marginals of the same kind of engine, from analyses that share no data and no draws.

    Raises
    ------
    ModelError
        If one is made of draws and the other is not: its sampling error could not be told.
    """
    sampled = [isinstance(m, DrawsMarginal) for m in (first, second)]
    if all(sampled):
        return _of_draws(first, second)
    if any(sampled):
        raise ModelError("One of the two posteriors was sampled and the other was not: use the same engine for both.")
    if isinstance(first, Known) and isinstance(second, Known):
        return known(first.value - second.value)
    if isinstance(first, NormalMixture) and isinstance(second, NormalMixture):
        return _of_mixtures(_held(first), _held(second))
    at, share = nodes(second)
    return Shifted(first, second, at, share)


def negated(marginal: Any) -> Any:
    """Return the distribution of minus a difference that `difference` returned."""
    if isinstance(marginal, Shifted):
        return difference(marginal.second, marginal.first)
    if isinstance(marginal, DrawsMarginal):
        return replace(marginal, draws=-marginal.draws)
    if isinstance(marginal, SincDensity):
        return replace(marginal, v=-marginal.v[::-1], mass=marginal.mass[::-1], center=-marginal.center)
    return replace(marginal, means=-marginal.means, origin=-marginal.origin)


def _of_draws(first: DrawsMarginal, second: DrawsMarginal) -> DrawsMarginal:
    # A run that was repeated with more draws has more: the chains' beginnings are as good as any part.
    chains, n = (min(sizes) for sizes in zip(first.draws.shape, second.draws.shape, strict=True))
    return DrawsMarginal(
        first.draws[:chains, :n] - second.draws[:chains, :n],
        no_mean=first.no_mean or second.no_mean,
        no_sd=first.no_sd or second.no_sd,
        notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
    )


def _of_mixtures(a: NormalMixture, b: NormalMixture) -> NormalMixture | SincDensity:
    """Return the mixture over all pairs of nodes; where they are many, its density in a table that agrees with it.

    Raises
    ------
    ModelError
        If the pairs are too many to be summed, and a table of the difference is not accurate.
    """
    pairs = len(a.weights) * len(b.weights)
    if pairs > FEW_PAIRS:
        found = _tabulated(a, b)
        if found is not None:
            return found
    if pairs > MOST_PAIRS:
        raise ModelError(
            "The difference of these two posteriors has tails too heavy to be computed: give priors with lighter "
            "tails (normal, half-normal), or subgroups a common tau (tau='common')."
        )
    return NormalMixture(
        weights=np.outer(a.weights, b.weights).ravel(),
        means=np.subtract.outer(a.means, b.means).ravel(),
        sds=np.hypot.outer(a.sds, b.sds).ravel(),
        origin=a.origin - b.origin,
        infinite_sd=a.infinite_sd or b.infinite_sd,
        notes=tuple(dict.fromkeys((*a.notes, *b.notes))),
        extra_variance=a.extra_variance + b.extra_variance,
    )


def _tabulated(a: NormalMixture, b: NormalMixture) -> SincDensity | None:
    """Return the difference on a grid, from a grid of some hundred points for each of the two; None if that errs.

    Far out in a heavy tail of the second the grid is wider than the first is narrow: then the two ways round differ.
    """
    if a.infinite_sd or b.infinite_sd:
        return None
    try:
        first, second = (_grid(m.pdf, m) for m in (a, b))
        found = _grid(Shifted(first, second, second.x, second.mass).pdf, a, b)
    except ConvergenceError:
        return None
    at = np.asarray(found.ppf(CHECKED))
    back = Shifted(second, first, first.x, first.mass)
    if np.abs(back.sf(-at) - np.array(CHECKED)).max() > AGREES:
        return None
    return replace(found, notes=tuple(dict.fromkeys((*a.notes, *b.notes))))


def _grid(density: Callable[[Array], Array], *of: NormalMixture) -> SincDensity:
    """Return a tabulated density, about the middle of what it is the difference of."""
    quartiles = [np.asarray(m.ppf([0.25, 0.5, 0.75]), dtype=float) for m in of]
    middle = float(quartiles[0][1] - sum(q[1] for q in quartiles[1:]))
    width = math.hypot(*(float(q[2] - q[0]) for q in quartiles))
    return tabulate(density, middle, width / 1.349, about="a difference between subgroups")


def _held(mixture: NormalMixture) -> NormalMixture:
    """Return a mixture without its lightest nodes, which together hold less than `NEGLIGIBLE`."""
    order = np.argsort(mixture.weights)
    light = order[np.cumsum(mixture.weights[order]) < NEGLIGIBLE]
    keep = np.ones(len(mixture.weights), dtype=bool)
    # Where the variance is that of far nodes, they are kept: their squares weigh what their probabilities do not.
    keep[light] = mixture.infinite_sd or mixture.extra_variance > 0.0
    weights = mixture.weights[keep]
    return replace(mixture, weights=weights / weights.sum(), means=mixture.means[keep], sds=mixture.sds[keep])


def nodes(marginal: Any) -> tuple[Array, Array]:
    """Return ``(n,)`` values and their probabilities, by which expectations of smooth functions are sums.

    Raises
    ------
    ModelError
        If the marginal keeps none.
    """
    if isinstance(marginal, NormalMixture):
        # Each normal by Gauss-Hermite, whose 40 nodes integrate what is as smooth as another posterior's cdf.
        z, w = np.polynomial.hermite_e.hermegauss(40)
        held = _held(marginal)
        values = held.origin + held.means[:, None] + held.sds[:, None] * z
        return values.ravel(), np.outer(held.weights, w / w.sum()).ravel()
    if isinstance(marginal, Average):
        parts = [(w, *nodes(p)) for w, p in zip(marginal.weights.tolist(), marginal.parts, strict=True) if w > 0.0]
        return np.concatenate([x for _, x, _ in parts]), np.concatenate([w * m for w, _, m in parts])
    if isinstance(marginal, SincDensity | Density):
        return marginal.x, marginal.mass
    raise ModelError(f"A difference is not known for a marginal of type {type(marginal).__name__}.")


@dataclass(frozen=True, slots=True, eq=False)
class Shifted(Searched):
    """One quantity minus another, integrated over the nodes of the second.

    Parameters
    ----------
    first, second
        The two marginals.
    at, share
        ``(n,)`` nodes of the second and their probabilities.
    """

    first: Any
    second: Any
    at: Array
    share: Array
    kind: IntervalKind = "credible"

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """Ends of the support."""
        (a, b), (c, d) = self.first.support, self.second.support
        return a - d, b - c

    @property
    def notes(self) -> Sequence[str]:
        """What does not exist, and why."""
        return tuple(dict.fromkeys((*getattr(self.first, "notes", ()), *getattr(self.second, "notes", ()))))

    def _sum(self, word: str, x: Array) -> Array:
        # The marginals tabulate points against nodes of their own; a thousand values at once is room enough.
        step = max(1, 1000 // len(self.at))
        out = np.empty(len(x))
        for i in range(0, len(x), step):
            part = x[i : i + step, None] + self.at
            out[i : i + step] = getattr(self.first, word)(part) @ self.share
        return out

    def _cdf(self, x: Array) -> Array:
        return np.clip(self._sum("cdf", x), 0.0, 1.0)

    def _sf(self, x: Array) -> Array:
        return np.clip(self._sum("sf", x), 0.0, 1.0)

    def _logpdf(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self._sum("pdf", x))

    def mean(self) -> float:
        """Return the mean."""
        return float(self.first.mean() - self.second.mean())

    def sd(self) -> float:
        """Return the standard deviation."""
        return math.hypot(self.first.sd(), self.second.sd())

    def _ppf(self, q: Array) -> Array:
        low, high = self.support
        out = np.where(q <= 0.0, low, high)
        for chosen, rising in (((q > 0.0) & (q <= 0.5), True), ((q > 0.5) & (q < 1.0), False)):
            if chosen.any():
                out[chosen] = self._tail_quantile(q[chosen], rising)
        return out

    def _tail_quantile(self, q: Array, rising: bool) -> Array:
        own = np.asarray(self.first.ppf(q), dtype=float)
        quartiles = [np.asarray(m.ppf([0.25, 0.5, 0.75]), dtype=float) for m in (self.first, self.second)]
        scale = math.hypot(*(float(x[2] - x[0]) for x in quartiles)) or 1.0
        # The tail beyond the lower end is smaller than the tail sought, and that beyond the upper end is larger.
        pad = 1e-12 * (np.abs(own) + np.abs(self.at).max())
        bracket = (own - self.at.max() - pad, own - self.at.min() + pad)
        middle = float(quartiles[0][1] - quartiles[1][1])
        start = middle + (own - quartiles[0][1]) * scale / (float(np.ptp(quartiles[0])) or 1.0)
        tail, target = (self._cdf, q) if rising else (self._sf, 1.0 - q)
        return invert(
            lambda x: np.maximum(tail(x), 1e-300),
            lambda x: self._sum("pdf", x),
            np.log(target),
            rising,
            bracket,
            np.clip(start, *bracket),
            scale,
        )
