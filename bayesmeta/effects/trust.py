"""Evidence that is trusted less: estimates with an allowance for bias, and likelihoods raised to a power.

Both return effect sizes, so that every model, plot and table takes them: nothing downstream has to know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import DataError, unknown
from bayesmeta.studies import Adjustment, EffectSizes, Exclusion
from bayesmeta.values import Array

type PerStudy = float | Sequence[float] | Array | Mapping[str, float]


def allow_for_bias(effects: EffectSizes, *, mean: PerStudy = 0.0, sd: PerStudy = 0.0) -> EffectSizes:
    r"""Return effect sizes with an allowance for bias: estimates shifted, and less certain.

    A study's estimate is about :math:`\theta_i + \delta_i` with a bias :math:`\delta_i \sim N(a_i, b_i^2)`, elicited or
    from meta-epidemiology, so that :math:`y_i - a_i \sim N(\theta_i, s_i^2 + b_i^2)`.

    Parameters
    ----------
    effects
        Estimates.
    mean
        Expected bias :math:`a_i`, analysis scale (log for a ratio): one number for all, ``(n,)`` numbers in the order
        of the rows, or a mapping of study to number, 0 for the studies not named. The sign is that of the estimate: a
        study that is thought to show the log odds ratio 0.2 too low has the mean -0.2.
    sd
        Its standard deviation :math:`b_i`, in the same ways. Infinite: the study says nothing and is left out, by name.

    Raises
    ------
    DataError
        If a study is unknown, a mean is not finite, an SD is negative, or nothing is left.

    References
    ----------
    Turner, Spiegelhalter, Smith & Thompson 2009, J. R. Stat. Soc. A 172:21-47 (additive bias);
    Welton, Ades, Carlin, Altman & Sterne 2009, J. R. Stat. Soc. A 172:119-136.

    Examples
    --------
    >>> effects = EffectSizes([-0.9, -0.4], [0.3, 0.4], study=["cohort", "trial"], measure="OR")
    >>> allowed = allow_for_bias(effects, mean={"cohort": -0.3}, sd={"cohort": 0.4})
    >>> allowed.yi.round(3).tolist(), allowed.sei.round(3).tolist()
    ([-0.6, -0.4], [0.5, 0.4])
    """
    shift = _per_row(effects, mean, "mean", 0.0)
    spread = _per_row(effects, sd, "sd", 0.0)
    for study, a, b in zip(effects.study, shift, spread, strict=True):
        if not np.isfinite(a):
            raise DataError(f"{study}: the mean of its bias is {a:g}. Give a finite number on the analysis scale.")
        if not b >= 0.0:
            raise DataError(f"{study}: the SD of its bias is {b:g}. Give 0 or more; inf leaves the study out.")
    words = [f"bias {a:g} with SD {b:g} allowed for" for a, b in zip(shift, spread, strict=True)]
    changed = (shift != 0.0) | (spread != 0.0)
    used = ~np.isinf(spread)
    return _changed(effects, effects.yi - shift, np.where(used, spread, 0.0), (used, changed), words)


def discount(effects: EffectSizes, trust: PerStudy) -> EffectSizes:
    r"""Return effect sizes whose likelihoods have a power between 0 and 1: a fixed power prior for each study.

    :math:`N(y_i; \theta_i, s_i^2)^{a_i}` is, but for a constant, the likelihood of the same estimate with the standard
    error :math:`s_i / \sqrt{a_i}`: a study with the power 0.5 counts like one of half its size. The heterogeneity is
    not discounted, as it is where the true effects are integrated out first.

    Parameters
    ----------
    effects
        Estimates.
    trust
        Powers :math:`a_i`, from 0 (the study is left out, by name) to 1 (at face value): one number for all, ``(n,)``
        numbers in the order of the rows, or a mapping of study to number, 1 for the studies not named.

    Raises
    ------
    DataError
        If a study is unknown, a power is outside [0, 1], or nothing is left.

    References
    ----------
    Ibrahim & Chen 2000, Statistical Science 15:46-60.

    Examples
    --------
    >>> effects = EffectSizes([-0.9, -0.4], [0.5, 0.4], study=["cohort", "trial"], measure="OR")
    >>> discount(effects, {"cohort": 0.25}).sei.tolist()
    [1.0, 0.4]
    """
    power = _per_row(effects, trust, "trust", 1.0)
    for study, a in zip(effects.study, power, strict=True):
        if not 0.0 <= a <= 1.0:
            raise DataError(
                f"{study}: its likelihood is to have the power {a:g}. Give one from 0 (left out) to 1 (at face value)."
            )
    used = power > 0.0
    with np.errstate(divide="ignore"):
        # The variance that is added: s^2 / a - s^2; none where it is 1, so that nothing changes there.
        added = np.where(used, effects.vi * (1.0 / np.where(used, power, 1.0) - 1.0), 0.0)
    words = [f"likelihood to the power {a:g}" for a in power]
    if effects.V is not None and np.any(used & (power < 1.0)):
        # A power of a joint likelihood has one exponent; here each row's errors shrink with its own.
        scale = 1.0 / np.sqrt(np.where(used, power, 1.0))
        wider = replace(effects, sei=effects.sei * scale, V=effects.V * np.outer(scale, scale))
        return _changed(wider, effects.yi, np.zeros(effects.n), (used, power < 1.0), words)
    return _changed(effects, effects.yi, np.sqrt(added), (used, power < 1.0), words)


def _per_row(effects: EffectSizes, given: PerStudy, name: str, otherwise: float) -> Array:
    """Return ``(n,)`` numbers from one for all, one a row, or a mapping of study to number."""
    if isinstance(given, Mapping):
        for study in given:
            if study not in effects.study:
                raise unknown(f"study in {name}:", study, effects.study, DataError)
        return np.array([float(given.get(study, otherwise)) for study in effects.study])
    values: ArrayLike = given
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(
            f"{name} holds what is no number: {given!r:.80}. Give one number, or one for each study."
        ) from None
    if array.ndim == 0:
        return np.full(effects.n, float(array))
    if array.shape != (effects.n,):
        raise DataError(
            f"{name} has {array.size} numbers for {effects.n} rows: give one for each, or a mapping of study to number."
        )
    return array


def _changed(
    effects: EffectSizes, yi: Array, spread: Array, which: tuple[NDArray[np.bool_], NDArray[np.bool_]], words: list[str]
) -> EffectSizes:
    """Return the effect sizes with other estimates and added variance; those of no use left out by name.

    `which` says of each row whether it is used, and whether it is changed.
    """
    used, changed = which
    if not used.any():
        raise DataError("Every study would be left out: nothing is known then but the prior. Trust at least one.")
    if not changed.any():
        return effects
    # Where nothing is added the standard error stays to the last digit.
    sei = np.where(spread > 0.0, np.hypot(effects.sei, spread), effects.sei)
    V = None if effects.V is None else effects.V + np.diag(spread**2)
    rows = list(zip(effects.study, changed, used, words, strict=True))
    told = tuple(Adjustment(study, word) for study, is_changed, stays, word in rows if is_changed and stays)
    # The counts are no longer what the estimates say.
    made = replace(effects, yi=yi, sei=sei, V=V, counts=None, observed={}, adjusted=effects.adjusted + told)
    gone = tuple(dict.fromkeys(study for study, _, stays, _ in rows if not stays))
    if not gone:
        return made
    reason = "left out: nothing of it is trusted"
    kept = made.drop(gone)
    return replace(kept, excluded=kept.excluded + tuple(Exclusion(study, reason) for study in gone))
