"""Which column holds what: the user's word first, then known spellings, never a guess."""

from collections.abc import Container, Mapping, Sequence
from difflib import get_close_matches

from bayesmeta.errors import DataError, unknown
from bayesmeta.reading.names import ALIASES, AMBIGUOUS, CANONICAL, FAMILIES, ONE_ARM, normalise


def map_columns(headers: Sequence[str], stated: Mapping[str, str] | None, name: str) -> dict[str, str]:
    """Return bayesmeta's name to the header that holds it.

    Parameters
    ----------
    headers
        Of the file.
    stated
        The user's own mapping, bayesmeta's name to header; it goes before every spelling.
    name
        Of the file, for messages.

    Raises
    ------
    DataError
        If a stated name or header does not exist, or two columns claim the same meaning.
    """
    mapping = _stated(headers, stated or {}, name)
    # metafor's ai, bi, ci, di: beside ai, ci is a count and nothing else.
    folded = {normalise(h): h for h in headers}
    if "ai" in folded and "ci" in folded and folded["ci"] not in mapping.values():
        mapping.setdefault("events_control", folded["ci"])
    if "o_e" in folded and "v_o_e" not in mapping:
        # Beside O-E a variance is the one of O-E (RevMan's and R meta's pair), not of an effect.
        variances = [folded[name] for name in ("v_o_e", "variance", "v", "var") if name in folded]
        if variances and variances[0] not in mapping.values():
            mapping["v_o_e"] = variances[0]
    taken = set(mapping.values())
    claims: dict[str, list[str]] = {}
    for header in headers:
        canonical = ALIASES.get(normalise(header))
        if header not in taken and canonical and canonical not in mapping:
            claims.setdefault(canonical, []).append(header)
    for canonical, found in claims.items():
        exact = [h for h in found if h == canonical]
        if len(found) > 1 and not exact:
            raise DataError(
                f"{name}: columns {' and '.join(map(repr, found))} both look like {canonical}. "
                f"State which one is: columns={{{canonical!r}: {found[0]!r}}}."
            )
        mapping[canonical] = (exact or found)[0]
    return mapping


def _stated(headers: Sequence[str], stated: Mapping[str, str], name: str) -> dict[str, str]:
    for canonical, header in stated.items():
        if canonical not in CANONICAL:
            raise unknown("column name in columns=", canonical, CANONICAL, DataError)
        if header not in headers:
            close = get_close_matches(str(header), headers, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise DataError(f"{name} has no column {header!r} (for {canonical}).{hint} Columns: {', '.join(headers)}.")
    return dict(stated)


def unread(headers: Sequence[str], mapping: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note for each ambiguous column that was kept under its own name and not interpreted."""
    used = set(mapping.values())
    return tuple(
        f"column {h!r} was not interpreted: it may be {first[1]} or {second[1]}; state it with columns=..."
        for h in headers
        if h not in used and (readings := AMBIGUOUS.get(normalise(h)))
        for first, second in (readings,)
    )


def available(mapping: Container[str]) -> dict[str, tuple[str, ...]]:
    """Return the families of columns from which effects can be computed, given what was found.

    One-arm families count only where there is no other.
    """
    found = {family: needed for family, needed in FAMILIES.items() if all(name in mapping for name in needed)}
    return {f: needed for f, needed in found.items() if not ONE_ARM & {*needed}} or found


def needed_columns(mapping: Mapping[str, str]) -> set[str]:
    """Return the names from which the table's effects are computed."""
    # What follows from other columns is as good as there.
    follows = {"sei": {"vi"}, "n_treatment": {"nonevents_treatment"}, "n_control": {"nonevents_control"}}
    there = {*mapping, *(name for name, sources in follows.items() if sources <= mapping.keys())}
    return {name for family in available(there).values() for name in family}


def data_columns(mapping: Mapping[str, str], stated: Mapping[str, str]) -> dict[str, str]:
    """Return the mapping without one-arm names that no effect needs: those columns are moderators."""
    needed = needed_columns(mapping)
    return {c: h for c, h in mapping.items() if c not in ONE_ARM or c in needed or c in stated}


def nothing_usable(headers: Sequence[str], mapping: Mapping[str, str], name: str) -> DataError:
    """Return the error for a table from which no effect can be computed."""
    for header in headers:
        readings = AMBIGUOUS.get(normalise(header))
        if readings and header not in mapping.values():
            (first, meaning1), (second, meaning2) = readings
            return DataError(
                f"{name}: column {header!r} may be {meaning1} or {meaning2}, and the two give different answers. "
                f"State it: columns={{{first!r}: {header!r}}} or columns={{{second!r}: {header!r}}} "
                f"(on the command line --column {first}={header})."
            )
    nearest = max(FAMILIES.values(), key=lambda needed: sum(n in mapping for n in needed) / len(needed))
    missing = [n for n in nearest if n not in mapping]
    return DataError(
        f"{name}: no column for {', '.join(missing)}. Columns: {', '.join(headers)}. "
        f"Name the right ones, e.g. columns={{{missing[0]!r}: {headers[-1]!r}}}, or give another set: "
        + "; ".join(f"{family} ({', '.join(needed)})" for family, needed in FAMILIES.items())
        + "."
    )
