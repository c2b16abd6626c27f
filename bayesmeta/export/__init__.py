"""What others can open: study tables and results as CSV, XLSX, JSON or Parquet, and an R script that redoes them."""

from bayesmeta.export.files import WRITERS, write_bytes, write_tables
from bayesmeta.export.frames import provenance, result_frame, study_frame
from bayesmeta.export.r_script import r_script

__all__ = ["WRITERS", "provenance", "r_script", "result_frame", "study_frame", "write_bytes", "write_tables"]
