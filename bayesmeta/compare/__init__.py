"""The published, the classical and the Bayesian answer side by side, as rows of one shape."""

from bayesmeta.compare.run import compare
from bayesmeta.compare.values import Absent, Comparison, Row

__all__ = ["Absent", "Comparison", "Row", "compare"]
