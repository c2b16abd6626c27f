"""Design matrices from a formula: numbers, factors, interactions, with or without intercept."""

import re
from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import DataError
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

type Columns = list[tuple[str, Array]]

_NAME = re.compile(r"^(?:C|factor)\(\s*(.+?)\s*\)$")


def design_matrix(formula: str, data: Mapping[str, ArrayLike], k: int) -> tuple[Array, tuple[str, ...]]:
    """Return the design matrix of `formula` and the names of its columns.

    Parameters
    ----------
    formula
        ``"~ a + b"``; ``a:b`` is an interaction, ``a*b`` is ``a + b + a:b``, ``C(a)`` makes a factor of numbers,
        ``- 1`` or ``0 +`` leaves the intercept out. Text columns are factors, coded against their first level in
        alphabetical order; without an intercept the first factor keeps all its levels, and so does one in an
        interaction whose other part is no term of its own (``~ g + g:x`` has a slope of x for every level), as in R.
    data
        Name to ``(k,)`` values; a pandas or polars frame will do.
    k
        Number of studies.

    Returns
    -------
    tuple
        ``(k, p)`` matrix and ``p`` names such as ``"intercept"``, ``"a"``, ``"b[level]"``, ``"a:b[level]"``.

    Raises
    ------
    DataError
        If a name is not in `data`, a value is missing, or a factor has a single level.

    Examples
    --------
    >>> X, terms = design_matrix("~ dose + arm", {"dose": [1, 2, 3], "arm": ["a", "b", "b"]}, 3)
    >>> terms
    ('intercept', 'dose', 'arm[b]')
    """
    terms, intercept = _parse(formula)
    columns: Columns = [("intercept", np.ones(k))] if intercept else []
    full, known = not intercept, {frozenset(term) for term in terms}
    for term in terms:
        if len(term) == 1:
            coded, is_factor = _code(term[0], data, k, full=full)
            full = full and not is_factor
            columns += coded
        else:
            factors = [_code(name, data, k, full=frozenset(term) - {name} not in known)[0] for name in term]
            columns += [_times(parts) for parts in product(*reversed(factors))]
    if not columns:
        raise DataError(f"Formula {formula!r} has no terms: write '~ 1' for the intercept alone.")
    return np.column_stack([column for _, column in columns]), tuple(name for name, _ in columns)


def _times(parts: tuple[tuple[str, Array], ...]) -> tuple[str, Array]:
    ordered = parts[::-1]
    return ":".join(name for name, _ in ordered), np.prod([column for _, column in ordered], axis=0)


def _parse(formula: str) -> tuple[list[tuple[str, ...]], bool]:
    left, tilde, right = formula.partition("~")
    if left.strip() or not tilde or not right.strip():
        raise DataError(f"Formula {formula!r} must look like '~ moderator1 + moderator2', with nothing left of the ~.")
    text = right.replace("-", "+ -")
    intercept, terms = True, []
    for part in (piece.strip() for piece in text.split("+")):
        if part in ("", "1"):
            continue
        if part in ("0", "- 1", "-1"):
            intercept = False
        elif part.startswith("-"):
            raise DataError(
                f"Formula {formula!r}: only the intercept can be removed ('- 1'), not {part[1:].strip()!r}."
            )
        else:
            terms += _expand(part)
    # Main effects before interactions, each once, as R orders them.
    return sorted(dict.fromkeys(terms), key=len), intercept


def _expand(part: str) -> list[tuple[str, ...]]:
    names = [name.strip() for name in part.split("*")]
    terms: list[tuple[str, ...]] = []
    for name in names:
        single = tuple(piece.strip() for piece in name.split(":"))
        terms += [tuple(dict.fromkeys((*term, *single))) for term in list(terms)]
        terms.append(single)
    return terms


def _code(name: str, data: Mapping[str, ArrayLike], k: int, *, full: bool) -> tuple[Columns, bool]:
    match = _NAME.match(name)
    column = match.group(1) if match else name
    try:
        values = np.asarray(data[column])
    except (KeyError, ValueError):
        known = ", ".join(str(c) for c in getattr(data, "columns", data))
        raise DataError(f"No moderator {column!r} in the data. Columns: {known}.") from None
    if values.shape != (k,):
        raise DataError(f"Moderator {column!r} has {values.size} values for {k} studies: give one value per study.")
    if match is None and values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
        _require(column, ~np.isfinite(numbers))
        return [(column, numbers)], False
    texts = ["" if _missing(v) else _label(v) for v in values]
    _require(column, np.array([t == "" for t in texts]))
    levels = sorted(set(texts), key=_order)
    if len(levels) == 1:
        raise DataError(f"Moderator {column!r} is {levels[0]!r} in every study: it explains nothing. Leave it out.")
    used = levels if full else levels[1:]
    return [(f"{column}[{level}]", np.array([float(t == level) for t in texts])) for level in used], True


def _missing(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124  (NaN is the value that differs from itself)


def _label(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).strip()


def _order(level: str) -> tuple[float, str]:
    try:
        return float(level), level
    except ValueError:
        return np.inf, level


def _require(name: str, missing: NDArray[np.bool_]) -> None:
    if missing.any():
        raise DataError(
            f"Moderator {name!r} has no value for study number {int(np.flatnonzero(missing)[0]) + 1}: "
            "fill it in or drop the study."
        )


def check_design(effects: EffectSizes) -> None:
    """Raise a DataError naming the first column of ``effects.X`` that the columns before it determine."""
    X = effects.X
    assert X is not None
    largest = np.abs(X).max(axis=0)
    for j, term in enumerate(effects.terms):
        if not largest[j] > 0:
            raise DataError(f"Moderator {term!r} is 0 for every study: its coefficient does not exist. Remove it.")
        before, column = X[:, :j] / largest[:j], X[:, j] / largest[j]
        coefficients = np.linalg.lstsq(before, column, rcond=None)[0] if j else np.empty(0)
        residual = column - before @ coefficients
        # A column is lost when what it adds is at the level of rounding of what it repeats.
        if np.linalg.norm(residual) <= 1e-10 * np.linalg.norm(column):
            blamed = [effects.terms[i] for i in np.flatnonzero(np.abs(coefficients) > 1e-8)]
            raise DataError(
                f"Moderator {term!r} is collinear with {', '.join(map(repr, blamed or effects.terms[:j]))}: "
                f"its coefficient cannot be estimated. Remove {term!r} or what it repeats."
            )
