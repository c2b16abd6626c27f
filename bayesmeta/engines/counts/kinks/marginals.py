"""Marginals of quantities whose density has creases or ends abruptly, on panels between cuts."""

from dataclasses import replace
from functools import partial

import numpy as np

from bayesmeta.engines.counts.grid.mu_tau_grid import Plane
from bayesmeta.engines.counts.kinks.kinked_functions import (
    LogRows,
    Pieces,
    evaluate,
    first_panels,
    refine,
    resolves_densities,
)
from bayesmeta.engines.counts.random_effect_density import Kernel
from bayesmeta.engines.counts.true_effects import Smoother
from bayesmeta.marginals import LineDensity
from bayesmeta.values import Array, IntervalKind

# Panels on which a density is smooth to this, relative to its integral, and how far down it is followed.
SMOOTH, FALL = 1e-9, 85.0
# Below this (log scale, from the peak) the density that is shown need not be right relative to itself.
LEAST = 150.0


def line_density(
    logf: LogRows,
    cuts: Array,
    landmarks: Array,
    *,
    support: tuple[float, float] | None = None,
    kind: IntervalKind = "credible",
    about: str = "a posterior density",
) -> LineDensity:
    """Return the quantity whose log density, up to a constant, is given; the cuts are where it may have creases.

    Parameters
    ----------
    logf
        Maps ``(n,)`` values to ``(1, n)`` log densities.
    cuts
        Ascending; nothing is looked for beyond the first and the last.
    landmarks
        Values about which to look closely.
    support
        Ends of the support, where they are not the outermost cuts.
    about
        What it is, for messages.
    """
    return marginal(line_pieces(logf, cuts, landmarks, about), support or (float(cuts[0]), float(cuts[-1])), kind)


def line_pieces(logf: LogRows, cuts: Array, landmarks: Array, about: str) -> Pieces:
    """Return log densities on panels that resolve all of them; messages say what they are about."""
    first = evaluate(logf, first_panels(cuts, landmarks), about)
    return refine(logf, first, resolves_densities(SMOOTH, FALL, about), about)


def marginal(pieces: Pieces, support: tuple[float, float], kind: IntervalKind = "credible") -> LineDensity:
    """Return the quantity whose log density, up to a constant, is the only row of the pieces."""
    log = pieces.log - pieces.totals()[0]
    pieces = replace(pieces, log=np.maximum(log, log.max() - LEAST))
    panels, mass = pieces.panels, np.exp(log[0]) * pieces.weights
    return LineDensity(
        partial(_only_row, pieces),
        pieces.x.ravel(),
        mass.ravel(),
        panels.lower,
        panels.upper,
        panels.left,
        panels.right,
        mass.sum(axis=1),
        support,
        kind=kind,
    )


def _only_row(pieces: Pieces, x: Array) -> Array:
    return np.asarray(pieces.at(x)[0])


def limited_prediction(plane: Plane, limits: tuple[float, float], rough: tuple[float, float]) -> LineDensity:
    """Return the posterior predictive distribution of a new study's true effect, between the limits."""
    smoother = Smoother(plane, Kernel(), limits=limits)

    def logf(x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(smoother.density(x))[None]

    center, scale = rough
    landmarks = center + scale * np.array([-6.0, -2.0, 0.0, 2.0, 6.0])
    about = "the true effect of a new study"
    return line_density(logf, np.array(limits), landmarks, kind="posterior prediction", about=about)
