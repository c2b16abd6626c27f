"""What PRISMA-NMA asks of the synthesis of a network, and where the report answers it.

Hutton et al. (2015), Ann. Intern. Med. 162:777-784.
"""

from collections.abc import Collection

from bayesmeta.compare.network_comparison import NetworkComparison
from bayesmeta.report.values import Line, Table
from bayesmeta.words import DASH

AUTHORS = "not given", "for the authors to write"


def prisma_nma(c: NetworkComparison, present: Collection[str]) -> Table:
    """Return the items on the synthesis with their status in the report of a network.

    Parameters
    ----------
    present
        Titles of the sections that the report has.
    """

    def where(title: str, yes: bool = True) -> tuple[str, str]:
        return ("met", title) if yes and title in present else ("missing", DASH)

    stated = ("met", "Question") if c.benefit_given else ("not given", "the direction of benefit was not stated")
    items = (
        ("3, 4", "Rationale and objectives", *AUTHORS),
        ("S1", "Geometry of the network: methods", *where("Methods")),
        ("12, 19", "Risk of bias within studies", *AUTHORS),
        ("13", "Summary measures; ranks and their direction", *stated),
        ("14", "Planned methods of analysis: multi-arm studies, heterogeneity, priors", *where("Methods")),
        ("S2", "Assessment of inconsistency: methods", *where("Methods")),
        ("15, 22", "Risk of bias across studies", *where("Small-study effects")),
        ("16", "Additional analyses: other priors, other geometries", *AUTHORS),
        ("S3", "Network structure", *where("Network")),
        ("S4", "Summary of the network's geometry", *where("Network")),
        ("18", "Characteristics of studies", *AUTHORS),
        ("20", "Results of individual studies", *where("Data")),
        ("21", "Synthesis: estimates with intervals, each against the reference", *where("Relative effects")),
        ("21", "Synthesis: league table", *where("League table")),
        ("S5", "Exploration for inconsistency", *where("Inconsistency")),
        ("23", "Results of additional analyses", *AUTHORS),
    )
    lines = tuple(
        Line((f"PRISMA-NMA {n}", item, status, place), status.replace(" ", "-")) for n, item, status, place in items
    )
    return Table(("Guideline", "Item", "Status", "Where"), lines, left=4)
