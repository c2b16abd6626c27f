"""Study tables and results as data frames: numbers as they are, scales and intervals named."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.decisions.quantities import measure_of
from bayesmeta.effects import MEASURES
from bayesmeta.frequentist import PooledFit
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.studies import EffectSizes, StudyTable
from bayesmeta.values import Interval

if TYPE_CHECKING:
    import pandas as pd

_WHOLE = frozenset(
    (
        *("year", "events", "n", "events_treatment", "n_treatment", "events_control", "n_control"),
        *("nonevents_treatment", "nonevents_control"),
    )
)

type Result = PooledFit | Posterior


def study_frame(
    data: StudyTable | EffectSizes,
    *,
    fit: PooledFit | None = None,
    post: Posterior | None = None,
    level: float = 0.95,
) -> "pd.DataFrame":
    """Return one row a study: what was read, or the effects with their weights and shrunken counterparts.

    Parameters
    ----------
    data
        The table as read (every column, canonical names), or effect sizes on their analysis scale.
    fit
        Adds ``weight_percent``, the weights of a classical analysis of the same studies.
    post
        Adds ``theta_mean, theta_low, theta_high``: each study's true effect given all studies, with its
        equal-tailed credible interval.
    level
        Of the credible interval.

    Raises
    ------
    ModelError
        If the posterior is about another measure than the effect sizes.
    """
    frame = data.to_frame()
    for name in _WHOLE & set(frame.columns):
        if frame[name].dtype.kind == "f":
            # Counts and years are whole numbers to everybody who opens the file; a blank stays blank.
            frame[name] = frame[name].astype("Int64")
    if isinstance(data, EffectSizes) and data.counts is not None:
        for position, name in enumerate(("events_treatment", "n_treatment", "events_control", "n_control"), start=1):
            frame.insert(position, name, np.array(getattr(data.counts, name), dtype=np.int64))
    if fit is not None:
        weight = dict(zip(fit.study, fit.weights, strict=True))
        frame["weight_percent"] = [float(weight[s]) if s in weight else None for s in data.study]
    if post is not None:
        if isinstance(data, EffectSizes) and data.measure != "GEN":
            measure_of(post, data.measure)
        theta = [post.theta[s] for s in data.study]
        limits = [m.eti(level) for m in theta]
        frame["theta_mean"] = [m.mean() for m in theta]
        frame["theta_low"] = [i.low for i in limits]
        frame["theta_high"] = [i.high for i in limits]
    return frame


def result_frame(results: Mapping[str, Result], *, measure: str, level: float = 0.95) -> "pd.DataFrame":
    """Return results in long form, one row a quantity and scale.

    Parameters
    ----------
    results
        What to call each result, and the result.
    measure
        Of all of them; effects are given on the analysis scale and, where it differs, on the natural one.
    level
        Of the credible intervals; classical intervals keep the level they were computed with.

    Returns
    -------
    pandas.DataFrame
        Columns ``result, quantity, scale, value, low, high, level, interval``; empty cells are None.

    Raises
    ------
    ModelError
        If a posterior is about another measure.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for label, result in results.items():
        if isinstance(result, Posterior) and measure != "GEN":
            measure_of(result, measure)
        quantities = _classical(result) if isinstance(result, PooledFit) else _bayesian(result, level)
        for quantity, value, interval, effect in quantities:
            rows += _scales(label, quantity, value, interval, measure if effect else None)
    return pd.DataFrame(rows, columns=["result", "quantity", "scale", "value", "low", "high", "level", "interval"])


def _classical(fit: PooledFit) -> list[tuple[str, float | None, Interval | None, bool]]:
    return [
        ("pooled effect", fit.mu, fit.ci, True),
        ("effect in a new study", None, fit.prediction, True),
        ("p_value", fit.p_value, None, False),
        ("tau", fit.tau, None, False),
        ("tau2", fit.tau2, fit.tau2_ci, False),
        ("I2_percent", fit.I2, None, False),
        ("Q", fit.Q, None, False),
        ("Q_df", float(fit.Q_df), None, False),
        ("Q_p", fit.Q_p, None, False),
        ("k", float(fit.k), None, False),
    ]


def _bayesian(post: Posterior, level: float) -> list[tuple[str, float | None, Interval | None, bool]]:
    def median(marginal: Marginal) -> tuple[float, Interval]:
        return marginal.median(), marginal.eti(level)

    named = {"pooled effect": "mu", "effect in a new study": "theta_new", "tau": "tau", "I2_percent": "I2"}
    return [
        (quantity, *median(post.marginals[name]), name in ("mu", "theta_new"))
        for quantity, name in named.items()
        if name in post.marginals
    ]


def _scales(
    label: str, quantity: str, value: float | None, interval: Interval | None, measure: str | None
) -> list[dict[str, Any]]:
    """Return the row on the analysis scale and, for effects with another natural scale, that one too."""
    kind = "" if interval is None else f"{interval.kind} ({interval.rule})" if interval.rule else interval.kind
    row = {
        "result": label,
        "quantity": quantity,
        "scale": MEASURES[measure].analysis_label if measure else "",
        "value": value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "level": None if interval is None else interval.level,
        "interval": kind,
    }
    chosen = MEASURES[measure] if measure else None
    if chosen is None or chosen.scale.needs_n or chosen.label.lower() == chosen.analysis_label:
        return [row]
    limits = (None, None) if interval is None else (interval.low, interval.high)
    natural = [None if x is None else float(chosen.to_natural(x)) for x in (value, *limits)]
    return [row, {**row, "scale": chosen.label.lower(), **dict(zip(("value", "low", "high"), natural, strict=True))}]


def provenance(table: StudyTable | None = None, effects: EffectSizes | None = None) -> dict[str, Any]:
    """Return where the numbers come from: file, hash, mapping, rule, exclusions, changes, version.

    Two calls with the same data return the same: there is no date in it.
    """
    from bayesmeta.version import __version__

    out: dict[str, Any] = {"bayesmeta": __version__}
    if table is not None:
        out |= {
            "source": table.source,
            "sha256": table.sha256,
            "outcome": table.outcome,
            "columns": dict(table.mapping),
            "notes": list(table.notes),
        }
    if effects is not None:
        out |= {
            "measure": effects.measure,
            "rule": effects.rule,
            "adjusted": [f"{a.study}: {a.what}" for a in effects.adjusted],
        }
    excluded = effects.excluded if effects is not None else table.excluded if table is not None else ()
    out["excluded"] = [{"study": e.study, "reason": e.reason, "row": e.row} for e in excluded]
    return out
