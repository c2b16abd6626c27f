"""The published, the classical and the Bayesian answer side by side, as rows of one shape; and by subgroup."""

from bayesmeta.compare.kinds_of_evidence import KindRow, KindsOfEvidence, kinds_of_evidence
from bayesmeta.compare.run import compare
from bayesmeta.compare.single_studies import SingleStudies, WithoutOne, single_studies
from bayesmeta.compare.subgroup_values import Difference, Subgroup, Subgroups
from bayesmeta.compare.subgroups import subgroups
from bayesmeta.compare.values import Absent, Comparison, Row

__all__ = [
    "Absent",
    "Comparison",
    "Difference",
    "KindRow",
    "KindsOfEvidence",
    "Row",
    "SingleStudies",
    "Subgroup",
    "Subgroups",
    "WithoutOne",
    "compare",
    "kinds_of_evidence",
    "single_studies",
    "subgroups",
]
