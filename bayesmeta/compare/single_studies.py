"""Both schools without each study in turn: whose absence changes the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.compare.precision import Printed
from bayesmeta.compare.rows import REML_CR2, classical_row, components_row
from bayesmeta.compare.table import natural_text, tau_text
from bayesmeta.compare.values import Row
from bayesmeta.effects import MEASURES, effect_sizes
from bayesmeta.errors import BayesMetaError, DataError, ModelError
from bayesmeta.events import Benefit, Event, between, event_for, known_benefit
from bayesmeta.fit import fit
from bayesmeta.frequentist import components, influence, leave_one_out
from bayesmeta.frequentist.pool import CiRule
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.model import load_model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Prior
from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo
from bayesmeta.studies.dependent_rows import rows_of_studies
from bayesmeta.words import DASH, aligned, folded, joined, level_text

if TYPE_CHECKING:
    import pandas as pd

DIAGNOSTICS = "Viechtbauer & Cheung 2010, Res. Synth. Methods 1:112-125"


@dataclass(frozen=True, slots=True, eq=False)
class WithoutOne:
    """Both answers without a study, or of all studies.

    Parameters
    ----------
    study
        The one left out, empty for none.
    classical
        Row as in a comparison; its source is the fit.
    posterior
        None where it could not be computed.
    p_benefit
        Posterior probability that the mean effect is a benefit; None without a direction.
    """

    study: str
    classical: Row
    posterior: Posterior | None
    p_benefit: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SingleStudies:
    """The answers without each study, beside those of all.

    Parameters
    ----------
    rows
        One a study.
    full
        Of all studies.
    influential
        Studies that the diagnostics of Viechtbauer & Cheung mark.
    effects
        All of them.
    level, benefit
        As asked for.
    notes
        What a reader must know, in sentences.
    """

    rows: tuple[WithoutOne, ...]
    full: WithoutOne
    influential: tuple[str, ...]
    effects: EffectSizes
    level: float
    benefit: Benefit | None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<SingleStudies: {self.effects.measure} without each of {self.effects.k} studies>"

    def __str__(self) -> str:
        heads, rows = single_study_cells(self)
        sentences = (influence_words(self), *self.notes)
        return "\n".join([*aligned(heads, rows), *(part for line in sentences for part in folded(line))])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a study left out and one of all, on the analysis scale."""
        import pandas as pd

        return pd.DataFrame([_record(row, self) for row in (*self.rows, self.full)])


def single_studies(
    data: StudyTable | EffectSizes,
    *,
    measure: str | None = None,
    model: str = "normal_normal",
    priors: Mapping[str, str | Prior] | None = None,
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
    benefit: Benefit | None = None,
) -> SingleStudies:
    """Return the classical and the Bayesian answer without each study in turn, and which studies stand out.

    Parameters
    ----------
    data
        At least 2 studies, a row each.
    measure
        Of a table's effects; OR when None.
    model, priors
        Of the Bayesian answers, as in `fit`; the model has quadrature.
    method, ci
        Of the classical answers, as in `frequentist.pool`; tau2 is estimated anew each time.
    level
        Of every interval.
    benefit
        Direction that is a benefit; without it no P(benefit) is computed.

    Raises
    ------
    DataError
        If there are fewer than 2 studies, or several rows a study.
    ModelError
        If an option is unknown, or the model has no quadrature.

    References
    ----------
    Viechtbauer & Cheung (2010), Res. Synth. Methods 1:112-125.

    Examples
    --------
    >>> from bayesmeta.studies import EffectSizes
    >>> found = single_studies(EffectSizes([0.1, 0.3, 0.8], [0.1, 0.2, 0.2], study=["A", "B", "C"], measure="SMD"))
    >>> [round(row.classical.mu, 2) for row in found.rows]
    [0.55, 0.43, 0.14]
    """
    known_benefit(benefit)
    if not isinstance(data, StudyTable | EffectSizes):
        raise DataError(f"single_studies takes a StudyTable or EffectSizes, not {type(data).__name__}.")
    if isinstance(data, EffectSizes) and measure not in (None, data.measure):
        raise DataError(f"The effect sizes are {data.measure}, not {measure}: leave measure out or give the table.")
    effects = data if isinstance(data, EffectSizes) else effect_sizes(data, measure or "OR")
    loaded = load_model(model)
    loaded.check_measure(effects.measure)
    if loaded.data_type is TwoByTwo and effects.counts is None:
        raise ModelError(f"Model {model!r} takes 2x2 counts, and the data have none.")
    full = fit(effects.counts if loaded.data_type is TwoByTwo else effects, loaded, priors=priors, engine="quadrature")
    return without_each(effects, full, method=method, ci=ci, level=level, benefit=benefit)


def without_each(
    effects: EffectSizes,
    full: Posterior,
    *,
    level: float,
    benefit: Benefit | None,
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    bayesian: bool = True,
) -> SingleStudies:
    """Return the answers without each study, given the posterior of all; the classical ones alone on request."""
    parts = rows_of_studies(effects.study, effects.cluster)
    classical, notes = _classical_rows(effects, parts, full, method, ci, level)
    rows = []
    for (study, names), fitted in zip(parts.items(), classical, strict=False):
        left = None
        try:
            # What the primary analysis says of its sampler does not hold for these: all are deterministic.
            if bayesian:
                left = fit(full.data.drop(names), full.model, priors=full.priors, engine="quadrature")
        except BayesMetaError as error:
            notes.append(f"Without {study} no posterior was computed: {error}")
        rows.append(WithoutOne(study, fitted, left, _p_benefit(left, effects, benefit)))
    marked = _marked(effects, method, ci, notes) if effects.independent else ()
    return SingleStudies(
        tuple(rows),
        WithoutOne("", classical[-1], full, _p_benefit(full, effects, benefit)),
        marked,
        effects,
        level,
        benefit,
        tuple(notes),
    )


def _classical_rows(
    effects: EffectSizes, parts: Mapping[str, tuple[str, ...]], full: Posterior, method: str, ci: CiRule, level: float
) -> tuple[list[Row], list[str]]:
    """Return the classical rows without each study, then of all, and what must be known of them."""
    if effects.independent:
        refits = leave_one_out(effects, method=method, ci=ci, level=level)
        return [classical_row(fit.method, fit) for fit in (*refits.fits, refits.full)], list(refits.notes)
    if len(parts) < 3:
        raise DataError(f"These are {len(parts)} studies: leaving one out of several rows a study needs three.")
    sets = [*(effects.drop(names) for names in parts.values()), effects]
    name = full.model.name
    fits = [components(part, model=name, robust="CR2", level=level) for part in sets]
    return [components_row(REML_CR2, fit) for fit in fits], []


def _marked(effects: EffectSizes, method: str, ci: CiRule, notes: list[str]) -> tuple[str, ...]:
    try:
        found = influence(effects, method=method, ci=ci)
    except BayesMetaError as error:
        notes.append(f"Influence diagnostics were not computed: {error}")
        return ()
    return tuple(s for s, yes in zip(effects.study, np.asarray(found.influential), strict=True) if yes)


def _p_benefit(posterior: Posterior | None, effects: EffectSizes, benefit: Benefit | None) -> float | None:
    event = _event(effects, benefit)
    if posterior is None or event is None:
        return None
    low, high = (event.threshold, None) if event.direction == "higher" else (None, event.threshold)
    return between(posterior.mu, low, high)


def _event(effects: EffectSizes, benefit: Benefit | None) -> Event | None:
    """Return what a benefit is; None without a direction, and for measures without a value that means no effect."""
    known = benefit is not None and MEASURES[effects.measure].null_natural is not None
    return event_for(effects.measure, benefit) if known else None


def single_study_cells(found: SingleStudies) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings and rows as text, natural scale: without each study, then all of them."""
    measure, level = MEASURES[found.effects.measure], level_text(found.level)
    event = _event(found.effects, found.benefit)
    heads = (
        "Without",
        f"{measure.short}, {found.full.classical.method} ({level} conf.)",
        "tau",
        f"Bayesian ({level} cred.)",
        *((f"P({event.text})",) if event else ()),
    )
    return heads, [_cells(row, found, with_p=event is not None) for row in (*found.rows, found.full)]


def _cells(row: WithoutOne, found: SingleStudies, *, with_p: bool) -> tuple[str, ...]:
    own, plain = row.classical, natural_text(found.effects, None)
    limits = DASH if own.interval is None else plain.limits(own.interval)
    classical = f"{plain.figure(own.mu, 0.5)} ({limits})"
    bayesian, p = DASH, DASH
    if row.posterior is not None:
        shown = natural_text(found.effects, row.posterior.mu)
        bayesian = f"{shown.median()} ({shown.limits(row.posterior.mu.eti(found.level))})"
        p = DASH if row.p_benefit is None else Printed(row.posterior.mu).probability(row.p_benefit)
    label = row.study or "none of them"
    return (label, classical, tau_text(found.effects.measure, own.tau), bayesian, *((p,) if with_p else ()))


def influence_words(found: SingleStudies) -> str:
    """Return in a sentence which studies the diagnostics mark."""
    rule = f"Influence ({DIAGNOSTICS}, {found.full.classical.method})"
    if not found.effects.independent:
        return "Left out are studies with all their rows. Classical intervals are cluster-robust (CR2)."
    if not found.influential:
        return f"{rule}: no study stands out."
    verb = "stands" if len(found.influential) == 1 else "stand"
    return f"{rule}: {joined(found.influential)} {verb} out. That asks for a look; it is no reason to leave one out."


def _record(row: WithoutOne, found: SingleStudies) -> dict[str, object]:
    own = row.classical
    credible = None if row.posterior is None else row.posterior.mu.eti(found.level)
    return {
        "without": row.study or None,
        "mu": own.mu,
        "ci_low": None if own.interval is None else own.interval.low,
        "ci_high": None if own.interval is None else own.interval.high,
        "tau": own.tau,
        "I2": own.I2,
        "posterior_median": None if row.posterior is None else row.posterior.mu.median(),
        "credible_low": None if credible is None else credible.low,
        "credible_high": None if credible is None else credible.high,
        "p_benefit": row.p_benefit,
        "influential": row.study in found.influential,
    }
