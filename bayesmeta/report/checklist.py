"""What reporting guidelines ask of a Bayesian analysis, and where this report answers it.

ROBUST: Sung et al. (2005), J. Clin. Epidemiol. 58:261. BARG: Kruschke (2021), Nat. Hum. Behav. 5:1282.
PRISMA: Page et al. (2021), BMJ 372:n71, its items on synthesis one by one.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from bayesmeta.analysis import Analysis
from bayesmeta.report.explore import FEWEST_FOR_ASYMMETRY, REPORTING_BIAS, SINGLE_STUDIES, SUBGROUPS
from bayesmeta.report.priors import justification, used_priors
from bayesmeta.words import DASH

type Status = Literal["met", "missing", "not given", "not applicable"]
ALWAYS = ("Question",)
"""What stands at the head of every report and is no section."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing a guideline asks for."""

    guideline: str
    item: str
    status: Status
    where: str


def checklist(analysis: Analysis, present: Collection[str]) -> tuple[Item, ...]:
    """Return every item with its status in the report of `analysis`.

    Parameters
    ----------
    present
        Titles of the sections that the report has: an item is met only where its section is there.
    """
    plan = analysis.protocol
    results = analysis.outcomes
    justified = all(justification(analysis, name) for name in used_priors(results[0].posterior))
    several_sets = len(results[0].prior_sets) > 1
    trusted = all(r.posterior.diagnostics.ok for r in results)
    thresholds = all(r.thresholds for r in results)
    checked = all(r.predicted for r in results)
    published = any(r.checks for r in results)
    assessed = all(r.comparison.effects.k >= FEWEST_FOR_ASYMMETRY for r in results)
    # Without its protocol and data file nobody can run the analysis again.
    repeatable = bool(plan.sha256 and analysis.data_sha256)

    def where(title: str, yes: object = True, otherwise: Status = "not given") -> tuple[Status, str]:
        there = title in present or title in ALWAYS
        return ("met" if yes and there else otherwise), title if there else DASH

    bias: Status = "met" if assessed else "not applicable"
    return (
        Item("ROBUST 1, BARG 1C", "Prior: specification", *where("Priors")),
        Item("ROBUST 2, BARG 1C", "Prior: justification", *where("Priors", justified)),
        Item("ROBUST 3, BARG 5", "Prior: sensitivity analysis", *where("Sensitivity to the priors", several_sets)),
        Item("ROBUST 4, BARG 1B, 1D", "Statistical model", *where("Methods")),
        Item("ROBUST 5, BARG 2A", "Analytic technique and software", *where("Methods")),
        Item("ROBUST 6", "Central tendency: posterior mean and median", *where("Posterior summary")),
        Item("ROBUST 7, BARG 3B", "Variance or interval, and its kind", *where("Posterior summary")),
        Item("BARG A", "Why a Bayesian analysis", *where("Question", plan.reason)),
        Item("BARG 1A", "Data", *where("Data and provenance")),
        Item("BARG 1E", "What the priors imply before the data", *where("Prior and posterior")),
        Item("BARG 2B-D", "Convergence and resolution", *where("Can the numbers be trusted?", trusted, "missing")),
        Item("BARG 3A", "Posterior predictive check", *where("Does the model fit?", checked, "missing")),
        Item("BARG 3C", "Bayes factors", "not applicable", "none is reported"),
        Item("BARG 4", "Decision thresholds and P beyond each", *where("Thresholds that matter", thresholds)),
        Item("BARG 6", "Seed, versions, hashes of data and plan", *where("Reproducibility", repeatable)),
        Item("PRISMA 12", "Effect measure", *where("Side by side")),
        Item("PRISMA 13a", "Studies eligible for each synthesis, exclusions", *where("Data and provenance")),
        Item("PRISMA 13b", "Preparation of the data", *where("Data and provenance")),
        Item("PRISMA 13c", "Display of results of studies", *where("Forest plot")),
        Item("PRISMA 13d", "Methods of synthesis and their rationale", *where("Methods")),
        Item("PRISMA 13e", "Possible causes of heterogeneity", *where(SUBGROUPS)),
        Item("PRISMA 13f", "Sensitivity analyses", *where(SINGLE_STUDIES)),
        Item("PRISMA 14, 21", "Reporting bias", bias, REPORTING_BIAS),
        Item("PRISMA 15, 22", "Certainty", "not given", "inputs are here; the rating is the authors'"),
        Item("PRISMA 20a", "Characteristics of the contributing studies", *where("Data and provenance")),
        Item("PRISMA 20b", "Results of syntheses", *where("Side by side")),
        Item("PRISMA 20c", "Results on causes of heterogeneity", *where(SUBGROUPS)),
        Item("PRISMA 20d", "Results of sensitivity analyses", *where(SINGLE_STUDIES)),
        Item("PRISMA 24", "Registration", *where("Question", plan.registration)),
        Item("PRISMA 27", "Data and code", *where("Reproducibility", repeatable)),
        Item("", "Agreement with the published result", *where("Against the published figures", published)),
    )
