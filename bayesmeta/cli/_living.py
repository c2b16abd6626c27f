"""An entry of a living analysis's history from what a command computed."""

import math
from datetime import date as calendar_date
from typing import TYPE_CHECKING, Any

from bayesmeta.errors import DataError
from bayesmeta.version import __version__

if TYPE_CHECKING:
    from bayesmeta.living import Entry
    from bayesmeta.posterior import Posterior


def entry_for(date: str | None, asked: tuple[Any, str, Any, Any], posterior: "Posterior") -> "Entry":
    """Return the entry of a posterior.

    Parameters
    ----------
    date
        As given; today when None.
    asked
        Protocol, outcome, table, and the table of later studies or None.
    posterior
        Of all studies.

    Raises
    ------
    DataError
        If the date is none.
    """
    from bayesmeta.events import between, measure_scale, side_of_benefit
    from bayesmeta.living import Entry

    protocol, name, table, later = asked
    plan = protocol.outcomes[name]
    try:
        day = calendar_date.today() if date is None else calendar_date.fromisoformat(date)
    except ValueError:
        raise DataError(f"--date {date}: write it as YYYY-MM-DD, e.g. 2026-03-01.") from None
    choices = {
        "measure": protocol.measure,
        "model": f"{posterior.model.name} ({posterior.model.source_hash[:12]})",
        **{f"prior of {parameter}": repr(prior) for parameter, prior in posterior.priors.items()},
        "level": f"{protocol.level:g}",
        "benefit": str(plan.benefit),
        "zero cells": protocol.zero_cells.model_dump_json(),
    }
    scale = measure_scale(protocol.measure)
    limits = posterior.mu.eti(protocol.level)
    result: dict[str, float | None] = {
        "k": float(posterior.k),
        "mu": posterior.mu.median(),
        "mu_low": float(limits.low),
        "mu_high": float(limits.high),
        "tau": posterior.tau.median() if "tau" in posterior.marginals else None,
        "p_mean": None,
        "p_new": None,
    }
    if plan.benefit is not None and scale.null is not None:
        bounds = side_of_benefit(scale.from_natural(scale.null), plan.benefit)
        result["p_mean"] = between(posterior.mu, *bounds)
        result["p_new"] = between(posterior.theta_new, *bounds) if "theta_new" in posterior.marginals else None
    hashes = [getattr(t, "sha256", "") for t in (table, later) if t is not None]
    return Entry(
        date=day.isoformat(),
        outcome=name,
        data_sha256="+".join(hashes),
        plan_sha256=protocol.sha256,
        version=__version__,
        plan=choices,
        studies=_numbers(posterior.data),
        result={key: value if value is None or math.isfinite(value) else None for key, value in result.items()},
    )


def _numbers(data: Any) -> dict[str, tuple[float, ...]]:
    """Return, by study, the numbers that the model took."""
    names = ("yi", "sei") if hasattr(data, "yi") else ("events_treatment", "n_treatment", "events_control", "n_control")
    if not all(hasattr(data, name) for name in names):
        names = ("events_treatment", "time_treatment", "events_control", "time_control")
    columns = [getattr(data, name) for name in names]
    labels = getattr(data, "rows", data.study)
    return {label: tuple(float(c[i]) for c in columns) for i, label in enumerate(labels)}
