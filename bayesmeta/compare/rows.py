"""How each method fills a row: published, Mantel-Haenszel, inverse variance, Bayesian."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from bayesmeta.compare.observed import Counts
from bayesmeta.compare.values import Absent, Row
from bayesmeta.effects import MEASURES
from bayesmeta.errors import BayesMetaError
from bayesmeta.events import Benefit, between, side_of_benefit
from bayesmeta.fit import fit
from bayesmeta.frequentist import ComponentsFit, MixedFit, components, glmm, mantel_haenszel, pool
from bayesmeta.frequentist.printing import OUTSIDE
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.model import Model, load_model
from bayesmeta.posterior import Posterior
from bayesmeta.studies import EffectSizes, PersonTime, PublishedResult, TwoByTwo
from bayesmeta.values import Interval
from bayesmeta.words import joined

type MHMeasure = Literal["OR", "RR", "RD", "IRR", "IRD"]
MH_MEASURES: tuple[MHMeasure, ...] = ("OR", "RR", "RD", "IRR", "IRD")
COUNTS_WORDS = {
    **dict.fromkeys(("OR", "RR", "RD"), "the 2x2 counts"),
    **dict.fromkeys(("IRR", "IRD"), "the events and the person-time of both arms"),
}
ENGINE_LABELS = {"auto": "auto", "quadrature": "quadrature", "nuts": "NUTS"}
# Mixed models shown beside models of counts: given each study's total, and with an intercept for each study.
MIXED = {"CM.EL": ("OR", "IRR"), "UM.FS": ("OR", "RR", "IRR")}
REML_CR2 = "REML, cluster-robust (CR2)"
MH_RANDOM = "Mantel-Haenszel random"
MH_COMMON = "Mantel-Haenszel common"
DL_WALD = "DerSimonian-Laird"
DL_HKSJ = "DerSimonian-Laird HKSJ"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compute for every row of a comparison; fields as the options of `compare`."""

    level: float
    benefit: Benefit | None
    models: tuple[str, ...]
    priors: Mapping[str, Any] | None
    engines: tuple[str, ...]
    seed: int | None
    common_effect: bool
    sampling: Mapping[str, Any]


def published_row(published: PublishedResult, effects: EffectSizes) -> Row:
    """Return the row of a published result, its figures moved to the analysis scale."""
    scale = MEASURES[effects.measure]

    def analysis(text: str | None) -> float | None:
        return None if text is None else float(scale.from_natural(float(text)))

    low, high = analysis(published.low), analysis(published.high)
    interval = None
    if low is not None and high is not None:
        interval = Interval(low, high, published.level, "confidence", "as printed")
    return Row(
        method="Published",
        kind="published",
        mu=analysis(published.estimate),
        interval=interval,
        tau=None if published.tau2 is None else float(published.tau2) ** 0.5,
        I2=None if published.i2 is None else float(published.i2),
        note=published.method,
        source=published,
    )


def make_rows(
    effects: EffectSizes, counts: Counts, plan: Plan, without: tuple[str, ...]
) -> tuple[tuple[Row, ...], tuple[Absent, ...]]:
    """Return the classical and Bayesian rows, and those that cannot be, with the reason."""
    results = [
        *(_classical(method, compute, without) for method, compute in _methods(effects, counts, plan).items()),
        *_mixed(effects, counts, plan, without),
        *(_bayesian(name, engine, effects, counts, plan, without) for name in plan.models for engine in plan.engines),
    ]
    rows = tuple(r for r in results if isinstance(r, Row))
    return rows, tuple(r for r in results if isinstance(r, Absent))


type Method = Callable[[], PooledFit | ComponentsFit] | str


def _methods(effects: EffectSizes, counts: Counts, plan: Plan) -> dict[str, Method]:
    """Return each classical method as a call, or as the reason why there is none."""
    level = plan.level
    if not effects.independent:
        # Rows that belong together: what takes each of them for a study of its own has no place beside them.
        named = next(name for name in plan.models if load_model(name).takes_dependent_rows)
        return {REML_CR2: lambda: components(effects, model=named, robust="CR2", level=level)}
    known = next((m for m in MH_MEASURES if m == effects.measure), None)

    def pooled(*, random: bool) -> PooledFit:
        assert known is not None
        assert counts is not None
        return mantel_haenszel(counts, measure=known, random=random, level=level)

    missing = ""
    if known is None:
        missing = f"Mantel-Haenszel pooling exists for {', '.join(MH_MEASURES)}, not for {effects.measure}"
    elif counts is None:
        missing = f"Mantel-Haenszel pooling needs {COUNTS_WORDS[known]}, and the data are ready estimates"
    methods: dict[str, Method] = {}
    # Nobody looks for it where there are no two arms to compare.
    if MEASURES[effects.measure].null is not None:
        methods[MH_RANDOM] = missing or (lambda: pooled(random=True))
        if plan.common_effect:
            methods[MH_COMMON] = missing or (lambda: pooled(random=False))
    methods[DL_WALD] = lambda: pool(effects, method="DL", ci="wald", level=level)
    methods[DL_HKSJ] = lambda: pool(effects, method="DL", ci="hksj", level=level)
    return methods


def _classical(method: str, compute: Method, without: tuple[str, ...]) -> Row | Absent:
    if isinstance(compute, str):
        return Absent(method, compute, without)
    try:
        found = compute()
        return (
            components_row(method, found, without)
            if isinstance(found, ComponentsFit)
            else classical_row(method, found, without)
        )
    except BayesMetaError as error:
        return Absent(method, str(error), without)


def components_row(method: str, fit: ComponentsFit, without: tuple[str, ...] = ()) -> Row:
    """Return the row of a classical fit with several variance components: tau is that between studies or clusters."""
    others = [f"{name} = {value:.3g}" for name, value in fit.psi.items() if name != "tau"]
    return Row(
        method=method,
        kind="classical",
        k=fit.k,
        mu=fit.mu,
        interval=fit.ci[0],
        tau=fit.psi.get("tau"),
        prediction=next(iter(fit.predict()), None),
        p_value=float(fit.p_value[0]),
        without=without,
        note=f"{fit.n} rows; {', '.join(others)}." if others else f"{fit.n} rows.",
        source=fit,
    )


def _mixed(effects: EffectSizes, counts: Counts, plan: Plan, without: tuple[str, ...]) -> tuple[Row | Absent, ...]:
    """Return the mixed models of the counts, where the plan has a model of counts that they are the twins of."""
    twins = [m for m in (load_model(name) for name in plan.models) if m.data_type in (TwoByTwo, PersonTime)]
    if counts is None or not any(m.own_measure == effects.measure for m in twins):
        return ()
    found: list[Row | Absent] = []
    for model, measures in MIXED.items():
        if effects.measure not in measures:
            continue
        try:
            fit = glmm(counts, model=model, measure=effects.measure, level=plan.level)
        except BayesMetaError as error:
            found.append(Absent(f"GLMM {model}", str(error), without))
        else:
            found.append(mixed_row(f"GLMM {model}", fit, without))
    return tuple(found)


def mixed_row(method: str, fit: MixedFit, without: tuple[str, ...] = ()) -> Row:
    """Return the row of a mixed model fitted by maximum likelihood."""
    return Row(
        method=method,
        kind="classical",
        k=fit.k,
        mu=fit.mu,
        interval=fit.ci,
        tau=fit.tau,
        I2=fit.I2,
        prediction=fit.prediction,
        p_value=fit.p_value,
        without=without,
    )


def classical_row(method: str, fit: PooledFit, without: tuple[str, ...] = ()) -> Row:
    """Return the row of a classical fit."""
    variance = fit.tau2_ci
    alone, asks = fit.k == 1, MEASURES[fit.measure].null is not None
    return Row(
        method=method,
        kind="classical",
        k=fit.k,
        mu=fit.mu,
        interval=fit.ci,
        # One study says nothing of tau; where no value means "no effect" there is nothing to test.
        tau=None if alone else fit.tau,
        tau_interval=None if variance is None else replace(variance, low=variance.low**0.5, high=variance.high**0.5),
        I2=None if alone else fit.I2,
        prediction=fit.prediction,
        p_value=fit.p_value if asks else None,
        without=without,
        note=" ".join(fit.notes),
        source=fit,
    )


def _bayesian(
    name: str, engine: str, effects: EffectSizes, counts: Counts, plan: Plan, without: tuple[str, ...]
) -> Row | Absent:
    model = load_model(name)
    label = f"Bayesian {model.name}" if len(plan.models) > 1 else "Bayesian"
    method = f"{label} {ENGINE_LABELS[_engine_for(model, engine)]}"
    if model.data_type in (TwoByTwo, PersonTime) and not isinstance(counts, model.data_type):
        needed = COUNTS_WORDS["OR" if model.data_type is TwoByTwo else "IRR"]
        return Absent(method, f"model {model.name!r} needs {needed}, and the data have none", without)
    if model.own_measure not in (None, effects.measure):
        said = f"model {model.name!r} estimates the {model.own_measure}, not the {effects.measure}"
        return Absent(method, said, without)
    if engine == "quadrature" and not model.abilities.deterministic:
        return Absent(method, f"model {model.name!r} offers no quadrature", without)
    try:
        posterior = _posterior(model, engine, effects, counts, plan)
    except BayesMetaError as error:
        # The primary analysis must fail loudly; a repeat on fewer studies may be impossible on its own.
        if not without:
            raise
        return Absent(method, str(error), without)
    return bayesian_row(
        method, posterior, measure=effects.measure, level=plan.level, benefit=plan.benefit, without=without
    )


def bayesian_counts_row(posterior: Posterior, measure: str, counts: TwoByTwo | PersonTime, plan: Plan) -> Row:
    """Return the row of the same model, priors and engine on other counts."""
    options = dict(plan.sampling) if posterior.engine == "nuts" else {}
    again = fit(counts, posterior.model, priors=posterior.priors, engine=posterior.engine, seed=plan.seed, **options)
    return bayesian_row("Bayesian", again, measure=measure, level=plan.level, benefit=plan.benefit)


def _engine_for(model: Model, engine: str) -> str:
    if engine != "auto":
        return engine
    return "nuts" if not model.abilities.deterministic else "quadrature"


def _posterior(model: Model, engine: str, effects: EffectSizes, counts: Counts, plan: Plan) -> Posterior:
    engine = _engine_for(model, engine)
    priors = {
        name: prior for name, prior in (plan.priors or {}).items() if len(plan.models) == 1 or name in model.priors
    }
    options = dict(plan.sampling) if engine == "nuts" else {}
    data = effects if model.data_type is EffectSizes else counts
    return fit(data, model, priors=priors, engine=engine, seed=plan.seed, **options)


def bayesian_row(
    method: str,
    posterior: Posterior,
    *,
    measure: str,
    level: float,
    benefit: Benefit | None,
    without: tuple[str, ...] = (),
) -> Row:
    """Return the row of a posterior: medians, equal-tailed intervals, probabilities of benefit.

    What a new study would show is left out where the model does not say it: `beta_binomial`, and model files without
    ``RANDOM_EFFECTS``.
    """
    null = MEASURES[measure].null
    has_tau = "tau" in posterior.marginals
    side = None if null is None or benefit is None else side_of_benefit(null, benefit)
    new = posterior.marginals.get("theta_new")
    return Row(
        method=method,
        kind="bayesian",
        k=posterior.k,
        mu=posterior.mu.median(),
        interval=posterior.mu.eti(level),
        tau=posterior.tau.median() if has_tau else None,
        tau_interval=posterior.tau.eti(level) if has_tau else None,
        I2=posterior["I2"].median() if "I2" in posterior.marginals else None,
        prediction=None if new is None else replace(new.eti(level), kind="posterior prediction"),
        p_benefit_mean=None if side is None else between(posterior.mu, *side),
        p_benefit_new=None if side is None or new is None else between(new, *side),
        without=without,
        note="" if posterior.diagnostics.ok else posterior.diagnostics.verdict,
        source=posterior,
    )


def outside_tau(rows: tuple[Row, ...]) -> tuple[str, ...]:
    """Return why a classical tau lies outside its own interval, where one does."""
    names = [
        row.method
        for row in rows
        if row.tau is not None and row.tau_interval is not None and row.kind == "classical" and not row.without
        if not row.tau_interval.low <= row.tau <= row.tau_interval.high
    ]
    return (f"{joined(names)}: {OUTSIDE}",) if names else ()


def narrow_hksj(rows: tuple[Row, ...]) -> tuple[str, ...]:
    """Return the warning due when the Hartung-Knapp interval of all studies is narrower than Wald's."""
    found = {row.method: row.interval for row in rows if not row.without and row.interval is not None}
    wald, hksj = found.get(DL_WALD), found.get(DL_HKSJ)
    if wald is None or hksj is None or hksj.high - hksj.low >= wald.high - wald.low:
        return ()
    return (
        "The Hartung-Knapp (HKSJ) interval is narrower than the Wald interval here, because the studies happen to lie "
        "closer together than their standard errors would lead one to expect. With few studies that is often chance: "
        "do not read it alone.",
    )
