r"""The joint posterior of mu and tau where likelihoods have creases: panels of mu for every panel of tau.

As tau goes to 0 the density of mu has the likelihoods' creases, which no uniform grid holds. Given the 16 nodes of a
panel of tau, mu lies on panels that are graded towards the creases and refined until the density is smooth on each,
for every node of tau. The panels of tau are placed by normal stand-ins of the likelihoods, and refined on the density
itself.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from bayesmeta.engines.axes import panels as nodes
from bayesmeta.engines.axes.panels import ORDER
from bayesmeta.engines.axes.tau_prior import known_tau
from bayesmeta.engines.counts import loglik_tables as curves
from bayesmeta.engines.counts.grid.tau_panels import features, log_prior_mass, tau_rule
from bayesmeta.engines.counts.kinks.kinked_functions import Pieces, evaluate, first_panels, refine, resolves_densities
from bayesmeta.engines.counts.kinks.random_effects import CreasedEffects
from bayesmeta.engines.counts.random_effects import NormalEffects
from bayesmeta.engines.counts.random_effects_cut import LimitedEffects
from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals.axis import from_axis, log_jacobian
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array

# The density of mu given tau is smooth to this on every panel, and followed down to exp(-38) of its peak.
SMOOTH, FALL = 1e-9, 38.0
# Nodes of a panel of tau on which its panels of mu are first sought.
SCOUTS = (0, 8, 15)
# Places about the stand-ins' centre where the density is first looked at, in their widths.
LANDMARKS = np.array([-8.0, -3.0, -1.0, 0.0, 1.0, 3.0, 8.0])
# Where tau is more than this part of the width of mu given tau, the density of mu is cut nowhere.
BLUNT = 0.15
# Mass at the ends of what was looked at.
EDGE = 1e-12
# The stand-ins may be wrong by this factor (log scale) about which panels of tau count, before more are added.
SLACK = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Likelihood times prior of mu, for the nodes of one panel of tau.

    Parameters
    ----------
    tau
        ``(T,)`` nodes.
    mu
        ``(T, ...)`` logs of the likelihood times the prior of mu.
    log_prior
        ``(T,)`` log prior mass of the nodes of tau.
    """

    tau: Array
    mu: Pieces
    log_prior: Array

    @property
    def log(self) -> Array:
        """``(T, J)`` log masses of the nodes of mu, before normalising."""
        value = self.mu.log + np.log(self.mu.weights) + self.log_prior[:, None, None]
        return np.asarray(value.reshape(len(self.tau), -1))


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """The joint posterior of mu and tau.

    Parameters
    ----------
    averages
        The studies' averages over their random effects.
    rule
        Panels of tau with the log marginal posterior; None where tau is known.
    layers
        One for each panel of tau.
    cuts
        Ends of the range of mu, and where its density may have creases.
    log_evidence
        Log marginal likelihood.
    error
        Estimate of the relative error.
    """

    averages: CreasedEffects
    rule: nodes.Rule | None
    layers: tuple[Layer, ...]
    cuts: Array
    log_evidence: float
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """What is to be integrated over mu given tau."""

    given: StudyLikelihoods
    averages: CreasedEffects
    stand_in: NormalEffects | LimitedEffects
    cuts: Array

    def log_density(self, mu: Array, tau: Array) -> Array:
        """Return ``(T, M)`` logs of likelihood times prior of mu."""
        average = self.averages
        value = average.total(mu, tau)
        if tau[0] > 0.0:
            value -= len(average.rough) * average.near(mu, tau)
        return np.asarray(value + self.given.mu.logpdf(mu))

    def layer(self, tau: Array) -> Pieces:
        """Return the logs on panels that resolve them, for every tau."""
        rows = [t for t in SCOUTS if t < len(tau)]
        few = np.maximum(tau[rows], 1e-9 * float(self.averages.place[1].min()))
        placed = self.stand_in.place(few)
        landmarks = (placed.center + placed.scale * LANDMARKS[:, None]).ravel()
        # A wide normal leaves no creases; beyond the limits densities are relative to those at them.
        wide = tau[0] > BLUNT * placed.scale[0]
        kept = np.isin(self.cuts, [self.cuts[0], *self.averages.limits, self.cuts[-1]])
        first = first_panels(self.cuts[kept] if wide else self.cuts, landmarks)
        about = f"the posterior of mu (prior {self.given.mu!r}) given tau = {tau[0]:.3g}"
        judge = resolves_densities(SMOOTH, FALL, about)

        def resolved(tau: Array, panels: nodes.Panels) -> Pieces:
            def logf(mu: Array) -> Array:
                return self.log_density(mu, tau)

            return refine(logf, evaluate(logf, panels, about), judge, about)

        scout = resolved(tau[rows], first)
        return scout if len(rows) == len(tau) else resolved(tau, scout.panels)


def sheet(given: StudyLikelihoods, averages: CreasedEffects) -> Sheet:
    """Return the joint posterior of mu and tau.

    Raises
    ------
    ConvergenceError
        If it cannot be enclosed or resolved.
    """
    posed = Posed(given, averages, _stand_in(given, averages), _cuts(given))
    known = known_tau(given.tau)
    if known is not None:
        tau = np.array([known])
        only = Layer(tau, posed.layer(tau), np.zeros(1))
        return _checked(posed, Sheet(averages, None, (only,), posed.cuts, float(only.mu.totals()[0]), 0.0))
    rule, found = _over_tau(posed)
    taken = tuple(found[float(row[0])] for row in rule.x)
    assert given.tau is not None
    prior = log_prior_mass(rule, given.tau).reshape(rule.x.shape)
    layers = tuple(Layer(x, mu, p) for x, mu, p in zip(rule.x, taken, prior, strict=True))
    evidence = rule.log_total()
    rule = replace(rule, logg=rule.logg - evidence)
    return _checked(posed, Sheet(averages, rule, layers, posed.cuts, evidence, 0.0))


def _over_tau(posed: Posed) -> tuple[nodes.Rule, dict[float, Pieces]]:
    """Return panels that resolve the marginal posterior of tau, and the panels of mu found for each."""
    prior = posed.given.tau
    assert prior is not None
    found: dict[float, Pieces] = {}

    def logf(tau: Array) -> tuple[Array, Array]:
        value, extra = [], []
        for row in tau.reshape(-1, ORDER):
            if float(row[0]) not in found:
                found[float(row[0])] = posed.layer(row)
            mu = found[float(row[0])]
            total = mu.totals()
            mass = np.exp(mu.log - total[:, None, None]) * mu.weights
            mean = (mass * mu.x).sum(axis=(1, 2))
            spread = np.sqrt((mass * (mu.x - mean[:, None, None]) ** 2).sum(axis=(1, 2)))
            value.append(total)
            extra.append(np.stack([mean, spread], axis=1))
        return np.concatenate(value) + np.asarray(prior.logpdf(tau)), np.concatenate(extra)

    slack = SLACK
    for _ in range(4):
        placed = tau_rule(posed.given, posed.stand_in, slack=slack)
        rule = nodes.refine(logf, nodes.evaluate(logf, placed.panels), features)
        share = rule.masses().sum(axis=1)
        second = (rule.masses() * rule.x**2).sum(axis=1)
        edge = np.array([rule.logg[0, 0], rule.logg[-1, -1], rule.logg[-1, -1] + 2.0 * np.log(rule.x[-1, -1])])
        if np.all(edge - np.log([share.sum(), share.sum(), second.sum()]) - rule.peak < np.log(EDGE)) or slack > 300.0:
            used = (share > 1e-16 * share.sum()) | (second > 1e-13 * second.sum())
            return nodes.keep(rule, np.flatnonzero(used)), found
        slack *= 3.0
    raise ConvergenceError(
        f"The posterior of tau was not enclosed, with the prior {prior!r}. Use one with lighter tails, e.g. "
        "half_normal(0.5), or engine='nuts'."
    )


def _stand_in(given: StudyLikelihoods, averages: CreasedEffects) -> NormalEffects | LimitedEffects:
    """Return normal likelihoods of the same places and widths: what is placed by them is then refined."""
    center, scale = averages.place
    far = 1e3 * float(scale.max()) + float(np.ptp(center)) + np.zeros(len(center))

    def loglik(theta: Array) -> Array:
        return np.asarray(-0.5 * ((theta - center[:, None]) / scale[:, None]) ** 2)

    free = (float("-inf"), float("inf"))
    normal = replace(given, loglik=loglik, center=center, scale=scale, support=free)
    whole = NormalEffects(curves.tabulate(normal, center.min() - far, center.max() + far), given.mu)
    return LimitedEffects(whole, averages.limits) if averages.limited else whole


def _cuts(given: StudyLikelihoods) -> Array:
    """Return the ends of the range of mu, and where its density may have creases."""
    finite = np.where(np.isfinite(given.scale), given.scale, 1.0)
    far = 1e6 * float(finite.max())
    low, high = float(given.center.min()) - far, float(given.center.max()) + far
    if given.mu.proper:
        tails = given.mu.ppf(np.array([1e-15, 1.0 - 1e-15]))
        low, high = max(low, float(tails[0])), min(high, float(tails[1]))
    # Where the prior ends, it ends there and not at its quantile.
    first, last = given.mu.support
    low, high = first if math.isfinite(first) else low, last if math.isfinite(last) else high
    inner = [*given.creases, *given.support, *given.mu.breaks]
    return np.unique([low, *(c for c in inner if low < c < high), high])


def _checked(posed: Posed, found: Sheet) -> Sheet:
    """Return the sheet with its error estimate.

    Raises
    ------
    ConvergenceError
        If mu is not enclosed, or the averages are not resolved.
    """
    reach = float(np.ptp(found.cuts))
    ends = zip(found.cuts[[0, -1]], (1.0, -1.0), posed.given.mu.support, strict=True)
    for end, inwards, prior_end in ends:
        near = np.array([end, end + 1e-3 * inwards * reach])
        at = [layer.mu.at(near) + layer.log_prior[:, None] - found.log_evidence for layer in found.layers]
        with np.errstate(divide="ignore"):
            outer, inner = logsumexp(np.concatenate(at), axis=0)
        # The tail beyond, if it goes on falling as it does at the end.
        fall = max(float(inner - outer), 1e-3) if np.isfinite(outer) else np.inf
        mass = float(np.exp(outer)) * 1e-3 * reach / fall
        if mass > EDGE and end != prior_end:
            raise ConvergenceError(
                f"The posterior of mu was not enclosed by {end:.6g}, with the priors {posed.given.mu!r} of mu and "
                f"{posed.given.tau!r} of tau. Use priors with lighter tails, or engine='nuts'."
            )
    return replace(found, error=_error(posed, found))


def _error(posed: Posed, found: Sheet) -> float:
    """Compare the density with its series between the nodes and with averages by half the step, where it counts."""
    weight = np.array([np.exp(logsumexp(layer.log) - found.log_evidence) for layer in found.layers])
    share = np.cumsum(weight)
    finer, worst = replace(posed, averages=posed.averages.finer()), 0.0
    for index in np.unique(
        np.searchsorted(share / share[-1], (1e-3, 0.05, 0.3, 0.7, 0.95, 0.999)).clip(0, len(share) - 1)
    ):
        layer = found.layers[index]
        row = len(layer.tau) // 2
        place, panels = np.linspace(-0.97, 0.97, 5), layer.mu.panels
        half = 0.5 * (panels.right - panels.left)[:, None]
        u = panels.left[:, None] + half * (1.0 + place)
        lower, upper = panels.lower[:, None], panels.upper[:, None]
        mu, slope = from_axis(u, lower, upper).ravel(), log_jacobian(u, lower, upper).ravel()
        one = Pieces(panels, layer.mu.log[row : row + 1])
        guess = one.at(mu)[0] + slope
        known = finer.log_density(mu, layer.tau[row : row + 1])[0] + slope
        top = float(known.max())
        extreme = min(1.0, 20.0 * min(share[index], 1.0 - share[index] + weight[index]))
        worst = max(worst, extreme * float(np.max(np.abs(np.exp(known - top) - np.exp(guess - top)))))
    return worst
