"""Priors as they are written on the command line."""

from bayesmeta.errors import DataError


def priors_of(options: list[str] | None) -> dict[str, str] | None:
    """Return parameter to prior text from ``NAME=PRIOR`` options; None without any.

    Raises
    ------
    DataError
        If one is not of that form.
    """
    pairs = [text.partition("=") for text in options or []]
    for (name, sign, text), said in zip(pairs, options or [], strict=True):
        if not (name.strip() and sign and text.strip()):
            raise DataError(f"--prior {said!r}: write it as NAME=PRIOR, e.g. --prior 'tau=half_normal(1)'.")
    return {name.strip(): text.strip() for name, _, text in pairs} or None
