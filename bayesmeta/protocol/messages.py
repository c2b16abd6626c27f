"""Words for what is wrong in a protocol file: pydantic's errors, told in the terms of the file."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bayesmeta.errors import BayesMetaError, DataError, ModelError, unknown


def reworded(error: ValidationError, name: str, root: type[BaseModel]) -> BayesMetaError:
    """Return pydantic's errors as one error in the words of the file."""
    problems = error.errors(include_url=False)
    kind = DataError
    for problem in problems:
        if isinstance(problem.get("ctx", {}).get("error"), ModelError):
            kind = ModelError  # type: ignore[assignment]
    lines = [_sentence(problem, root) for problem in problems]
    if len(lines) == 1:
        return kind(f"{name}: {lines[0]}")
    return kind(f"{name}: {len(lines)} things to correct:\n" + "\n".join(f"  - {line}" for line in lines))


def _sentence(problem: ErrorDetails, root: type[BaseModel]) -> str:
    *parents, last = problem["loc"] or ("",)
    key = _dotted(problem["loc"])
    value = problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            message = str(unknown("key", str(last), _section(root, parents).model_fields))
            return f"{message[:-1]} (in {_table(parents)})."
        case "missing":
            return f"{_table(parents)} lacks the key {last!r}{_allowed(_section(root, parents), str(last))}."
        case "literal_error":
            allowed = problem["ctx"]["expected"]
            close = get_close_matches(
                str(value), [a.strip("'") for a in allowed.replace(" or ", ", ").split(", ")], n=1
            )
            hint = f" Did you mean {close[0]!r}?" if close else ""
            return f"{key} is {value!r}; it must be {allowed}.{hint}"
        case "value_error":
            cause = problem["ctx"]["error"]
            rule = (cause.said("protocol") if isinstance(cause, BayesMetaError) else str(cause)).rstrip(".")
            return f"{key}{': ' if key else ''}{rule}."
        case "too_short":
            return f"{key} is empty; it needs at least one entry."
        case other:
            rule = _TYPES.get(other) or problem["msg"].replace("Input should", "it must")
            return f"{key} is {value!r}; {rule}."


_TYPES = {
    "string_type": "it must be text in quotes",
    "tuple_type": 'it must be a list in square brackets, e.g. [1.25, 2] or ["normal_normal"]',
    "dict_type": "it must be a table, e.g. [outcomes.mortality]",
    "model_type": "it must be a table of keys",
}


def _section(root: type[BaseModel], location: list[int | str]) -> type[BaseModel]:
    """Return the class of the table at `location`, walking the annotations."""
    section = root
    for part in location:
        field = section.model_fields.get(str(part))
        if field is not None:
            section = _inner_section(field.annotation) or section
    return section


def _inner_section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in get_args(annotation) if (found := _inner_section(a)) is not None), None)


def _allowed(section: type[BaseModel], name: str) -> str:
    options = [option for option in _options(section.model_fields[name].annotation) if isinstance(option, str)]
    return f": it must be {' or '.join(map(repr, options))}" if options else ""


def _options(annotation: Any) -> list[object]:
    """Return the values of a Literal, looking through ``| None``."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [option for part in get_args(annotation) for option in _options(part)]


def _dotted(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _table(location: Sequence[int | str]) -> str:
    return f"[{_dotted(location)}]" if location else "the top of the file"
