r"""Studies whose likelihood has a crease, or does not vanish at a limit, averaged over their random effects.

With hardly any events a risk difference is bounded by the risks, which are small: :math:`L(\theta)` loses, on either
side of 0, an amount of the order of :math:`n |\theta|` times a function of :math:`\log |\theta|`. No power series holds
that, but on a logarithmic axis from the crease it is smooth.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.counts import loglik_between_limits as bounded
from bayesmeta.engines.counts.kinks.kinked_functions import Pieces, evaluate, first_panels, refine, resolves_logs
from bayesmeta.engines.counts.kinks.normal_average import FINE, Normal, blur
from bayesmeta.engines.counts.loglik_between_limits import Bounded
from bayesmeta.engines.counts.loglik_tables import Curves, RoughError
from bayesmeta.engines.counts.random_effects import NormalEffects
from bayesmeta.likelihoods.cut_normal import log_mass_near
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array

# Agreement of a piece's series with its log likelihood, and how far below its peak (log scale) that has to hold for
# the likelihood itself.
SMOOTH, FALL = 1e-11, 45.0
# Studies that a message names one by one.
MOST_NAMES = 5


@dataclass(frozen=True, slots=True, eq=False)
class CreasedEffects:
    """``theta ~ N(mu, tau^2)``, cut to the limits where there are any; some likelihoods have creases.

    Parameters
    ----------
    study
        ``(k,)`` labels, for messages.
    smooth
        The averages of the studies with smooth likelihoods, without limits; None where there are none.
    pieces
        The log likelihoods of the others.
    rough
        ``(k,)`` which are these others.
    limits
        Ends of the interval in which theta lies; infinite where it has none.
    place
        ``(2, k)`` rough places and widths of all likelihoods.
    pressed
        The smooth likelihoods on panels, for means beyond the limits.
    fine
        Largest panel, in units of tau.
    """

    study: tuple[str, ...]
    smooth: NormalEffects | None
    pieces: Pieces
    rough: NDArray[np.bool_]
    limits: tuple[float, float]
    place: Array
    pressed: Pieces | None = None
    fine: float = FINE

    @property
    def limited(self) -> bool:
        """Whether theta has limits."""
        return bool(np.isfinite(self.limits).all())

    def near(self, mu: Array, tau: Array) -> Array:
        """Return ``(T, M)`` logs of the probability between the limits, relative as in `Normal`; 0 without limits."""
        if not self.limited:
            return np.zeros((len(tau), len(mu)))
        return log_mass_near(mu[None, :], tau[:, None], self.limits)

    def each(self, mu: Array, tau: Array) -> Array:
        """Return ``(k, T, M)`` log averaged likelihoods at every mu and tau, before they are divided by `near`.

        At ``tau = 0`` they are the likelihoods themselves, which are nothing beyond the limits.
        """
        out = np.empty((len(self.rough), len(tau), len(mu)))
        inside = (mu >= self.limits[0]) & (mu <= self.limits[1])
        if tau[0] == 0.0:
            out[:] = np.where(inside, self.likelihoods(np.clip(mu, *self.limits)), -np.inf)[:, None]
            return out
        out[self.rough] = self._blurred(self.pieces, self.rough, mu, tau)
        if self.smooth is not None:
            rest = np.flatnonzero(~self.rough)
            pairs = np.tile(mu[inside], len(tau)), np.repeat(tau, int(inside.sum()))
            out[np.ix_(rest, np.arange(len(tau)), inside)] = self.smooth.each(*pairs).reshape(len(rest), len(tau), -1)
            if not inside.all():
                assert self.pressed is not None
                beyond = self._blurred(self.pressed, ~self.rough, mu[~inside], tau)
                out[np.ix_(rest, np.arange(len(tau)), ~inside)] = beyond
        return out

    def total(self, mu: Array, tau: Array) -> Array:
        """Return ``(T, M)`` sums over studies of what `each` returns."""
        if tau[0] == 0.0 or self.smooth is None:
            return np.asarray(self.each(mu, tau).sum(axis=0))
        inside = (mu >= self.limits[0]) & (mu <= self.limits[1])
        out = self._blurred(self.pieces, self.rough, mu, tau).sum(axis=0)
        if inside.any():
            out[:, inside] += self.smooth.grid(np.tile(mu[inside], (len(tau), 1)), tau)
        if not inside.all():
            assert self.pressed is not None
            out[:, ~inside] += self._blurred(self.pressed, ~self.rough, mu[~inside], tau).sum(axis=0)
        return out

    def _blurred(self, pieces: Pieces, which: NDArray[np.bool_], mu: Array, tau: Array) -> Array:
        """Return what `each` does, of the studies whose likelihoods the pieces hold."""
        about = likelihoods_of(self.study, which)
        rows = [blur(pieces, Normal(float(width), self.limits), mu, self.fine, about) for width in tau]
        return np.stack(rows, axis=1)

    def likelihoods(self, theta: Array) -> Array:
        """Return ``(k, n)`` log likelihoods."""
        out = np.empty((len(self.rough), len(theta)))
        out[self.rough] = self.pieces.at(theta)
        if self.smooth is not None:
            own = self.smooth.curves
            out[~self.rough] = own(np.tile(theta, (len(own.center), 1)))
        return out

    def one(self, i: int) -> "CreasedEffects":
        """Return study i alone."""
        study, place = self.study[i : i + 1], self.place[:, i : i + 1]
        if self.rough[i]:
            at = int(self.rough[:i].sum())
            pieces = Pieces(self.pieces.panels, self.pieces.log[at : at + 1])
            return replace(self, study=study, smooth=None, pieces=pieces, rough=np.array([True]), place=place)
        assert self.smooth is not None
        at = int((~self.rough[:i]).sum())
        alone = replace(self.smooth, curves=self.smooth.curves.one(at))
        none = Pieces(self.pieces.panels, self.pieces.log[:0])
        pressed = None if self.pressed is None else Pieces(self.pressed.panels, self.pressed.log[at : at + 1])
        return replace(
            self, study=study, smooth=alone, pieces=none, rough=np.array([False]), place=place, pressed=pressed
        )

    def finer(self) -> "CreasedEffects":
        """Return the averages by sums of half the step."""
        smooth = None if self.smooth is None else self.smooth.finer()
        return replace(self, smooth=smooth, fine=0.5 * self.fine)


def likelihoods_of(study: tuple[str, ...], which: NDArray[np.bool_]) -> str:
    """Return words for the likelihoods of some of the studies, one at least."""
    names = [repr(label) for label, use in zip(study, which, strict=True) if use]
    if len(names) > MOST_NAMES:
        names[MOST_NAMES - 1 :] = [f"{len(names) - MOST_NAMES + 1} others"]
    first, last = ", ".join(names[:-1]), names[-1]
    return f"the likelihoods of {first} and {last}" if first else f"the likelihood of {last}"


def some(given: StudyLikelihoods, chosen: NDArray[np.bool_]) -> StudyLikelihoods:
    """Return the likelihoods of some of the studies."""

    def loglik(theta: Array) -> Array:
        whole = np.repeat(given.center[:, None], theta.shape[1], axis=1)
        whole[chosen] = theta
        return given.loglik(whole)[chosen]

    study = tuple(label for label, use in zip(given.study, chosen, strict=True) if use)
    return replace(given, study=study, loglik=loglik, center=given.center[chosen], scale=given.scale[chosen])


def creased(given: StudyLikelihoods, rough: NDArray[np.bool_], low: Array, high: Array) -> CreasedEffects:
    """Return the averages where some likelihoods are known to be rough.

    Parameters
    ----------
    rough
        ``(k,)`` which; those that turn out to be so are added.
    low, high
        ``(k,)`` how far any theta matters, where it has no limits.
    """
    table, rough = _smooth_tables(given, rough, low, high)
    start, end = (float(low.min()), float(high.max())) if np.isinf(given.support).any() else given.support
    scale = np.where(np.isfinite(given.scale), given.scale, 0.1 * (end - start))
    pieces = _on_panels(given, rough, scale, (start, end))
    place = np.stack([given.center, scale])
    place[:, rough] = _moments(pieces)
    if table is None:
        return CreasedEffects(given.study, None, pieces, rough, given.support, place)
    return CreasedEffects(
        given.study,
        NormalEffects(table, given.mu),
        pieces,
        rough,
        given.support,
        place,
        _pressed(table, likelihoods_of(given.study, ~rough)) if isinstance(table, Bounded) else None,
    )


def _smooth_tables(
    given: StudyLikelihoods, rough: NDArray[np.bool_], low: Array, high: Array
) -> tuple[Curves | Bounded | None, NDArray[np.bool_]]:
    """Return tables of the likelihoods that are smooth, None if none is, and which are rough."""
    while not rough.all():
        try:
            table = bounded.tabulate(some(given, ~rough), low[~rough], high[~rough])
        except RoughError as error:
            found = error.rough
        else:
            # A faint crease passes for smooth in a table, but not in sums over the random effects.
            if isinstance(table, Bounded) or not table.suspect.any():
                return table, rough
            found = table.suspect
        rough = rough.copy()
        rough[np.flatnonzero(~rough)[found]] = True
    return None, rough


def _on_panels(given: StudyLikelihoods, rough: NDArray[np.bool_], scale: Array, limits: tuple[float, float]) -> Pieces:
    """Return the rough log likelihoods on panels between the creases and ends of what is looked at."""
    start, end = limits
    cuts = np.unique([start, *(c for c in given.creases if start < c < end), end])
    spread = (given.center[rough] + scale[rough] * np.array([-3.0, 0.0, 3.0])[:, None]).ravel()

    def loglik(theta: Array) -> Array:
        return given.loglik(np.tile(theta, (len(rough), 1)))[rough]

    judge = resolves_logs(SMOOTH, FALL, 1e-13 * float(scale.min()), limits)
    about = likelihoods_of(given.study, rough)
    return refine(loglik, evaluate(loglik, first_panels(cuts, spread), about), judge, about)


def _pressed(table: Bounded, about: str) -> Pieces:
    """Return smooth likelihoods on panels between their limits; messages say what they are about."""
    edge = table.half * np.tanh(bounded.REACH)
    limits = table.middle - table.half, table.middle + table.half

    def loglik(theta: Array) -> Array:
        # The table ends just before the limits; what lies between is as at its end.
        inside = table.middle + np.clip(theta - table.middle, -edge, edge)
        return table(np.tile(inside, (len(table.center), 1)))

    spread = (table.center + table.scale * np.array([-3.0, 0.0, 3.0])[:, None]).ravel()
    judge = resolves_logs(SMOOTH, FALL, 1e-6 * float(table.scale.min()), limits)
    return refine(loglik, evaluate(loglik, first_panels(np.array(limits), spread), about), judge, about)


def _moments(pieces: Pieces) -> Array:
    """Return ``(2, R)`` mean and standard deviation of each likelihood, taken for a density where it is tabulated."""
    mass = np.exp(pieces.log - pieces.totals()[:, None, None]) * pieces.weights
    mean = (mass * pieces.x).sum(axis=(1, 2))
    return np.stack([mean, np.sqrt((mass * (pieces.x - mean[:, None, None]) ** 2).sum(axis=(1, 2)))])
