"""Default priors by effect measure, which know the unit of the effect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bayesmeta.effects import is_ratio
from bayesmeta.errors import ModelError, option
from bayesmeta.priors.ess import uisd
from bayesmeta.priors.half import HalfNormal
from bayesmeta.priors.interval import Flat
from bayesmeta.priors.line import Normal
from bayesmeta.priors.scaled import harmonic_scale
from bayesmeta.studies import Contrasts, EffectSizes

# The log odds ratio's defaults, normal(0, 2.82) and half_normal(0.5), in units of its unit information SD of 4.
_MU_SHARE, _TAU_SHARE = 2.82 / 4, 0.5 / 4

# Unit information SDs that follow from the measure alone: the variance of one estimate is UISD^2 / n with n patients in
# equal arms. In SDs of the outcome: 4/n near 0. Correlations near 0, risk differences at risks of one half (where
# they vary most) and arcsine differences: 1/n.
_KNOWN_UISD = {
    **dict.fromkeys(("SMD", "SMDH", "SMD1", "SMCC", "SMCR", "SMCRH", "OR2DN", "OR2DL", "PBIT"), 2.0),
    **dict.fromkeys(("RD", "AS", "COR", "UCOR", "ZCOR", "RPB", "RBIS", "PHI", "YUQ", "YUY"), 1.0),
}

# One-group measures have no natural zero: mu is flat, and studies differ more than contrasts do. half_normal(1) on the
# log or logit is the wider prior of Friede et al. 2017; a proportion and its arcsine change at most 1/4 as fast.
_ONE_GROUP_TAU = {"PLO": 1.0, "PLN": 1.0, "IRLN": 1.0, "PR": 0.25, "PFT": 0.25, "PAS": 0.25}

# Contrasts whose unit the data alone know: mu is centred at no difference.
_CONTRASTS = frozenset({"MD", "MC", "IRD", "IRSD"})

_LOG_RATIO: dict[str, Any] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5)}


def _unit(effects: EffectSizes | Contrasts) -> float:
    if effects.measure in _KNOWN_UISD:
        return _KNOWN_UISD[effects.measure]
    if effects.ni is not None:
        return float(uisd(effects.ni, effects.sei))
    s0 = harmonic_scale(effects.sei)
    raise ModelError(
        f"No default prior for measure {effects.measure!r}: its unit is unknown without sample sizes. Either give the "
        "sample sizes (a column n, or ni of EffectSizes), so that the priors are scaled by the unit information SD, or "
        f"say what you believe, e.g. {option('priors', 'flat()', key='mu')} and "
        f"{option('priors', 'half_normal(S)', key='tau')} with S half of the largest SD between studies that you find "
        f"plausible, or {option('priors', f'dumouchel({s0:.3g})', key='tau')}, which takes its scale from the standard "
        "errors. The classical rows need no prior: bm.frequentist.pool gives them."
    )


def _rounded(x: float) -> float:
    """Return `x` rounded to 3 significant digits: a default says no more than that."""
    return float(f"{x:.3g}")


def default_prior(effects: EffectSizes | Contrasts, parameter: str) -> Any:
    """Return the default prior of one parameter for these effects.

    Parameters
    ----------
    effects
        The measure and, for measures without a fixed unit, the sample sizes decide.
    parameter
        ``"mu"`` or ``"tau"``.

    Raises
    ------
    ModelError
        If the unit cannot be known; the message proposes priors.
    """
    if parameter not in ("mu", "tau"):
        raise ModelError(f"There is no default prior for {parameter!r} by measure: only for 'mu' and 'tau'.")
    measure = effects.measure
    if is_ratio(measure):
        return _LOG_RATIO[parameter]
    if measure in _ONE_GROUP_TAU:
        return Flat() if parameter == "mu" else HalfNormal(_ONE_GROUP_TAU[measure])
    if parameter == "tau":
        return HalfNormal(_rounded(_TAU_SHARE * _unit(effects)))
    if measure in _KNOWN_UISD or (measure in _CONTRASTS and effects.ni is not None):
        return Normal(0.0, _rounded(_MU_SHARE * _unit(effects)))
    return Flat()


def default_priors(effects: EffectSizes) -> dict[str, Any]:
    r"""Return the default priors of mu and tau for these effects, on their own unit.

    Log ratios: ``normal(0, 2.82)`` and ``half_normal(0.5)`` (Guenhan et al. 2020, Res Synth Methods
    11:74-90; Friede et al. 2017, Res Synth Methods 8:79-91). These are 0.705 and 0.125 of the log odds
    ratio's unit information SD of 4; standardised mean differences (2), risk differences, arcsine
    differences and correlations (1), mean differences and generic effects (`uisd` of the data) take the
    same shares of theirs (Roever et al. 2021, Res Synth Methods 12:448-474). Where zero has no special
    meaning (proportions, rates, generic effects) mu is flat.

    Raises
    ------
    ModelError
        If the unit cannot be known: a mean difference or a generic effect without sample sizes.
    """
    return {parameter: default_prior(effects, parameter) for parameter in ("mu", "tau")}


# Which default a model's parameter takes.
_ROLE = {"mu": "mu", "intercept": "mu", "beta": "mu", "tau": "tau", "omega": "tau"}


def fill_defaults(data: Any, model_priors: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the priors given, with the log ratio's defaults of a model replaced by those of the data's measure.

    Model files state ``normal(0, 2.82)`` and ``half_normal(0.5)``, which are meant for log ratios. Where the data are
    on another scale and the user left such a prior as it is, `default_prior` takes its place; any other prior
    of a model file is the author's choice and stays.

    Parameters
    ----------
    data
        What the model is fitted to; `EffectSizes` and `Contrasts` have a measure.
    model_priors
        The model's own priors by parameter.
    given
        The user's priors by parameter.

    Raises
    ------
    ModelError
        If a default is needed and the unit of the measure cannot be known.
    """
    if given is not None and not isinstance(given, Mapping):
        raise ModelError(f"priors is {given!r}: give parameter names with priors, e.g. {{'tau': 'half_normal(0.5)'}}.")
    chosen = dict(given or {})
    if not isinstance(data, EffectSizes | Contrasts) or is_ratio(data.measure):
        return chosen
    for parameter, prior in model_priors.items():
        role = _ROLE.get(parameter)
        each = [f"{parameter}[{outcome}]" for outcome in dict.fromkeys(getattr(data, "outcome", None) or ())]
        settled = parameter in chosen or (each and all(name in chosen for name in each))
        if role is not None and not settled and prior == _LOG_RATIO[role]:
            chosen[parameter] = default_prior(data, role)
    return chosen


def log_or_to_smd(prior: Any) -> Any:
    """Return a prior for a log odds ratio as one for a standardised mean difference: times sqrt(3) / pi.

    Chinn 2000, Stat Med 19:3127-3131.
    """
    return prior.rescale(math.sqrt(3) / math.pi)


def smd_to_log_or(prior: Any) -> Any:
    """Return a prior for a standardised mean difference as one for a log odds ratio: times pi / sqrt(3).

    Chinn 2000, Stat Med 19:3127-3131.
    """
    return prior.rescale(math.pi / math.sqrt(3))


_SOURCES = {
    "mu": (
        "default: unit information, the information of one patient (Röver et al. 2021, Res. Synth. Methods 12:448-474; "
        "Günhan et al. 2020, Res. Synth. Methods 11:74-90)"
    ),
    "tau": (
        "default: weakly informative, few studies need it (Friede et al. 2017, Res. Synth. Methods 8:79-91; "
        "Röver et al. 2021, Res. Synth. Methods 12:448-474)"
    ),
    "omega": "default: that of tau, for the effects within a study",
}


def default_source(parameter: str, prior: Any, effects: EffectSizes) -> str:
    """Return where a default prior comes from; empty for a prior that is not the default of these effects."""
    try:
        usual = default_prior(effects, _ROLE.get(parameter, parameter))
    except ModelError:
        return ""
    if repr(usual) != repr(prior):
        return ""
    scaled = "" if is_ratio(effects.measure) else ", scaled to the unit of the measure"
    if parameter == "mu" and isinstance(prior, Flat):
        return "default: a measure of one group has no value that is no effect, so mu is flat"
    return f"{_SOURCES[parameter]}{scaled}" if parameter in _SOURCES else ""
