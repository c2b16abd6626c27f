"""The errors a user can meet, and the one helper that words a failed look-up."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

type Door = Literal["python", "command line", "protocol"]

# An option inside a message is a mark between two control characters, said in the words of the door it is read at.
_MARK = re.compile("\x02([^\x1f\x03]*)\x1f([^\x1f\x03]*)\x1f([^\x03]*)\x03")


_FLAGS = {"columns": "column", "priors": "prior"}


def option(name: str, value: object = ..., *, key: str = "") -> str:
    """Return an option to put into an error message, which says it as the user would write it.

    Parameters
    ----------
    name
        The argument's name in Python; `key` the entry of a mapping, e.g. ``option("columns", "se", key="sei")``.
    value
        What to give; ``...`` where that is the user's choice.

    Examples
    --------
    >>> error = DataError(f"Choose one with {option('outcome')}, or {option('columns', 'se', key='sei')}.")
    >>> print(error)
    Choose one with outcome=..., or columns={'sei': 'se'}.
    >>> print(error.said("command line"))
    Choose one with --outcome ..., or --column sei=se.
    >>> print(error.said("protocol"))
    Choose one with outcome = "..." under [data], or columns = {sei = "se"} under [data].
    """
    shown = "..." if value is ... else value if isinstance(value, str) else repr(value)
    kind = "?" if value is ... else "s" if isinstance(value, str) else "v"
    return f"\x02{name}\x1f{key}\x1f{kind}{shown}\x03"


def _in_python(name: str, key: str, kind: str, value: str) -> str:
    shown = repr(value) if kind == "s" else value
    return f"{name}={{{key!r}: {shown}}}" if key else f"{name}={shown}"


def _on_the_command_line(name: str, key: str, kind: str, value: str) -> str:
    flag = "--" + _FLAGS.get(name, name).replace("_", "-")
    if value == "True":
        return flag
    quoted = f"'{value}'" if set(value) & set(" ;()'") else value
    return f"{flag} {key}={quoted}" if key else f"{flag} {quoted}"


def _in_a_protocol(name: str, key: str, kind: str, value: str) -> str:
    if name == "priors":
        return f'prior = "{value}" under [priors.{key}]'
    shown = {"True": "true", "False": "false"}.get(value, value if kind == "v" else f'"{value}"')
    return f"{name} = {{{key} = {shown}}} under [data]" if key else f"{name} = {shown} under [data]"


_DOORS = {"python": _in_python, "command line": _on_the_command_line, "protocol": _in_a_protocol}


def said(text: str, door: Door = "python") -> str:
    """Return a text with the options in it written as they are written at a door."""
    return _MARK.sub(lambda m: _DOORS[door](m[1], m[2], m[3][0], m[3][1:]), text)


class BayesMetaError(Exception):
    """Base of every error raised on purpose; its message says what to do next."""

    def __str__(self) -> str:
        return self.said("python")

    @property
    def message(self) -> str:
        """The message as it was made, its options not yet said at a door: for an error that adds to it."""
        return Exception.__str__(self)

    def said(self, door: Door) -> str:
        """Return the message with options written as they are written at a door."""
        return said(self.message, door)


class DataError(BayesMetaError, ValueError):
    """The data cannot be read or pooled; the message names file, row, study, value and rule."""


class DataWarning(UserWarning):
    """The data can be used but look wrong; the message names the study and what to check."""


class ModelError(BayesMetaError, ValueError):
    """A model, prior, engine or option is unknown or cannot be used with these data."""


class UnknownNameError(ModelError, KeyError):
    """A result has nothing of that name, e.g. no such study in ``post.theta``; a KeyError too, as of any mapping."""

    # KeyError would print the repr of the message.
    __str__ = BayesMetaError.__str__


class ConvergenceError(BayesMetaError, RuntimeError):
    """A numerical answer was not reached with the accuracy asked for; no number is returned."""


def unknown(
    kind: str,
    name: object,
    known: Iterable[str],
    error: type[BayesMetaError] = ModelError,
) -> BayesMetaError:
    """Return the error for a name that is not in a registry, with the nearest known names.

    Examples
    --------
    >>> print(unknown("model", "normal_norml", ["normal_normal", "robust_t"]))
    Unknown model 'normal_norml'. Did you mean 'normal_normal'? Known: normal_normal, robust_t.
    """
    names = sorted(known)
    close = get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return error(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")
