"""What reporting guidelines ask of a Bayesian analysis, and where this report answers it.

ROBUST: Sung et al. (2005), J. Clin. Epidemiol. 58:261. BARG: Kruschke (2021), Nat. Hum. Behav. 5:1282.
"""

from dataclasses import dataclass
from typing import Literal

from bayesmeta.analysis import Analysis

type Status = Literal["met", "missing", "not given", "not applicable"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing a guideline asks for."""

    guideline: str
    item: str
    status: Status
    where: str


def checklist(analysis: Analysis) -> tuple[Item, ...]:
    """Return every item with its status in the report of `analysis`."""
    plan = analysis.protocol
    justified = all(plan.priors.justification(name) for name in analysis.outcomes[0].posterior.priors)
    alternatives = len(analysis.outcomes[0].prior_sets) > 1
    trusted = all(r.posterior.diagnostics.ok for r in analysis.outcomes)
    thresholds = all(r.thresholds for r in analysis.outcomes)
    checked = all(r.predicted for r in analysis.outcomes)
    published = any(r.checks for r in analysis.outcomes)

    def given(yes: object) -> Status:
        return "met" if yes else "not given"

    return (
        Item("ROBUST 1, BARG 1C", "Prior: specification", "met", "Priors; prior and posterior of each outcome"),
        Item("ROBUST 2, BARG 1C", "Prior: justification", given(justified), "Priors"),
        Item("ROBUST 3, BARG 5", "Prior: sensitivity analysis", given(alternatives), "Sensitivity to the priors"),
        Item("ROBUST 4, BARG 1B, 1D", "Statistical model", "met", "Methods"),
        Item("ROBUST 5, BARG 2A", "Analytic technique and software", "met", "Methods; Reproducibility"),
        Item("ROBUST 6", "Central tendency: posterior mean and median", "met", "Posterior summary"),
        Item("ROBUST 7, BARG 3B", "Variance or interval, and its kind", "met", "Posterior summary"),
        Item("BARG A", "Why a Bayesian analysis", given(plan.reason), "Question"),
        Item("BARG 1A", "Data", "met", "Data and provenance"),
        Item("BARG 1E", "What the priors imply before the data", "met", "Prior and posterior"),
        Item("BARG 2B-D", "Convergence and resolution", "met" if trusted else "missing", "Can the numbers be trusted?"),
        Item("BARG 3A", "Posterior predictive check", "met" if checked else "missing", "Does the model fit?"),
        Item("BARG 3C", "Bayes factors", "not applicable", "none is reported"),
        Item("BARG 4", "Decision thresholds and P beyond each", given(thresholds), "Thresholds that matter"),
        Item("BARG 6", "Script, data, seed, versions", "met", "Reproducibility"),
        Item("PRISMA 24", "Registration", given(plan.registration), "Question"),
        Item("", "Agreement with the published result", given(published), "Against the published figures"),
    )
