"""From a file or a data frame to a `StudyTable`: which column is what, and whether each cell can be true."""

from bayesmeta.reading.studies import read_studies

__all__ = ["read_studies"]
