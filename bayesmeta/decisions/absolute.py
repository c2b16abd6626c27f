"""Absolute effects: how many more or fewer in 1000 have the event, over a baseline risk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayesmeta.compare.precision import Printed, figure_error
from bayesmeta.decisions.baseline import Baseline, baseline_risk, events_per_1000
from bayesmeta.decisions.event_table import Probability
from bayesmeta.decisions.number_needed import NumberNeeded, number_needed
from bayesmeta.decisions.quantities import ESTIMANDS, MEAN, NEW, marginals_of, measure_of
from bayesmeta.decisions.risk import impossible, risk_difference, risk_map
from bayesmeta.errors import ModelError, unknown
from bayesmeta.events import Benefit, Scale, between, check_benefit, plain, side_of_benefit
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.values import Interval
from bayesmeta.words import aligned, folded, interval_name, level_text

if TYPE_CHECKING:
    import pandas as pd


def change_words(per_1000: float, error: float | None = None) -> str:
    """Return a difference per 1000 in words, with the digits that its Monte Carlo error supports.

    Examples
    --------
    >>> change_words(-61.7), change_words(3.04), change_words(0.0), change_words(-61.7, 2.5)
    ('62 fewer', '3.0 more', 'no difference', '60 fewer')
    """
    if per_1000 == 0:
        return "no difference"
    return f"{events_per_1000(per_1000, error)} {'fewer' if per_1000 < 0 else 'more'}"


def span_words(low: float, high: float, errors: tuple[float | None, float | None] = (None, None)) -> str:
    """Return a range of differences per 1000 in words, the direction once where it is one.

    `errors` are the Monte Carlo standard errors of the two.

    Examples
    --------
    >>> span_words(-231.0, -20.2), span_words(-258.0, 73.0)
    ('231 to 20 fewer', '258 fewer to 73 more')
    """
    if low * high > 0:
        return f"{events_per_1000(low, errors[0])} to {change_words(high, errors[1])}"
    return f"{change_words(low, errors[0])} to {change_words(high, errors[1])}"


def _event_words(low: float | None, high: float | None) -> str:
    """Return bounds on the difference per 1000 as an event in words."""
    if low is None:
        assert high is not None
        return _beyond(high, high <= 0, "fewer")
    if high is None:
        return _beyond(low, low >= 0, "more")
    return f"between {_change(low)} and {_change(high)} per 1000"


def _beyond(bound: float, outwards: bool, way: str) -> str:
    if bound == 0:
        return f"{way} events"
    return f"more than {plain(abs(bound))} {way} per 1000" if outwards else f"less than {_change(bound)} per 1000"


def _change(bound: float) -> str:
    return "no difference" if bound == 0 else f"{plain(abs(bound))} {'fewer' if bound < 0 else 'more'}"


_SHORT = {MEAN: "mean effect", NEW: "new study"}

PER_1000 = Scale(
    label="difference in events per 1000",
    to_natural=lambda x: 1000.0 * x,
    from_natural=lambda x: x / 1000.0,
    null=0.0,
    ratio=False,
    words=_event_words,
)


@dataclass(frozen=True, slots=True, eq=False)
class AbsoluteEffect:
    """Events per 1000 with treatment and without, over one baseline risk.

    Parameters
    ----------
    risk_difference
        Posterior of risk with treatment minus baseline risk, as a probability.
    estimand
        Whose effect: the mean, or that of a new study.
    measure
        The relative measure it was computed from.
    baseline
        The risk without treatment.
    benefit
        Direction that is a benefit; None where it is not known.
    level
        Of the intervals printed.
    cut
        Probability that the relative effect takes the risk beyond 0 or 1, where it was cut.
    """

    risk_difference: Marginal
    estimand: str
    measure: str
    baseline: Baseline
    benefit: Benefit | None
    level: float
    cut: float

    def quantities(self) -> tuple[Scale, Mapping[str, Marginal]]:
        """Return the scale (events per 1000) and the marginal, for tables of probabilities."""
        return PER_1000, {self.estimand: self.risk_difference}

    def per_1000(self, level: float | None = None) -> tuple[float, Interval]:
        """Return the median difference in events per 1000, negative for fewer, and its interval."""
        inside = self.risk_difference.eti(self.level if level is None else level)
        scaled = Interval(1000.0 * inside.low, 1000.0 * inside.high, inside.level, inside.kind, inside.rule)
        return 1000.0 * self.risk_difference.median(), scaled

    def words(self) -> tuple[str, str]:
        """Return `per_1000` in words: the median and its interval."""
        middle, inside = self.per_1000()
        tail = (1.0 - inside.level) / 2.0
        errors = (self.error(tail), self.error(1.0 - tail))
        return change_words(middle, self.error(0.5)), span_words(inside.low, inside.high, errors)

    def error(self, q: float) -> float | None:
        """Return the Monte Carlo standard error of a quantile, in events per 1000; None where nothing was sampled."""
        error = figure_error(self.risk_difference, q)
        return None if error is None else 1000.0 * error

    def cut_note(self) -> str:
        """Return what was done where a relative effect is impossible at the baseline risk."""
        return (
            f"With probability {Printed(self.risk_difference).probability(self.cut)} the relative effect would take "
            "this risk beyond 0 or 1: it was cut there, which says that the measure does not suit so different a "
            "baseline."
        )

    @property
    def p_benefit(self) -> float:
        """Posterior probability that treatment helps.

        Raises
        ------
        ModelError
            If no direction of benefit is known.
        """
        return between(self.risk_difference, *side_of_benefit(0.0, check_benefit(self.benefit)))

    def number_needed(self, level: float | None = None) -> NumberNeeded:
        """Return the number needed to treat or harm.

        Raises
        ------
        ModelError
            If no direction of benefit is known.
        """
        return number_needed(
            self.risk_difference,
            benefit=check_benefit(self.benefit),
            level=self.level if level is None else level,
            estimand=self.estimand,
        )

    def __str__(self) -> str:
        middle, limits = self.words()
        said = (
            f"{middle} per 1000 ({interval_name(self.per_1000()[1])} {limits}; {self.estimand}; from {self.measure}; "
            f"baseline risk {self.baseline.words})"
        )
        return f"{said}. {self.cut_note()}" if self.cut > 1e-6 else f"{said}."


def absolute_effect(
    posterior: Posterior,
    baseline: Any,
    *,
    estimand: str = "mean",
    benefit: Benefit | None = None,
    measure: str | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> AbsoluteEffect:
    r"""Return how many more or fewer in 1000 have the event with treatment.

    With an assumed control risk ACR, from an odds ratio

    .. math:: 1000 \left(\frac{OR \cdot ACR}{1 - ACR + OR \cdot ACR} - ACR\right),

    from a risk ratio ``1000 ACR (RR - 1)``, from a hazard ratio ``1000 (1 - ACR - (1 - ACR)^HR)``.

    Parameters
    ----------
    posterior
        Of OR, RR, HR or RD.
    baseline
        Risk without treatment: a number, a scipy distribution, counts or a `Baseline`; see `baseline_risk`.
        An uncertain one is taken as independent of the relative effect.
    estimand
        ``"mean"`` (the mean effect) or ``"new"`` (the true effect of a new study).
    benefit
        ``"lower"`` where the event is a harm, ``"higher"`` where it is a good; needed for the NNT only.
    measure
        Where the posterior does not know it.
    level
        Of the intervals printed.
    seed
        Pairs draws with baseline risks, where there are draws and the risk is uncertain; the posterior's when None.

    Raises
    ------
    ModelError
        If the baseline risk is not strictly between 0 and 1, or the measure is not about risks.

    References
    ----------
    Higgins & Green (2011), Cochrane Handbook 5.1, section 12.5.4.
    """
    if estimand not in ESTIMANDS:
        raise unknown("estimand", estimand, ESTIMANDS)
    name = measure_of(posterior, measure)
    mapping = risk_map(name)
    known = marginals_of(posterior)
    if ESTIMANDS[estimand] not in known:
        raise unknown("quantity of this posterior:", "theta_new", posterior.marginals)
    base, risk = known[ESTIMANDS[estimand]], baseline_risk(baseline)
    cut = impossible(base, mapping, risk)
    difference = risk_difference(
        base,
        mapping,
        risk,
        cut=cut,
        kind="credible" if estimand == "mean" else "posterior prediction",
        seed=posterior.seed if seed is None else seed,
    )
    direction = None if benefit is None else check_benefit(benefit)
    return AbsoluteEffect(difference, ESTIMANDS[estimand], name, risk, direction, level, cut)


def nnt(
    posterior: Posterior,
    baseline: Any,
    *,
    benefit: Benefit | None,
    estimand: str = "mean",
    measure: str | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> NumberNeeded:
    """Return the number needed to treat or harm over a baseline risk.

    Parameters
    ----------
    posterior, baseline, estimand, measure, level, seed
        As in `absolute_effect`.
    benefit
        ``"lower"`` where the event is a harm, ``"higher"`` where it is a good.

    Raises
    ------
    ModelError
        As `absolute_effect`, and if there is no direction of benefit.
    """
    direction = check_benefit(benefit)
    effect = absolute_effect(
        posterior, baseline, estimand=estimand, benefit=direction, measure=measure, level=level, seed=seed
    )
    return effect.number_needed()


@dataclass(frozen=True, slots=True, eq=False)
class AbsoluteTable:
    """Absolute effects over several baseline risks, mean effect and new study.

    Parameters
    ----------
    effects
        The rows.
    others
        The same rows under other sets of priors.
    """

    effects: tuple[AbsoluteEffect, ...]
    others: tuple[tuple[AbsoluteEffect, ...], ...] = ()

    def cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return headings and rows as text."""
        with_numbers = self.effects[0].benefit is not None
        level = level_text(self.effects[0].level)
        heads = ["baseline risk", "estimand", "per 1000", f"{level} interval"]
        heads += ["over priors"] if self.others else []
        heads += ["P(benefit)", f"NNT ({level} interval)"] if with_numbers else []
        rows = []
        for i, effect in enumerate(self.effects):
            same = [effect, *(rows_[i] for rows_ in self.others)]
            cells = [effect.baseline.words, _SHORT[effect.estimand], *effect.words()]
            if self.others:
                ordered = sorted(same, key=lambda e: e.risk_difference.median())
                low, high = (1000.0 * e.risk_difference.median() for e in (ordered[0], ordered[-1]))
                cells.append(span_words(low, high, (ordered[0].error(0.5), ordered[-1].error(0.5))))
            if with_numbers:
                cells += [_p_words(same), effect.number_needed().words()]
            rows.append(tuple(cells))
        return tuple(heads), rows

    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know to use the table."""
        first = self.effects[0]
        said = [
            f"Difference in events per 1000 patients, with treatment minus without, from the {first.measure}; "
            "posterior medians. Intervals are equal-tailed: credible for the mean effect, posterior prediction for the "
            "true effect of a new study."
        ]
        if first.benefit is not None:
            said.append(
                f"A benefit is {'fewer' if first.benefit == 'lower' else 'more'} events. NNTB, NNTH: number needed to "
                "treat for one more patient to benefit, or to be harmed; rounded up. An interval that holds no effect "
                "has two pieces, which meet at infinity."
            )
        if self.others:
            said.append(
                f"Over priors and in brackets: smallest and largest over {len(self.others) + 1} sets of priors, the "
                "primary one included."
            )
        if any(not e.baseline.fixed for e in self.effects):
            said.append("An uncertain baseline risk is taken as independent of the relative effect.")
        said += [f"Baseline risk {e.baseline.words}: {e.baseline.source}." for e in self._pooled()]
        said += [f"{e.baseline.words}, {e.estimand}: {e.cut_note()}" for e in self.effects if e.cut > 1e-3]
        return tuple(said)

    def _pooled(self) -> list[AbsoluteEffect]:
        known = {e.baseline.words: e for e in self.effects if e.baseline.posterior is not None}
        return list(known.values())

    def __str__(self) -> str:
        notes = [line for note in self.notes() for line in folded(note)]
        heads, rows = self.cells()
        lines = aligned(heads[1:], [row[1:] for row in rows])
        said, last = [lines[0]], ""
        for row, line in zip(rows, lines[1:], strict=True):
            said += [f"Baseline risk {row[0]}"] if row[0] != last else []
            said.append(line)
            last = row[0]
        return "\n".join(["Absolute effects", *said, *notes])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a baseline risk and estimand."""
        import pandas as pd

        rows = []
        for effect in self.effects:
            middle, inside = effect.per_1000()
            row: dict[str, Any] = {
                "baseline": effect.baseline.words,
                "baseline_mean": effect.baseline.mean,
                "estimand": effect.estimand,
                "per_1000": middle,
                "low": inside.low,
                "high": inside.high,
                "cut": effect.cut,
            }
            if effect.benefit is not None:
                needed = effect.number_needed()
                row |= {"p_benefit": needed.p_benefit, "nnt": needed.words()}
            rows.append(row)
        return pd.DataFrame(rows)


def _p_words(same: Sequence[AbsoluteEffect]) -> str:
    """Return the probability of benefit of the first, and in brackets the range of all."""
    return str(Probability.over([(e.p_benefit, e.risk_difference) for e in same]))


def absolute_table(
    posterior: Posterior,
    baselines: Sequence[Any],
    *,
    benefit: Benefit | None = None,
    measure: str | None = None,
    level: float = 0.95,
    seed: int | None = None,
    others: Sequence[Posterior] = (),
) -> AbsoluteTable:
    """Return absolute effects over several baseline risks, for the mean effect and for a new study's.

    Parameters
    ----------
    baselines
        At least one baseline risk.
    others
        Posteriors under other sets of priors.
    posterior, benefit, measure, level, seed
        As in `absolute_effect`, and so are the errors raised.
    """
    risks = [baseline_risk(b) for b in baselines]
    if not risks:
        raise ModelError("There is no baseline risk: give at least one, e.g. [0.2, 0.3].")
    named = [name for name, words in ESTIMANDS.items() if words in marginals_of(posterior)]

    def rows(of: Posterior) -> tuple[AbsoluteEffect, ...]:
        return tuple(
            absolute_effect(of, risk, estimand=name, benefit=benefit, measure=measure, level=level, seed=seed)
            for risk in risks
            for name in named
        )

    return AbsoluteTable(rows(posterior), tuple(rows(other) for other in others))
