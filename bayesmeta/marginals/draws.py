"""The posterior of one quantity as draws, in the words of `bayesmeta.posterior.Marginal`."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError, unknown
from bayesmeta.marginals import convergence
from bayesmeta.values import Array, Interval, IntervalKind, frozen_array

GRID = 2048
# Beyond six bandwidths a normal kernel is below 1e-8 of its peak: nothing that a curve would show.
REACH = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class DrawsMarginal:
    """One quantity's posterior, known through draws from it.

    Parameters
    ----------
    draws
        ``(chains, draws)``, in the order they were drawn, on the analysis scale.
    support
        Range of the quantity; the density does not leak across its ends.
    kind
        Kind of the intervals: ``"posterior prediction"`` for a new study.
    no_mean, no_sd
        Whether the posterior has no mean, and no SD: they are then infinite, or undefined (nan) where both tails count.
    notes
        Why.
    measure
        Effect measure whose analysis scale the quantity is on; empty for other quantities.

    Raises
    ------
    ModelError
        If the draws are not a two-dimensional array of finite numbers.
    """

    draws: Array
    support: tuple[float, float] = (-math.inf, math.inf)
    kind: IntervalKind = "credible"
    no_mean: bool = False
    no_sd: bool = False
    notes: tuple[str, ...] = ()
    measure: str = ""

    def __post_init__(self) -> None:
        draws = frozen_array(self.draws)
        if draws.ndim != 2 or draws.shape[1] < 4:
            raise ModelError(f"Draws have shape {draws.shape}: they need chains in rows, and at least 4 draws a chain.")
        if not np.isfinite(draws).all():
            raise ModelError(
                f"{np.count_nonzero(~np.isfinite(draws))} of {draws.size} draws are not finite: "
                "the posterior is improper, or the sampler left the region where the model can be computed. "
                "Use proper priors, or a prior with lighter tails."
            )
        object.__setattr__(self, "draws", draws)

    def mean(self) -> float:
        """Return the mean of the draws; infinite or nan where the posterior has none."""
        if self.no_mean:
            return math.inf if math.isfinite(self.support[0]) else math.nan
        return float(self.draws.mean())

    def sd(self) -> float:
        """Return the standard deviation of the draws; infinite where the posterior has none."""
        if self.no_sd:
            return math.inf
        # Equal draws (a known tau) have none, and rounding would make one up.
        if self.draws.min() == self.draws.max():
            return 0.0
        return float(self.draws.std(ddof=1))

    def median(self) -> float:
        """Return the median of the draws."""
        return float(np.median(self.draws))

    def mode(self) -> float:
        """Return the place of the density's peak (kernel estimate)."""
        x, density = self._density()
        return float(x[np.argmax(density)])

    def pdf(self, x: ArrayLike) -> Array:
        """Return a kernel estimate of the density at `x`."""
        grid, density = self._density()
        at, half = np.asarray(x, dtype=np.float64), (grid[1] - grid[0]) / 2
        inside = (at >= grid[0] - half) & (at <= grid[-1] + half)
        return np.where(inside, np.interp(at, grid, density), 0.0)

    def cdf(self, x: ArrayLike) -> Array:
        """Return the share of draws at or below `x`."""
        ordered = np.sort(self.draws, axis=None)
        return np.asarray(np.searchsorted(ordered, np.asarray(x, dtype=np.float64), side="right") / ordered.size)

    def sf(self, x: ArrayLike) -> Array:
        """Return the share of draws above `x`."""
        ordered = np.sort(self.draws, axis=None)
        above = ordered.size - np.searchsorted(ordered, np.asarray(x, dtype=np.float64), side="right")
        return np.asarray(above / ordered.size)

    def ppf(self, q: ArrayLike) -> Array:
        """Return the `q` quantile of the draws."""
        return np.asarray(np.quantile(self.draws, np.asarray(q, dtype=np.float64)))

    def eti(self, level: float = 0.95) -> Interval:
        """Return the equal-tailed interval."""
        _check_level(level)
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return Interval(float(low), float(high), level, self.kind, "eti")

    def hdi(self, level: float = 0.95) -> Interval:
        """Return the shortest interval that holds `level` of the draws."""
        _check_level(level)
        ordered = np.sort(self.draws, axis=None)
        held = min(math.ceil(level * ordered.size), ordered.size - 1)
        width = ordered[held:] - ordered[: ordered.size - held]
        first = int(np.argmin(width))
        return Interval(float(ordered[first]), float(ordered[first + held]), level, self.kind, "hdi")

    def mcse(self, what: str | float = "mean") -> float:
        """Return the Monte Carlo standard error of ``"mean"``, ``"sd"``, ``"median"``, or a quantile.

        A quantile is named by its probability, e.g. ``mcse(0.975)``.

        Raises
        ------
        ModelError
            If there is no such figure, or the probability is not between 0 and 1.
        """
        if isinstance(what, str):
            known = {"mean": convergence.mcse_mean, "sd": convergence.mcse_sd}
            if what == "median":
                return convergence.mcse_quantile(self.draws, 0.5)
            if what not in known:
                raise unknown("figure with a Monte Carlo error:", what, [*known, "median", "a probability"])
            return known[what](self.draws)
        _check_level(what)
        return convergence.mcse_quantile(self.draws, what)

    def ess(self, what: str | float = "bulk") -> float:
        """Return the effective sample size for ``"bulk"``, ``"tail"``, ``"mean"`` or a quantile (its probability).

        Raises
        ------
        ModelError
            If there is no such figure, or the probability is not between 0 and 1.
        """
        if isinstance(what, str):
            known = {"bulk": convergence.ess_bulk, "tail": convergence.ess_tail, "mean": convergence.ess_mean}
            if what not in known:
                raise unknown("effective sample size:", what, [*known, "a probability"])
            return known[what](self.draws)
        _check_level(what)
        return convergence.ess_quantile(self.draws, what)

    def rhat(self) -> float:
        """Return rank-normalised split R-hat."""
        return convergence.rhat(self.draws)

    def _bandwidth(self) -> float:
        q25, q75 = np.quantile(self.draws, [0.25, 0.75])
        spread = min(s for s in (self.sd(), float(q75 - q25) / 1.349, math.inf) if s > 0)
        # Silverman (1986), equation 3.31.
        return 0.9 * spread * self.draws.size**-0.2 if math.isfinite(spread) else 0.0

    def _density(self) -> tuple[Array, Array]:
        """Return a grid and the binned kernel density on it, reflected at the ends of the support."""
        from scipy.ndimage import gaussian_filter1d

        width = self._bandwidth()
        low, high = np.quantile(self.draws, [0.0005, 0.9995])
        low, high = max(low - REACH * width, self.support[0]), min(high + REACH * width, self.support[1])
        if not high > low:
            # All draws are one number: a spike, as narrow as a grid of floats allows.
            low, high = low - 2 * GRID * np.spacing(low), high + 2 * GRID * np.spacing(high)
        edges = np.linspace(low, high, GRID + 1)
        step = edges[1] - edges[0]
        counts = np.histogram(self.draws, edges)[0] / (self.draws.size * step)
        # "reflect" puts back what would leak over an end; where the end is no bound there is nothing to leak.
        smooth = gaussian_filter1d(counts, max(width / step, 1e-6), mode="reflect", truncate=REACH)
        return (edges[:-1] + edges[1:]) / 2, smooth


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ModelError(f"{level} is not a probability between 0 and 1; 95% is 0.95.")
