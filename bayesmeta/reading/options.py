"""What a user may say about a file of studies: one definition for Python, the command line and protocols."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bayesmeta.errors import DataError, option
from bayesmeta.values import FrozenMap

type Duplicates = Literal["error", "number", "cluster"]
type TotalRows = Literal["refuse", "exclude", "study"]


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """What a user may say about a file of studies.

    Parameters
    ----------
    outcome
        Which one, where the table holds several.
    subgroup
        Only the studies of this subgroup.
    columns
        bayesmeta's name to the header that holds it.
    sheet
        Of a workbook with several filled sheets.
    header_row
        Line that holds the column names, counted from 1, where it is not the first; lines ``"1-2"`` are joined.
    decimal
        Decimal mark of a text file, ``"."`` or ``","``.
    thousands
        Mark between thousands, ``","``, ``"."``, ``" "`` or ``"'"``; not guessed where it could be a decimal one.
    duplicates
        ``"error"`` refuses a study that has several rows; ``"cluster"`` keeps them as rows of one study; ``"number"``
        takes them for independent studies.
    total_rows
        What to do with a row that is the total of the others: ``"refuse"``, ``"exclude"``, or keep it as a ``"study"``.
    ci_level
        Level of the confidence limits in the file, e.g. 0.9; what their headers say, or 0.95, when None.

    Raises
    ------
    DataError
        If an option is not one of those.
    """

    outcome: str | None = None
    subgroup: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    header_row: int | str | None = None
    decimal: str | None = None
    thousands: str | None = None
    duplicates: Duplicates = "error"
    total_rows: TotalRows = "refuse"
    ci_level: float | None = None

    def __post_init__(self) -> None:
        _one_of("decimal", self.decimal, (None, ".", ","))
        _one_of("thousands", self.thousands, (None, ",", ".", " ", "'"))
        _one_of("duplicates", self.duplicates, ("error", "number", "cluster"))
        _one_of("total_rows", self.total_rows, ("refuse", "exclude", "study"))
        if self.ci_level is not None and not 0.5 <= self.ci_level < 1.0:
            raise DataError(f"{option('ci_level', self.ci_level)}: a level is a share such as 0.9, 0.95 or 0.99.")
        if self.thousands is not None and self.thousands == self.decimal:
            raise DataError(
                f"{option('decimal', self.decimal)} and {option('thousands', self.thousands)} are one mark: a number "
                "cannot have it for both. State the other one."
            )
        object.__setattr__(self, "columns", FrozenMap(dict(self.columns)))
        self.header_lines  # noqa: B018 (it checks)

    @property
    def header_lines(self) -> tuple[int, int]:
        """First and last line of the column names, counted from 1; ``(0, 0)`` where they are not stated."""
        if self.header_row is None:
            return 0, 0
        first, _, last = str(self.header_row).partition("-")
        if not (first.strip().isdigit() and (not last or last.strip().isdigit())):
            raise DataError(
                f"{option('header_row', self.header_row)}: write a line such as 2, or two lines such as 1-2."
            )
        lines = int(first), int(last or first)
        if not 1 <= lines[0] <= lines[1] <= lines[0] + 2:
            raise DataError(
                f"{option('header_row', self.header_row)}: lines are counted from 1, and at most three are joined."
            )
        return lines


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        listed = ", ".join(repr(k) for k in known if k is not None)
        raise DataError(f"{option(name, value)} is unknown: choose one of {listed}.")


NOTHING_STATED = ReadingOptions()
"""All of it found from the file, or refused."""
