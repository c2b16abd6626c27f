"""Sequential and living meta-analysis: the posterior after each study, and each study against those before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.precision import Printed, figure_error, written
from bayesmeta.compare.table import daggered, tau_text
from bayesmeta.decisions.next_table import check_table
from bayesmeta.decisions.predictive import Check, check_estimate, check_events, log_predictive
from bayesmeta.decisions.quantities import MEAN, NEW, marginals_of, measure_of
from bayesmeta.decisions.study_orders import Studies, joined, places, studies_for, take
from bayesmeta.engines import ENGINES
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.events import Benefit, Scale, between, check_benefit, check_values, measure_scale, side_of_benefit
from bayesmeta.fit import fit
from bayesmeta.marginals.convergence import decimals
from bayesmeta.model import Model, load_model
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.priors import fill_defaults
from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo
from bayesmeta.words import DAGGER, DASH, aligned, folded, level_text, number, p_value

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """The state of knowledge after one more study.

    Parameters
    ----------
    added
        The study that was added; the studies it starts from, in the first step of an update.
    posterior
        Given this study and all before it.
    check
        The study against the prediction from those before; None for the first step, and where none is possible.
    no_check
        Why there is no check, where that is not plain: words for the reader, else empty.
    log_predictive
        Log density of the study's data, predicted from those before; of the first step the log evidence.
        None where a prior is improper or depends on the data, and where the engine has none.
    p_mean, p_new
        Probability of an effect beyond the threshold, in the direction of benefit; None without a direction.
    """

    added: tuple[str, ...]
    posterior: Posterior
    check: Check | None
    log_predictive: float | None
    p_mean: float | None
    p_new: float | None
    no_check: str = ""

    @property
    def label(self) -> str:
        """What was added, for the reader."""
        return self.added[0] if len(self.added) == 1 else f"(the first {len(self.added)} studies)"


@dataclass(frozen=True, slots=True, eq=False)
class Sequential:
    """A meta-analysis that grows study by study.

    Parameters
    ----------
    steps
        In the order the studies came.
    measure
        Effect measure.
    benefit
        Direction that is a benefit; None where none was given.
    threshold
        Natural scale: the probabilities are about effects beyond it.
    level
        Of every interval.
    reconstructed
        Studies whose counts were reconstructed: they are marked.
    """

    steps: tuple[Step, ...]
    measure: str
    benefit: Benefit | None
    threshold: float | None
    level: float
    reconstructed: tuple[str, ...] = ()

    @property
    def posterior(self) -> Posterior:
        """Given all studies."""
        return self.steps[-1].posterior

    @property
    def log_predictive(self) -> float | None:
        """Log density of all studies after the first step, each predicted from those before; their order is no matter.

        None where a step has none.
        """
        parts = [step.log_predictive for step in self.steps[1:]]
        return None if any(p is None for p in parts) else float(np.sum([p for p in parts if p is not None]))

    @property
    def event(self) -> str:
        """The event whose probability is followed, e.g. ``OR < 1``; empty without a direction of benefit."""
        if self.benefit is None or self.threshold is None:
            return ""
        return measure_scale(self.measure).words(*side_of_benefit(self.threshold, self.benefit))

    def path(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return headings and rows of the posterior after each step, on the natural scale."""
        name, level = measure_scale(self.measure).label, level_text(self.level)
        heads = ["after adding", "k", f"{name}, mean effect [{level}]", f"new study {level}", "tau"]
        heads += [f"P({self.event}), mean", "new study"] if self.event else []
        return tuple(heads), [self._row(step) for step in self.steps]

    def _row(self, step: Step) -> tuple[str, ...]:
        scale, posterior = measure_scale(self.measure), step.posterior
        mean, marginals = posterior.mu.eti(self.level), marginals_of(posterior)
        cells = [daggered(step.label, self.reconstructed), str(posterior.k)]
        printed = Printed(posterior.mu, scale.to_natural)
        cells.append(f"{printed.median()} [{printed.limits(mean)}]")
        new = marginals.get(NEW)
        cells.append(DASH if new is None else Printed(new, scale.to_natural).limits(new.eti(self.level)))
        tau = posterior.marginals.get("tau")
        cells.append(DASH if tau is None else tau_text(self.measure, tau.median(), figure_error(tau, 0.5)))
        if self.event:
            chances = ((step.p_mean, MEAN), (step.p_new, NEW))
            cells += [Printed(marginals.get(estimand)).probability(value) for value, estimand in chances]
        return tuple(cells)

    def checks(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return headings and rows of each study beside its prediction, on the natural scale; empty without any."""
        checked = [step for step in self.steps if step.check is not None or step.no_check]
        whats = [step.check.what for step in checked if step.check is not None]
        if not whats:
            return (), []
        what = whats[0]
        name = f"its {measure_scale(self.measure).label}" if what == "estimate" else "its events under treatment"
        heads = ("study", name, f"{level_text(self.level)} predicted by those before", "p")
        scale = measure_scale(self.measure)
        return heads, [(daggered(s.label, self.reconstructed), *_check_cells(s.check, scale)) for s in checked]

    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know to use the table."""
        level = level_text(self.level)
        doubtful = [(step.label, p) for step in self.steps if not (p := step.posterior.diagnostics).ok]
        said = [f"After {label}: {found.verdict}" for label, found in doubtful]
        said += [
            f"Medians and equal-tailed intervals: {level} credible for the mean effect, {level} posterior prediction "
            "for the true effect of a new study. Probabilities are given the model, the studies so far and the priors.",
            "The prediction includes the study's own sampling error. p: two-sided predictive p-value; a small one says "
            "that the study surprises, as some will by chance in a long sequence.",
        ]
        if any(step.check is not None and step.check.what != "estimate" for step in self.steps):
            said.append("Events under treatment are predicted given the study's arm sizes and its events in all.")
        said += [f"{step.label} is not checked: {step.no_check}." for step in self.steps if step.no_check]
        if self.reconstructed:
            said.append(f"{DAGGER} Counts reconstructed: {', '.join(self.reconstructed)}.")
        return tuple(said)

    def __str__(self) -> str:
        notes = [line for note in self.notes() for line in folded(note)]
        heads, rows = self.checks()
        checks = ["", "Each study against those before it", *aligned(heads, rows)] if rows else []
        return "\n".join(["After each study", *aligned(*self.path()), *checks, *notes])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a step, effects on the analysis scale."""
        import pandas as pd

        rows = []
        for step in self.steps:
            mean = step.posterior.mu.eti(self.level)
            row: dict[str, Any] = {
                "study": step.added[0] if len(step.added) == 1 else "",
                "k": step.posterior.k,
                "mu": step.posterior.mu.median(),
                "mu_low": mean.low,
                "mu_high": mean.high,
                "tau": step.posterior.tau.median() if "tau" in step.posterior.marginals else None,
                "p_mean": step.p_mean,
                "p_new": step.p_new,
                "log_predictive": step.log_predictive,
            }
            check = step.check
            for key in ("observed", "low", "high", "p"):
                row[f"predicted_{key}" if key in ("low", "high") else key] = (
                    None if check is None else getattr(check, key)
                )
            rows.append(row)
        return pd.DataFrame(rows)


def _check_cells(check: Check | None, scale: Scale) -> tuple[str, str, str]:
    if check is None:
        return DASH, DASH, DASH
    p = p_value(check.p, decimals(check.p_error, 3))
    if check.what != "estimate":
        return f"{check.observed:.0f}", f"{check.low:.0f} to {check.high:.0f}", p
    low, high = (
        written(scale.to_natural, value, error)
        for value, error in ((check.low, check.low_error), (check.high, check.high_error))
    )
    return number(scale.to_natural(check.observed)), f"{low} to {high}", p


def sequential(
    data: Studies | StudyTable,
    model: str | Path | Model = "normal_normal",
    *,
    order: str | Sequence[str] | None = None,
    start: int = 1,
    measure: str | None = None,
    benefit: Benefit | None = None,
    threshold: float | None = None,
    priors: Mapping[str, Any] | None = None,
    level: float = 0.95,
    engine: str = "auto",
    seed: int | None = None,
    **options: Any,
) -> Sequential:
    """Return the posterior after each study, and each study's result against what those before it predict.

    Looking after every study needs no correction here: the posterior depends on the data, not on when one
    looked. The priors are those of the whole analysis from the first step on.

    Parameters
    ----------
    data
        Effect sizes, counts, or a study table (then with `measure` for a model of effect sizes).
    model, priors, engine, seed, **options
        As in `bayesmeta.fit`.
    order
        Labels of all studies in the order to add them, or the name of a column of a study table to sort by, e.g.
        ``"year"``; as they are when None.
    start
        How many studies the first step has.
    measure
        Effect measure of a study table; or of counts under a model of one's own.
    benefit
        Direction that is a benefit; without it no probability is followed.
    threshold
        Natural scale; no effect when None.
    level
        Of every interval.

    Raises
    ------
    DataError
        If the order does not name every study once, or the data are not what the model takes.
    ModelError
        If `start` is out of range, or a step has no proper posterior.
    """
    loaded = load_model(model)
    studies = studies_for(data, loaded, measure)
    if order is not None:
        studies = take(studies, places(data, studies, order))
    if not 1 <= start <= studies.k:
        raise ModelError(f"start={start}: the first step has from 1 to {studies.k} of the {studies.k} studies.")
    known = loaded.with_priors(fill_defaults(studies, loaded.priors, priors))
    fits = [_fit(studies, k, loaded, known, engine, seed, options) for k in range(start, studies.k + 1)]
    return _sequence(fits, studies, measure, benefit, threshold, level)


def update(
    posterior: Posterior,
    later: Studies | StudyTable,
    *,
    measure: str | None = None,
    benefit: Benefit | None = None,
    threshold: float | None = None,
    level: float = 0.95,
    **options: Any,
) -> Sequential:
    """Return a posterior updated by later studies, one at a time, each checked against those before it.

    Parameters
    ----------
    posterior
        Of the studies so far; its model, priors and engine are kept. ``update(...).posterior`` is the new one.
    later
        The later studies, of the same kind and measure, in the order to add them.
    measure, benefit, threshold, level
        As in `sequential`.
    **options
        Of the engine.

    Raises
    ------
    DataError
        If a later study has the label of an earlier one, or the measures differ.
    ModelError
        If the posterior is an average of models.
    """
    if not isinstance(posterior, Posterior):
        raise ModelError(
            f"update takes the posterior of the studies so far, not {type(posterior).__name__}: "
            "fit them first, e.g. bm.update(bm.fit(effects), later)."
        )
    if posterior.engine not in ENGINES:
        raise ModelError(
            f"A posterior by {posterior.engine!r} cannot be updated: update each fit it was made of, then average "
            "again."
        )
    loaded = posterior.model
    known = getattr(posterior.data, "measure", None)
    more = studies_for(later, loaded, known or measure)
    studies = joined(posterior.data, more)
    first = posterior.k
    fits = [posterior] + [
        _fit(studies, k, loaded, posterior.priors, posterior.engine, posterior.seed, options)
        for k in range(first + 1, studies.k + 1)
    ]
    return _sequence(fits, studies, measure, benefit, threshold, level)


def _sequence(
    fits: Sequence[Posterior],
    studies: Studies,
    measure: str | None,
    benefit: Benefit | None,
    threshold: float | None,
    level: float,
) -> Sequential:
    name = measure_of(fits[-1], measure)
    scale = measure_scale(name)
    direction = None if benefit is None else check_benefit(benefit)
    at = scale.null if threshold is None else check_values(scale, [threshold], "threshold")[0]
    if direction is not None and at is None:
        raise ModelError(f"{scale.label} has no value that means no effect: give a threshold.")
    steps = []
    for i, posterior in enumerate(fits):
        before = fits[i - 1] if i else None
        first = studies.study[: posterior.k] if before is None else studies.study[before.k : posterior.k]
        check, no_check = (None, "") if before is None else _check(before, studies, before.k, name, level)
        gained = log_predictive(before, posterior, studies)
        p_mean, p_new = (_beyond(posterior, estimand, direction, at, scale) for estimand in (MEAN, NEW))
        steps.append(Step(tuple(first), posterior, check, gained, p_mean, p_new, no_check))
    return Sequential(tuple(steps), name, direction, at, level, _reconstructed(studies))


def _reconstructed(studies: Studies) -> tuple[str, ...]:
    counts = studies if isinstance(studies, TwoByTwo) else studies.counts
    return () if counts is None else reconstructed(counts)


def _beyond(
    posterior: Posterior, estimand: str, benefit: Benefit | None, threshold: float | None, scale: Scale
) -> float | None:
    marginal: Marginal | None = marginals_of(posterior).get(estimand)
    if marginal is None or benefit is None or threshold is None:
        return None
    at = scale.from_natural(threshold)
    return between(marginal, *side_of_benefit(at, benefit))


def _check(before: Posterior, studies: Studies, i: int, measure: str, level: float) -> tuple[Check | None, str]:
    """Return study `i` against the prediction of the studies before it, or why that is not possible."""
    if "theta_new" not in before.marginals:
        return None, ""
    if isinstance(studies, EffectSizes):
        return check_estimate(before.theta_new, float(studies.yi[i]), float(studies.sei[i]), level=level), ""
    if measure != "OR":
        own = take(studies, [i])
        assert isinstance(own, TwoByTwo)
        return check_table(before, own, level=level)
    cells = (studies.events_treatment, studies.n_treatment, studies.events_control, studies.n_control)
    first, second, third, fourth = (float(c[i]) for c in cells)
    return check_events(before.theta_new, (first, second, third, fourth), level=level), ""


def _fit(
    studies: Studies,
    k: int,
    model: Model,
    priors: Mapping[str, Any],
    engine: str,
    seed: int | None,
    options: Mapping[str, Any],
) -> Posterior:
    try:
        return fit(take(studies, range(k)), model, priors=priors, engine=engine, seed=seed, **options)
    except (ModelError, ConvergenceError) as error:
        said = f"With the first {k} of {studies.k} studies: {error} Or let the first step have more studies: start=."
        raise type(error)(said) from None
