"""Effects by subgroup of studies: a result for each, the test for differences and the posterior of each difference."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import fdtrc

from bayesmeta.compare.subgroup_fits import Asked, Fits, common_fits, separate_fits
from bayesmeta.compare.subgroup_values import Difference, Subgroups, Tau
from bayesmeta.effects import effect_sizes
from bayesmeta.errors import DataError, unknown
from bayesmeta.events import Benefit, known_benefit
from bayesmeta.frequentist import Test
from bayesmeta.frequentist.pool import CiRule
from bayesmeta.frequentist.significance import chi2_p, quantile, two_sided
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.model import load_model
from bayesmeta.priors import fill_defaults
from bayesmeta.studies import EffectSizes, StudyTable
from bayesmeta.values import FrozenMap, Interval
from bayesmeta.words import joined


def subgroups(
    data: StudyTable | EffectSizes,
    *,
    by: str | Sequence[str] | Mapping[str, str] = "subgroup",
    measure: str | None = None,
    tau: Tau = "separate",
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
    benefit: Benefit | None = None,
    model: str = "normal_normal",
    priors: Mapping[str, Any] | None = None,
    engine: str = "auto",
    seed: int | None = None,
    add: float | None = None,
    to: str = "only0",
    drop00: bool = False,
    sampling: Mapping[str, Any] | None = None,
) -> Subgroups:
    r"""Return the classical and the Bayesian result of each subgroup, and how the subgroups differ.

    The test for subgroup differences is :math:`Q = \sum_g (\hat\mu_g - \bar\mu)^2 / s_g^2` on one less degree of
    freedom than there are subgroups, where :math:`s_g` is the standard error of a subgroup's pooled effect and
    :math:`\bar\mu` their inverse-variance mean. With a common tau and t intervals it is an F test. With ``ci="hksj"``
    the standard errors are Hartung and Knapp's.

    Parameters
    ----------
    data
        Study table with a column that names each study's subgroup, or effect sizes.
    by
        The column; for effect sizes one label a study, in order, or study to label.
    measure
        Effect measure of a table, ``"OR"`` when not given; effect sizes have their own.
    tau
        ``"separate"``: each subgroup has its own tau, and its own posterior from its own studies (RevMan's rule).
        ``"common"``: one tau for all, a regression on the subgroup; subgroups of few studies borrow it.
    method, ci
        Of the classical results, as in `frequentist.pool`. A subgroup of one study has its own Wald interval.
    level
        Of every interval.
    benefit
        Direction that is a benefit; without it no P(benefit) is computed.
    model, priors, engine, seed, sampling
        As in `compare`. Every subgroup has the same priors; those of mu are for the mean of each subgroup.
    add, to, drop00
        Zero-cell rule of a table's effect sizes, as in `effect_sizes`.

    Raises
    ------
    DataError
        If there is no such column, a study has no label, or there are fewer than two subgroups.
    ModelError
        If an option is unknown, or the model cannot have a common tau.

    References
    ----------
    Borenstein & Higgins (2013), Prev. Sci. 14:134-143. Cochrane Handbook, version 6.4, section 10.11.3.1.

    Examples
    --------
    >>> from bayesmeta.studies import EffectSizes
    >>> effects = EffectSizes(yi=[0.1, 0.3, 0.8, 0.9], sei=[0.1, 0.2, 0.2, 0.1], measure="SMD")
    >>> found = subgroups(effects, by=["old", "old", "new", "new"])
    >>> round(found.test.statistic, 2), round(found.difference("new", "old").median(), 2)
    (34.23, 0.7)
    """
    if tau not in ("separate", "common"):
        raise unknown("tau =", tau, ("separate", "common"))
    known_benefit(benefit)
    effects = _effects(data, measure, add=add, to=to, drop00=drop00)
    of = _labels(data, effects, by)
    groups = tuple(dict.fromkeys(of.values()))
    if len(groups) < 2:
        raise DataError(
            f"All {effects.k} studies are of subgroup {groups[0]!r}, and a comparison of subgroups needs two: use "
            "bm.compare for the one result."
        )
    loaded = load_model(model)
    loaded.check_measure(effects.measure)
    chosen = fill_defaults(effects, loaded.priors, priors)
    asked = Asked(effects, of, groups, loaded, chosen, method, ci, level, benefit, engine, seed, dict(sampling or {}))
    found = separate_fits(asked) if tau == "separate" else common_fits(asked)
    return Subgroups(
        groups=found.groups,
        overall=found.overall,
        test=_test(found, asked),
        differences=_differences(found, asked),
        effects=effects,
        of=FrozenMap(of),
        by=by if isinstance(by, str) else "subgroup",
        tau=tau,
        level=level,
        benefit=benefit,
        notes=_notes(found, asked),
    )


def _effects(
    data: StudyTable | EffectSizes, measure: str | None, *, add: float | None, to: str, drop00: bool
) -> EffectSizes:
    if isinstance(data, StudyTable):
        return effect_sizes(data, measure or "OR", add=add, to=to, drop00=drop00)
    if not isinstance(data, EffectSizes):
        raise DataError(f"subgroups takes a StudyTable or EffectSizes, not {type(data).__name__}.")
    if measure not in (None, data.measure):
        raise DataError(f"The effect sizes are {data.measure}, not {measure}: leave measure out or give the table.")
    if data.moderators:
        raise DataError(
            f"The effects have moderators ({joined(data.moderators)}): subgroups are compared without them. Use "
            "bm.fit(effects, 'meta_regression') with the subgroup among the moderators."
        )
    return data


def _labels(
    data: StudyTable | EffectSizes, effects: EffectSizes, by: str | Sequence[str] | Mapping[str, str]
) -> dict[str, str]:
    """Return study to its subgroup, for the studies that have an effect, in their order."""
    known = _named(data, by)
    absent = [s for s in effects.study if s not in known or known[s] in ("", "nan", "None")]
    if absent:
        raise DataError(
            f"No subgroup for {joined([repr(s) for s in absent[:10]])}: every study needs one. Fill it in, or take "
            "the studies out with .drop([...])."
        )
    return {s: known[s] for s in effects.study}


def _named(data: StudyTable | EffectSizes, by: str | Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(by, Mapping):
        return {str(s): str(label).strip() for s, label in by.items()}
    if not isinstance(by, str):
        labels = [_text(label) for label in by]
        if len(labels) != len(data.study):
            raise DataError(f"by has {len(labels)} labels for {len(data.study)} studies: give one a study, in order.")
        return dict(zip(data.study, labels, strict=True))
    if not isinstance(data, StudyTable):
        raise DataError(
            f"Effect sizes have no column {by!r}: give by=[...] with one label a study, in their order, or "
            "by={study: label}."
        )
    if by not in data.columns:
        raise DataError(
            f"{data.source or 'The table'} has no column {by!r} to take subgroups from. Columns: "
            f"{', '.join(data.columns) or 'none'}. Name another with by=..., or give the labels as a list."
        )
    return dict(zip(data.study, (_text(label) for label in data.columns[by]), strict=True))


def _text(label: object) -> str:
    """Return a label as text; a whole number without its point."""
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return "" if label is None else str(label).strip()


def _test(found: Fits, asked: Asked) -> Test:
    estimate = np.array([g.classical.mu for g in found.groups], dtype=float)
    weight = np.array([g.se for g in found.groups]) ** -2.0
    centre = float(weight @ estimate / weight.sum())
    q, df = float(weight @ (estimate - centre) ** 2), len(found.groups) - 1
    if found.df is None:
        return Test("Subgroup differences", q, df, chi2_p(q, df), "chi-squared test of Q between subgroups")
    p = float(fdtrc(df, found.df, q / df))
    return Test("Subgroup differences", q / df, df, p, "F test of Q between subgroups", found.df)


def _differences(found: Fits, asked: Asked) -> tuple[Difference, ...]:
    """Return every pair of subgroups, the later one minus the earlier."""
    made = []
    for i, j in combinations(range(len(found.groups)), 2):
        early, late = found.groups[i], found.groups[j]
        assert early.classical.mu is not None
        assert late.classical.mu is not None
        estimate, se = late.classical.mu - early.classical.mu, float(np.hypot(late.se, early.se))
        half = quantile(asked.level, found.df) * se
        posterior = found.between(j, i)
        made.append(
            Difference(
                first=late.label,
                second=early.label,
                estimate=estimate,
                se=se,
                interval=Interval(estimate - half, estimate + half, asked.level, "confidence", "wald"),
                p_value=two_sided(estimate / se, found.df),
                posterior=posterior,
                credible=posterior.eti(asked.level),
            )
        )
    return tuple(made)


FEW = 3


def _notes(found: Fits, asked: Asked) -> tuple[str, ...]:
    notes = []
    single = [g.label for g in found.groups if g.k == 1]
    if single:
        notes.append(
            f"{joined(single)}: one study, whose own confidence interval stands for the subgroup; its Bayesian "
            f"result rests on the prior of tau{' that all subgroups share' if found.df is not None else ''}."
        )
    few = [g.label for g in found.groups if 1 < g.k < FEW]
    if few:
        notes.append(f"{joined(few)}: two studies say almost nothing about how much studies differ.")
    notes.append(
        "Subgroups differ in more than their name: a difference between groups of studies is an observation, not an "
        "experiment."
    )
    return (*notes, *found.verdicts)
