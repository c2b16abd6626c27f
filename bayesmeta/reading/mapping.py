"""Which column holds what: the user's word first, then known spellings, never a guess."""

from collections.abc import Container, Mapping, Sequence
from difflib import get_close_matches

from bayesmeta.errors import DataError, option, unknown
from bayesmeta.reading.headers import canonical_name
from bayesmeta.reading.names import (
    ALIASES,
    AMBIGUOUS,
    ARMS,
    CANONICAL,
    DERIVED,
    FAMILIES,
    GLUED,
    ONE_ARM,
    QUANTITIES,
    arm_and_quantity,
    normalise,
)


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
    if any(ALIASES.get(name) == "o_e" for name in folded) and "v_o_e" not in mapping:
        # Beside O-E a variance is the one of O-E (RevMan's and R meta's pair), not of an effect.
        variances = [folded[name] for name in ("v_o_e", "variance", "v", "var") if name in folded]
        if variances and variances[0] not in mapping.values():
            mapping["v_o_e"] = variances[0]
    taken = set(mapping.values())
    claims: dict[str, list[str]] = {}
    for header in headers:
        canonical = canonical_name(header)
        if header not in taken and canonical and canonical not in mapping:
            claims.setdefault(canonical, []).append(header)
    for canonical, found in claims.items():
        exact = [h for h in found if h == canonical]
        if len(found) > 1 and not exact:
            raise DataError(
                f"{name}: columns {' and '.join(map(repr, found))} both look like {canonical}. "
                f"State which one is: {' or '.join(option('columns', header, key=canonical) for header in found)}."
            )
        mapping[canonical] = (exact or found)[0]
    return {**mapping, **_arms(headers, mapping)}


def _glued(headers: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Return the arms of columns such as ``xt nt xc nc``, where both arms have the same quantities, at least two."""
    arms: dict[str, dict[str, list[str]]] = {}
    for header in headers:
        parts = GLUED.get(normalise(header))
        if parts is not None:
            arms.setdefault(parts[0], {}).setdefault(parts[1], []).append(header)
    treated = [arm for arm in ("t", "e") if arm in arms and set(arms[arm]) == set(arms.get("c", {}))]
    complete = len(treated) == 1 and len(arms["c"]) > 1
    return {arm: arms[arm] for arm in (treated[0], "c")} if complete else {}


_QUANTITIES = tuple(dict.fromkeys(QUANTITIES.values()))


def _arms(headers: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return columns that name an arm and a quantity, where the table has two arms and it is known which is which.

    An arm of a name of its own (a drug) is the treatment if the other one is a control, and the control if the other is
    the treatment.
    """
    taken = set(mapping.values())
    found: dict[str, dict[str, list[str]]] = {}
    for header in headers:
        parts = None if header in taken else arm_and_quantity(header)
        if parts is not None:
            found.setdefault(parts[0], {}).setdefault(parts[1], []).append(header)
    found |= _glued([h for h in headers if h not in taken])
    if {"cases", "controls"} <= {word for header in headers for word in normalise(header).split("_")}:
        # Beside cases, controls are people without the disease, not an arm.
        found.pop("controls", None)
    words = {role: [arm for arm in found if ARMS.get(arm) == role] for role in ("treatment", "control")}
    has = {role: {q for q in _QUANTITIES if f"{q}_{role}" in mapping} for role in words}
    for role, arms in words.items():
        has[role] |= {q for arm in arms for q in found[arm]}
    own = [arm for arm, quantities in found.items() if arm not in ARMS and len(quantities) > 1]
    for role, other in (("treatment", "control"), ("control", "treatment")):
        if len(own) == 1 and not has[role] and has[other] == set(found[own[0]]):
            words[role] = own
            break
    out = {}
    for role, arms in words.items():
        for quantity in dict.fromkeys(q for arm in arms for q in found[arm]):
            columns = [header for arm in arms for header in found[arm].get(quantity, [])]
            if len(columns) == 1 and f"{quantity}_{role}" not in mapping:
                out[f"{quantity}_{role}"] = columns[0]
    return out


def _stated(headers: Sequence[str], stated: Mapping[str, str], name: str) -> dict[str, str]:
    for canonical, header in stated.items():
        if canonical not in CANONICAL:
            raise unknown("column name", canonical, CANONICAL, DataError)
        if header not in headers:
            close = get_close_matches(str(header), headers, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise DataError(f"{name} has no column {header!r} (for {canonical}).{hint} Columns: {', '.join(headers)}.")
    return dict(stated)


def unread(headers: Sequence[str], mapping: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note for each ambiguous column that was kept under its own name and not interpreted."""
    used = set(mapping.values())
    return tuple(
        f"column {h!r} was not interpreted: it may be {first[1]} or {second[1]}; state which it is if it is needed"
        for h in headers
        if h not in used and (readings := AMBIGUOUS.get(normalise(h)))
        for first, second in (readings,)
    )


def further_arms(headers: Sequence[str], mapping: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note for each arm with columns of its own that is neither of the two that are compared."""
    taken = set(mapping.values())
    quantities = {name.rpartition("_")[0] for name in mapping if name.endswith("_treatment")}
    arms: dict[str, dict[str, str]] = {}
    for header in headers:
        parts = None if header in taken else arm_and_quantity(header)
        if parts is not None and parts[0] not in ("", "total", "all", "overall"):
            arms.setdefault(parts[0], {})[parts[1]] = header
    return tuple(
        f"columns {' and '.join(map(repr, columns.values()))} are of a further arm, {arm!r}, and were left out, since "
        "two arms are compared: state the columns if it is one of them"
        for arm, columns in arms.items()
        if len(columns) > 1 and {*columns} == quantities
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
    there = {*mapping, *(name for name, sources in DERIVED.items() if sources <= mapping.keys())}
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
                f"State it: {option('columns', header, key=first)} or {option('columns', header, key=second)}."
            )
    nearest = max(FAMILIES.values(), key=lambda needed: sum(n in mapping for n in needed) / len(needed))
    missing = [n for n in nearest if n not in mapping]
    if not any(n in mapping for n in nearest):
        return DataError(
            f"{name}: no column was recognised as numbers that an effect can be computed from. Columns: "
            f"{', '.join(headers)}. Say what they are, each as {option('columns', ..., key='NAME')}, for one of these "
            f"sets: {_families()}."
        )
    free = [header for header in headers if header not in mapping.values()]
    found = "; ".join(f"{n} is {mapping[n]!r}" for n in nearest if n in mapping)
    say = ", ".join(option("columns", _suggested(n, free) or ..., key=n) for n in missing)
    return DataError(
        f"{name}: no column for {', '.join(missing)} ({found}). Columns: {', '.join(headers)}. "
        f"Say which they are: {say}. Or give another set: {_families()}."
    )


def _families() -> str:
    return "; ".join(f"{family} ({', '.join(needed)})" for family, needed in FAMILIES.items())


def _suggested(canonical: str, free: Sequence[str]) -> str | None:
    """Return the one header whose name has every word of a column's name, so that the suggestion cannot mislead."""
    words = {*canonical.split("_")}
    close = [header for header in free if words <= {*normalise(header).split("_")}]
    return close[0] if len(close) == 1 else None


def possible(mapping: Container[str]) -> bool:
    """Return whether an effect can be computed from some of the columns found, derived ones included."""
    names = {name for name in (*CANONICAL, *DERIVED) if name in mapping}
    for target, sources in DERIVED.items():
        if sources <= names:
            names.add(target)
    return bool(available(names))
