"""Meta-analytic-predictive (MAP) priors: a posterior predictive distribution as a normal mixture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.priors.line import Normal
from bayesmeta.priors.mixtures import Mixture
from bayesmeta.priors.numeric import Nodes
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True)
class MapPrior:
    """A normal mixture fitted to a predictive distribution.

    Parameters
    ----------
    prior
        The mixture, for use as a prior of mu.
    divergence
        Kullback-Leibler divergence of the mixture from the distribution it stands for, in nats.
    """

    prior: Any
    divergence: float


def map_prior(predictive: Any, *, components: int = 3, steps: int = 5000) -> MapPrior:
    """Return a predictive distribution as a mixture of normals, for use as an informative prior.

    The mixture minimises the Kullback-Leibler divergence (expectation-maximisation from the
    distribution itself, so no draws and no seed).

    Parameters
    ----------
    predictive
        Marginal with ``ppf``, ``cdf`` and ``pdf``, e.g. ``post.theta_new`` of the historical studies.
    components
        Number of normal components.
    steps
        Most EM steps.

    Raises
    ------
    ModelError
        If `components` is less than 1.

    References
    ----------
    Neuenschwander, Capkun-Niggli, Branson & Spiegelhalter 2010, Clin Trials 7:5-18;
    Schmidli et al. 2014, Biometrics 70:1023-1032.
    """
    if components < 1:
        raise ModelError(f"map_prior: components is {components}; it must be at least 1.")
    nodes = Nodes(predictive)
    x, weights = nodes.x, nodes.weights
    p, mean, sd = _em(x, weights, components, steps)
    order = np.argsort(-p)
    parts = [(float(p[j]), Normal(float(mean[j]), float(sd[j]))) for j in order]
    total = math.fsum(w for w, _ in parts)
    prior: Any = parts[0][1]
    if len(parts) > 1:
        prior = Mixture(tuple(w / total for w, _ in parts), tuple(n for _, n in parts))
    log_ratio = np.log(np.asarray(predictive.pdf(x), dtype=float)) - prior.logpdf(x)
    return MapPrior(prior, float(weights @ log_ratio))


def _em(x: Array, weights: Array, components: int, steps: int) -> tuple[Array, Array, Array]:
    centre = float(weights @ x)
    spread = math.sqrt(float(weights @ (x - centre) ** 2))
    # Components start about the centre with different widths: predictive distributions are peaked with heavy tails.
    offset = np.linspace(-1.0, 1.0, components) if components > 1 else np.zeros(1)
    sd, mean = spread * 2.0**offset, centre + 0.1 * spread * offset
    p = np.full(components, 1 / components)
    before = -math.inf
    for _ in range(steps):
        z = (x[:, None] - mean) / sd
        log_parts = np.log(p) - np.log(sd) - 0.5 * z * z
        peak = log_parts.max(axis=1)
        log_total = peak + np.log(np.exp(log_parts - peak[:, None]).sum(axis=1))
        share = np.exp(log_parts - log_total[:, None]) * weights[:, None]
        # A component that nothing falls to is left out.
        share = share[:, share.sum(axis=0) > 1e-9]
        p = share.sum(axis=0)
        mean = (share * x[:, None]).sum(axis=0) / p
        sd = np.sqrt((share * (x[:, None] - mean) ** 2).sum(axis=0) / p)
        score = float(weights @ log_total)
        if score - before < 1e-12:
            break
        before = score
    return p, mean, sd
