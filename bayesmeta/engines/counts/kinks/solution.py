"""A solved model of studies whose likelihoods have creases: its marginals, on panels with cuts at the creases."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import logsumexp

from bayesmeta.engines.axes.panels import Rule
from bayesmeta.engines.axes.tails import beyond
from bayesmeta.engines.axes.tau_posterior import TauPosterior, tau_posterior, with_own_tail, with_tails
from bayesmeta.engines.counts.kinks.kinked_functions import NOTHING, LogRows, Pieces
from bayesmeta.engines.counts.kinks.marginals import line_density, line_pieces, marginal
from bayesmeta.engines.counts.kinks.mu_tau_panels import Layer, Sheet
from bayesmeta.engines.counts.kinks.normal_average import REACH, Normal, blur
from bayesmeta.engines.counts.loglik_range import dies_away, tails_of_mu
from bayesmeta.marginals import Density, LineDensity, Transformed
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array

# Panels are known at this part of their whole length from their ends.
INSIDE = 1e-3
# Nodes of tau with less probability are left out of predictions.
LEAST_WEIGHT = 1e-17
# Larger values of tau than have this much probability are not looked for among true effects.
UNLIKELY = 1e-14
# Largest share of a moment of tau from where likelihoods are not known that is not worth a note.
CUT_OFF = 1e-7
# A random effect this large beside the range of the likelihoods hardly leaves it.
KNOWN = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class CreasedSolution:
    """A solved exact-likelihood model with creases.

    Parameters
    ----------
    given
        The studies' likelihoods and the priors.
    sheet
        Joint posterior of mu and tau.
    tail_exponent
        The posterior density of tau falls as ``tau ** -tail_exponent``.
    error_estimate
        Largest relative error that the checks found.
    known
        What `effects` returned, once it was asked for.
    """

    given: StudyLikelihoods
    sheet: Sheet
    tail_exponent: float
    error_estimate: float
    known: list[Pieces] = field(default_factory=list)

    @property
    def rule(self) -> Rule | None:
        """Panels of tau with the log marginal posterior on their nodes; None where tau is known."""
        return self.sheet.rule

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        return self.sheet.log_evidence

    @property
    def nodes(self) -> int:
        """Number of nodes of mu and tau."""
        return sum(layer.mu.log.size for layer in self.sheet.layers)

    def mu(self) -> LineDensity:
        """Return the posterior of the pooled effect."""
        logf = self._log_density()
        about, ends = f"the posterior of mu (prior {self.given.mu!r})", self.given.mu.support
        pooled = line_density(logf, self.sheet.cuts, self._landmarks(0.0), support=ends, about=about)
        return self._with_tails(pooled, 0.0)

    def _landmarks(self, spread: float) -> Array:
        """Return places about which mu, plus `spread` times the random effect, lies for every likely tau."""
        places = []
        for layer in self.sheet.layers:
            mass = np.exp(layer.log - self.log_evidence)
            if mass.sum() > 1e-6:
                x = layer.mu.x.ravel()
                mean = float((mass @ x).sum() / mass.sum())
                sd = float(np.sqrt((mass @ (x - mean) ** 2).sum() / mass.sum() + (spread * layer.tau[0]) ** 2))
                places.append(mean + sd * np.array([-6.0, -2.0, 0.0, 2.0, 6.0]))
        return np.concatenate(places)

    def _log_density(self) -> LogRows:
        """Return the log density of mu as one row."""
        parts = []
        for layer in self.sheet.layers:
            log = logsumexp(layer.mu.log + (layer.log_prior - self.log_evidence)[:, None, None], axis=0)
            parts.append(Pieces(layer.mu.panels, log[None]))

        def logf(x: Array) -> Array:
            with np.errstate(divide="ignore"):
                return np.asarray(np.log(sum(np.exp(part.at(x)) for part in parts)))

        return logf

    def _beyond(self, about: float, power: int) -> float:
        """Return the moment of mu about a place beyond the range of its panels, where its tails are powers."""
        ends = self.sheet.cuts[[0, -1]]
        # Panels stop at their ends; a little before them the density is known.
        known = ends + INSIDE * (ends[::-1] - ends)
        height = np.exp(self._log_density()(known)[0])
        shares = [
            float(beyond(height[n], np.abs(known[n] - about), float(tail), power)) for n, tail in enumerate(self.tails)
        ]
        return (-1.0) ** power * shares[0] + shares[1]

    @property
    def tails(self) -> Array:
        """``(2,)`` exponents of the tails of the posterior of mu that its own prior makes heavy."""
        return tails_of_mu(self.given, self.tail_exponent)

    def line(self) -> Array:
        """Return the ends of what a true effect can be, and its creases."""
        panels = self.sheet.averages.pieces.panels
        cuts = np.unique(np.concatenate([panels.lower, panels.upper]))
        if self.sheet.averages.limited:
            return cuts
        # A new study's effect lies as far from mu as the largest tau says that is not next to impossible.
        layers = self.sheet.layers
        log = np.concatenate([logsumexp(layer.log, axis=1) for layer in layers]) - self.log_evidence
        likely = np.cumsum(np.exp(log)[::-1])[::-1] > UNLIKELY
        tau = float(np.concatenate([layer.tau for layer in layers])[likely].max())
        mu = self.sheet.cuts
        ends = min(cuts[0], mu[0] - REACH * tau), max(cuts[-1], mu[-1] + REACH * tau)
        return np.concatenate([ends[:1], cuts[1:-1], ends[1:]])

    def effects(self) -> Pieces:
        r"""Return the log densities of every study's true effect and, last, of a new study's, up to constants.

        That of study i is its own likelihood times what the others make its effect to be,
        :math:`\int p(\mu, \tau \mid y) / \bar L_i(\mu, \tau)\, N(\theta; \mu, \tau^2)\, d\mu\, d\tau`.
        """
        if not self.known:
            self.known.append(self._effects())
        return self.known[0]

    def _effects(self) -> Pieces:
        layers = [(layer, self._weighed(layer)) for layer in self.sheet.layers]
        averages, k = self.sheet.averages, len(self.given.study)

        def logf(x: Array) -> Array:
            total = np.full((k + 1, len(x)), -np.inf)
            for layer, log in layers:
                for t, tau in enumerate(layer.tau):
                    if logsumexp(layer.log[t]) - self.log_evidence > np.log(LEAST_WEIGHT):
                        normal = Normal(float(tau), averages.limits, reverse=True)
                        own = blur(Pieces(layer.mu.panels, log[:, t]), normal, x, about="the posterior of mu")
                        total = np.logaddexp(total, own)
            total[:-1] += averages.likelihoods(x)
            return total

        spread = averages.place[0] + averages.place[1] * np.array([-3.0, -1.0, 0.0, 1.0, 3.0])[:, None]
        landmarks = np.concatenate([spread.ravel(), self._landmarks(1.0)])
        return line_pieces(logf, self.line(), landmarks, "the true effects of the studies and of a new one")

    def _weighed(self, layer: Layer) -> Array:
        """Return ``(k + 1, T, P, ORDER)`` logs of the posterior, each study's own average taken out."""
        averages, x = self.sheet.averages, layer.mu.x
        own = averages.each(x.ravel(), layer.tau).reshape(-1, len(layer.tau), *x.shape)
        own = np.concatenate([own, averages.near(x.ravel(), layer.tau).reshape(1, len(layer.tau), *x.shape)])
        log = layer.mu.log + (layer.log_prior - self.log_evidence)[:, None, None]
        # Where mu is ruled out so is a study's own average; sums need a number there.
        out = np.subtract(log, own, where=np.isfinite(log), out=np.full(own.shape, -np.inf))
        top = out.max(axis=(1, 2, 3), keepdims=True)
        return np.asarray(np.maximum(out, top - NOTHING))

    def theta_new(self) -> LineDensity:
        """Return the posterior predictive distribution of a new study's true effect."""
        effects = self.effects()
        new = marginal(Pieces(effects.panels, effects.log[-1:]), self.given.support, "posterior prediction")
        return self._with_tails(new, 1.0)

    def true_effect(self, i: int) -> LineDensity:
        """Return the posterior of study i's true effect."""
        effects = self.effects()
        own = marginal(Pieces(effects.panels, effects.log[i : i + 1]), self.given.support)
        if self.sheet.averages.limited:
            return own
        low, high = float(self.line()[0]), float(self.line()[-1])
        # Panels stop at their ends; a little before them the density is known.
        inside, falls = INSIDE * (high - low), dies_away(self.given)[i]
        ends = (low, low + inside), (high, high - inside)
        found = with_own_tail(own, self.heterogeneity, falls, ends, self.tails)
        return found if falls.all() else replace(found, notes=(*found.notes, *self._cut_off()))

    @property
    def heterogeneity(self) -> TauPosterior | None:
        """The posterior of tau; None where it is known."""
        return tau_posterior(self.rule, self.given.tau, self.tail_exponent)

    def _with_tails(self, marginal: LineDensity, spread: float) -> LineDensity:
        """Count what lies beyond the panels in the moments of mu plus `spread` times the random effect."""
        if self.sheet.averages.limited:
            return marginal
        about, first, second = marginal.mean(), [], []
        mass = [np.exp(layer.log - self.log_evidence) for layer in self.sheet.layers]
        for part, layer in zip(mass, self.sheet.layers, strict=True):
            away, total = layer.mu.x.ravel() - about, part.sum(axis=1)
            total = np.where(total > 0.0, total, 1.0)
            first.append(part @ away / total)
            second.append(part @ away**2 / total + (spread * layer.tau) ** 2)
        weight = np.concatenate([part.sum(axis=1) for part in mass])
        moments = np.concatenate(first), np.concatenate(second)
        if np.isfinite(self.tails).any():
            moments = moments[0] + self._beyond(about, 1), moments[1] + self._beyond(about, 2)
        # A proper prior of mu keeps a large tau from moving it.
        tau = None if spread == 0.0 and self.given.mu.proper else self.heterogeneity
        found = with_tails(marginal, tau, weight, about, moments, tails=self.tails)
        if tau is None:
            return found
        return replace(found, notes=(*found.notes, *self._cut_off()))

    def _cut_off(self) -> tuple[str, ...]:
        """Return a note where values of tau count for moments that are larger than likelihoods are known for."""
        tau = self.heterogeneity
        if tau is None or not tau.heavy or not tau.exists(1.0) or dies_away(self.given).all():
            return ()
        power, name = (2.0, "SD") if tau.exists(2.0) else (1.0, "mean")
        panels = self.sheet.averages.pieces.panels
        known = KNOWN * min(abs(float(panels.lower[0])), abs(float(panels.upper[-1])))
        moment = np.exp(tau.rule.logg) * tau.rule.panels.weights() * tau.rule.x**power
        missing = float(moment[tau.rule.x > known].sum() / moment.sum())
        if missing <= CUT_OFF:
            return ()
        return (
            f"The {name} given may be too small in size: up to {100.0 * missing:.2g}% of E(tau^{power:g}) comes from "
            f"values of tau above {known:.1e}, where likelihoods are not known. Use a prior of tau with lighter tails, "
            "or engine='nuts'.",
        )

    def tau(self) -> Density:
        """Return the posterior of tau."""
        assert self.heterogeneity is not None
        return self.heterogeneity.density()

    def tau2(self) -> Transformed:
        """Return the posterior of tau squared."""
        assert self.heterogeneity is not None
        return self.heterogeneity.squared(self.tau())
