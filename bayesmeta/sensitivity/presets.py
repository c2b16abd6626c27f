"""Priors by name, from vague to sceptical to enthusiastic, and the published ones that match the outcome."""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from bayesmeta.effects import is_ratio
from bayesmeta.errors import ModelError
from bayesmeta.priors import HalfNormal, Normal, parse_prior, rhodes2015, turner2015

# Unit of the presets by measure, as a share of the log odds ratio's: that of `priors.default_priors`.
_SMALLER = {"SMD": 0.5, "RD": 0.25, "AS": 0.25, "COR": 0.25, "ZCOR": 0.25}


def sceptical_prior(alternative: float, *, chance: float = 0.05) -> Normal:
    """Return the normal prior centred on no effect that gives the alternative only a small chance.

    Parameters
    ----------
    alternative
        Effect hoped for, on the analysis scale (log for ratios), measured from no effect at 0.
    chance
        Prior probability of an effect beyond the alternative.

    References
    ----------
    Spiegelhalter, Freedman & Parmar 1994, J R Stat Soc A 157:357-416.

    Examples
    --------
    >>> prior = sceptical_prior(math.log(0.5))
    >>> round(float(prior.cdf(math.log(0.5))), 12)
    0.05
    """
    return Normal(0.0, _spread(alternative, chance))


def enthusiastic_prior(alternative: float, *, chance: float = 0.05) -> Normal:
    """Return the normal prior centred on the alternative, as certain as the sceptical one, that doubts it as little.

    Parameters
    ----------
    alternative
        Effect hoped for, on the analysis scale.
    chance
        Prior probability of no effect or harm.

    References
    ----------
    Spiegelhalter, Freedman & Parmar 1994, J R Stat Soc A 157:357-416.
    """
    return Normal(alternative, _spread(alternative, chance))


def _spread(alternative: float, chance: float) -> float:
    if not (math.isfinite(alternative) and alternative != 0):
        raise ModelError(
            f"alternative is {alternative!r}; it must be an effect other than no effect on the analysis scale, "
            "e.g. math.log(0.5) for an odds ratio of 0.5."
        )
    if not 0.0 < chance < 0.5:
        raise ModelError(f"chance is {chance!r}; it must be a small probability, between 0 and 0.5, e.g. 0.05.")
    return abs(alternative) / NormalDist().inv_cdf(1.0 - chance)


def prior_from_interval(low: float, high: float, *, level: float = 0.95, ratio: bool = True) -> Normal:
    """Return the normal prior whose central interval is the one given.

    Parameters
    ----------
    low, high
        Limits: of a ratio (natural scale) by default, else on the analysis scale.
    level
        Prior probability of the interval.
    ratio
        Whether the limits are ratios, whose log is normal.

    Raises
    ------
    ModelError
        If the limits are out of order or no ratios, or `level` is not between 0 and 1.

    Examples
    --------
    The expert of the GREAT trial, who thought odds ratios of 0.6 to 1 plausible (Spiegelhalter, Abrams & Myles
    2004, Bayesian Approaches to Clinical Trials and Health-Care Evaluation, chapter 3):

    >>> prior = prior_from_interval(0.6, 1.0)
    >>> round(prior.loc, 2), round(prior.scale, 2)
    (-0.26, 0.13)
    """
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a probability strictly between 0 and 1, e.g. 0.95.")
    if not low < high or (ratio and not low > 0):
        kind = "ratios greater than 0, " if ratio else ""
        raise ModelError(f"Limits {low:g} and {high:g}: give {kind}the lower one first, e.g. (0.6, 1.0).")
    a, b = (math.log(low), math.log(high)) if ratio else (low, high)
    return Normal((a + b) / 2.0, (b - a) / 2.0 / NormalDist().inv_cdf(0.5 + level / 2.0))


def unit_of(measure: str) -> float | None:
    """Return the presets' unit for a measure, as a share of the log odds ratio's; None where it has none."""
    return 1.0 if is_ratio(measure) else _SMALLER.get(measure)


def _unit(measure: str) -> float:
    unit = unit_of(measure)
    if unit is None:
        raise ModelError(
            f"There are no preset priors for measure {measure!r}, whose unit is unknown: say which priors to compare, "
            'e.g. mu=["normal(0, 10)", "normal(0, 2)"], tau=["half_normal(1)", "half_normal(3)"].'
        )
    return unit


def mu_presets(measure: str, benefit: str | None = None) -> dict[str, Any]:
    """Return priors of mu from vague to sceptical, and to enthusiastic where the direction of benefit is known.

    For ratios: vague ``normal(0, 10)``; unit information ``normal(0, 2.82)``; weakly informative
    ``normal(0, 1)``; sceptical, 5% beyond a ratio of 1/2 (or 2); enthusiastic, centred there. Other measures on
    their own unit.
    """
    unit = _unit(measure)
    hoped = unit * math.log(2.0)
    found: dict[str, Any] = {
        "vague": Normal(0.0, 10.0 * unit),
        "unit information": Normal(0.0, 2.82 * unit),
        "weakly informative": Normal(0.0, unit),
        "sceptical": sceptical_prior(hoped),
    }
    if benefit is not None:
        found["enthusiastic"] = enthusiastic_prior(hoped if benefit == "higher" else -hoped)
    return found


def tau_presets(measure: str, outcome: str | None = None, comparison: str | None = None) -> dict[str, Any]:
    """Return priors of tau: half-normals, a heavy tail, a wide uniform, and the published one that matches.

    Parameters
    ----------
    measure
        Effect measure.
    outcome, comparison
        Categories of Turner et al. 2015 (log odds ratios) or Rhodes et al. 2015 (standardised mean
        differences); their general priors when not given.

    Raises
    ------
    ModelError
        If the measure has no unit to scale by, or a category is unknown.
    """
    unit = _unit(measure)
    found: dict[str, Any] = {
        f"half-normal, scale {scale * unit:g}": HalfNormal(scale * unit) for scale in (0.25, 0.5, 1.0)
    }
    found["half-Cauchy"] = parse_prior(f"half_cauchy({0.5 * unit:g})")
    found["uniform"] = parse_prior(f"uniform(0, {4 * unit:g})")
    words = (outcome or "any", comparison or "any")
    if measure == "OR":
        found["Turner 2015"] = turner2015(*words)
    elif measure == "SMD":
        found["Rhodes 2015"] = rhodes2015(*words)
    elif outcome is not None:
        raise ModelError(f"No published priors by outcome are tabulated for {measure}: leave outcome out, or use 'OR'.")
    return found


def mu_ladder(n: int, *, low: float = 0.1, high: float = 10.0) -> dict[str, Any]:
    """Return `n` normal priors centred on no effect, their SDs evenly spaced on the log scale."""
    return _named([Normal(0.0, float(f"{s:.4g}")) for s in np.geomspace(low, high, n)])


def tau_ladder(n: int, *, low: float = 0.05, high: float = 2.0) -> dict[str, Any]:
    """Return `n` half-normal priors of tau, their scales evenly spaced on the log scale."""
    return _named([HalfNormal(float(f"{s:.4g}")) for s in np.geomspace(low, high, n)])


def labelled(priors: Any, kind: str) -> dict[str, Any]:
    """Return label to prior from one prior, a sequence of them, or a mapping; labels are the text forms."""
    if isinstance(priors, Mapping):
        found = {str(label): parse_prior(prior) for label, prior in priors.items()}
    elif isinstance(priors, Sequence) and not isinstance(priors, str):
        found = _named([parse_prior(prior) for prior in priors])
    else:
        found = _named([parse_prior(priors)])
    if not found:
        raise ModelError(f"There is no prior of {kind}: give at least one, e.g. {kind}=['{_EXAMPLE[kind]}'].")
    for prior in found.values():
        if kind == "tau" and prior.support[0] < 0:
            raise ModelError(f"{prior!r} allows negative values, so it is no prior for tau. Write e.g. uniform().")
    return found


_EXAMPLE = {"mu": "normal(0, 2.82)", "tau": "half_normal(0.5)"}


def _named(priors: Sequence[Any]) -> dict[str, Any]:
    return {repr(prior): prior for prior in priors}
