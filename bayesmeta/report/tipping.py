"""What would overturn the conclusion, and how much prior and likelihood pull on the answer, for the report."""

from bayesmeta.analysis import OutcomeResult
from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.table import daggered
from bayesmeta.effects import MEASURES
from bayesmeta.errors import BayesMetaError
from bayesmeta.report.outcome import p_known
from bayesmeta.sensitivity import power_scaling, tipping_point
from bayesmeta.sensitivity.power import power_lines
from bayesmeta.sensitivity.sentences import tipping_lines


def tipping_sentences(result: OutcomeResult) -> tuple[str, ...]:
    """Return the tipping points of the primary analysis in sentences; none without a direction of benefit.

    They need a model that is a closed form given tau, so that hundreds of analyses cost no time, and a measure with a
    value for no effect; where they cannot be computed, the sentence says why.
    """
    posterior, comparison = result.posterior, result.comparison
    model = posterior.model
    if result.plan.benefit is None or MEASURES[comparison.measure].null is None or not model.abilities.closed_form:
        return ()
    marked = reconstructed(comparison.effects)
    try:
        found = tipping_point(
            posterior.data,
            benefit=result.plan.benefit,
            model=model,
            priors=posterior.priors,
            level=comparison.level,
        )
    except BayesMetaError as error:
        return (f"Tipping points were not computed: {error}",)
    known = [p_known(result, which) for which in ("p_benefit_mean", "p_benefit_new")]
    shown = [("", "") if p is None else (p.alone(), p.span()) for p in known]
    return tuple(tipping_lines(found, label=lambda study: daggered(study, marked), shown=shown))


def scaling_sentences(result: OutcomeResult) -> tuple[str, ...]:
    """Return the power-scaling sensitivities of the primary posterior, one sentence a quantity.

    Left out for a quadrature in two dimensions, where the eight further posteriors would take seconds.
    """
    if result.posterior.engine == "quadrature" and not result.posterior.model.abilities.closed_form:
        return ()
    try:
        return tuple(power_lines(power_scaling(result.posterior)))
    except BayesMetaError as error:
        return (f"Power-scaling was not computed: {error}",)
