r"""Each study's likelihood averaged over its random effect, for each distribution of random effects.

The plane of (mu, tau) asks two things: the averages themselves, and roughly where mu lies given tau.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.special import gammaln, logsumexp

from bayesmeta.engines.axes.tau_prior import known_tau
from bayesmeta.engines.counts import average_laplace as convolution
from bayesmeta.engines.counts.average_laplace import LEAST_TAU, LogPrior, convolve, laplace, mode_and_width
from bayesmeta.engines.counts.average_shared import alike, total
from bayesmeta.engines.counts.loglik_between_limits import Bounded
from bayesmeta.engines.counts.loglik_tables import Curves
from bayesmeta.engines.counts.random_effects_cut import LimitedEffects
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import Normal, Prior
from bayesmeta.priors.quartiles import middle_and_width
from bayesmeta.values import Array

# Spacing of the grid of log lambda: the gamma density errs by 2 |Gamma(df / 2 + 2 pi i / spacing)| = 1e-13 for df = 4.
MIXING_STEP = 0.28
MIXING_FALL = 38.0
# Log of the smallest lambda that an outlying study can make count; further out it would be 1e32 tau away.
MIXING_LEAST = -150.0
# Spacing and range of the grid of mu that places Student-t effects, in widths, and how fine its sums are.
PLACE_STEP = 0.4
PLACE_FINE = 1.6
PLACE_REACH = 9.0
MAX_PLACE = 4096
CHUNK = 2_000_000
# Elements at a time of a sum over lambda, few enough to stay near the processor; sums below FAINT are done by logs.
MIXED = 100_000
FAINT = 1e-280


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where mu lies given ``n`` values of tau.

    ``center`` and ``scale`` are ``(n,)``, ``reach`` how many scales the density extends to either side;
    ``log`` approximates the log of likelihood times prior of mu, integrated over mu.
    """

    center: Array
    scale: Array
    log: Array
    reach: float


class Averages(Protocol):
    """A distribution of random effects, as the plane sees it."""

    def grid(self, mu: Array, tau: Array) -> Array:
        """Return ``(T, M)`` log averaged likelihoods of all studies together; `mu` is ``(T, M)``, `tau` ``(T,)``."""
        ...

    def rough(self, mu: Array, tau: Array) -> Array:
        """Return the same as `grid` within a factor that is no matter, at places of mu that lie far apart."""
        ...

    def place(self, tau: Array) -> Placed:
        """Return where mu lies given each tau."""
        ...

    def finer(self) -> "Averages":
        """Return the averages by a finer sum, or themselves where the sum is as fine as it needs to be."""
        ...


def log_prior(prior: Prior) -> LogPrior:
    """Return the log prior of mu, its slope by central differences, and how much it bends at most (negative).

    A heavy-tailed prior is convex far out, and Newton's steps would go back and forth there. The parabola about the
    median with the same slope lies below the log density of a Student-t and bends more, so that steps by it climb.
    A prior that ends somewhere is stood in for by a normal one, which is enough to find where its posterior lies; so is
    one of another package where its density is 0 for a computer.
    """
    stand_in = Normal(*middle_and_width(prior)) if prior.proper else prior
    if prior.proper and prior.support != (-math.inf, math.inf):
        prior = stand_in
    median = float(prior.ppf(np.array(0.5))) if prior.proper else 0.0

    def at(mu: Array, unit: Array) -> tuple[Array, Array, Array]:
        h = 1e-3 * unit
        values = np.stack([prior.logpdf(mu + d) for d in (-h, 0.0 * h, h)])
        gone = ~np.isfinite(values).all(axis=0)
        if gone.any():
            values[:, gone] = [stand_in.logpdf((mu + d)[gone]) for d in (-h, 0.0 * h, h)]
        low, mid, high = values
        first, second = (high - low) / (2.0 * h), (high - 2.0 * mid + low) / h**2
        away = mu - median
        parabola = first / np.where(np.abs(away) > h, away, np.inf)
        return mid, first, np.minimum(np.minimum(second, parabola), 0.0)

    return at


@dataclass(frozen=True, slots=True, eq=False)
class NormalEffects:
    """``theta ~ N(mu, tau^2)``, any likelihood."""

    curves: Curves | Bounded
    mu: Prior
    reach: float = 7.6
    fine: float = 1.0

    def each(self, mu: Array, tau: Array) -> Array:
        """Return ``(k, n)`` log averaged likelihoods."""
        return convolve(self.curves, mu, tau, self.fine * convolution.STEP)

    def grid(self, mu: Array, tau: Array) -> Array:
        """Return ``(T, M)`` log averaged likelihoods of all studies together."""
        return total(self.curves, mu, tau, self.fine)

    def rough(self, mu: Array, tau: Array) -> Array:
        """Return Laplace's approximation to `grid`, from each integrand's own mode."""
        pairs, spread = mu.ravel(), np.maximum(np.repeat(tau, mu.shape[1]), LEAST_TAU)
        mode, width = mode_and_width(self.curves, pairs, spread)
        log = self.curves(mode) - 0.5 * ((mode - pairs) / spread) ** 2 + np.log(width / spread)
        return np.asarray(log.sum(axis=0).reshape(mu.shape))

    def finer(self) -> "NormalEffects":
        """Return the averages by sums of half the step."""
        return replace(self, fine=0.5 * self.fine)

    def place(self, tau: Array) -> Placed:
        """Return the mode of mu and the width its curvature implies."""
        mode = laplace(self.curves, log_prior(self.mu), tau)
        return Placed(mode.mu, mode.scale, mode.log, self.reach)


@dataclass(frozen=True, slots=True, eq=False)
class NoEffects:
    """``theta = mu``: the common-effect model."""

    curves: Curves | Bounded
    mu: Prior
    reach: float = 7.6

    def grid(self, mu: Array, tau: Array) -> Array:
        """Return ``(T, M)`` log likelihoods of all studies together; `tau` is zero whatever is given."""
        return np.asarray(self.curves(mu[None]).sum(axis=0))

    rough = grid

    def place(self, tau: Array) -> Placed:
        """Return the mode of mu and its width, as for random effects too small to matter."""
        small = np.full(len(tau), 1e-9 * float(self.curves.scale.min()))
        mode = laplace(self.curves, log_prior(self.mu), small)
        return Placed(mode.mu, mode.scale, mode.log, self.reach)

    def finer(self) -> "NoEffects":
        """Return the same: nothing is summed."""
        return self


def _mixed(mu: Array, tau: Array, y: float, s: float, lam: Array, log_weight: Array) -> Array:
    """Return ``(T, M)`` logs of ``sum_l exp(log_weight_l) N(y | mu, s^2 + tau^2 / lam_l)``.

    The variances of a row are those of its tau, so that an element costs one product and one exponential.
    """
    out = np.empty(mu.shape)
    size = max(1, MIXED // (mu.shape[1] * len(lam)))
    for start in range(0, len(mu), size):
        rows = slice(start, start + size)
        v = s**2 + tau[rows, None] ** 2 / lam
        log_factor = log_weight - 0.5 * np.log(2.0 * np.pi * v)
        d2 = (y - mu[rows]) ** 2
        term = d2[:, :, None] * (-0.5 / v)[:, None, :]
        value = (np.exp(term, out=term) @ np.exp(log_factor)[:, :, None])[:, :, 0]
        lost = np.nonzero(value < FAINT)
        with np.errstate(divide="ignore"):
            out[rows] = np.log(value)
        if lost[0].size:
            out[rows][lost] = logsumexp(log_factor[lost[0]] - 0.5 * d2[lost][:, None] / v[lost[0]], axis=1)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class StudentEffects:
    r"""``theta ~ t_df(mu, tau)`` and normal likelihoods.

    Given a mixing variable everything is normal, :math:`\theta \sim N(\mu, \tau^2/\lambda)` with
    :math:`\lambda \sim \mathrm{Gamma}(\nu/2, \nu/2)`, so the average is one sum over log lambda.
    """

    y: Array
    s: Array
    df: float
    mu: Prior
    fine: float = 1.0

    def finer(self) -> "StudentEffects":
        """Return the averages by sums of half the step that begin at a smaller lambda."""
        return replace(self, fine=0.5 * self.fine)

    def mixing(self, least: float = 0.0) -> tuple[Array, Array]:
        """Return nodes of lambda, from what matters to its own distribution or exp(`least`) on, and log weights."""
        half = 0.5 * self.df
        # Log lambda is nearly normal with variance 2 / df when df is large.
        step = self.fine * min(MIXING_STEP, 0.5 / np.sqrt(half))
        own = max(MIXING_FALL / half, np.sqrt(2.0 * MIXING_FALL / half))
        low = min(-own, least) - 1.0 / (half * self.fine)
        high = np.log1p(MIXING_FALL / half + np.sqrt(2.0 * MIXING_FALL / half))
        w = np.arange(low, high + step, step)
        log_weight = half * np.log(half) - gammaln(half) + half * (w - np.exp(w)) + np.log(step)
        return np.exp(w), log_weight

    def each(self, mu: Array, tau: Array) -> Array:
        """Return ``(k, n)`` log averaged likelihoods."""
        lam, log_weight = self.mixing(self.least(mu, tau))
        studies = zip(self.y, self.s, strict=True)
        return np.stack([_mixed(mu[:, None], tau, y, s, lam, log_weight)[:, 0] for y, s in studies])

    def least(self, mu: Array, tau: Array) -> float:
        """Return the log of the smallest lambda that counts.

        For a study d away that is about (tau / d)^2, however improbable, unless the normal density of d outweighs it;
        below it the integrand falls as lambda^((df + 1) / 2).
        """
        d = np.maximum(np.abs(self.y - float(mu.min())), np.abs(self.y - float(mu.max())))
        d = np.maximum(d, self.s)
        outlying = 2.0 * np.log(np.maximum(float(tau.min()), LEAST_TAU) / float(d.max()))
        outlying -= 2.0 * MIXING_FALL / (self.df + 1.0)
        outweighed = -(MIXING_FALL + 0.5 * float(np.max((d / self.s) ** 2))) / (0.5 * self.df)
        return float(max(outlying, outweighed, MIXING_LEAST))

    def grid(self, mu: Array, tau: Array) -> Array:
        """Return ``(T, M)`` log averaged likelihoods of all studies together."""
        out = np.zeros(mu.shape)
        for rows in alike(tau, len(tau)):
            lam, log_weight = self.mixing(self.least(mu[rows], tau[rows]))
            for y, s in zip(self.y, self.s, strict=True):
                out[rows] += _mixed(mu[rows], tau[rows], y, s, lam, log_weight)
        return out

    rough = grid

    def place(self, tau: Array) -> Placed:
        """Return a grid over all studies: with t effects mu may have several modes among contradicting studies."""
        places, precision = self.y, np.sum(1.0 / (self.s[:, None] ** 2 + tau**2), axis=0)
        if self.mu.proper:
            # Where tau is large it is the prior that holds mu.
            middle, width = middle_and_width(self.mu)
            places, precision = np.append(places, middle), precision + width**-2.0
        low, high = float(places.min()), float(places.max())
        # Near its centre a t density bends a little more than the normal of the same scale.
        scale = 0.85 / np.sqrt(precision)
        center = np.full(len(tau), 0.5 * (low + high))
        reach = float(np.max(0.5 * (high - low) / scale)) + PLACE_REACH
        if 2.0 * reach / PLACE_STEP > MAX_PLACE:
            raise ConvergenceError(
                "The studies lie too many standard errors apart for quadrature with Student-t effects. "
                "Use engine='nuts'."
            )
        u = np.arange(-reach, reach + PLACE_STEP, PLACE_STEP)
        log, rough = np.empty(len(tau)), replace(self, fine=PLACE_FINE)
        size = max(1, CHUNK // (100 * len(u)))
        for start in range(0, len(tau), size):
            block = slice(start, start + size)
            mu = center[block, None] + scale[block, None] * u
            density = rough.grid(mu, tau[block]) + self.mu.logpdf(mu)
            log[block] = logsumexp(density, axis=1) + np.log(PLACE_STEP * scale[block])
        return Placed(center, scale, log, reach)


def averages(given: StudyLikelihoods, curves: Curves | Bounded) -> Averages:
    """Return the averages for the random effects that the model states.

    Raises
    ------
    ModelError
        If this engine cannot average over them.
    """
    if known_tau(given.tau) == 0.0:
        return NoEffects(curves, given.mu)
    if given.random_effects == "normal":
        whole = NormalEffects(curves, given.mu)
        return LimitedEffects(whole, given.support) if np.isfinite(given.support).all() else whole
    if given.normal is None:
        raise ModelError("Quadrature of Student-t random effects is for normal likelihoods. Use engine='nuts'.")
    return StudentEffects(*given.normal, given.df, given.mu)


def one_study(every: Averages, i: int) -> Averages:
    """Return the averages of study `i` alone, over random effects that are not cut to their limits."""
    if isinstance(every, LimitedEffects):
        own = every.whole.curves.one(i)
        return replace(every.whole, curves=replace(own, wall=0.0) if isinstance(own, Bounded) else own)
    if isinstance(every, StudentEffects):
        return replace(every, y=every.y[i : i + 1], s=every.s[i : i + 1])
    assert isinstance(every, NormalEffects | NoEffects)
    return replace(every, curves=every.curves.one(i))
