"""The fits behind an analysis by subgroup: one for each, or one for all with a common tau."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesmeta.compare.rows import bayesian_row, classical_row
from bayesmeta.compare.subgroup_values import Subgroup
from bayesmeta.compare.values import Row
from bayesmeta.effects import MEASURES
from bayesmeta.errors import ConvergenceError, DataError, ModelError
from bayesmeta.events import Benefit, between, side_of_benefit
from bayesmeta.fit import fit
from bayesmeta.frequentist import PooledFit, pool
from bayesmeta.frequentist.pool import CiRule
from bayesmeta.marginals.difference import difference
from bayesmeta.model import Model
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.studies import EffectSizes, TwoByTwo
from bayesmeta.values import Array, Interval

ALL = "All studies"


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What an analysis by subgroup is to compute; fields as the options of `subgroups`."""

    effects: EffectSizes
    of: Mapping[str, str]
    labels: tuple[str, ...]
    model: Model
    priors: Mapping[str, Any]
    method: str
    ci: CiRule
    level: float
    benefit: Benefit | None
    engine: str
    seed: int | None
    sampling: Mapping[str, Any]

    def studies(self, label: str) -> tuple[str, ...]:
        """Return the studies of one subgroup."""
        return tuple(s for s in self.effects.study if self.of[s] == label)

    def part(self, label: str) -> EffectSizes:
        """Return the effects of one subgroup."""
        return self.effects.drop(s for s in self.effects.study if self.of[s] != label)

    @property
    def words(self) -> str:
        """The classical method, for the reader."""
        return self.method if self.ci == "wald" else f"{self.method} {self.ci}"


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """The results by subgroup, and what their differences need.

    Parameters
    ----------
    groups, overall
        As in `Subgroups`.
    df
        Degrees of freedom of t and F tests between subgroups; None where these are normal and chi-squared.
    between
        ``between(i, j)``: posterior of the i-th subgroup's mean effect minus the j-th's.
    verdicts
        What the engines say of fits that cannot be relied on.
    """

    groups: tuple[Subgroup, ...]
    overall: Subgroup
    df: int | None
    between: Callable[[int, int], Marginal]
    verdicts: tuple[str, ...]


def separate_fits(asked: Asked) -> Fits:
    """Return the results of fits to each subgroup's own studies."""
    # Runs with the same seed would follow each other, and their differences would be too narrow.
    seeds = [None if asked.seed is None else asked.seed + i for i in range(len(asked.labels) + 1)]
    parts = [*((label, asked.part(label)) for label in asked.labels), (ALL, asked.effects)]
    made = [_own(asked, label, part, seed) for (label, part), seed in zip(parts, seeds, strict=True)]
    groups = tuple(made[:-1])

    def between(i: int, j: int) -> Marginal:
        return difference(groups[i].mu, groups[j].mu)  # type: ignore[no-any-return]

    return Fits(groups, made[-1], None, between, tuple(dict.fromkeys(g.bayesian.note for g in made if g.bayesian.note)))


def _own(asked: Asked, label: str, effects: EffectSizes, seed: int | None) -> Subgroup:
    single = effects.k == 1
    pooled = pool(effects, method=asked.method, ci="wald" if single else asked.ci, level=asked.level)
    posterior = _posterior(asked, label, effects, seed)
    return Subgroup(
        label,
        effects.study,
        classical_row(asked.words, pooled),
        _bayesian(asked, posterior),
        pooled.se,
        posterior.mu,
    )


def _posterior(asked: Asked, label: str, effects: EffectSizes, seed: int | None) -> Posterior:
    data: Any = effects
    if asked.model.data_type is TwoByTwo:
        if effects.counts is None:
            raise DataError(f"Model {asked.model.name!r} needs the 2x2 counts, and the data are ready estimates.")
        data = effects.counts
    options = asked.sampling if asked.engine == "nuts" else {}
    try:
        return fit(data, asked.model, priors=asked.priors, engine=asked.engine, seed=seed, **options)
    except (ModelError, ConvergenceError) as error:
        if label == ALL:
            raise
        raise type(error)(f"Subgroup {label!r}: {error}") from None


def _bayesian(asked: Asked, posterior: Posterior) -> Row:
    return bayesian_row("Bayesian", posterior, measure=asked.effects.measure, level=asked.level, benefit=asked.benefit)


REGRESSION = "meta_regression"


def common_fits(asked: Asked) -> Fits:
    """Return the results of one regression on the subgroup: a mean for each, one tau."""
    if asked.model.name != "normal_normal":
        raise ModelError(
            f"tau='common' is a regression of effect sizes on the subgroup, and model {asked.model.name!r} has none. "
            "Use model='normal_normal', or tau='separate'."
        )
    design = np.array([[float(asked.of[s] == label) for label in asked.labels] for s in asked.effects.study])
    effects = replace(asked.effects, X=design, terms=asked.labels)
    pooled = pool(effects, method=asked.method, ci=asked.ci, level=asked.level)
    priors = {"beta" if name == "mu" else name: prior for name, prior in asked.priors.items()}
    options = asked.sampling if asked.engine == "nuts" else {}
    own = {"beta": asked.model.priors["mu"], "tau": asked.model.priors["tau"]}
    posterior = fit(effects, REGRESSION, priors=own | priors, engine=asked.engine, seed=asked.seed, **options)
    rows = np.eye(len(asked.labels))
    groups = tuple(
        Subgroup(
            label,
            asked.studies(label),
            _regressed(asked, pooled, i),
            _at(asked, posterior, rows[i], len(asked.studies(label))),
            float(pooled.beta_se[i]),
            posterior.linear(rows[i]),
        )
        for i, label in enumerate(asked.labels)
    )
    overall = _own(asked, ALL, asked.effects, None if asked.seed is None else asked.seed + 1)
    verdicts = () if posterior.diagnostics.ok else (posterior.diagnostics.verdict,)
    return Fits(groups, overall, pooled.df, lambda i, j: posterior.linear(rows[i] - rows[j]), verdicts)


def _regressed(asked: Asked, pooled: PooledFit, i: int) -> Row:
    """Return the classical row of one subgroup of a regression."""
    at = pooled.predict(np.eye(pooled.p)[i : i + 1])
    low, high = at.prediction_low, at.prediction_high
    prediction = None
    if low is not None and high is not None:
        prediction = Interval(float(low[0]), float(high[0]), asked.level, "prediction", at.rule)
    return Row(
        method=asked.words,
        kind="classical",
        k=len(asked.studies(asked.labels[i])),
        mu=float(pooled.beta[i]),
        interval=pooled.beta_ci[i],
        tau=pooled.tau,
        prediction=prediction,
        p_value=None if MEASURES[asked.effects.measure].null is None else float(pooled.beta_p[i]),
        source=pooled,
    )


def _at(asked: Asked, posterior: Posterior, x: Array, k: int) -> Row:
    """Return the Bayesian row of one subgroup of a regression."""
    mean, new, null = posterior.linear(x), posterior.predicted(x), MEASURES[asked.effects.measure].null
    side = None if null is None or asked.benefit is None else side_of_benefit(null, asked.benefit)
    return Row(
        method="Bayesian",
        kind="bayesian",
        k=k,
        mu=mean.median(),
        interval=mean.eti(asked.level),
        tau=posterior.tau.median(),
        tau_interval=posterior.tau.eti(asked.level),
        prediction=replace(new.eti(asked.level), kind="posterior prediction"),
        p_benefit_mean=None if side is None else between(mean, *side),
        p_benefit_new=None if side is None else between(new, *side),
        source=posterior,
    )
