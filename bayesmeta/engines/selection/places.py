"""What is known at each place of the lattice: the effect as normals, given heterogeneity and slope."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from bayesmeta.engines.gaussian.lattice import Lattice
from bayesmeta.gaussian.prior_components import Normals, normals
from bayesmeta.marginals import NormalMixture, known
from bayesmeta.model import Reporting, Selection, SmallStudy
from bayesmeta.posterior import Marginal
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.values import Array, IntervalKind

# What is left out of a mixture's nodes, all together.
NEGLIGIBLE = 1e-13


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The posterior as places, at each of which mu is normal (with SD 0 where it is known).

    Parameters
    ----------
    stated
        The model, with its data.
    weight
        ``(n,)`` posterior probabilities, adding up to one; not all positive where a smooth density was taken apart.
    tau, slope
        ``(n,)`` heterogeneity, and the slope on study size (0 where there is none).
    mean, sd
        ``(n,)`` of mu.
    """

    stated: Reporting
    weight: Array
    tau: Array
    slope: Array
    mean: Array
    sd: Array

    def mixture(self, mean: Array, variance: Array, kind: IntervalKind) -> Marginal:
        """Return the mixture of normals with these moments at the places."""
        if not variance.any() and np.ptp(mean) == 0.0:
            return known(float(mean[0]), kind)
        order = np.argsort(np.abs(self.weight))
        kept = np.sort(order[np.cumsum(np.abs(self.weight[order])) > NEGLIGIBLE])
        share = self.weight[kept] / self.weight[kept].sum()
        origin = float(share @ mean[kept])
        # A place where everything is known is a point; it is given a width that nothing can see.
        least = 1e-24 * max(float(variance.max()), 1e-300)
        return NormalMixture(share, mean[kept] - origin, np.sqrt(np.maximum(variance[kept], least)), origin, kind=kind)

    def mu(self) -> Marginal:
        """Return the posterior of the mean effect."""
        return self.mixture(self.mean, self.sd**2, "credible")

    def new_study(self) -> Marginal:
        """Return the posterior predictive distribution of a new study's true effect, reported or not."""
        return self.mixture(self.mean, self.sd**2 + self.tau**2, "posterior prediction")

    def true_effect(self, i: int) -> Marginal:
        """Return the posterior of study i's true effect: selection is on what was observed, and changes nothing."""
        v = self.stated.sei[i] ** 2
        shrinkage = v / (v + self.tau**2)
        y = self.stated.y[i]
        observed = y - self.slope * (self.stated.x[i] if isinstance(self.stated, SmallStudy) else 0.0)
        mean = shrinkage * self.mean + (1.0 - shrinkage) * observed
        return self.mixture(mean, shrinkage**2 * self.sd**2 + (1.0 - shrinkage) * v, "credible")


@dataclass(frozen=True, slots=True, eq=False)
class Unselected:
    """Mean and SD of mu given tau, without selection: the unit in which mu is integrated.

    Parameters
    ----------
    y, v
        Effects, in the favoured direction, and sampling variances.
    center, precision
        Of a normal prior that has the location and the spread of the one of mu.
    """

    y: Array
    v: Array
    center: float
    precision: float

    @classmethod
    def of(cls, stated: Selection) -> "Unselected":
        """Return those of a model."""
        scale = stated.mu.scale_hint() if stated.mu.proper else np.inf
        middle = float(stated.mu.ppf(0.5)) if stated.mu.proper else 0.0
        # The half width of the middle half of a normal distribution is 0.67 of its SD.
        precision = (0.6745 / scale) ** 2 if np.isfinite(scale) and scale > 0.0 else 0.0
        return cls(stated.sign * stated.y, stated.sei**2, stated.sign * middle, precision)

    def at(self, tau: Array) -> tuple[Array, Array]:
        """Return ``(n,)`` means and SDs."""
        w = 1.0 / (self.v + tau[:, None] ** 2)
        total = w.sum(axis=1) + self.precision
        return (w @ self.y + self.precision * self.center) / total, total**-0.5


def selected_places(
    stated: Selection, lattice: Lattice, tau: Array, mu_axis: int | None, mu: Array, scale: Array, tolerance: float
) -> Places:
    """Return the places of a selection model, in the direction of the data.

    A smooth density known at even places is a sum of normals about as wide as the places are apart, with weights whose
    spectrum is that of the density over that of the normal. With a width of c places the sum errs by
    ``exp(-2 pi^2 c^2)``, which is the tolerance, and errors of the density grow by its fourth root at most.

    Parameters
    ----------
    tau, mu
        ``(n,)`` at the lattice's places, mu in the favoured direction.
    mu_axis
        Place of mu among the axes; None where it is known.
    scale
        ``(n,)`` what a unit of mu's axis is at each place.
    tolerance
        Error of the density on the lattice.
    """
    zero = np.zeros(len(tau))
    if mu_axis is None:
        return Places(stated, lattice.mass, tau, zero, stated.sign * mu, zero)
    number = lattice.place
    columns, column = np.unique(np.delete(number, mu_axis, axis=1), axis=0, return_inverse=True)
    column = np.asarray(column).ravel()
    low, high = int(number[:, mu_axis].min()), int(number[:, mu_axis].max())
    pad = 12
    width = high - low + 1 + 2 * pad
    table = np.zeros((len(columns), width))
    table[column, number[:, mu_axis] - low + pad] = lattice.mass
    wide = float(np.sqrt(-np.log(tolerance) / (2.0 * np.pi**2)))
    frequency = 2.0 * np.pi * np.fft.rfftfreq(width)
    apart = np.fft.irfft(np.fft.rfft(table, axis=1) * np.exp(0.5 * (wide * frequency) ** 2), n=width, axis=1)
    first = np.zeros(len(columns), dtype=int)
    first[column] = np.arange(len(column))
    step = float(lattice.step[mu_axis])
    # mu is linear in its axis given the others: from one place of a column to all of them.
    shift = (np.arange(width) - pad + low)[None, :] - number[first, mu_axis][:, None]
    mean = mu[first][:, None] + scale[first][:, None] * step * shift
    spread = np.broadcast_to((wide * scale[first] * step)[:, None], mean.shape)
    kept = np.abs(apart) > 1e-14 * float(np.abs(apart).max())
    at_tau = np.broadcast_to(tau[first][:, None], mean.shape)
    weight = apart[kept] / apart[kept].sum()
    return Places(stated, weight, at_tau[kept], np.zeros(weight.size), stated.sign * mean[kept], spread[kept])


def mu_given(stated: SmallStudy, tau: Array, slope: Array) -> tuple[Array, Array, Array]:
    """Return ``(n, C)`` log likelihoods, means and SDs of mu given the rest, by component of its prior."""
    prior: Normals = _components(stated.mu)
    log_weight, center, precision = prior
    v = stated.sei**2 + tau[:, None] ** 2
    r = stated.y - slope[:, None] * stated.x
    w = 1.0 / v
    constant = -0.5 * (np.log(v).sum(axis=1) + len(stated.y) * np.log(2.0 * np.pi))
    value = fixed_value(stated.mu)
    if value is not None:
        log = constant - 0.5 * (w * (r - value) ** 2).sum(axis=1)
        return log[:, None], np.full((len(tau), 1), value), np.zeros((len(tau), 1))
    total, pull = w.sum(axis=1), (w * r).sum(axis=1)
    A = total[:, None] + precision
    B = pull[:, None] + precision * center
    squares = (w * r**2).sum(axis=1)[:, None] + precision * center**2 - B**2 / A
    # A flat prior has density 1: its own integral leaves a root of 2 pi.
    flat = precision == 0.0
    half = 0.5 * np.log(np.where(flat, 2.0 * np.pi, precision))
    log = log_weight + constant[:, None] - 0.5 * squares + half - 0.5 * np.log(A)
    return log, B / A, A**-0.5


def _components(prior: Prior) -> Normals:
    if fixed_value(prior) is not None:
        return np.zeros(1), np.zeros(1), np.ones(1)
    return normals(prior, "mu")


def small_study_places(stated: SmallStudy, lattice: Lattice, tau: Array, slope: Array) -> Places:
    """Return the places of a model with a slope on study size."""
    log, mean, sd = mu_given(stated, tau, slope)
    share = np.exp(log - np.asarray(logsumexp(log, axis=1))[:, None])
    weight = lattice.mass[:, None] * share

    def spread(x: Array) -> Array:
        return np.broadcast_to(x[:, None], log.shape).ravel()

    return Places(stated, weight.ravel(), spread(tau), spread(slope), mean.ravel(), sd.ravel())
