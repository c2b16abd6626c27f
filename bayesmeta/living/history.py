"""The history file of a living analysis: one JSON object a line, for people and for programs.

A line holds the date, hashes of the data and of the plan, the plan's choices, the studies with their results, and the
answer. Nothing is ever overwritten: an answer that changed stands beside the earlier one.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as calendar_date
from pathlib import Path
from typing import Any

from bayesmeta.errors import DataError
from bayesmeta.events import measure_scale
from bayesmeta.values import FrozenMap
from bayesmeta.words import counted, interval_text, joined, number, probability_text

KEYS = ("date", "outcome", "data_sha256", "plan_sha256", "version", "plan", "studies", "result")
# Answers that differ by less than this, relative to the larger, are the same: what another machine's rounding makes.
SAME = 1e-8


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer of a living analysis.

    Parameters
    ----------
    date
        When it was computed, ``YYYY-MM-DD``.
    outcome
        Which outcome; empty where there is one.
    data_sha256, plan_sha256
        Of the files; empty without one.
    version
        Of bayesmeta.
    plan
        The plan's choices by name: measure, model, priors, level, benefit, ...
    studies
        Study to the numbers that entered: estimate and standard error, or counts.
    result
        ``k``, ``mu``, ``mu_low``, ``mu_high``, ``tau``, ``p_mean``, ``p_new``; effects on the analysis scale, None for
        what there is not.
    """

    date: str
    outcome: str
    data_sha256: str
    plan_sha256: str
    version: str
    plan: Mapping[str, str]
    studies: Mapping[str, tuple[float, ...]]
    result: Mapping[str, float | None]

    def __post_init__(self) -> None:
        for name in ("plan", "studies", "result"):
            object.__setattr__(self, name, FrozenMap(getattr(self, name)))

    def line(self) -> str:
        """Return the entry as one line of JSON."""
        content: dict[str, Any] = {name: getattr(self, name) for name in KEYS}
        for name in ("plan", "studies", "result"):
            content[name] = dict(content[name])
        return json.dumps(content, ensure_ascii=False, allow_nan=False)

    def answer(self) -> str:
        """Return the answer in words, on the natural scale."""
        scale = measure_scale(self.plan["measure"])
        r = {key: math.nan if value is None else value for key, value in self.result.items()}
        mu, low, high = (scale.to_natural(r[key]) for key in ("mu", "mu_low", "mu_high"))
        said = f"{scale.label} {number(mu)} [{interval_text(low, high)}] from {counted(int(r['k']), 'study')}"
        p = self.result.get("p_mean")
        return said if p is None else f"{said}, P(benefit) {probability_text(p)}"


def read_history(path: str | Path) -> tuple[Entry, ...]:
    """Return the entries of a history file, oldest first; none where there is no file yet.

    Raises
    ------
    DataError
        If a line is no entry; the message names it.
    """
    path = Path(path)
    if not path.exists():
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read the history {str(path)!r}: {error}. Check the path.") from None
    return tuple(_entry(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip())


def _entry(line: str, where: str) -> Entry:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg}). Restore the line from a copy, or take it out.") from None
    missing = [key for key in KEYS if not isinstance(found, dict) or key not in found]
    if missing:
        raise DataError(f"{where}: no entry of a history, as it lacks {joined(missing)}. Use another file.")
    try:
        calendar_date.fromisoformat(found["date"])
        studies = {str(s): tuple(float(x) for x in numbers) for s, numbers in found["studies"].items()}
        return Entry(**{key: found[key] for key in KEYS if key != "studies"}, studies=studies)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where}: an entry of a history has a value of the wrong kind ({error}).") from None


def append_entry(path: str | Path, entry: Entry) -> None:
    """Add an entry at the end of a history file.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(entry.line() + "\n")
    except OSError as error:
        raise DataError(f"Cannot write the history {str(path)!r}: {error.strerror}. Check folder and rights.") from None


def changes(history: Sequence[Entry], now: Entry) -> tuple[str, ...]:
    """Return what changed since the last entry of the same outcome, and why, in sentences.

    Parameters
    ----------
    history
        Entries, oldest first; the plan of the first is the registered one.
    now
        The new entry.
    """
    own = [entry for entry in history if entry.outcome == now.outcome]
    if not own:
        return (f"First entry: {now.answer()}. Its plan is the one that later entries are held against.",)
    last, first = own[-1], own[0]
    data, plan = _data_changes(last, now), _plan_changes(last, now)
    said = [*data, *(f"Since {last.date} {change}." for change in plan)]
    same = same_result(last, now)
    if last.version != now.version:
        said.append(f"Since {last.date} the version of bayesmeta changed from {last.version} to {now.version}.")
    if same and not said:
        said.append(f"Nothing changed since {last.date}: {now.answer()}.")
    elif same:
        said.append(f"The answer is the same: {now.answer()}.")
    else:
        causes = ["the data"] * bool(data) + ["the plan"] * bool(plan) + ["the version"] * (last.version != now.version)
        why = f"because {joined(causes)} changed" if causes else "although neither data, plan nor version changed"
        said.append(f"The answer changed, {why}: it was {last.answer()}; it is {now.answer()}.")
    deviations = _plan_changes(first, now)
    said += [f"DEVIATION from the plan of {first.date}: {change}." for change in deviations]
    return tuple(said)


def same_result(one: Entry, other: Entry) -> bool:
    """Return whether two entries have the same answer, but for rounding."""
    if set(one.result) != set(other.result):
        return False
    for key, a in one.result.items():
        b = other.result[key]
        if (a is None) != (b is None):
            return False
        if a is not None and b is not None and abs(a - b) > SAME * max(1.0, abs(a), abs(b)):
            return False
    return True


def same_entry(one: Entry, other: Entry) -> bool:
    """Return whether nothing but the date differs: then no line is added."""
    names = ("outcome", "data_sha256", "plan_sha256", "version", "plan", "studies")
    return same_result(one, other) and all(getattr(one, name) == getattr(other, name) for name in names)


def _data_changes(last: Entry, now: Entry) -> list[str]:
    added = [study for study in now.studies if study not in last.studies]
    gone = [study for study in last.studies if study not in now.studies]
    # Another measure or model takes other numbers of the same studies: that is a change of the plan.
    comparable = all(last.plan.get(key) == now.plan.get(key) for key in ("measure", "model", "zero cells"))
    other = [s for s, numbers in now.studies.items() if s in last.studies and last.studies[s] != numbers]
    said = []
    if added:
        said.append(f"Since {last.date} added: {joined(added)}.")
    if gone:
        said.append(f"Since {last.date} no longer there: {joined(gone)}.")
    if other and comparable:
        said.append(f"Since {last.date} with other numbers: {joined(other)}.")
    return said


def _plan_changes(before: Entry, now: Entry) -> list[str]:
    names = list(dict.fromkeys([*before.plan, *now.plan]))
    nothing = "not stated"
    return [
        f"{name} changed from {before.plan.get(name, nothing)} to {now.plan.get(name, nothing)}"
        for name in names
        if before.plan.get(name) != now.plan.get(name)
    ]
