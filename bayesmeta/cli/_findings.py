"""What the audit finds stands at the head of every answer."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayesmeta.errors import DataError

if TYPE_CHECKING:
    from bayesmeta.audit import Finding
    from bayesmeta.compare.run import Data


def findings_of(table: "Data", measure: str | None) -> "tuple[Finding, ...]":
    """Return what somebody should look at in a table of studies; counts and effects made in Python were not read."""
    from bayesmeta.audit import audit
    from bayesmeta.studies import StudyTable

    if not isinstance(table, StudyTable):
        return ()
    return tuple(finding for finding in audit(table, measure=measure) if finding.look)


def audit_lines(tables: "Mapping[str, Data]", measure: str | None, *, strict: bool = False) -> list[str]:
    """Return what the audit finds in each outcome's table, as the lines that stand at the head of the answer.

    Parameters
    ----------
    tables
        Outcome to table.
    measure
        Effect measure of the analysis.
    strict
        Whether a finding ends the command.

    Raises
    ------
    DataError
        If there is a finding and `strict` is set.
    """
    found = [(name, finding) for name, table in tables.items() for finding in findings_of(table, measure)]
    lines = [str(finding) if len(tables) == 1 else f"{finding} [{name}]" for name, finding in found]
    if lines and strict:
        raise DataError("--strict, and the data have findings:\n" + "\n".join(lines))
    return lines


def show(lines: list[str], *, aside: bool = False) -> None:
    """Print findings; on the error stream where the output is for a program."""
    for line in lines:
        print(line, file=sys.stderr if aside else sys.stdout)
    if lines and not aside:
        print()
