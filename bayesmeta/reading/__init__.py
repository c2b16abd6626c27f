"""From a file or a data frame to a `StudyTable`: which column is what, and whether each cell can be true."""

from bayesmeta.reading.many import ManyStudies, read_many
from bayesmeta.reading.networks import read_network
from bayesmeta.reading.sources import read_frame, read_studies, read_with

__all__ = ["ManyStudies", "read_frame", "read_many", "read_network", "read_studies", "read_with"]
