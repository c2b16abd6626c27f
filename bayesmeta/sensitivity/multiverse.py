"""A multiverse: one question analysed in every combination of defensible choices, classical rows beside it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import is_ratio
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.events import Event, check_benefit, event_for
from bayesmeta.frequentist.batch import pool_many
from bayesmeta.model import Model, load_model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import default_prior
from bayesmeta.sensitivity.drivers import Driver, decompose
from bayesmeta.sensitivity.many import QUANTITIES, Job, answers
from bayesmeta.sensitivity.multiverse_data import Data, DataSet, data_sets, exact_sets, rules_of, subsets_of
from bayesmeta.sensitivity.presets import labelled, mu_presets, tau_presets
from bayesmeta.studies import EffectSizes, PersonTime, StudyTable, TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pandas as pd

CHOICES = ("likelihood", "measure", "zero cells", "studies", "mu prior", "tau prior")
ESTIMATORS = ("DL wald", "DL hksj", "REML wald", "REML hksj", "EE wald")


@dataclass(frozen=True, slots=True, eq=False)
class Multiverse:
    """The answers of every combination of choices.

    Parameters
    ----------
    levels
        Choice to its levels.
    codes
        Choice to the ``(m,)`` index of the level of each Bayesian analysis.
    results
        ``p_mu`` and ``p_theta_new`` (probabilities of benefit), ``p_mu_exactly`` and ``p_theta_new_exactly`` (of
        exactly the threshold, counted as no benefit), ``mu_median`` and the like, ``log_evidence``:
        ``(m,)`` each, on the analysis scale of each analysis' measure; nan where there is no answer.
    reasons
        Index of an analysis to why it has no answer.
    missing
        Why combinations of measure, zero-cell rule and studies have no data set.
    classical
        Columns of the classical rows: the choices, ``estimator``, ``mu``, ``low``, ``high``, ``p_value``, ``tau``.
    events
        Measure to the event whose probability is given.
    level
        Of the intervals.
    """

    levels: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, NDArray[np.intp]]
    results: Mapping[str, Array]
    reasons: Mapping[int, str]
    missing: tuple[str, ...]
    classical: Mapping[str, Sequence[Any]]
    events: Mapping[str, Event]
    level: float

    @property
    def m(self) -> int:
        """Number of Bayesian analyses."""
        return len(self.results["p_mu"])

    def to_frame(self) -> "pd.DataFrame":
        """Return one row an analysis, the Bayesian ones first; ``kind`` says which is which."""
        import pandas as pd

        choices = {name: np.array(self.levels[name], dtype=object)[code] for name, code in self.codes.items()}
        bayesian = pd.DataFrame({"kind": "bayesian", **choices, **self.results})
        if not len(self.classical["estimator"]):
            return bayesian
        return pd.concat([bayesian, pd.DataFrame({"kind": "classical", **self.classical})], ignore_index=True)

    def column(self, name: str) -> Array:
        """Return one result, ``(m,)``, or say which there are."""
        if name not in self.results:
            raise unknown("result of a multiverse:", name, self.results)
        return self.results[name]

    def range(self, name: str = "p_mu") -> tuple[float, float, float]:
        """Return the smallest, median and largest value of a result over all analyses."""
        found = self.column(name)[np.isfinite(self.column(name))]
        if not found.size:
            raise ModelError(f"No analysis gave an answer. {next(iter(self.reasons.values()), '')}")
        return float(found.min()), float(np.median(found)), float(found.max())

    def share(self, at_least: float, name: str = "p_mu") -> float:
        """Return the share of analyses whose result is at least this."""
        found = self.column(name)[np.isfinite(self.column(name))]
        return float(np.mean(found >= at_least))

    def drivers(self, name: str = "p_mu") -> tuple[Driver, ...]:
        """Return which choices the result depends on, the strongest first."""
        probability = name.startswith("p_")
        return decompose(self.column(name), self.codes, self.levels, probability=probability)

    def __str__(self) -> str:
        from bayesmeta.sensitivity.sentences import multiverse_text

        return multiverse_text(self)


def multiverse(
    data: Data,
    *,
    benefit: str | None,
    measures: Sequence[str] | None = None,
    zero_cells: Sequence[tuple[float, str]] | None = None,
    subsets: str | Mapping[str, Iterable[str]] = "leave_one_out",
    mu: Any = None,
    tau: Any = None,
    models: Sequence[str | Model] = ("normal_normal",),
    estimators: Sequence[str] = ESTIMATORS,
    level: float = 0.95,
    progress: bool = False,
) -> Multiverse:
    """Analyse the data in every combination of choices.

    Parameters
    ----------
    data
        Study table, counts or effect sizes.
    benefit
        Direction that is a benefit, ``"higher"`` or ``"lower"``; the same for every measure.
    measures
        Effect measures, the first of which is the one that the priors are meant for; that of the effect
        sizes, or ``("OR",)``, when not given. For a measure on another unit the priors are rescaled as the default
        priors are (risk differences: a quarter).
    zero_cells
        Pairs of what is added and to which studies, e.g. ``[(0.5, "only0"), (0.5, "all")]``.
    subsets
        ``"all"``, ``"leave_one_out"``, ``"every"``, or label to the studies left out.
    mu, tau
        Priors: one or several values or texts, or label to prior; presets when not given.
    models
        Likelihoods with quadrature. Models of counts are computed one by one (some 0.1 s each) and only for
        odds ratios.
    estimators
        Classical estimators, ``"METHOD RULE"`` with a tau2 method and an interval rule; empty for none.
    level
        Of the intervals.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Multiverse
        Answers, their range, and which choice drives them.

    Raises
    ------
    ModelError
        If a name is unknown or the direction of benefit is missing.
    DataError
        If the data are no studies, or no combination of measure, zero-cell rule and studies can be analysed.
    """
    event_for("OR", check_benefit(benefit))
    if not isinstance(data, StudyTable | TwoByTwo | PersonTime | EffectSizes):
        instead = " Give what it was fitted to: its .data." if isinstance(data, Posterior) else ""
        raise DataError(
            f"A multiverse analyses the studies anew: it takes a study table, counts or effect sizes, not "
            f"{type(data).__name__}.{instead}"
        )
    chosen = tuple(measures) if measures else (data.measure if isinstance(data, EffectSizes) else "OR",)
    events = {name: event_for(name, benefit) for name in chosen}
    parts = subsets_of(data, subsets)
    sets, missing = data_sets(data, chosen, parts, rules_of(data, zero_cells))
    loaded = [load_model(name) for name in models]
    mus = labelled(mu_presets(chosen[0], benefit) if mu is None else mu, "mu")
    taus = labelled(tau_presets(chosen[0]) if tau is None else tau, "tau")
    if not sets:
        raise DataError(f"Nothing can be analysed. {missing[0]}")
    return _solved(data, sets, missing, parts, loaded, mus, taus, events, estimators, level, progress)


def _solved(
    data: Data,
    sets: list[DataSet],
    missing: list[str],
    parts: Mapping[str, tuple[str, ...]],
    models: list[Model],
    mus: Mapping[str, Any],
    taus: Mapping[str, Any],
    events: dict[str, Event],
    estimators: Sequence[str],
    level: float,
    progress: bool,
) -> Multiverse:
    rows: list[dict[str, str]] = []
    found: list[dict[str, Array]] = []
    reasons: dict[int, str] = {}
    reference = next(iter(events))
    for model in models:
        own = exact_sets(data, parts) if model.data_type is TwoByTwo else sets
        if model.data_type is not EffectSizes and model.own_measure != "OR":
            raise ModelError(
                f"Model {model.name!r} estimates the {model.own_measure}; of counts, only odds ratios go here: use "
                "bm.sensitivity for priors, or 'normal_normal' with measures=."
            )
        if model.data_type is TwoByTwo and "OR" not in events:
            raise ModelError(f"Model {model.name!r} estimates odds ratios: add 'OR' to measures, or leave it out.")
        choices, jobs = _jobs(model, own, mus, taus, reference, events)
        done = answers(model, jobs, level=level, progress=progress)
        reasons |= {len(rows) + i: reason for i, reason in done.reasons.items()}
        rows += choices
        found.append(_with_probabilities(done.values, [events[c["measure"]] for c in choices]))
    codes, levels = _coded(rows)
    results = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    classical = _classical(sets, estimators, level)
    return Multiverse(levels, codes, results, reasons, tuple(missing), classical, events, level)


def _jobs(
    model: Model,
    sets: Sequence[DataSet],
    mus: Mapping[str, Any],
    taus: Mapping[str, Any],
    reference: str,
    events: Mapping[str, Event],
) -> tuple[list[dict[str, str]], list[Job]]:
    with_tau: Mapping[str, Any] = taus if "tau" in model.priors else {"tau = 0": None}
    scaled: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for measure in {s.measure for s in sets}:
        factor = unit_ratio(measure, reference, next(s.data for s in sets if s.measure == measure))
        scaled[measure] = (_rescaled(mus, factor), _rescaled(with_tau, factor))
    choices, jobs = [], []
    for s in sets:
        at = events[s.measure].threshold
        for m, mu in scaled[s.measure][0].items():
            for t, tau in scaled[s.measure][1].items():
                choices.append({"likelihood": model.name, **s.choices, "mu prior": m, "tau prior": t})
                jobs.append(Job(s.data, {"mu": mu} if tau is None else {"mu": mu, "tau": tau}, at))
    return choices, jobs


def _rescaled(priors: Mapping[str, Any], factor: float) -> dict[str, Any]:
    return {n: p if p is None or factor == 1.0 else p.rescale(factor) for n, p in priors.items()}


def unit_ratio(measure: str, reference: str, data: Any) -> float:
    """Return how many times smaller (or larger) a measure's unit is than that of the measure priors are meant for."""
    same = measure == reference or (is_ratio(measure) and is_ratio(reference))
    if same or not isinstance(data, EffectSizes):
        return 1.0
    stand_in = EffectSizes(yi=data.yi, sei=data.sei, measure=reference, ni=data.ni)
    own, other = default_prior(data, "tau"), default_prior(stand_in, "tau")
    return float(own.scale / other.scale)


def _with_probabilities(values: Mapping[str, Array], events: list[Event]) -> dict[str, Array]:
    higher = np.array([event.direction == "higher" for event in events])
    out = {name: values[name] for name in (*QUANTITIES, "log_evidence")}
    for name in ("mu", "theta_new"):
        above, exact = values[f"{name}_above"], values[f"{name}_exactly"]
        out[f"p_{name}"] = np.where(higher, above, 1.0 - above - exact)
        out[f"p_{name}_exactly"] = exact
    return out


def _coded(rows: list[dict[str, str]]) -> tuple[dict[str, NDArray[np.intp]], dict[str, tuple[str, ...]]]:
    levels = {name: tuple(dict.fromkeys(row[name] for row in rows)) for name in CHOICES}
    index = {name: {level: i for i, level in enumerate(known)} for name, known in levels.items()}
    return {name: np.array([index[name][row[name]] for row in rows], dtype=np.intp) for name in CHOICES}, levels


def _classical(sets: Sequence[DataSet], estimators: Sequence[str], level: float) -> dict[str, list[Any]]:
    names = ("estimator", "measure", "zero cells", "studies", "mu", "low", "high", "p_value", "tau")
    out: dict[str, list[Any]] = {name: [] for name in names}
    width = max(s.data.k for s in sets)
    y, v = np.full((len(sets), width), np.nan), np.full((len(sets), width), np.nan)
    for i, s in enumerate(sets):
        y[i, : s.data.k], v[i, : s.data.k] = s.data.yi, s.data.vi
    for estimator in estimators:
        method, _, rule = estimator.partition(" ")
        done = pool_many(y, v, method=method, ci=rule or "wald", level=level)
        out["estimator"] += [estimator] * len(sets)
        for name in ("measure", "zero cells", "studies"):
            out[name] += [s.choices[name] for s in sets]
        columns = (done.mu, done.ci_low, done.ci_high, done.p_value, np.sqrt(done.tau2))
        for name, column in zip(("mu", "low", "high", "p_value", "tau"), columns, strict=True):
            out[name] += column.tolist()
    return out
