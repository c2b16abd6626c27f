"""The options about data that every command takes, defined once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesmeta.errors import DataError

if TYPE_CHECKING:
    from bayesmeta.reading.options import ReadingOptions

# Name of the option -> its type, help and default. The names are those of `read_studies` and of [data] in a protocol.
_READING: dict[str, tuple[Any, typer.models.OptionInfo, Any]] = {
    "column": (
        list[str] | None,
        typer.Option("--column", help="What a column is, e.g. --column sei=se; may be repeated."),
        None,
    ),
    "subgroup": (str | None, typer.Option("--subgroup", help="Only the studies of this subgroup."), None),
    "sheet": (str | None, typer.Option("--sheet", help="Sheet of a workbook."), None),
    "header_row": (
        str | None,
        typer.Option("--header-row", help="Line of the column names, from 1; 1-2 joins two lines."),
        None,
    ),
    "decimal": (str | None, typer.Option("--decimal", help="Decimal mark of a text file: '.' or ','."), None),
    "thousands": (
        str | None,
        typer.Option("--thousands", help="Mark between thousands: ',', '.', ' ' or \"'\"."),
        None,
    ),
    "duplicates": (
        str,
        typer.Option("--duplicates", help="A study in several rows: error, cluster (rows of one study) or number."),
        "error",
    ),
    "number_duplicates": (
        bool,
        typer.Option("--number-duplicates", help="Take rows of one study for independent studies."),
        False,
    ),
    "total_rows": (
        str,
        typer.Option("--total-rows", help="A row that is the total of the others: refuse, exclude, or a study."),
        "refuse",
    ),
    "ci_level": (
        float | None,
        typer.Option("--ci-level", help="Level of the limits in the file; else as their headers say, or 0.95."),
        None,
    ),
}
_EFFECTS: dict[str, tuple[Any, typer.models.OptionInfo, Any]] = {
    "add": (float | None, typer.Option("--add", help="Added to zero cells; 0.5 where none is given."), None),
    "to": (
        str,
        typer.Option("--to", help="Which studies it is added to: only0, all, if0all, none."),
        "only0",
    ),
    "drop00": (bool, typer.Option("--drop00", help="Leave out studies without events in both arms."), False),
    "inestimable": (
        str,
        typer.Option("--inestimable", help="A study without an effect: raise (an error) or exclude, by name."),
        "raise",
    ),
}


@dataclass(frozen=True, slots=True)
class DataOptions:
    """What was said about the data on the command line.

    Parameters
    ----------
    reading
        Arguments of `ReadingOptions` other than the outcome; only those given.
    zero_cells
        ``add``, ``to``, ``drop00`` and ``inestimable``; only those given.
    """

    reading: dict[str, Any]
    zero_cells: dict[str, Any]

    def options(self, outcome: str | None = None) -> "ReadingOptions":
        """Return how a file is read.

        Raises
        ------
        DataError
            If an option is not one of those it may be.
        """
        from bayesmeta.reading.options import ReadingOptions

        return ReadingOptions(outcome=outcome, **self.reading)

    @property
    def given(self) -> list[str]:
        """The options that were given, as they are written."""
        names = {**self.reading, **self.zero_cells}
        return [f"--{'column' if name == 'columns' else name.replace('_', '-')}" for name in names]


def with_data_options[**P, R](command: Callable[P, R]) -> Callable[..., R]:
    """Give a command the options about data: its parameter ``data`` receives them as `DataOptions`."""
    table = {**_READING, **_EFFECTS}

    @wraps(command)
    def run(**arguments: Any) -> R:
        given = {name: arguments.pop(name) for name in table}
        return command(data=_collected(given), **arguments)  # type: ignore[arg-type, call-arg]

    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "data"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])
        for name, (kind, info, default) in table.items()
    ]
    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    run.__signature__ = inspect.Signature([*keyword, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*keyword, *added]}
    return run


def _collected(given: dict[str, Any]) -> DataOptions:
    defaults = {name: default for name, (_, _, default) in {**_READING, **_EFFECTS}.items()}
    said = {name: value for name, value in given.items() if value != defaults[name]}
    reading = {name: value for name, value in said.items() if name in _READING}
    if "column" in reading:
        reading["columns"] = _pairs(reading.pop("column"))
    if reading.pop("number_duplicates", False):
        if reading.get("duplicates", "number") != "number":
            raise DataError(f"--number-duplicates and --duplicates {reading['duplicates']} contradict each other.")
        reading["duplicates"] = "number"
    return DataOptions(reading, {name: value for name, value in said.items() if name in _EFFECTS})


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in options]
    for (name, sign, header), text in zip(pairs, options, strict=True):
        if not sign or not name or not header:
            raise DataError(f"--column {text!r}: write bayesmeta's name, '=', and the header, e.g. --column sei=se.")
    return {name.strip(): header for name, _, header in pairs}
