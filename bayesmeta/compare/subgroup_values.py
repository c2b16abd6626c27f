"""What an analysis by subgroup is made of: one result a subgroup, the test, and the differences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bayesmeta.compare.precision import Printed
from bayesmeta.compare.table import natural_text, tau_text
from bayesmeta.compare.values import Row
from bayesmeta.effects import MEASURES
from bayesmeta.errors import unknown
from bayesmeta.events import Benefit
from bayesmeta.frequentist.significance import Test
from bayesmeta.marginals.difference import negated
from bayesmeta.posterior import Marginal
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Interval
from bayesmeta.words import DASH, aligned, counted, folded, level_text, number, p_value, percent

if TYPE_CHECKING:
    import pandas as pd

type Tau = Literal["separate", "common"]


@dataclass(frozen=True, slots=True, eq=False)
class Subgroup:
    """The results of one subgroup, on the analysis scale.

    Parameters
    ----------
    label
        Its name in the data.
    study
        Its studies.
    classical, bayesian
        Rows as in a comparison; the sources are the fits, which are those of all subgroups where tau is common.
    se
        Standard error of the classical estimate, on which the test for differences rests.
    mu
        Posterior of the mean effect.
    """

    label: str
    study: tuple[str, ...]
    classical: Row
    bayesian: Row
    se: float
    mu: Marginal

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)


@dataclass(frozen=True, slots=True)
class Difference:
    """One subgroup's mean effect minus another's, analysis scale (of a ratio: the log of a ratio of ratios).

    Parameters
    ----------
    first, second
        Labels of the subgroups: first minus second.
    estimate, se, interval, p_value
        Classical: confidence interval and two-sided p of no difference.
    posterior
        Of the difference.
    credible
        Its equal-tailed credible interval.
    """

    first: str
    second: str
    estimate: float
    se: float
    interval: Interval
    p_value: float
    posterior: Marginal
    credible: Interval


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Subgroups:
    """Effects by subgroup.

    Parameters
    ----------
    groups
        One a subgroup, in the order in which the data name them.
    overall
        The same of all studies together, whatever their subgroup.
    test
        For differences between subgroups.
    differences
        Every pair, the later minus the earlier.
    effects
        The effect sizes of all studies.
    of
        Study to its subgroup.
    by
        Name of the column, or ``"subgroup"``.
    tau
        ``"separate"`` or ``"common"``.
    level, benefit
        As asked for.
    notes
        What a reader must know, in sentences.
    """

    groups: tuple[Subgroup, ...]
    overall: Subgroup
    test: Test
    differences: tuple[Difference, ...]
    effects: EffectSizes
    of: Mapping[str, str]
    by: str
    tau: Tau
    level: float
    benefit: Benefit | None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        groups, studies = counted(len(self.groups), "subgroup"), counted(self.effects.k, "study")
        return f"<Subgroups by {self.by}: {groups} of {studies}, {self.tau} tau>"

    def __getitem__(self, label: str) -> Subgroup:
        for group in self.groups:
            if group.label == label:
                return group
        raise unknown("subgroup", label, [g.label for g in self.groups])

    @property
    def measure(self) -> str:
        """Effect measure."""
        return self.effects.measure

    @property
    def I2_between(self) -> float:
        """Percent of the variation between the subgroups' effects beyond chance, ``max(0, (Q - df) / Q)``."""
        q = self.test.statistic * (self.test.df if self.test.df2 is not None else 1)
        return max(0.0, 100.0 * (q - self.test.df) / q) if q > 0 else 0.0

    def difference(self, first: str, second: str) -> Marginal:
        """Return the posterior of the first subgroup's mean effect minus the second's, analysis scale.

        Raises
        ------
        ModelError
            If there is no such subgroup, or both are the same.
        """
        for name in (first, second):
            _ = self[name]
        for found in self.differences:
            if (found.first, found.second) == (first, second):
                return found.posterior
            if (found.first, found.second) == (second, first):
                return negated(found.posterior)  # type: ignore[no-any-return]
        raise unknown("other subgroup", second, [g.label for g in self.groups if g.label != first])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a subgroup and one of all studies, on the analysis scale."""
        import pandas as pd

        return pd.DataFrame([_record(group) for group in (*self.groups, self.overall)])

    def differences_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a pair of subgroups, on the analysis scale."""
        import pandas as pd

        rows = [
            {
                "first": d.first,
                "second": d.second,
                "estimate": d.estimate,
                "se": d.se,
                "ci_low": d.interval.low,
                "ci_high": d.interval.high,
                "p_value": d.p_value,
                "posterior_median": d.posterior.median(),
                "credible_low": d.credible.low,
                "credible_high": d.credible.high,
                "p_above_0": float(d.posterior.sf(0.0)),
            }
            for d in self.differences
        ]
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        return "\n".join(subgroup_lines(self))


def _record(group: Subgroup) -> dict[str, object]:
    own, bayes = group.classical, group.bayesian

    def limits(name: str, interval: Interval | None) -> dict[str, float | None]:
        low, high = (None, None) if interval is None else interval
        return {f"{name}_low": low, f"{name}_high": high}

    return {
        "subgroup": group.label,
        "k": group.k,
        "mu": own.mu,
        "se": group.se,
        **limits("ci", own.interval),
        "p_value": own.p_value,
        "tau": own.tau,
        "I2": own.I2,
        "posterior_median": bayes.mu,
        **limits("credible", bayes.interval),
        "posterior_tau": bayes.tau,
        **limits("prediction", bayes.prediction),
        "p_benefit_mean": bayes.p_benefit_mean,
        "p_benefit_new": bayes.p_benefit_new,
    }


def subgroup_lines(found: Subgroups) -> list[str]:
    """Return an analysis by subgroup as lines of plain text, natural scale."""
    heads, rows = subgroup_cells(found)
    each = "a tau of its own in each subgroup" if found.tau == "separate" else "one tau common to all subgroups"
    lines = [f"By {found.by}: {counted(len(found.groups), 'subgroup')} of {counted(found.effects.k, 'study')}, {each}"]
    lines += aligned(heads, rows)
    lines += [test_words(found), *difference_lines(found), *found.notes]
    return [part for line in lines for part in (folded(line) if len(line) > 118 and "  " not in line else [line])]


def subgroup_cells(found: Subgroups) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings and rows as text, natural scale: subgroups, then all studies."""
    level, event = level_text(found.level), event_words(found)
    heads = (
        found.by,
        "k",
        f"{MEASURES[found.measure].short}, {found.overall.classical.method}",
        f"{level} conf.",
        "tau",
        "I²",
        "Bayesian",
        f"{level} cred.",
        "tau",
        *((f"P({event})",) if event else ()),
    )
    return heads, [_row(found, group) for group in (*found.groups, found.overall)]


def _row(found: Subgroups, group: Subgroup) -> tuple[str, ...]:
    own, bayes, effects = group.classical, group.bayesian, found.effects
    plain, shown = natural_text(effects, None), natural_text(effects, group.mu)
    return (
        group.label,
        str(group.k),
        plain.figure(own.mu, 0.5),
        DASH if own.interval is None else plain.limits(own.interval),
        tau_text(found.measure, own.tau),
        percent(own.I2),
        shown.figure(bayes.mu, 0.5),
        DASH if bayes.interval is None else shown.limits(bayes.interval),
        tau_text(found.measure, bayes.tau),
        *((Printed(group.mu).probability(bayes.p_benefit_mean),) if event_words(found) else ()),
    )


def event_words(found: Subgroups) -> str:
    """Return what counts as a benefit, e.g. ``OR < 1``; empty without a direction."""
    null = MEASURES[found.measure].null_natural
    if found.benefit is None or null is None:
        return ""
    return f"{MEASURES[found.measure].short} {'>' if found.benefit == 'higher' else '<'} {null:g}"


def test_words(found: Subgroups) -> str:
    """Return the test for subgroup differences in one sentence."""
    t = found.test
    name = f"Q = {number(t.statistic, 3)}, df = {t.df}" if t.df2 is None else f"F({t.df}, {t.df2}) = {t.statistic:.3g}"
    p = p_value(t.p_value)
    return (
        f"Test for subgroup differences: {name}, p {p if p.startswith('<') else f'= {p}'}, "
        f"I² = {percent(found.I2_between)}."
    )


MOST_PAIRS = 6


def difference_lines(found: Subgroups) -> list[str]:
    """Return one sentence a pair of subgroups: classical and Bayesian difference, and which is probably larger."""
    if len(found.differences) > MOST_PAIRS:
        return [f"{len(found.differences)} differences between pairs: .differences_frame() has them."]
    return [_difference_line(found, d) for d in found.differences]


def _difference_line(found: Subgroups, d: Difference) -> str:
    measure = MEASURES[found.measure]
    what = f"{d.first} minus {d.second}, {measure.analysis_label}"
    if measure.ratio:
        what = f"{found.measure} of {d.first} divided by {found.measure} of {d.second}"
    plain, shown = (Printed(m, math.exp if measure.ratio else float) for m in (None, d.posterior))
    p, larger = p_value(d.p_value), shown.probability(float(d.posterior.sf(0.0)), 3)
    return (
        f"{what}: {plain.figure(d.estimate, 0.5)} ({plain.limits(d.interval)}, confidence), p "
        f"{p if p.startswith('<') else f'= {p}'}; Bayesian {shown.figure(d.posterior.median(), 0.5)} "
        f"({shown.limits(d.credible)}, credible), P(larger in {d.first}) = {larger}."
    )
