"""Results as plain values that JSON can hold: every digit, names, units and scales."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesmeta.effects import MEASURES
from bayesmeta.model import Model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Prior
from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo
from bayesmeta.values import Interval

VERSION = 1
"""Of the format; it changes when a key changes its name or its meaning, not when keys are added."""
QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)


def json_text(command: str, result: Any, *, measure: str | None = None, **about: Any) -> str:
    """Return a result as JSON, with what it is and on which scale its effects are.

    Parameters
    ----------
    command
        What made it; the key ``schema`` is ``"bayesmeta.COMMAND/VERSION"``.
    result
        Any value of the package, frames and data sets included.
    measure
        Effect measure; effects and tau are on its analysis scale (log for ratios) unless a key says otherwise.
    **about
        Further keys beside ``result``.
    """
    scale = MEASURES.get(measure or "")
    head = {"schema": f"bayesmeta.{command}/{VERSION}", "measure": measure}
    if scale is not None:
        head |= {"scale": scale.analysis_label, "natural_scale": scale.label}
    content = {**head, **{name: plain(value) for name, value in about.items()}, "result": plain(result)}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a value made of what JSON has: texts, numbers, lists and objects.

    Infinite and undefined numbers, for which JSON has no word, become the texts ``"inf"``, ``"-inf"`` and null.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.generic):
        return _number(value)
    if isinstance(value, np.ndarray | tuple | list | set | frozenset):
        return [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, Mapping) and not hasattr(value, "to_dataframe"):
        return {str(name): plain(item) for name, item in value.items()}
    return _object(value)


def _number(value: Any) -> Any:
    item = value.item() if isinstance(value, np.generic) else value
    if not isinstance(item, float):
        return plain(item)
    return item if math.isfinite(item) else None if math.isnan(item) else str(item)


def _object(value: Any) -> Any:
    """Return a value of the package by the first rule that fits it."""
    for fits, make in _RULES:
        if fits(value):
            return make(value)
    return str(value)


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if not f.name.startswith("_")}


def marginal(value: Any) -> dict[str, Any]:
    """Return the figures of a posterior marginal; moments that do not exist are null or ``"inf"``."""
    figures = {
        "mean": plain(float(value.mean())),
        "sd": plain(float(value.sd())),
        "median": plain(float(value.median())),
    }
    return figures | {"quantiles": {f"{q:g}": plain(float(value.ppf(q))) for q in QUANTILES}}


def _posterior(value: Posterior) -> dict[str, Any]:
    return {
        "model": value.model.name,
        "engine": value.engine,
        "k": value.k,
        "priors": {name: repr(prior) for name, prior in value.priors.items()},
        "log_evidence": plain(value.log_evidence),
        "reliable": value.diagnostics.ok,
        "marginals": {name: marginal(m) for name, m in value.marginals.items()},
    }


_RULES: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (lambda v: isinstance(v, Posterior), _posterior),
    (lambda v: isinstance(v, Prior), repr),
    (lambda v: isinstance(v, Model), lambda v: v.name),
    (lambda v: isinstance(v, EffectSizes | StudyTable | TwoByTwo), lambda v: {"study": list(v.study)}),
    (lambda v: isinstance(v, Interval), _fields),
    (lambda v: hasattr(v, "ppf") and hasattr(v, "cdf"), marginal),
    (lambda v: hasattr(v, "to_dataframe"), lambda v: plain(v.to_dataframe().reset_index())),
    (lambda v: hasattr(v, "to_dict") and hasattr(v, "columns"), lambda v: plain(v.to_dict(orient="records"))),
    (dataclasses.is_dataclass, _fields),
)
