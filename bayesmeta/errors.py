"""The errors a user can meet, and the one helper that words a failed look-up."""

from collections.abc import Iterable
from difflib import get_close_matches


class BayesMetaError(Exception):
    """Base of every error raised on purpose; its message says what to do next."""


class DataError(BayesMetaError, ValueError):
    """The data cannot be read or pooled; the message names file, row, study, value and rule."""


class DataWarning(UserWarning):
    """The data can be used but look wrong; the message names the study and what to check."""


class ModelError(BayesMetaError, ValueError):
    """A model, prior, engine or option is unknown or cannot be used with these data."""


class UnknownNameError(ModelError, KeyError):
    """A result has nothing of that name, e.g. no such study in ``post.theta``; a KeyError too, as of any mapping."""

    # KeyError would print the repr of the message.
    __str__ = Exception.__str__


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
